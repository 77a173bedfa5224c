package sqlrows

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/sigilkeys/sigil/internal/store"
)

// ClaimAnswer implements store.Store.
func (r *Rows) ClaimAnswer(ctx context.Context, a *store.Answer, expired time.Time) (stands *store.Answer, err error) {
	err = r.write(ctx, Write{Scope: One(a.Organization), Do: func(ctx context.Context, tx Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM answers WHERE organization_id = $1 AND at < $2`, a.Organization[:], Micros(expired)); err != nil {
			return err
		}
		var keys int
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM answers WHERE organization_id = $1 AND document = $2`, a.Organization[:], a.Document[:]).Scan(&keys); err != nil {
			return err
		}
		if keys < store.MaxAnswerKeys {
			_, err := tx.ExecContext(ctx, `INSERT INTO answers (organization_id, key, document, status, at) VALUES ($1, $2, $3, 0, $4) ON CONFLICT DO NOTHING`,
				a.Organization[:], a.Key[:], a.Document[:], Micros(a.At))
			if err != nil {
				return err
			}
		}
		var err error
		stands, err = answer(ctx, tx, a)
		return err
	}})
	return stands, err
}

// PutAnswer implements store.Store.
func (r *Rows) PutAnswer(ctx context.Context, a *store.Answer) (stands *store.Answer, err error) {
	err = r.write(ctx, Write{Scope: One(a.Organization), Do: func(ctx context.Context, tx Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE answers SET status = $1, body = $2 WHERE organization_id = $3 AND key = $4 AND document = $5 AND status = 0`,
			a.Status, a.Body, a.Organization[:], a.Key[:], a.Document[:])
		if err == nil {
			stands, err = answer(ctx, tx, a)
		}
		return err
	}})
	return stands, err
}

// DropAnswer implements store.Store.
func (r *Rows) DropAnswer(ctx context.Context, a *store.Answer) error {
	return r.write(ctx, Write{Scope: One(a.Organization), Do: func(ctx context.Context, tx Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM answers WHERE organization_id = $1 AND key = $2 AND document = $3 AND status = 0`,
			a.Organization[:], a.Key[:], a.Document[:])
		return err
	}})
}

// answer reads what stands under a key; nil: nothing.
func answer(ctx context.Context, tx Tx, a *store.Answer) (*store.Answer, error) {
	stands := &store.Answer{Organization: a.Organization, Key: a.Key}
	var document []byte
	var at int64
	err := tx.QueryRowContext(ctx, `SELECT document, status, body, at FROM answers WHERE organization_id = $1 AND key = $2`, a.Organization[:], a.Key[:]).
		Scan(&document, &stands.Status, &stands.Body, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	copy(stands.Document[:], document)
	stands.At = fromMicros(at)
	return stands, err
}
