package backup

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sigilkeys/sigil/internal/ledger"
	"github.com/sigilkeys/sigil/internal/store/pgtest"
	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
	"github.com/sigilkeys/sigil/test/stack"
)

// backedUp is a backup of a scene on SQLite.
func backedUp(t *testing.T) (*scene, string) {
	t.Helper()
	place, open := engine{}.empty(t)
	s := newScene(t, stack.Options{Store: open(t)})
	file := filepath.Join(t.TempDir(), "sigil.backup")
	_, err := Create(t.Context(), place, file, options())
	must(t, err)
	return s, file
}

// refused requires that a file isn't restored and leaves nothing behind.
func refused(t *testing.T, file string, opt Options, want string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	_, _, err := Restore(t.Context(), file, Place{Dir: dir}, opt)
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
		t.Errorf("restored, or another reason than %q: %v", want, err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("something is left behind")
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "sigil-verify-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Files that were damaged on the way, or never were backups.
func TestDamagedFiles(t *testing.T) {
	_, file := backedUp(t)
	whole, err := os.ReadFile(file)
	must(t, err)
	if _, err := read(bytes.NewReader(whole), nothing{}); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(whole); n += 1 + n/50 {
		if _, err := read(bytes.NewReader(whole[:n]), nothing{}); !errors.Is(err, ErrInvalid) {
			t.Fatalf("cut off after %d of %d bytes: %v", n, len(whole), err)
		}
	}
	for n := 0; n < len(whole); n += 1 + len(whole)/1500 {
		flipped := bytes.Clone(whole)
		flipped[n] ^= 1 << (n % 8)
		if _, err := read(bytes.NewReader(flipped), nothing{}); !errors.Is(err, ErrInvalid) {
			t.Fatalf("a bit of byte %d: %v", n, err)
		}
	}
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"empty":        {nil, "cut off"},
		"half":         {whole[:len(whole)/2], "cut off"},
		"no digest":    {whole[:len(whole)-1], "cut off"},
		"more":         {append(bytes.Clone(whole), 0), "follows its end"},
		"twice":        {append(bytes.Clone(whole), whole...), "follows its end"},
		"next version": {bytes.Replace(whole, []byte("/v1\n"), []byte("/v2\n"), 1), "doesn't begin"},
		"a database":   {append([]byte("SQLite format 3\x00"), whole...), "doesn't begin"},
		"a bit":        {bytes.Replace(whole, []byte("treasury"), []byte("treasurz"), 1), "digest"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x")
			must(t, os.WriteFile(path, c.content, 0o600))
			refused(t, path, options(), c.want)
		})
	}
}

// altered restores a backup, has rows changed by hand, and makes a backup of
// that: all its digests are right.
func altered(t *testing.T, file, edit string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "edited")
	must(t, restoreRows(t.Context(), file, Place{Dir: dir}))
	db := bare(t, Place{Dir: dir})
	_, err := db.Exec(`PRAGMA foreign_keys = OFF; ` + edit)
	must(t, err)
	must(t, db.Close())
	out := filepath.Join(t.TempDir(), "edited.backup")
	_, err = Create(t.Context(), Place{Dir: dir}, out, options())
	must(t, err)
	return out
}

