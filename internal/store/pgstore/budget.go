package pgstore

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// ChangeBudget implements ratelimit.Shared. A transaction that writes to an
// unlogged table alone waits for no disk and no standby.
func (s *Store) ChangeBudget(ctx context.Context, id [32]byte, change func(state []byte, now time.Time) ([]byte, error)) error {
	var refused error // by change: no other try would help
	err := s.retry(ctx, func(ctx context.Context) (committing bool, err error) {
		return false, pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
			var b pgx.Batch
			b.Queue(`INSERT INTO rate_budgets (id, state) VALUES ($1, '') ON CONFLICT DO NOTHING`, id[:])
			var state []byte
			var now time.Time
			b.Queue(`SELECT state FROM rate_budgets WHERE id = $1 FOR UPDATE`, id[:]).QueryRow(func(row pgx.Row) error { return row.Scan(&state) })
			// Read once the row is locked: budgets see time in order.
			b.Queue(`SELECT clock_timestamp()`).QueryRow(func(row pgx.Row) error { return row.Scan(&now) })
			if err := tx.SendBatch(ctx, &b).Close(); err != nil {
				return err
			}
			if state, refused = change(state, now); refused != nil {
				return nil
			}
			_, err := tx.Exec(ctx, `UPDATE rate_budgets SET state = $2 WHERE id = $1`, id[:], state)
			return err
		})
	}, nil)
	return errors.Join(refused, err)
}
