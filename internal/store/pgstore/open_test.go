package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/internal/store/pgtest"
	"github.com/sigilkeys/sigil/internal/store/storetest"
)

func refused(t *testing.T, c pgstore.Config, want string) {
	t.Helper()
	s, err := pgstore.Open(t.Context(), c)
	if err == nil {
		_ = s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("opened, or another reason than %q: %v", want, err)
	}
}

// What a DSN may not say, and no server is needed to refuse.
func TestDSN(t *testing.T) {
	for dsn, want := range map[string]string{
		"":                               "empty",
		"postgres://u:hunter2@db.test/x": "sslmode=verify-full",
		"postgres://u:hunter2@db.test/x?sslmode=disable":                 "sslmode=verify-full",
		"postgres://u:hunter2@db.test/x?sslmode=prefer":                  "sslmode=verify-full",
		"postgres://u:hunter2@db.test/x?sslmode=require":                 "sslmode=verify-full",
		"postgres://u:hunter2@127.0.0.1,db.test/x?sslmode=disable":       "host db.test",
		"postgres://u:hunter2@10.0.0.1/x?sslmode=allow":                  "sslmode=verify-full",
		"postgres://u:hunter2@localhost/x?synchronous_commit=off":        "acknowledges what a crash loses",
		"postgres://u:hunter2@localhost/x?synchronous_commit=local":      "acknowledges what a crash loses",
		"postgres://u:hunter2@localhost:seven/x":                         "DSN",
		"postgres://u:hunter2@127.0.0.1:1/x?sslmode=disable":             "connect",
		"host=/nowhere password=hunter2 synchronous_commit=remote_apply": "connect",
	} {
		refused(t, pgstore.Config{DSN: dsn}, want)
		if _, err := pgstore.Open(t.Context(), pgstore.Config{DSN: dsn}); err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the password is in the error: %v", err)
		}
	}
	for _, dsn := range []string{
		"postgres://u@db.test/x?sslmode=verify-full", "postgres://u@db1.test,db2.test:5433/x?sslmode=verify-full&synchronous_commit=remote_apply",
		"postgres://u@db.test/x?sslmode=verify-ca", "postgres://u@127.0.0.1,[::1]/x", "host=/run/postgresql",
	} {
		if err := pgstore.CheckDSN(dsn); err != nil {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}

func TestOnOneServer(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{Settings: []string{"deadlock_timeout=20ms"}})
	for name, f := range map[string]func(*testing.T, *pgtest.Server){
		"Migrations": migrations, "LeastPrivilege": leastPrivilege, "Documented": documented, "Replicas": replicas, "Cuts": cuts,
		"Deadlock": deadlock, "Budgets": budgets, "SecondFence": secondFence, "EveryTable": everyTable, "ScopesEnd": scopesEnd, "ScopeOfOthers": scopeOfOthers,
	} {
		t.Run(name, func(t *testing.T) { f(t, server) })
	}
}

