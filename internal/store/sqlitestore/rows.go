package sqlitestore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
)

// statements are prepared once; the hot ones are those of Commit.
type statements struct {
	insertBatch, insertDecision, insertWallet                           *sql.Stmt // on the write connection
	txByRequest, txByIdempotency                                        *sql.Stmt // the same
	grantByKeyID, wallet, byRequest, byIdempotency, decision, batchByID *sql.Stmt
}

const decisionColumns = `id, organization_id, key_id, request_id, idempotency, leaf, result_kind, result, explanation, batch, idx`

func (s *statements) prepare(ctx context.Context, w, r *sql.DB) error {
	const byRequest = `SELECT ` + decisionColumns + ` FROM decisions WHERE request_id = ? AND key_id = ?`
	const byIdempotency = `SELECT ` + decisionColumns + ` FROM decisions WHERE idempotency = ? AND key_id = ?`
	for _, p := range []struct {
		stmt **sql.Stmt
		db   *sql.DB
		text string
	}{
		{&s.insertBatch, w, `INSERT INTO batches (instance, number, signed, hashes) VALUES (?, ?, ?, ?)`},
		{&s.insertDecision, w, `INSERT INTO decisions (` + decisionColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`},
		{&s.insertWallet, w, `INSERT INTO wallets (id, organization_id, record, label, receipt, created) VALUES (?, ?, ?, ?, ?, ?)`},
		{&s.txByRequest, w, byRequest},
		{&s.txByIdempotency, w, byIdempotency},
		{&s.grantByKeyID, r, `SELECT organization_id, id, key_id, digest, envelope, created, revoked FROM grants WHERE key_id = ?`},
		{&s.wallet, r, `SELECT organization_id, id, record, label, receipt, created FROM wallets WHERE id = ? AND organization_id = ?`},
		{&s.byRequest, r, byRequest},
		{&s.byIdempotency, r, byIdempotency},
		{&s.decision, r, `SELECT ` + decisionColumns + ` FROM decisions WHERE id = ? AND organization_id = ?`},
		{&s.batchByID, r, `SELECT instance, number, signed, hashes FROM batches WHERE id = ?`},
	} {
		var err error
		if *p.stmt, err = p.db.PrepareContext(ctx, p.text); err != nil {
			return fmt.Errorf("prepare %q: %w", p.text, err)
		}
	}
	return nil
}

type scanner interface{ Scan(dest ...any) error }

// CreateOrganization implements store.Store.
func (s *Store) CreateOrganization(ctx context.Context, o *store.Organization) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO organizations (id, genesis, digest, state, created) VALUES (?, ?, ?, ?, ?)`,
			o.ID[:], o.Genesis, o.Digest[:], o.State, micros(o.Created))
		return err
	})
}

// Organization implements store.Store.
func (s *Store) Organization(ctx context.Context, id canon.UUID) (*store.Organization, error) {
	o := &store.Organization{ID: id}
	var digest []byte
	var created int64
	row := s.r.QueryRowContext(ctx, `SELECT genesis, digest, state, created FROM organizations WHERE id = ?`, id[:])
	if err := row.Scan(&o.Genesis, &digest, &o.State, &created); err != nil {
		return nil, mapError(err)
	}
	copy(o.Digest[:], digest)
	o.Created = fromMicros(created)
	return o, nil
}

