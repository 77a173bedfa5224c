package sqlrows

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
)

// CreateOrganization implements store.Store.
func (r *Rows) CreateOrganization(ctx context.Context, o *store.Organization) error {
	return r.write(ctx, Write{
		Scope: One(o.ID),
		Do: func(ctx context.Context, tx Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO organizations (id, genesis, digest, state, created) VALUES ($1, $2, $3, $4, $5)`,
				o.ID[:], o.Genesis, o.Digest[:], o.State, Micros(o.Created))
			if err != nil {
				return err
			}
			return addEvents(ctx, tx, store.Event{Organization: o.ID, ID: o.ID, At: o.Created, Kind: store.EventOrganizationCreated, Success: true})
		},
		Stands: func(ctx context.Context) (bool, error) {
			old, err := r.Organization(ctx, o.ID)
			return err == nil && old.Digest == o.Digest && bytes.Equal(old.State, o.State), unlessNotFound(err)
		},
	})
}

func unlessNotFound(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// Organization implements store.Store.
func (r *Rows) Organization(ctx context.Context, id canon.UUID) (*store.Organization, error) {
	o := &store.Organization{ID: id}
	var digest []byte
	var created int64
	row := r.read(One(id)).QueryRowContext(ctx, `SELECT genesis, digest, state, created FROM organizations WHERE id = $1`, id[:])
	if err := row.Scan(&o.Genesis, &digest, &o.State, &created); err != nil {
		return nil, r.failed(err)
	}
	copy(o.Digest[:], digest)
	o.Created = fromMicros(created)
	return o, nil
}

// CreateGrant implements store.Store.
func (r *Rows) CreateGrant(ctx context.Context, g *store.Grant) error {
	return r.write(ctx, Write{
		Scope: One(g.Organization),
		Do: func(ctx context.Context, tx Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO grants (digest, organization_id, id, key_id, envelope, created) VALUES ($1, $2, $3, $4, $5, $6)`,
				g.Digest[:], g.Organization[:], g.ID[:], g.KeyID, g.Envelope, Micros(g.Created))
			if err != nil {
				return err
			}
			return addEvents(ctx, tx, store.Event{Organization: g.Organization, ID: g.ID, At: g.Created, Kind: store.EventKeyCreated, Success: true, KeyID: g.KeyID})
		},
		Stands: func(ctx context.Context) (bool, error) {
			old, err := r.GrantByKeyID(ctx, g.KeyID)
			return err == nil && old.Digest == g.Digest && old.Organization == g.Organization && old.ID == g.ID, unlessNotFound(err)
		},
	})
}

func scanGrant(row Scanner) (*store.Grant, error) {
	g := &store.Grant{}
	var org, id, digest []byte
	var created, revoked, used int64
	if err := row.Scan(&org, &id, &g.KeyID, &digest, &g.Envelope, &created, &revoked, &used); err != nil {
		return nil, err
	}
	g.Organization, g.ID = UUID(org), UUID(id)
	copy(g.Digest[:], digest)
	g.Created, g.Revoked, g.Used = fromMicros(created), fromMicros(revoked), fromMicros(used)
	return g, nil
}

// GrantByKeyID implements store.Store.
func (r *Rows) GrantByKeyID(ctx context.Context, keyID string) (*store.Grant, error) {
	g, err := scanGrant(r.read(Key(keyID)).QueryRowContext(ctx, grantByKeyID, keyID))
	if err != nil {
		return nil, r.failed(err)
	}
	return g, nil
}

// Grants implements store.Store.
func (r *Rows) Grants(ctx context.Context, org canon.UUID, p store.Page) ([]store.Grant, int, error) {
	w := &where{}
	w.add(`organization_id = ?`, org[:])
	return pageOf(ctx, r, One(org), `grants`, `organization_id, id, key_id, digest, envelope, created, revoked, COALESCE((SELECT used FROM key_uses u WHERE u.key_id = grants.key_id), 0)`, w, `created, id`, p, scanGrant)
}

