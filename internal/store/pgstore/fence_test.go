package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/internal/store/pgtest"
	"github.com/sigilkeys/sigil/internal/store/sqlrows"
)

// tenant is an organisation, with what there is of one.
type tenant struct {
	org, row canon.UUID // of the wallet, its decision and its request
	key      string
	digest   [32]byte // of the organisation, the grant and the Idempotency-Key
	address  string
}

// newTenant makes an organisation with a key; a rich one has a row of each
// kind.
func newTenant(t *testing.T, s store.Store, n byte, rich bool) tenant {
	t.Helper()
	ctx, at := t.Context(), time.Unix(1764000000, 0)
	o := tenant{org: canon.UUID{n, 15: 1}, row: canon.UUID{n, 15: 2}, key: fmt.Sprintf("%032x", n), digest: [32]byte{n}, address: fmt.Sprint("0x", n)}
	must(t, s.CreateOrganization(ctx, &store.Organization{ID: o.org, Genesis: []byte("g"), Digest: o.digest, State: []byte("s"), Created: at}))
	must(t, s.CreateGrant(ctx, &store.Grant{Organization: o.org, ID: o.row, KeyID: o.key, Digest: o.digest, Envelope: []byte("e"), Created: at}))
	if !rich {
		return o
	}
	other := &store.Grant{Organization: o.org, ID: canon.UUID{n, 15: 3}, KeyID: fmt.Sprintf("%032x", 1000+int(n)), Digest: [32]byte{n, 1}, Envelope: []byte("e"), Created: at}
	must(t, s.CreateGrant(ctx, other))
	must(t, s.Revoke(ctx, &store.Revocation{Organization: o.org, Grant: other.Digest, Envelope: []byte("r"), At: at}))
	must(t, s.PutUses(ctx, map[string]time.Time{o.key: at}))
	w := &store.Wallet{Organization: o.org, ID: o.row, Record: []byte("w"), Label: "label", Receipt: o.row, Created: at, Addresses: []string{o.address}}
	d := store.Decision{ID: o.row, Organization: o.org, KeyID: o.key, RequestID: o.row, Idempotency: o.digest, Leaf: []byte("l"), ResultKind: 1}
	for number := range uint64(2) { // the second stays unfolded
		b := store.CommitBatch{Batch: store.Batch{Instance: o.digest, Number: number, Signed: []byte{n}, Hashes: make([][32]byte, 1)}, Decisions: []store.Decision{d}, Wallets: []*store.Wallet{w}}
		_, err := s.Commit(ctx, []store.CommitBatch{b})
		must(t, err)
		if number == 0 {
			rows, err := s.Unfolded(ctx, 0, 1)
			must(t, err)
			must(t, s.Fold(ctx, rows, []store.Growth{{Organization: o.org, Receipts: []canon.UUID{o.row}, Tiles: []store.Tile{{Hashes: make([]byte, 32)}}}}))
		}
		d.ID[14], d.RequestID[14], d.Idempotency, w = 1, 1, [32]byte{}, nil
	}
	_, err := s.ClaimAnswer(ctx, &store.Answer{Organization: o.org, Key: o.digest, Document: o.digest, At: at}, time.Time{})
	must(t, err)
	must(t, s.PutEvidence(ctx, &store.Evidence{ID: o.digest, Statement: []byte("s"), Stored: at}))
	return o
}

// probe looks, as one organisation, for what another has.
type probe func(ctx context.Context, s store.Store, me, other tenant) (found bool, err error)

func found[T any](_ T, err error) (bool, error) { return err == nil, unlessNotFound(err) }