// CreateGrant implements store.Store.
func (s *Store) CreateGrant(ctx context.Context, g *store.Grant) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO grants (digest, organization_id, id, key_id, envelope, created) VALUES (?, ?, ?, ?, ?, ?)`,
			g.Digest[:], g.Organization[:], g.ID[:], g.KeyID, g.Envelope, micros(g.Created))
		return err
	})
}

func scanGrant(row scanner) (*store.Grant, error) {
	g := &store.Grant{}
	var org, id, digest []byte
	var created, revoked int64
	if err := row.Scan(&org, &id, &g.KeyID, &digest, &g.Envelope, &created, &revoked); err != nil {
		return nil, mapError(err)
	}
	g.Organization, g.ID = uuid(org), uuid(id)
	copy(g.Digest[:], digest)
	g.Created, g.Revoked = fromMicros(created), fromMicros(revoked)
	return g, nil
}

// GrantByKeyID implements store.Store.
func (s *Store) GrantByKeyID(ctx context.Context, keyID string) (*store.Grant, error) {
	return scanGrant(s.stmt.grantByKeyID.QueryRowContext(ctx, keyID))
}

// Grants implements store.Store.
func (s *Store) Grants(ctx context.Context, org canon.UUID, p store.Page) ([]store.Grant, int, error) {
	return list(ctx, s.r, `grants`, `organization_id, id, key_id, digest, envelope, created, revoked`, org, p, func(r scanner) (store.Grant, error) {
		g, err := scanGrant(r)
		if err != nil {
			return store.Grant{}, err
		}
		return *g, nil
	})
}

// list reads one page of an organisation's rows in order of creation.
func list[T any](ctx context.Context, db *sql.DB, table, columns string, org canon.UUID, p store.Page, scan func(scanner) (T, error)) ([]T, int, error) {
	var total int
	if err := db.QueryRowContext(ctx, `SELECT COUNT(*) FROM `+table+` WHERE organization_id = ?`, org[:]).Scan(&total); err != nil {
		return nil, 0, mapError(err)
	}
	rows, err := db.QueryContext(ctx, `SELECT `+columns+` FROM `+table+` WHERE organization_id = ? ORDER BY created, id LIMIT ? OFFSET ?`, org[:], p.Limit, p.Offset)
	if err != nil {
		return nil, 0, mapError(err)
	}
	defer rows.Close()
	items := []T{}
	for rows.Next() {
		item, err := scan(rows)
		if err != nil {
			return nil, 0, err
		}
		items = append(items, item)
	}
	return items, total, mapError(rows.Err())
}

// Revoke implements store.Store.
func (s *Store) Revoke(ctx context.Context, r *store.Revocation) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE grants SET revoked = ? WHERE digest = ? AND organization_id = ? AND revoked = 0`,
			micros(r.At), r.Grant[:], r.Organization[:])
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			var exists int
			if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM grants WHERE digest = ? AND organization_id = ?`, r.Grant[:], r.Organization[:]).Scan(&exists); err != nil {
				return err
			}
			if exists == 0 {
				return store.ErrNotFound
			}
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO revocations (grant_digest, organization_id, envelope, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			r.Grant[:], r.Organization[:], r.Envelope, micros(r.At))
		return err
	})
}

// Revocations implements store.Store.
func (s *Store) Revocations(ctx context.Context) ([]store.Revocation, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT grant_digest, organization_id, envelope, at FROM revocations ORDER BY at`)
	if err != nil {
		return nil, mapError(err)
	}
	defer rows.Close()
	var out []store.Revocation
	for rows.Next() {
		var r store.Revocation
		var digest, org []byte
		var at int64
		if err := rows.Scan(&digest, &org, &r.Envelope, &at); err != nil {
			return nil, err
		}
		copy(r.Grant[:], digest)
		r.Organization, r.At = uuid(org), fromMicros(at)
		out = append(out, r)
	}
	return out, mapError(rows.Err())
}

func scanWallet(row scanner) (*store.Wallet, error) {
	w := &store.Wallet{}
	var org, id, receipt []byte
	var created int64
	if err := row.Scan(&org, &id, &w.Record, &w.Label, &receipt, &created); err != nil {
		return nil, mapError(err)
	}
	w.Organization, w.ID, w.Receipt, w.Created = uuid(org), uuid(id), uuid(receipt), fromMicros(created)
	return w, nil
}

// Wallet implements store.Store.
func (s *Store) Wallet(ctx context.Context, org, id canon.UUID) (*store.Wallet, error) {
	return scanWallet(s.stmt.wallet.QueryRowContext(ctx, id[:], org[:]))
}

// Wallets implements store.Store.
func (s *Store) Wallets(ctx context.Context, org canon.UUID, p store.Page) ([]store.Wallet, int, error) {
	return list(ctx, s.r, `wallets`, `organization_id, id, record, label, receipt, created`, org, p, func(r scanner) (store.Wallet, error) {
		w, err := scanWallet(r)
		if err != nil {
			return store.Wallet{}, err
		}
		return *w, nil
	})
}

// PutEvidence implements store.Store.
func (s *Store) PutEvidence(ctx context.Context, e *store.Evidence) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO evidence (id, statement, token, release_digest, version, stored) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			e.ID[:], e.Statement, e.Token, e.Release, e.Version, micros(e.Stored))
		return err
	})
}

// Evidence implements store.Store.
func (s *Store) Evidence(ctx context.Context, id [32]byte) (*store.Evidence, error) {
	e := &store.Evidence{ID: id}
	var stored int64
	row := s.r.QueryRowContext(ctx, `SELECT statement, token, release_digest, version, stored FROM evidence WHERE id = ?`, id[:])
	if err := row.Scan(&e.Statement, &e.Token, &e.Release, &e.Version, &stored); err != nil {
		return nil, mapError(err)
	}
	e.Stored = fromMicros(stored)
	return e, nil
}