// Rows that somebody changed, in a file whose digests are right. Each says
// what must be noticed.
func TestAlteredRows(t *testing.T) {
	_, file := backedUp(t)
	same := altered(t, file, ``) // the canary of this test: nothing was changed
	_, _, err := Verify(t.Context(), same, options())
	must(t, err)
	const flip = `substr(X, 1, 60) || CASE substr(X, 61, 1) WHEN x'00' THEN x'01' ELSE x'00' END || substr(X, 62)`
	flipped := func(table, column string) string {
		return fmt.Sprintf(`UPDATE %s SET %s = CAST(%s AS BLOB)`, table, column, strings.ReplaceAll(flip, "X", column))
	}
	swap := func(table, column, key string) string {
		return fmt.Sprintf(`CREATE TEMP TABLE t AS SELECT * FROM %[1]s; UPDATE %[1]s SET %[2]s = (SELECT t.%[2]s FROM t WHERE t.%[3]s <> %[1]s.%[3]s)`, table, column, key)
	}
	for name, c := range map[string]struct{ edit, want string }{
		"genesis exchanged":            {swap("organizations", "genesis", "id"), "another one's genesis"},
		"genesis altered":              {flipped("organizations", "genesis"), "genesis of organisation"},
		"state keys exchanged":         {swap("organizations", "state", "id"), "state key of organisation"},
		"grant altered":                {flipped("grants", "envelope"), "grant"},
		"grants exchanged":             {swap("grants", "envelope", "digest"), "isn't what its document says"},
		"grant of another key":         {`UPDATE grants SET key_id = 'ffff' || substr(key_id, 5)`, "isn't what its document says"},
		"revocation left out":          {`DELETE FROM revocations`, "contradict"},
		"revocation forgotten":         {`UPDATE grants SET revoked = 0`, "contradict"},
		"revocation altered":           {flipped("revocations", "envelope"), "revocation of grant"},
		"wallet altered":               {flipped("wallets", "record"), "wallet"},
		"wallet of another":            {`UPDATE wallets SET organization_id = (SELECT id FROM organizations o WHERE o.id <> organization_id)`, "another one's certificate"},
		"wallet renamed":               {`UPDATE wallets SET id = x'01020304050607080910111213141516'`, "another one's certificate"},
		"wallet left out":              {`DELETE FROM wallets`, "whose wallet is missing"},
		"wallet of another decision":   {`UPDATE wallets SET receipt = (SELECT id FROM decisions WHERE result_kind = 1 LIMIT 1)`, "no decision that made it"},
		"evidence left out":            {`DELETE FROM evidence`, "evidence of the instance that made it is missing"},
		"evidence renamed":             {`UPDATE evidence SET id = x'0102030405060708091011121314151601020304050607080910111213141516'`, "isn't its statement's"},
		"signature altered":            {`UPDATE decisions SET result = CAST(result || x'30' AS BLOB) WHERE result_kind = 1`, "isn't the one that was released"},
		"leaf altered":                 {flipped("decisions", "leaf"), "isn't what the batch covers"},
		"request id altered":           {`UPDATE decisions SET request_id = CAST(substr(request_id, 1, 14) || x'0000' AS BLOB)`, "isn't what its leaf says"},
		"idempotency made up":          {`UPDATE decisions SET idempotency = randomblob(32)`, "isn't what its leaf says"},
		"decision moved":               {`UPDATE decisions SET idx = idx + 1`, "isn't what the batch covers"},
		"decision left out":            {`DELETE FROM decisions WHERE rowid = 2`, "stands where entry"},
		"decision and entry left out":  {`DELETE FROM ledger_entries WHERE receipt = (SELECT id FROM decisions WHERE rowid = 3); DELETE FROM decisions WHERE rowid = 3`, "stands where entry"},
		"newest decision left out":     {`DELETE FROM decisions WHERE rowid = 6; DELETE FROM ledger_entries WHERE idx = 5; UPDATE ledgers SET size = 5`, "another number of entries"},
		"batch altered":                {flipped("batches", "signed"), "batch"},
		"batch hashes altered":         {`UPDATE batches SET hashes = randomblob(length(hashes))`, "isn't what its instance signed"},
		"batch left out":               {`DELETE FROM batches WHERE id = 2`, "no batch"},
		"ledger without its head":      {`UPDATE ledgers SET note = ''`, "another number of entries"},
		"head altered":                 {`UPDATE ledgers SET note = replace(note, substr(note, 1, 5), 'xxxxx')`, "its head"},
		"ledger longer":                {`UPDATE ledgers SET size = size + 1`, "entries, not"},
		"ledger left out":              {`DELETE FROM ledgers`, "entries of no ledger"},
		"all of a ledger left out":     {`DELETE FROM ledgers; DELETE FROM ledger_entries; DELETE FROM ledger_tiles`, "in no ledger and wait for none"},
		"entries exchanged":            {`UPDATE ledger_entries SET idx = CASE idx WHEN 1 THEN 1002 WHEN 2 THEN 1001 ELSE idx END; UPDATE ledger_entries SET idx = idx - 1000 WHERE idx > 1000`, "aren't those that the TEE signed"},
		"tile altered":                 {`UPDATE ledger_tiles SET hashes = randomblob(length(hashes))`, "doesn't follow"},
		"tile left out":                {`DELETE FROM ledger_tiles`, "doesn't follow"},
		"a tile more":                  {`INSERT INTO ledger_tiles SELECT organization_id, 1, 0, hashes FROM ledger_tiles`, "tiles, not"},
		"waits for its ledger":         {`INSERT INTO unfolded SELECT id FROM batches LIMIT 1`, "wait for the ledger that they are in"},
		"an unknown batch waits":       {`INSERT INTO unfolded VALUES (1000)`, "aren't there"},
		"ledger of nobody":             {`INSERT INTO ledgers VALUES (x'01020304050607080910111213141516', 0, '', 0)`, "of no organisation"},
		"organisation left out":        {`DELETE FROM organizations WHERE id = (SELECT organization_id FROM wallets)`, "contradict each other"},
		"tiles of a ledger of nobody":  {`INSERT INTO ledger_tiles VALUES (x'01020304050607080910111213141516', 0, 0, x'00')`, "tiles of no ledger"},
		"another organisation's grant": {`UPDATE grants SET organization_id = (SELECT id FROM organizations o WHERE o.id <> organization_id)`, "another organisation"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, altered(t, file, c.edit), options(), c.want) })
	}
}