func unlessNotFound(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// foreign looks for others' rows in a list, and for more rows than there are.
func foreign[T any](want int, org func(*T) canon.UUID, mine canon.UUID) func([]T, int, error) (bool, error) {
	return func(list []T, total int, err error) (bool, error) {
		others := slices.ContainsFunc(list, func(v T) bool { return org(&v) != mine })
		if others != (total > want) {
			return false, fmt.Errorf("%d rows are counted, and in the list are others': %v", total, others)
		}
		return others, err
	}
}

func reads() map[string]probe {
	page := store.Page{Limit: 100}
	wallets := func(f func(other tenant) store.WalletFilter) probe {
		return func(ctx context.Context, s store.Store, me, other tenant) (bool, error) {
			return foreign(0, func(w *store.Wallet) canon.UUID { return w.Organization }, me.org)(s.Wallets(ctx, me.org, f(other), page))
		}
	}
	events := func(f store.EventFilter) probe {
		return func(ctx context.Context, s store.Store, me, _ tenant) (bool, error) {
			return foreign(2, func(e *store.Event) canon.UUID { return e.Organization }, me.org)(s.Events(ctx, me.org, f, page))
		}
	}
	return map[string]probe{
		"organisation": func(ctx context.Context, s store.Store, me, _ tenant) (bool, error) {
			o, err := s.Organization(ctx, me.org)
			return err == nil && o.Digest != me.digest, err
		},
		"key": func(ctx context.Context, s store.Store, me, _ tenant) (bool, error) {
			g, err := s.GrantByKeyID(ctx, me.key)
			return err == nil && g.Organization != me.org, err
		},
		"grants": func(ctx context.Context, s store.Store, me, _ tenant) (bool, error) {
			return foreign(1, func(g *store.Grant) canon.UUID { return g.Organization }, me.org)(s.Grants(ctx, me.org, page))
		},
		"wallet": func(ctx context.Context, s store.Store, me, other tenant) (bool, error) {
			return found(s.Wallet(ctx, me.org, other.row))
		},
		"wallets":              wallets(func(tenant) store.WalletFilter { return store.WalletFilter{} }),
		"wallets of a label":   wallets(func(tenant) store.WalletFilter { return store.WalletFilter{LabelPrefix: "l"} }),
		"wallets of a address": wallets(func(other tenant) store.WalletFilter { return store.WalletFilter{Address: other.address} }),
		"decision": func(ctx context.Context, s store.Store, me, other tenant) (bool, error) {
			return found(s.Decision(ctx, me.org, other.row))
		},
		"decision by request": func(ctx context.Context, s store.Store, me, other tenant) (bool, error) {
			return found(s.DecisionByRequest(ctx, me.key, other.row))
		},
		"decision by Idempotency-Key": func(ctx context.Context, s store.Store, me, other tenant) (bool, error) {
			return found(s.DecisionByIdempotency(ctx, me.key, other.digest))
		},
		"ledger": func(ctx context.Context, s store.Store, me, _ tenant) (bool, error) {
			return found(s.Ledger(ctx, me.org))
		},
		"tile": func(ctx context.Context, s store.Store, me, _ tenant) (bool, error) {
			return found(s.Tile(ctx, me.org, 0, 0))
		},
		"entries": func(ctx context.Context, s store.Store, me, _ tenant) (bool, error) {
			list, err := s.Entries(ctx, me.org, 0, 100)
			return len(list) > 0, err
		},
		"entry": func(ctx context.Context, s store.Store, me, other tenant) (bool, error) {
			return found(s.EntryOf(ctx, me.org, other.row))
		},
		"answer": func(ctx context.Context, s store.Store, me, other tenant) (bool, error) {
			a, err := s.PutAnswer(ctx, &store.Answer{Organization: me.org, Key: other.digest})
			return a != nil, err
		},
		"events":            events(store.EventFilter{}),
		"events since then": events(store.EventFilter{Since: time.Unix(1, 0)}),
	}
}

func writes() map[string]probe {
	label, now := "mine", time.Unix(1764000001, 0)
	return map[string]probe{
		"label": func(ctx context.Context, s store.Store, me, other tenant) (bool, error) {
			return found(0, s.SetWallet(ctx, me.org, other.row, store.WalletChange{Label: &label}))
		},
		"archive": func(ctx context.Context, s store.Store, me, other tenant) (bool, error) {
			return found(0, s.SetWallet(ctx, me.org, other.row, store.WalletChange{Archived: &now}))
		},
		"revoke": func(ctx context.Context, s store.Store, me, other tenant) (bool, error) {
			return found(0, s.Revoke(ctx, &store.Revocation{Organization: me.org, Grant: other.digest, Envelope: []byte("r"), At: now}))
		},
		"note": func(ctx context.Context, s store.Store, me, other tenant) (bool, error) {
			if err := s.PutNote(ctx, me.org, 1, "mine"); err != nil {
				return false, err
			}
			l, err := s.Ledger(ctx, other.org)
			return err == nil && l.Note != "", err
		},
	}
}

// With the conditions taken out of the queries, row security alone keeps an
// organisation from another's rows. The canary: without it either, each probe
// finds them.
func secondFence(t *testing.T, server *pgtest.Server) {
	name := migrated(t, server)
	c := pgstore.Config{DSN: server.DSN("sigil_app", name)}
	whole := open(t, c)
	other, me := newTenant(t, whole, 1, true), newTenant(t, whole, 2, false)
	bare, err := pgstore.OpenUnsafe(t.Context(), c, pgstore.Unsafe{OneFence: true})
	must(t, err)
	t.Cleanup(func() { _ = bare.Close() })
	look := func(want bool, probes map[string]probe) {
		t.Helper()
		for kind, p := range probes {
			if found, err := p(t.Context(), bare, me, other); err != nil || found != want {
				t.Errorf("%s: another organisation's is found: %v, want %v (%v)", kind, found, want, err)
			}
		}
	}
	look(false, reads())
	look(false, writes())
	if w, err := whole.Wallet(t.Context(), other.org, other.row); err != nil || w.Label != "label" || !w.Archived.IsZero() {
		t.Errorf("%+v %v", w, err)
	}
	for _, table := range fenced(t, server, name) {
		server.Exec(name, `ALTER TABLE sigil.`+table+` DISABLE ROW LEVEL SECURITY`)
	}
	look(true, reads())
	look(true, writes())
	refused(t, c, "row security") // nor does the store serve like that
}

// unfenced are the tables that need no row security, and why.
func unfenced() map[string]string {
	return map[string]string{
		"goose_db_version": "versions of the tables",
		"evidence":         "public: anybody may have the evidence of a workload",
		"rate_budgets":     "of keys and organisations that are named by digests; how much they may ask is nobody's evidence",
		"batches":          "a batch covers decisions of many organisations, of which it has hashes",
	}
}

// catalog returns the tables under row security, and what is wrong with the
// others, and with views, which would be looked through as their owner.
func catalog(t *testing.T, server *pgtest.Server, database string) (tables []string, faults []string) {
	t.Helper()
	list := server.Value(database, `SELECT string_agg(format('%s %s %s', relname, relkind, relrowsecurity AND relforcerowsecurity AND EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid)), E'\n' ORDER BY relname)
		FROM pg_class c WHERE relnamespace = 'sigil'::regnamespace AND relkind NOT IN ('i', 'I', 'S', 't', 'c')`)
	for line := range strings.Lines(list) {
		f := strings.Fields(line)
		switch why := unfenced()[f[0]]; {
		case f[1] != "r":
			faults = append(faults, f[0]+" is no plain table")
		case f[2] == "t" && why == "":
			tables = append(tables, f[0])
		case f[2] == "t" || why == "":
			faults = append(faults, f[0]+" is under row security, or not, and the list says otherwise")
		}
	}
	return tables, faults
}

func fenced(t *testing.T, server *pgtest.Server, database string) []string {
	t.Helper()
	tables, faults := catalog(t, server, database)
	if len(faults) > 0 || len(tables) < 16 {
		t.Fatal(tables, faults)
	}
	return tables
}

// Every table is under row security or listed; a session sees no row of it
// unless it says whose, and adds none of another organisation's.
func everyTable(t *testing.T, server *pgtest.Server) {
	name := migrated(t, server)
	s := open(t, pgstore.Config{DSN: server.DSN("sigil_app", name)})
	other, me := newTenant(t, s, 1, true), newTenant(t, s, 2, false)
	// What only migrations fill.
	server.Exec(name, `INSERT INTO sigil.unaddressed SELECT id FROM sigil.wallets; INSERT INTO sigil.unaudited SELECT id FROM sigil.batches`)
	tables := fenced(t, server, name)
	for _, role := range []string{"sigil_app", "sigil_owner"} {
		conn, err := pgx.Connect(t.Context(), server.DSN(role, name)+"&search_path=sigil")
		must(t, err)
		defer conn.Close(context.Background())
		for _, table := range tables {
			all := server.Value(name, `SELECT COUNT(*)::text FROM sigil.`+table)
			if all == "0" {
				t.Errorf("%s has no rows, so nothing is shown of it", table)
			}
			if got := rowsOf(t, conn, nil, table); got != "0" {
				t.Errorf("%s sees %s of %s without a scope", role, got, table)
			}
			key := string(sqlrows.Key(other.key))
			for _, scope := range []string{"", "EVERY", "every ", "all", "*", "key:", "key:%", key + " ", strings.Repeat("0", 32), string(sqlrows.One(other.org))[:30], string(sqlrows.One(other.org)) + "00", `\x` + string(sqlrows.One(other.org))} {
				if got := rowsOf(t, conn, &scope, table); got != "0" {
					t.Errorf("%s as %q sees %s of %s", role, scope, got, table)
				}
			}
			every := string(sqlrows.Every)
			if got := rowsOf(t, conn, &every, table); got != all {
				t.Errorf("%s as every sees %s of %s, not %s", role, got, table, all)
			}
			if got := rowsOf(t, conn, &key, table); (got != "0") != slices.Contains([]string{"grants", "decisions", "key_uses"}, table) {
				t.Errorf("%s as a key sees %s of %s", role, got, table)
			}
		}
		if role == "sigil_app" {
			addOthersRows(t, server, name, conn, tables, me, other)
		}
	}
	server.Exec(name, `CREATE TABLE sigil.more (organization_id BYTEA); CREATE VIEW sigil.look AS SELECT * FROM sigil.wallets`)
	if _, faults := catalog(t, server, name); len(faults) != 2 {
		t.Errorf("a new table and a view aren't noticed: %v", faults)
	}
}

// rowsOf counts what a role sees of a table, in a scope.
func rowsOf(t *testing.T, conn *pgx.Conn, scope *string, table string) (n string) {
	t.Helper()
	must(t, inScope(t, conn, scope, func(tx pgx.Tx) error {
		return tx.QueryRow(t.Context(), `SELECT COUNT(*)::text FROM `+table).Scan(&n)
	}))
	return n
}

func inScope(t *testing.T, conn *pgx.Conn, scope *string, f func(pgx.Tx) error) error {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	must(t, err)
	defer func() { must(t, tx.Rollback(t.Context())) }()
	if scope != nil {
		_, err := tx.Exec(t.Context(), `SELECT set_config('sigil.organization', $1, true)`, *scope)
		must(t, err)
	}
	return f(tx)
}

// addOthersRows adds copies of another's rows. The canary: as "every", the copy is
// refused for being one, no more.
func addOthersRows(t *testing.T, server *pgtest.Server, name string, conn *pgx.Conn, tables []string, me, other tenant) {
	t.Helper()
	mine, every, key := string(sqlrows.One(me.org)), string(sqlrows.Every), string(sqlrows.Key(other.key))
	for _, table := range tables {
		if server.Value(name, `SELECT has_table_privilege('sigil_app', 'sigil.`+table+`', 'INSERT')::text`) != "true" {
			continue
		}
		copied := server.Value(name, `SELECT row_to_json(x)::text FROM sigil.`+table+` x LIMIT 1`)
		add := func(scope *string) string {
			var pg *pgconn.PgError
			if err := inScope(t, conn, scope, func(tx pgx.Tx) error {
				_, err := tx.Exec(t.Context(), fmt.Sprintf(`INSERT INTO %[1]s SELECT * FROM json_populate_record(NULL::%[1]s, $1)`, table), copied)
				return err
			}); !errors.As(err, &pg) {
				return fmt.Sprint(err)
			}
			return pg.Code + " " + pg.Message
		}
		for _, scope := range []*string{nil, &mine, &key} {
			if got := add(scope); !strings.HasPrefix(got, "42501 new row violates row-level security policy") {
				t.Errorf("another organisation's row into %s: %s", table, got)
			}
		}
		if got := add(&every); !strings.HasPrefix(got, "23505") {
			t.Errorf("a row into %s as every: %s", table, got)
		}
	}
	err := inScope(t, conn, &mine, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE audit_counts SET organization_id = $1`, other.org[:])
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "row-level security") {
		t.Errorf("given to another organisation: %v", err)
	}
}
