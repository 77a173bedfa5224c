package pgstore_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/store/pgtest"
)

// rights has a row of docs/OPERATIONS.md for each table of which sigil_app may
// change or delete something.
const rights = `SELECT string_agg(format('| %s | %s | %s |', chr(96) || relname || chr(96), change, CASE WHEN del THEN 'yes' ELSE 'no' END), E'\n' ORDER BY relname)
	FROM (SELECT c.relname, has_table_privilege('sigil_app', c.oid, 'DELETE') AS del, CASE WHEN has_table_privilege('sigil_app', c.oid, 'UPDATE') THEN 'any' ELSE
			COALESCE((SELECT string_agg(chr(96) || attname || chr(96), ', ' ORDER BY attname) FROM pg_attribute a
				WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND has_column_privilege('sigil_app', c.oid, attnum, 'UPDATE')), 'none') END AS change
		FROM pg_class c WHERE relnamespace = 'sigil'::regnamespace AND relkind IN ('r', 'p')) x
	WHERE del OR change <> 'none'`

// What docs/OPERATIONS.md says of sigil_app and of tables without row security
// is what the database has. The canaries: grants and a table that it doesn't name.
func documented(t *testing.T, server *pgtest.Server) {
	doc, err := os.ReadFile("../../../docs/OPERATIONS.md")
	must(t, err)
	_, section, found := strings.Cut(string(doc), "## PostgreSQL's roles and row security\n")
	section, _, ends := strings.Cut(section, "\n## ")
	if !found || !ends {
		t.Fatal("docs/OPERATIONS.md has no section of roles")
	}
	var says []string
	for _, row := range regexp.MustCompile("(?m)^(\\| `[a-z_]+` \\| [^|]+ \\| (yes|no) \\|) [^|]+ \\|$").FindAllStringSubmatch(section, -1) {
		says = append(says, row[1])
	}
	name := migrated(t, server)
	if has := strings.Split(server.Value(name, rights), "\n"); !slices.Equal(says, has) {
		t.Errorf("docs/OPERATIONS.md says\n%s\nand the database\n%s", strings.Join(says, "\n"), strings.Join(has, "\n"))
	}
	server.Exec(name, `GRANT UPDATE (leaf) ON sigil.decisions TO sigil_app; GRANT DELETE ON sigil.ledgers TO sigil_app`)
	if has := strings.Split(server.Value(name, rights), "\n"); len(has) != len(says)+1 || !slices.Contains(has, "| `ledgers` | any | yes |") {
		t.Errorf("grants go unnoticed:\n%s", strings.Join(has, "\n"))
	}

	_, list, _ := strings.Cut(section, "Without row security are ")
	list, _, _ = strings.Cut(list, ". ")
	var open []string
	for _, table := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(list, -1) {
		open = append(open, table[1])
	}
	if has := slices.Sorted(maps.Keys(unfenced())); !slices.Equal(slices.Sorted(slices.Values(open)), has) {
		t.Errorf("without row security docs/OPERATIONS.md has %v, the database %v", open, has)
	}
}
