package pgstore_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/internal/store/pgtest"
)

// holder is another transaction that inserts decisions by hand.
type holder struct {
	t    *testing.T
	conn *pgx.Conn
	tx   pgx.Tx
	n    int
}

func hold(t *testing.T, dsn string) *holder {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	// Not this one notices a deadlock, but the store.
	_, err = conn.Exec(t.Context(), `SET deadlock_timeout = '1h'`)
	must(t, err)
	tx, err := conn.Begin(t.Context())
	must(t, err)
	return &holder{t: t, conn: conn, tx: tx}
}

func (h *holder) insert(request canon.UUID) error {
	h.n++
	_, err := h.tx.Exec(h.t.Context(), `INSERT INTO sigil.decisions (id, organization_id, key_id, request_id, leaf, result_kind, explanation, batch, idx)
		VALUES ($1, '', decode($2, 'hex'), $3, '', 1, '', 0, 0)`, fmt.Appendf(nil, "%p%d", h, h.n), keyOne, request[:])
	return err
}

// The server sacrifices the store's transaction to resolve a deadlock: it
// tries again. One holds what the store needs last, and waits for what it
// inserted first; another holds it up in between, until all is in place.
func deadlock(t *testing.T, server *pgtest.Server) {
	s := newScene(t, server, pgstore.Unsafe{})
	b := s.batch(1)
	for j := range 2 {
		b.Decisions[j].RequestID = canon.UUID{byte(2 * j), 15: 5} // 0 and 2
	}
	first, between, last := canon.UUID{0, 15: 5}, canon.UUID{1, 15: 5}, canon.UUID{2, 15: 5}
	third := b.Decisions[0]
	third.ID, third.RequestID = canon.UUID{77}, between
	b.Decisions, b.Wallets, b.Batch.Hashes = append(b.Decisions, third), append(b.Wallets, nil), append(b.Batch.Hashes, [32]byte{})

	dsn := server.DSN(pgtest.Superuser, s.database)
	rival, brake := hold(t, dsn), hold(t, dsn)
	must(t, brake.insert(between))
	must(t, rival.insert(last))
	committed := make(chan error, 1)
	go func() {
		out, err := s.direct.Commit(context.Background(), []store.CommitBatch{b})
		for i := range out {
			for j := range out[i] {
				if !out[i][j].Won {
					err = fmt.Errorf("decision %d lost", j)
				}
			}
		}
		committed <- err
	}()
	waiting := func(n string) func() bool {
		return func() bool {
			return server.Value(s.database, `SELECT COUNT(*)::text FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == n
		}
	}
	until(t, "store waits", waiting("1"))
	met := make(chan error, 1)
	go func() { met <- rival.insert(first) }()
	until(t, "rival waits", waiting("2"))
	before := server.Value(s.database, `SELECT deadlocks::text FROM pg_stat_database WHERE datname = current_database()`)
	must(t, brake.tx.Rollback(t.Context()))
	must(t, <-met) // the store has given way
	must(t, rival.tx.Rollback(t.Context()))
	must(t, <-committed)
	until(t, "a deadlock that is counted", func() bool {
		return server.Value(s.database, `SELECT deadlocks::text FROM pg_stat_database WHERE datname = current_database()`) != before
	})
}
