package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/sqlrows"
)

// Commit implements store.Store: the one commit point of decisions.
func (s *Store) Commit(ctx context.Context, batches []store.CommitBatch) ([][]store.Commit, error) {
	// A context that can end costs a goroutine for each statement, and an
	// interrupted commit would only be unknown; callers bound their waiting.
	ctx = context.WithoutCancel(ctx)
	var out [][]store.Commit
	err := s.transact(ctx, func(tx *sql.Tx) error {
		c := &commit{
			tx: tx, decision: tx.StmtContext(ctx, s.stmt.insertDecision), wallet: tx.StmtContext(ctx, s.stmt.insertWallet),
			byRequest: tx.StmtContext(ctx, s.stmt.txByRequest), byIdempotency: tx.StmtContext(ctx, s.stmt.txByIdempotency),
		}
		batch, unfolded := tx.StmtContext(ctx, s.stmt.insertBatch), tx.StmtContext(ctx, s.stmt.insertUnfolded)
		out = make([][]store.Commit, len(batches))
		for i := range batches {
			b := &batches[i]
			res, err := batch.ExecContext(ctx, b.Batch.Instance[:], int64(b.Batch.Number), b.Batch.Signed, sqlrows.JoinHashes(b.Batch.Hashes))
			if err != nil {
				return fmt.Errorf("insert batch: %w", err)
			}
			row, err := res.LastInsertId()
			if err != nil {
				return err
			}
			if _, err := unfolded.ExecContext(ctx, row); err != nil {
				return fmt.Errorf("insert batch: %w", err)
			}
			if out[i], err = c.decisions(ctx, row, b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

type commit struct {
	tx                                         *sql.Tx
	decision, wallet, byRequest, byIdempotency *sql.Stmt
}

func (c *commit) decisions(ctx context.Context, row int64, b *store.CommitBatch) ([]store.Commit, error) {
	out := make([]store.Commit, len(b.Decisions))
	for i := range b.Decisions {
		d := &b.Decisions[i]
		d.Batch, d.Index = row, i
		won, err := c.insert(ctx, d)
		if err != nil {
			return nil, fmt.Errorf("insert decision: %w", err)
		}
		if !won {
			if out[i].Stored, err = c.winner(ctx, d); err != nil {
				return nil, fmt.Errorf("find the earlier decision: %w", err)
			}
			continue
		}
		out[i] = store.Commit{Won: true, Stored: d}
		if w := b.Wallets[i]; w != nil {
			if _, err := c.wallet.ExecContext(ctx, w.ID[:], w.Organization[:], w.Record, w.Label, w.Receipt[:], sqlrows.Micros(w.Created)); err != nil {
				return nil, fmt.Errorf("insert wallet: %w", err)
			}
			for _, a := range w.Addresses {
				if _, err := c.tx.ExecContext(ctx, sqlrows.InsertAddress, w.Organization[:], a, w.ID[:]); err != nil {
					return nil, fmt.Errorf("insert address: %w", err)
				}
			}
		}
	}
	return out, nil
}

func (c *commit) insert(ctx context.Context, d *store.Decision) (bool, error) {
	res, err := c.decision.ExecContext(ctx, d.ID[:], d.Organization[:], sqlrows.KeyColumn(d.KeyID), d.RequestID[:], sqlrows.IdempotencyColumn(d.Idempotency),
		d.Leaf, int64(d.ResultKind), d.Result, d.Explanation, d.Batch, d.Index)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

func (c *commit) winner(ctx context.Context, d *store.Decision) (*store.Decision, error) {
	w, err := sqlrows.ScanDecision(c.byRequest.QueryRowContext(ctx, d.RequestID[:], sqlrows.KeyColumn(d.KeyID)))
	if errors.Is(err, sql.ErrNoRows) && d.Idempotency != [32]byte{} {
		return sqlrows.ScanDecision(c.byIdempotency.QueryRowContext(ctx, d.Idempotency[:], sqlrows.KeyColumn(d.KeyID)))
	}
	return w, err
}
