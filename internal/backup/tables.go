package backup

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store/sqlrows"
)

type kind uint8

const (
	kindBytes kind = iota
	kindText       // UTF-8 without NUL
	kindLabel      // TEXT in SQLite, BYTEA in PostgreSQL, whose text has no NUL
	kindInt
)

type column struct {
	name string
	kind kind
	null bool
	// added marks a column that backups of earlier programs don't have: it gets
	// the table's default, which it therefore needs.
	added bool
}

type table struct {
	name     string
	key      string // order of its rows, the same in both engines
	identity bool   // PostgreSQL numbers its rows
	columns  []column
}

// tables are all that is shared, in an order in which they can be filled. A
// migration that adds one or a column must add it here: a backup refuses a
// database that has what it doesn't know.
func tables() []table {
	org := column{name: "organization_id"}
	integer := func(name string) column { return column{name: name, kind: kindInt} }
	text := func(name string) column { return column{name: name, kind: kindText} }
	bytes := func(name string) column { return column{name: name} }
	return []table{
		{name: "organizations", key: "id", columns: []column{bytes("id"), bytes("genesis"), bytes("digest"), bytes("state"), integer("created")}},
		{name: "grants", key: "digest", columns: []column{bytes("digest"), org, bytes("id"), text("key_id"), bytes("envelope"), integer("created"), integer("revoked")}},
		{name: "revocations", key: "grant_digest", columns: []column{bytes("grant_digest"), org, bytes("envelope"), integer("at")}},
		{name: "evidence", key: "id", columns: []column{bytes("id"), bytes("statement"), text("token"), text("release_digest"), text("version"), integer("stored")}},
		{name: "wallets", key: "id", columns: []column{bytes("id"), org, bytes("record"), {name: "label", kind: kindLabel}, bytes("receipt"), integer("created"),
			integer("archived"), integer("state")}},
		{name: "batches", key: "id", identity: true, columns: []column{integer("id"), bytes("instance"), integer("number"), bytes("signed"), bytes("hashes")}},
		{name: "decisions", key: "batch, idx", columns: []column{bytes("id"), org, bytes("key_id"), bytes("request_id"), {name: "idempotency", null: true}, bytes("leaf"),
			integer("result_kind"), {name: "result", null: true}, {name: "explanation", kind: kindLabel}, integer("batch"), integer("idx")}},
		{name: "unfolded", key: "batch", columns: []column{integer("batch")}},
		{name: "ledgers", key: "organization_id", columns: []column{org, integer("size"), text("note"), integer("noted")}},
		{name: "ledger_entries", key: "organization_id, idx", columns: []column{org, integer("idx"), bytes("receipt")}},
		{name: "audit", key: "organization_id, at, id, kind", columns: []column{org, integer("at"), bytes("id"), integer("kind"), integer("success"), bytes("key_id"),
			{name: "wallet", null: true}, text("network"), text("code")}},
		{name: "audit_counts", key: "organization_id, kind, success", columns: []column{org, integer("kind"), integer("success"), integer("n")}},
		{name: "unaudited", key: "batch", columns: []column{integer("batch")}},
		{name: "ledger_tiles", key: "organization_id, level, idx", columns: []column{org, integer("level"), integer("idx"), bytes("hashes")}},
	}
}

// leftOut are tables that no backup holds: counts, which triggers keep, and
// addresses, which the control plane lists again (refill); when a key was used
// last, how much somebody may ask, and the Idempotency-Keys of documents (which are
// their own) are forgotten.
func leftOut() []string {
	return []string{"goose_db_version", "wallet_counts", "wallet_addresses", "unaddressed", "key_uses", "rate_budgets", "answers"}
}

// refill makes a control plane list the addresses of restored wallets.
const refill = `INSERT INTO unaddressed (wallet) SELECT id FROM wallets`

func names(columns []column) []string {
	list := make([]string, len(columns))
	for i := range columns {
		list[i] = columns[i].name
	}
	return list
}

func (t *table) names() []string { return names(t.columns) }

func (t *table) selectAll() string {
	return `SELECT ` + strings.Join(t.names(), ", ") + ` FROM ` + t.name + ` ORDER BY ` + t.key
}

// checkCatalog requires that the database has just what a backup holds.
func checkCatalog(ctx context.Context, r sqlrows.SQL, engine string) error {
	query := `SELECT m.name, p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\'`
	if engine == enginePostgres {
		query = `SELECT c.relname::text, a.attname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
			WHERE c.relnamespace = 'sigil'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped`
	}
	rows, err := r.QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("list the tables: %w", err)
	}
	defer rows.Close()
	missing := map[[2]string]bool{}
	for _, t := range tables() {
		for _, c := range t.columns {
			missing[[2]string{t.name, c.name}] = true
		}
	}
	for rows.Next() {
		var at [2]string
		if err := rows.Scan(&at[0], &at[1]); err != nil {
			return err
		}
		if !missing[at] && !slices.Contains(leftOut(), at[0]) {
			return fmt.Errorf("table %s has a column %s that backups don't hold: this program is too old for the database", at[0], at[1])
		}
		delete(missing, at)
	}
	for at := range missing {
		return fmt.Errorf("the database has no %s.%s: bring it to this program's version first", at[0], at[1])
	}
	return rows.Err()
}