// Migrations from nothing, from half, and when there is nothing to do; two at
// once; and versions that this program isn't.
func migrations(t *testing.T, server *pgtest.Server) {
	ctx := t.Context()
	empty := server.NewDatabase()
	if _, err := pgstore.Migrate(ctx, server.DSN(pgtest.Superuser, empty)); err == nil || !strings.Contains(err.Error(), "sigil database roles") {
		t.Fatalf("without roles: %v", err)
	}
	server.Exec(empty, pgstore.RolesSQL())
	server.Exec(empty, pgstore.RolesSQL()) // again is no error
	app, owner := pgstore.Config{DSN: server.DSN("sigil_app", empty)}, server.DSN("sigil_owner", empty)
	refused(t, app, "sigil database migrate")
	if _, err := pgstore.Migrate(ctx, app.DSN); err == nil {
		t.Fatal("sigil_app may make tables")
	}
	// Several at once.
	files, err := os.ReadDir("migrations")
	must(t, err)
	newest := int64(len(files))
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if version, err := pgstore.Migrate(ctx, owner); err != nil || version != newest {
				t.Errorf("version %d: %v", version, err)
			}
		})
	}
	group.Wait()
	open(t, app)
	if _, err := pgstore.Migrate(ctx, owner); err != nil { // current
		t.Fatal(err)
	}

	// Half: the documents are there, with rows; decisions are not.
	half := database(server)
	must(t, pgstore.MigrateTo(ctx, server.DSN("sigil_owner", half), 1))
	server.Exec(half, `INSERT INTO sigil.organizations VALUES (decode('0102030405060708090a0b0c0d0e0f10', 'hex'), 'g', 'd', 's', 7)`)
	refused(t, pgstore.Config{DSN: server.DSN("sigil_app", half)}, fmt.Sprintf("version 1, this program needs %d", newest))
	if _, err := pgstore.Migrate(ctx, server.DSN("sigil_owner", half)); err != nil {
		t.Fatal(err)
	}
	s := open(t, pgstore.Config{DSN: server.DSN("sigil_app", half)})
	o, err := s.Organization(ctx, [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
	if err != nil || string(o.State) != "s" {
		t.Fatalf("a row from before: %+v %v", o, err)
	}

	// A control plane of before row security is still connected: it would find
	// no rows, and no revocations.
	before := database(server)
	must(t, pgstore.MigrateTo(ctx, server.DSN("sigil_owner", before), 6))
	old, err := pgx.Connect(ctx, server.DSN("sigil_app", before)+"&application_name=sigil")
	must(t, err)
	if _, err := pgstore.Migrate(ctx, server.DSN("sigil_owner", before)); err == nil || !strings.Contains(err.Error(), "stop them first") {
		t.Errorf("migrated under a control plane: %v", err)
	}
	must(t, old.Close(ctx))
	if _, err := pgstore.Migrate(ctx, server.DSN("sigil_owner", before)); err != nil {
		t.Error(err)
	}

	// A newer program's.
	server.Exec(half, `INSERT INTO sigil.goose_db_version (version_id, is_applied) VALUES (99, true)`)
	refused(t, pgstore.Config{DSN: server.DSN("sigil_app", half)}, "version 99, made by a newer program")
	if _, err := pgstore.Migrate(ctx, server.DSN("sigil_owner", half)); err == nil || !strings.Contains(err.Error(), "version 99") {
		t.Fatalf("migrated: %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The control plane's role can't change or delete what was stored, and the
// store doesn't run as one that can.
func leastPrivilege(t *testing.T, server *pgtest.Server) {
	name := migrated(t, server)
	conn, err := pgx.Connect(t.Context(), server.DSN("sigil_app", name)+"&search_path=sigil")
	must(t, err)
	defer conn.Close(context.Background())
	tables := strings.Fields(server.Value(name, `SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = 'sigil'::regnamespace AND relkind = 'r'`))
	if len(tables) < 12 {
		t.Fatalf("tables: %v", tables)
	}
	statements := []string{`CREATE TABLE more (id INT)`, `CREATE TEMPORARY TABLE more (id INT)`, `CREATE TABLE public.more (id INT)`, `CREATE SCHEMA more`, `CREATE ROLE more`,
		`UPDATE grants SET envelope = ''`, `UPDATE grants SET digest = ''`, `COPY grants TO PROGRAM 'true'`, `SET ROLE sigil_owner`, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (3, true)`}
	// What waits for something to be made of it goes when it is; heads and counts
	// grow in place; and some columns of grants and wallets are for people.
	mayDelete := []string{"unfolded", "unaddressed", "unaudited", "answers"}
	mayUpdate := []string{"grants", "ledgers", "ledger_tiles", "key_uses", "audit_counts", "rate_budgets", "answers"}
	statements = append(statements, `UPDATE wallets SET record = record`, `UPDATE wallets SET organization_id = organization_id`,
		`ALTER TABLE wallets DISABLE ROW LEVEL SECURITY`, `ALTER POLICY scope ON wallets USING (true)`, `DROP POLICY scope ON wallets`,
		`CREATE OR REPLACE FUNCTION scope_every() RETURNS boolean LANGUAGE sql AS 'SELECT true'`)
	for _, table := range tables {
		statements = append(statements, `TRUNCATE `+table, `DROP TABLE `+table, `ALTER TABLE `+table+` ADD COLUMN more INT`, `CREATE INDEX more ON `+table+` ((1))`)
		if !slices.Contains(mayDelete, table) {
			statements = append(statements, `DELETE FROM `+table)
		}
		if !slices.Contains(mayUpdate, table) {
			statements = append(statements, fmt.Sprintf(`UPDATE %s SET %s`, table, server.Value(name, `SELECT attname || ' = ' || attname FROM pg_attribute WHERE attrelid = 'sigil.`+table+`'::regclass AND attnum > 0 ORDER BY attnum = 2 DESC, attnum LIMIT 1`)))
		}
	}
	for _, text := range statements {
		var pg *pgconn.PgError
		if _, err := conn.Exec(t.Context(), text); !errors.As(err, &pg) || pg.Code != "42501" {
			t.Errorf("sigil_app: %s: %v", text, err)
		}
	}
	for _, role := range []string{"sigil_owner", pgtest.Superuser} {
		refused(t, pgstore.Config{DSN: server.DSN(role, name)}, "connect as sigil_app")
	}
	app := pgstore.Config{DSN: server.DSN("sigil_app", name)}
	for _, more := range []string{`DELETE ON sigil.decisions`, `DELETE ON sigil.ledgers`, `TRUNCATE ON sigil.answers`, `UPDATE ON sigil.decisions`, `UPDATE ON sigil.unfolded`,
		`UPDATE (result, leaf) ON sigil.decisions`, `UPDATE (envelope) ON sigil.grants`, `UPDATE (record) ON sigil.wallets`, `CREATE ON SCHEMA sigil`} {
		open(t, app)
		server.Exec(name, `GRANT `+more+` TO sigil_app`)
		refused(t, app, "connect as sigil_app")
		server.Exec(name, `REVOKE `+more+` FROM sigil_app`)
	}
}

// Two processes over one database: each request has one winner. The canary:
// without the unique index they don't, and the test sees it.
func replicas(t *testing.T, server *pgtest.Server) {
	name := migrated(t, server)
	dsn := server.DSN("sigil_app", name)
	for _, err := range storetest.Crossed(t, open(t, pgstore.Config{DSN: dsn}), open(t, pgstore.Config{DSN: dsn})) {
		t.Error(err)
	}
	bare := migrated(t, server)
	server.Exec(bare, `DROP INDEX sigil.decisions_by_request; CREATE INDEX ON sigil.decisions (request_id, key_id)`)
	dsn = server.DSN("sigil_app", bare)
	if faults := storetest.Crossed(t, open(t, pgstore.Config{DSN: dsn}), open(t, pgstore.Config{DSN: dsn})); len(faults) == 0 {
		t.Error("rivals without a unique index aren't caught")
	}
}

// A server that doesn't flush is refused.
func TestServerWithoutFlush(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{Settings: []string{"fsync=off"}})
	name := database(server)
	if _, err := pgstore.Migrate(t.Context(), server.DSN("sigil_owner", name)); err == nil || !strings.Contains(err.Error(), "fsync=off") {
		t.Fatalf("migrated: %v", err)
	}
	refused(t, pgstore.Config{DSN: server.DSN("sigil_app", name)}, "fsync=off")
}