// PutUses implements store.Store.
func (r *Rows) PutUses(ctx context.Context, uses map[string]time.Time) error {
	// In one order everywhere, so that two don't wait for each other.
	keys := slices.Sorted(maps.Keys(uses))
	return r.write(ctx, Write{Scope: Every, Do: func(ctx context.Context, tx Tx) error {
		for _, k := range keys {
			if _, err := tx.ExecContext(ctx, `INSERT INTO key_uses (key_id, used) VALUES ($1, $2)
				ON CONFLICT (key_id) DO UPDATE SET used = excluded.used WHERE key_uses.used < excluded.used`, k, Micros(uses[k])); err != nil {
				return err
			}
		}
		return nil
	}})
}

// Revoke implements store.Store.
func (r *Rows) Revoke(ctx context.Context, v *store.Revocation) error {
	return r.write(ctx, Write{Scope: One(v.Organization), Do: func(ctx context.Context, tx Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE grants SET revoked = $1 WHERE digest = $2 AND organization_id = $3 AND revoked = 0`,
			Micros(v.At), v.Grant[:], v.Organization[:])
		if err != nil {
			return err
		}
		g := store.Event{Organization: v.Organization, At: v.At, Kind: store.EventKeyRevoked, Success: true}
		var id []byte
		switch err := tx.QueryRowContext(ctx, `SELECT id, key_id FROM grants WHERE digest = $1 AND organization_id = $2`, v.Grant[:], v.Organization[:]).Scan(&id, &g.KeyID); {
		case errors.Is(err, sql.ErrNoRows):
			return store.ErrNotFound
		case err != nil:
			return err
		}
		switch n, err := res.RowsAffected(); {
		case err != nil:
			return err
		case n == 1:
			g.ID = UUID(id)
			if err := addEvents(ctx, tx, g); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO revocations (grant_digest, organization_id, envelope, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
			v.Grant[:], v.Organization[:], v.Envelope, Micros(v.At))
		return err
	}})
}

// Revocations implements store.Store.
func (r *Rows) Revocations(ctx context.Context) ([]store.Revocation, error) {
	rows, err := r.read(Every).QueryContext(ctx, `SELECT grant_digest, organization_id, envelope, at FROM revocations ORDER BY at`)
	if err != nil {
		return nil, r.failed(err)
	}
	defer rows.Close()
	var out []store.Revocation
	for rows.Next() {
		var v store.Revocation
		var digest, org []byte
		var at int64
		if err := rows.Scan(&digest, &org, &v.Envelope, &at); err != nil {
			return nil, r.failed(err)
		}
		copy(v.Grant[:], digest)
		v.Organization, v.At = UUID(org), fromMicros(at)
		out = append(out, v)
	}
	if err := rows.Err(); err != nil {
		return nil, r.failed(err)
	}
	return out, nil
}

// CountRevocations implements store.Store.
func (r *Rows) CountRevocations(ctx context.Context) (int, error) {
	var n int
	if err := r.read(Every).QueryRowContext(ctx, `SELECT COUNT(*) FROM revocations`).Scan(&n); err != nil {
		return 0, r.failed(err)
	}
	return n, nil
}

// PutEvidence implements store.Store.
func (r *Rows) PutEvidence(ctx context.Context, e *store.Evidence) error {
	return r.write(ctx, Write{Scope: Nobody, Do: func(ctx context.Context, tx Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO evidence (id, statement, token, release_digest, version, stored) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
			e.ID[:], e.Statement, e.Token, e.Release, e.Version, Micros(e.Stored))
		return err
	}})
}

// Evidence implements store.Store.
func (r *Rows) Evidence(ctx context.Context, id [32]byte) (*store.Evidence, error) {
	e := &store.Evidence{ID: id}
	var stored int64
	row := r.read(Nobody).QueryRowContext(ctx, `SELECT statement, token, release_digest, version, stored FROM evidence WHERE id = $1`, id[:])
	if err := row.Scan(&e.Statement, &e.Token, &e.Release, &e.Version, &stored); err != nil {
		return nil, r.failed(err)
	}
	e.Stored = fromMicros(stored)
	return e, nil
}
