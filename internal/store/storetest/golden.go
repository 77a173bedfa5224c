package storetest

import (
	"bytes"
	"testing"

	"github.com/sigilkeys/sigil/internal/store"
)

// label holds what an engine might keep otherwise.
const label = "treasury \x00 \u00e9"

// Fill writes the same few rows of every kind into an empty store. Data that
// an earlier version filled is kept, and CheckFilled reads it for ever.
func Fill(t *testing.T, s store.Store) {
	t.Helper()
	o := organization(t, s, 1)
	must(t, s.CreateGrant(t.Context(), grant(o, 1)))
	must(t, s.CreateGrant(t.Context(), grant(o, 2)))
	must(t, s.Revoke(t.Context(), &store.Revocation{Organization: o.ID, Grant: digest(1), Envelope: []byte("r"), At: at(5)}))
	b := batch(o.ID, 1, 1, 101)
	b.Decisions[0].Idempotency, b.Decisions[0].Explanation, b.Wallets[1].Label = digest(77), label, label
	_, err := s.Commit(t.Context(), []store.CommitBatch{b})
	must(t, err)
	must(t, s.PutEvidence(t.Context(), &store.Evidence{ID: digest(1), Statement: []byte("s"), Token: "t", Release: "r", Version: "v", Stored: at(1)}))
}

// CheckFilled reads what Fill wrote, and writes more.
func CheckFilled(t *testing.T, s store.Store) {
	t.Helper()
	o, err := s.Organization(t.Context(), id(1))
	must(t, err)
	if o.Digest != digest(1) || !bytes.Equal(o.State, []byte{1, 1}) || !bytes.Equal(o.Genesis, []byte{1}) || !o.Created.Equal(at(0)) {
		t.Errorf("%+v", o)
	}
	g, total, err := s.Grants(t.Context(), o.ID, store.Page{Limit: 10})
	must(t, err)
	if total != 2 || len(g) != 2 || !g[0].Revoked.Equal(at(5)) || !g[1].Revoked.IsZero() || g[1].KeyID != keyID(2) || g[1].Digest != digest(2) {
		t.Errorf("%+v", g)
	}
	r, err := s.Revocations(t.Context())
	must(t, err)
	if len(r) != 1 || r[0].Grant != digest(1) || string(r[0].Envelope) != "r" {
		t.Errorf("%+v", r)
	}
	d, err := s.DecisionByIdempotency(t.Context(), keyID(1), digest(77))
	must(t, err)
	b, err := s.Batch(t.Context(), d.Batch)
	must(t, err)
	if d.ID != id(1) || d.RequestID != id(1) || d.Explanation != label || d.Index != 0 || !bytes.Equal(d.Result, []byte{1, 1}) || b.Instance != digest(200) || len(b.Hashes) != 2 {
		t.Errorf("%+v %+v", d, b)
	}
	w, err := s.Wallet(t.Context(), o.ID, id(101))
	must(t, err)
	if w.Label != label || w.Receipt != id(101) || !w.Created.Equal(at(101)) {
		t.Errorf("%+v", w)
	}
	e, err := s.Evidence(t.Context(), digest(1))
	must(t, err)
	if e.Token != "t" || e.Release != "r" || e.Version != "v" || !e.Stored.Equal(at(1)) {
		t.Errorf("%+v", e)
	}
	// It goes on from there: old request ids are taken, new ones aren't.
	more := batch(o.ID, 2, 7, 8)
	more.Decisions[0].RequestID = id(1)
	out, err := s.Commit(t.Context(), []store.CommitBatch{more})
	must(t, err)
	if out[0][0].Won || out[0][0].Stored.ID != id(1) || !out[0][1].Won {
		t.Errorf("%+v", out)
	}
}