func (t *table) encode(values []any) ([]byte, error) {
	w := canon.NewWriter("", 256)
	for i, c := range t.columns {
		v := values[i]
		if c.null {
			if v == nil {
				w.U8(0)
				continue
			}
			w.U8(1)
		}
		switch v := v.(type) {
		case int64:
			if c.kind == kindInt {
				w.U64(uint64(v))
				continue
			}
		case []byte:
			if c.kind == kindBytes || c.kind == kindLabel {
				w.Bytes(v)
				continue
			}
		case string:
			if c.kind == kindText && storable(v) || c.kind == kindLabel {
				w.Bytes([]byte(v))
				continue
			}
		}
		return nil, fmt.Errorf("column %s holds a %T, or text that isn't UTF-8", c.name, v)
	}
	row, err := w.Record()
	if err == nil && (len(row) == 0 || len(row) > maxRow) {
		err = fmt.Errorf("a row of %d bytes", len(row))
	}
	return row, err
}

func storable(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// tableLayout is a table as a file has it.
type tableLayout struct {
	table   *table
	columns []column
}

// layout requires that the file has the tables that this program knows, with
// their columns, but for those that were added later.
func layout(h *header) ([]tableLayout, error) {
	known := tables()
	if h.Format != Format || len(h.Tables) != len(known) || h.Created.IsZero() {
		return nil, invalid("%d tables of format %.40q, want %d of %q", len(h.Tables), h.Format, len(known), Format)
	}
	list := make([]tableLayout, len(known))
	for i := range known {
		t := &known[i]
		if h.Tables[i].Name != t.name {
			return nil, invalid("table %.40q stands where %s should", h.Tables[i].Name, t.name)
		}
		columns, err := t.match(h.Tables[i].Columns)
		if err != nil {
			return nil, err
		}
		list[i] = tableLayout{t, columns}
	}
	return list, nil
}

func (t *table) match(has []string) ([]column, error) {
	var out []column
	rest := has
	for _, c := range t.columns {
		switch {
		case len(rest) > 0 && rest[0] == c.name:
			out, rest = append(out, c), rest[1:]
		case !c.added:
			return nil, invalid("table %s has no column %s", t.name, c.name)
		}
	}
	if len(rest) > 0 {
		return nil, invalid("table %s has a column %.40q that this program doesn't know: a newer one made the backup", t.name, rest[0])
	}
	return out, nil
}

func (l *tableLayout) decode(row []byte) ([]any, error) {
	r := canon.NewReader("", row)
	values := make([]any, len(l.columns))
	for i, c := range l.columns {
		if c.null {
			present := r.U8()
			if present > 1 {
				r.Fail("column %s begins with %d", c.name, present)
			}
			if present == 0 {
				continue
			}
		}
		switch c.kind {
		case kindInt:
			values[i] = int64(r.U64())
		case kindText:
			s := r.Text(maxRow)
			if !storable(s) {
				r.Fail("column %s holds NUL", c.name)
			}
			values[i] = s
		default:
			// Not nil, which would be NULL; and a copy, for the row's bytes are
			// the reader's.
			values[i] = append([]byte{}, r.Bytes(maxRow)...)
		}
	}
	return values, r.Close()
}

// loader inserts rows, many with one statement.
type loader struct {
	ctx    context.Context
	tx     sqlrows.SQL
	engine string
	opt    *Options

	t       *table
	columns []column
	args    []any
	rows    int    // in args
	size    int    // of args, in bytes
	loaded  uint64 // rows of the table
}

const (
	maxTogether = 64
	maxSize     = 4 << 20
)

func load(ctx context.Context, from io.Reader, tx sqlrows.SQL, engine string, opt *Options) (*Manifest, error) {
	return read(&counted{ctx: ctx, r: from, opt: &Options{}}, &loader{ctx: ctx, tx: tx, engine: engine, opt: opt})
}

func (l *loader) table(t *table, columns []column) error {
	if err := l.flush(); err != nil {
		return err
	}
	l.t, l.columns, l.loaded = t, columns, 0
	return nil
}

func (l *loader) row(values []any) error {
	for i, c := range l.columns {
		switch v := values[i].(type) {
		case []byte:
			l.size += len(v)
			if c.kind == kindLabel && l.engine == engineSQLite {
				values[i] = string(v)
			}
		case string:
			l.size += len(v)
		}
	}
	l.args = append(l.args, values...)
	if l.loaded++; l.loaded%progress == 0 {
		l.opt.progress("rows restored of "+l.t.name, l.loaded)
	}
	if l.rows++; l.rows == maxTogether || l.size >= maxSize {
		return l.flush()
	}
	return nil
}

func (l *loader) end() error { return l.flush() }

func (l *loader) flush() error {
	if l.rows == 0 {
		return nil
	}
	var text strings.Builder
	fmt.Fprintf(&text, `INSERT INTO %s (%s) `, l.t.name, strings.Join(names(l.columns), ", "))
	if l.t.identity && l.engine == enginePostgres {
		text.WriteString(`OVERRIDING SYSTEM VALUE `)
	}
	text.WriteString(`VALUES `)
	for i := range l.args {
		switch {
		case i == 0:
			text.WriteString(`(`)
		case i%len(l.columns) == 0:
			text.WriteString(`), (`)
		default:
			text.WriteString(`, `)
		}
		fmt.Fprintf(&text, `$%d`, i+1)
	}
	text.WriteString(`)`)
	_, err := l.tx.ExecContext(l.ctx, text.String(), l.args...)
	l.args, l.rows, l.size = slices.Delete(l.args, 0, len(l.args)), 0, 0
	return err
}
