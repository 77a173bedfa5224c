package sqlitestore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
)

// Commit implements store.Store: the one commit point of decisions.
func (s *Store) Commit(ctx context.Context, batches []store.CommitBatch) ([][]store.Commit, error) {
	// A context that can end costs a goroutine for each statement, and an
	// interrupted commit would only be unknown; callers bound their waiting.
	ctx = context.WithoutCancel(ctx)
	var out [][]store.Commit
	err := s.write(ctx, func(tx *sql.Tx) error {
		c := &commit{
			tx: tx, decision: tx.StmtContext(ctx, s.stmt.insertDecision), wallet: tx.StmtContext(ctx, s.stmt.insertWallet),
			byRequest: tx.StmtContext(ctx, s.stmt.txByRequest), byIdempotency: tx.StmtContext(ctx, s.stmt.txByIdempotency),
		}
		batch := tx.StmtContext(ctx, s.stmt.insertBatch)
		out = make([][]store.Commit, len(batches))
		for i := range batches {
			b := &batches[i]
			res, err := batch.ExecContext(ctx, b.Batch.Instance[:], int64(b.Batch.Number), b.Batch.Signed, joinHashes(b.Batch.Hashes))
			if err != nil {
				return fmt.Errorf("insert batch: %w", err)
			}
			row, err := res.LastInsertId()
			if err != nil {
				return err
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
			if _, err := c.wallet.ExecContext(ctx, w.ID[:], w.Organization[:], w.Record, w.Label, w.Receipt[:], micros(w.Created)); err != nil {
				return nil, fmt.Errorf("insert wallet: %w", err)
			}
		}
	}
	return out, nil
}

func (c *commit) insert(ctx context.Context, d *store.Decision) (bool, error) {
	res, err := c.decision.ExecContext(ctx, d.ID[:], d.Organization[:], keyColumn(d.KeyID), d.RequestID[:], idempotencyColumn(d.Idempotency),
		d.Leaf, int64(d.ResultKind), d.Result, d.Explanation, d.Batch, d.Index)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

func (c *commit) winner(ctx context.Context, d *store.Decision) (*store.Decision, error) {
	w, err := scanDecision(c.byRequest.QueryRowContext(ctx, d.RequestID[:], keyColumn(d.KeyID)))
	if errors.Is(err, store.ErrNotFound) && d.Idempotency != [32]byte{} {
		return scanDecision(c.byIdempotency.QueryRowContext(ctx, d.Idempotency[:], keyColumn(d.KeyID)))
	}
	return w, err
}

// keyColumn is a key id in 16 bytes: it stands in two indexes of every row.
// What isn't hex has no row.
func keyColumn(keyID string) []byte {
	b, err := hex.DecodeString(keyID)
	if err != nil {
		return []byte(keyID)
	}
	return b
}

func idempotencyColumn(digest [32]byte) []byte {
	if digest == [32]byte{} {
		return nil
	}
	return digest[:]
}

func scanDecision(row scanner) (*store.Decision, error) {
	d := &store.Decision{}
	var id, org, key, request, idempotency []byte
	err := row.Scan(&id, &org, &key, &request, &idempotency, &d.Leaf, &d.ResultKind, &d.Result, &d.Explanation, &d.Batch, &d.Index)
	if err != nil {
		return nil, mapError(err)
	}
	d.ID, d.Organization, d.RequestID, d.KeyID = uuid(id), uuid(org), uuid(request), hex.EncodeToString(key)
	copy(d.Idempotency[:], idempotency)
	return d, nil
}

// DecisionByRequest implements store.Store.
func (s *Store) DecisionByRequest(ctx context.Context, keyID string, request canon.UUID) (*store.Decision, error) {
	return scanDecision(s.stmt.byRequest.QueryRowContext(ctx, request[:], keyColumn(keyID)))
}

// DecisionByIdempotency implements store.Store.
func (s *Store) DecisionByIdempotency(ctx context.Context, keyID string, digest [32]byte) (*store.Decision, error) {
	return scanDecision(s.stmt.byIdempotency.QueryRowContext(ctx, digest[:], keyColumn(keyID)))
}

// Decision implements store.Store.
func (s *Store) Decision(ctx context.Context, org, id canon.UUID) (*store.Decision, error) {
	return scanDecision(s.stmt.decision.QueryRowContext(ctx, id[:], org[:]))
}

// Batch implements store.Store.
func (s *Store) Batch(ctx context.Context, row int64) (*store.Batch, error) {
	b := &store.Batch{}
	var instance, hashes []byte
	var number int64
	if err := s.stmt.batchByID.QueryRowContext(ctx, row).Scan(&instance, &number, &b.Signed, &hashes); err != nil {
		return nil, mapError(err)
	}
	copy(b.Instance[:], instance)
	b.Number = uint64(number)
	for len(hashes) >= 32 {
		b.Hashes, hashes = append(b.Hashes, [32]byte(hashes[:32])), hashes[32:]
	}
	return b, nil
}

func joinHashes(list [][32]byte) []byte {
	out := make([]byte, 0, 32*len(list))
	for i := range list {
		out = append(out, list[i][:]...)
	}
	return out
}