// What no signature shows is that a revocation was left out with its mark: the
// file restores. The digest that was kept apart shows it.
func TestDigestKeptApart(t *testing.T) {
	_, file := backedUp(t)
	m, _, err := Verify(t.Context(), file, options())
	must(t, err)
	cut := altered(t, file, `DELETE FROM revocations; UPDATE grants SET revoked = 0`)
	if _, _, err := Verify(t.Context(), cut, options()); err != nil {
		t.Error("the docs say that this isn't seen without a digest:", err)
	}
	opt := options()
	opt.Digest = m.SHA256
	refused(t, cut, opt, "SHA-256")
	_, _, err = Verify(t.Context(), file, opt)
	must(t, err)
}

// On PostgreSQL too a refused file leaves every table empty.
func TestRefusedOnPostgres(t *testing.T) {
	_, file := backedUp(t)
	server := pgtest.Start(t, pgtest.Options{})
	place, _ := engine{server: server}.empty(t)
	for _, edit := range []string{`UPDATE ledger_tiles SET hashes = randomblob(length(hashes))`, `DELETE FROM wallets`, `DELETE FROM organizations`} {
		if _, _, err := Restore(t.Context(), altered(t, file, edit), place, options()); !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	opt := options()
	opt.Progress = func(what string, _ uint64) {
		if what == "decisions verified" {
			cancel() // all rows are in by now
		}
	}
	if _, _, err := Restore(ctx, file, place, opt); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for _, table := range tables() {
		if n := server.Value("sigil1", `SELECT COUNT(*)::text FROM sigil.`+table.name); n != "0" {
			t.Errorf("%s has %s rows", table.name, n)
		}
	}
	_, _, err := Restore(t.Context(), file, place, options())
	must(t, err)
}

const crashEnv = "SIGIL_TEST_RESTORE_CRASH"

// A restore that is killed when all rows are in leaves no database, and the
// next one isn't kept from its work.
func TestCrash(t *testing.T) {
	if job := os.Getenv(crashEnv); job != "" {
		file, place, _ := strings.Cut(job, "|")
		opt := options()
		opt.Progress = func(what string, _ uint64) {
			if what == "decisions verified" {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}
		to := Place{Dir: place}
		if strings.HasPrefix(place, "postgres") {
			to = Place{DSN: place}
		}
		_, _, err := Restore(t.Context(), file, to, opt)
		t.Fatal("it went on:", err)
	}
	_, file := backedUp(t)
	exe, err := os.Executable()
	must(t, err)
	for _, e := range engines(t) {
		place, open := e.empty(t)
		cmd := exec.Command(exe, "-test.run=^TestCrash$")
		cmd.Env = append(os.Environ(), crashEnv+"="+file+"|"+place.Dir+place.DSN)
		var exit *exec.ExitError
		if out, err := cmd.CombinedOutput(); !errors.As(err, &exit) || exit.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%v\n%s", err, out)
		}
		if place.Dir != "" {
			left, err := filepath.Glob(filepath.Join(place.Dir, sqlitestore.FileName+".restoring"))
			if _, statErr := os.Stat(filepath.Join(place.Dir, sqlitestore.FileName)); err != nil || statErr == nil || len(left) != 1 {
				t.Errorf("a database after a crash, or no crash: %v %v", left, statErr)
			}
		}
		_, _, err := Restore(t.Context(), file, place, options())
		must(t, err)
		if place.Dir != "" {
			if left, _ := filepath.Glob(filepath.Join(place.Dir, "*")); len(left) != 2 { // the lock
				t.Errorf("left behind: %v", left)
			}
		}
		if n, err := open(t).CountRevocations(t.Context()); err != nil || n != 1 {
			t.Error(n, err)
		}
	}
}

// What lies there is never overwritten, and what is left of a database isn't
// taken for the new one's.
func TestNothingIsOverwritten(t *testing.T) {
	_, file := backedUp(t)
	for _, name := range with() {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("precious"), 0o600))
		if _, _, err := Restore(t.Context(), file, Place{Dir: dir}, options()); err == nil || !strings.Contains(err.Error(), "exists") {
			t.Errorf("%s: %v", name, err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != "precious" {
			t.Errorf("%s: %q %v", name, b, err)
		}
	}
	dir := t.TempDir()
	_, _, err := Restore(t.Context(), file, Place{Dir: dir}, options())
	must(t, err)
	before, err := os.ReadFile(file)
	must(t, err)
	if _, err := Create(t.Context(), Place{Dir: dir}, file, options()); err == nil {
		t.Error("a backup was overwritten")
	}
	must(t, os.WriteFile(filepath.Join(dir, "x.part"), nil, 0o600))
	if _, err := Create(t.Context(), Place{Dir: dir}, filepath.Join(dir, "x"), options()); err == nil || !strings.Contains(err.Error(), "x.part exists") {
		t.Error(err)
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Error("the file is another one", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Create(ctx, Place{Dir: dir}, filepath.Join(dir, "y"), options()); err == nil {
		t.Error("went on after its end")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "y*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func with() []string {
	return []string{sqlitestore.FileName, sqlitestore.FileName + "-wal", sqlitestore.FileName + "-journal"}
}

// A table or a column that backups don't hold: no backup is better than one
// without it.
func TestUnknownColumn(t *testing.T) {
	for _, e := range engines(t) {
		for _, edit := range []string{`ALTER TABLE wallets ADD COLUMN more BIGINT`, `CREATE TABLE more (id BIGINT)`} {
			place, open := e.empty(t)
			must(t, open(t).Close())
			if e.server != nil {
				e.server.Exec(place.DSN[len("postgres:///"):strings.Index(place.DSN, "?")], `SET search_path = sigil; `+edit+`; GRANT SELECT ON ALL TABLES IN SCHEMA sigil TO sigil_app`)
			} else if _, err := bare(t, place).Exec(edit); err != nil {
				t.Fatal(err)
			}
			if _, err := Create(t.Context(), place, filepath.Join(t.TempDir(), "x"), options()); err == nil || !strings.Contains(err.Error(), "that backups don't hold") {
				t.Errorf("%s: %v", edit, err)
			}
		}
	}
}

// Backups of earlier programs lack columns that were added since, and only
// those.
func TestColumnsAddedLater(t *testing.T) {
	tb := table{name: "x", columns: []column{{name: "a"}, {name: "b", added: true}, {name: "c"}}}
	for _, c := range []struct {
		has  []string
		good bool
	}{{[]string{"a", "b", "c"}, true}, {[]string{"a", "c"}, true}, {[]string{"a", "b"}, false}, {[]string{"b", "c"}, false}, {[]string{"a", "b", "c", "d"}, false},
		{[]string{"a", "c", "b"}, false}, {nil, false}} {
		if columns, err := tb.match(c.has); (err == nil) != c.good || err == nil && !slices.Equal(names(columns), c.has) {
			t.Errorf("%v: %v %v", c.has, columns, err)
		}
	}
}

// The instance that signed newer heads refuses the restored ledger, as the
// command says; after its restart the ledger goes on.
func TestForkedUntilRestart(t *testing.T) {
	place, open := engine{}.empty(t)
	address := ""
	s := newScene(t, stack.Options{Store: open(t), WrapLink: func(a string, _ tls.Certificate) string { address = a; return a }})
	file := filepath.Join(t.TempDir(), "sigil.backup")
	_, err := Create(t.Context(), place, file, options())
	must(t, err)
	s.sign("after the backup")
	s.noted(7)
	restored, openRestored := engine{}.empty(t)
	_, _, err = Restore(t.Context(), file, restored, options())
	must(t, err)
	db := openRestored(t)
	next := *s
	next.Stack = stack.Start(t, stack.Options{Store: db, Cloud: s.Cloud, TEE: address})
	next.sign("another history")
	seq := &ledger.Sequencer{Store: db, Signer: next.Fleet, Log: slog.New(slog.DiscardHandler)}
	if err := seq.Round(t.Context()); !errors.Is(err, ledger.ErrForked) {
		t.Fatalf("the old instance signs it: %v", err)
	}
	again := *s
	again.Stack = stack.Start(t, stack.Options{Store: db, Cloud: s.Cloud, Ledger: true})
	again.noted(7)
	again.audit(7)
}

// FuzzRead wants refusals, no panic and no endless work; what is read is
// written again as it was.
func FuzzRead(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "golden", "v1.backup"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := read(bytes.NewReader(data), nothing{})
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Fatal(err)
		}
		if err == nil && m.Bytes != uint64(len(data)) {
			t.Fatal("bytes were left unread")
		}
	})
}
