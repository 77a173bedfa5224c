package faults

import (
	"bytes"
	"context"
	"slices"

	"github.com/sigilkeys/sigil/internal/store"
)

// page is a page of a list with its total.
type page[T any] struct {
	rows  []T
	total int
}

func paged[T any](rows []T, total int, err error) (page[T], error) { return page[T]{rows, total}, err }

// spoil alters bytes. Nothing is left of nothing.
func spoil(b []byte, bad flaw) []byte {
	if len(b) == 0 {
		return b
	}
	if bad == cut {
		return bytes.Clone(b[:len(b)-1])
	}
	out := bytes.Clone(b)
	out[len(out)/2] ^= 1
	return out
}

// number is another number.
func number[T int | uint64](n T, bad flaw) (T, error) {
	return n + map[flaw]T{flipped: 1, cut: 2, foreign: 1 << 20}[bad], nil
}

func (f *faulty) organization(o *store.Organization, bad flaw) (*store.Organization, error) {
	if bad == foreign {
		return f.Store.Organization(context.Background(), f.neighbours().org)
	}
	// By turns, as a page of the database may hold either.
	if out := *o; o.Created.UnixMicro()%2 == 0 {
		out.Genesis = spoil(o.Genesis, bad)
		return &out, nil
	}
	out := *o
	out.State = spoil(o.State, bad)
	return &out, nil
}

func (f *faulty) grant(g *store.Grant, bad flaw) (*store.Grant, error) {
	if bad == foreign {
		return f.Store.GrantByKeyID(context.Background(), f.neighbours().keyID)
	}
	out := *g
	out.Envelope = spoil(g.Envelope, bad)
	return &out, nil
}

func (f *faulty) grants(p page[store.Grant], bad flaw) (page[store.Grant], error) {
	p.rows = slices.Clone(p.rows)
	for i := range p.rows {
		g, err := f.grant(&p.rows[i], bad)
		if err != nil {
			return p, err
		}
		p.rows[i] = *g
	}
	return p, nil
}

func (f *faulty) revocations(list []store.Revocation, bad flaw) ([]store.Revocation, error) {
	list = slices.Clone(list)
	for i := range list {
		if bad == foreign {
			list[i].Organization = f.neighbours().org
			continue
		}
		list[i].Envelope = spoil(list[i].Envelope, bad)
	}
	return list, nil
}

func (f *faulty) wallet(w *store.Wallet, bad flaw) (*store.Wallet, error) {
	if bad == foreign {
		n := f.neighbours()
		if w != nil && w.Receipt[15]%2 == 0 {
			return f.Store.Wallet(context.Background(), w.Organization, n.sibling)
		}
		return f.Store.Wallet(context.Background(), n.org, n.wallet)
	}
	out := *w
	out.Record = spoil(w.Record, bad)
	return &out, nil
}

func (f *faulty) walletList(list []store.Wallet, bad flaw) ([]store.Wallet, error) {
	list = slices.Clone(list)
	for i := range list {
		w, err := f.wallet(&list[i], bad)
		if err != nil {
			return nil, err
		}
		list[i] = *w
	}
	return list, nil
}

func (f *faulty) wallets(p page[store.Wallet], bad flaw) (page[store.Wallet], error) {
	var err error
	p.rows, err = f.walletList(p.rows, bad)
	return p, err
}

func (f *faulty) decision(d *store.Decision, bad flaw) (*store.Decision, error) {
	if bad == foreign {
		n := f.neighbours()
		return f.Store.Decision(context.Background(), n.org, n.receipt)
	}
	out := *d
	if bad == flipped && len(d.Result) > 0 && d.ID[15]%2 == 0 {
		out.Result = spoil(d.Result, bad)
		return &out, nil
	}
	out.Leaf = spoil(d.Leaf, bad)
	return &out, nil
}

func (f *faulty) decisions(list []store.Decision, bad flaw) ([]store.Decision, error) {
	list = slices.Clone(list)
	for i := range list {
		d, err := f.decision(&list[i], bad)
		if err != nil {
			return nil, err
		}
		list[i] = *d
	}
	return list, nil
}

// results are those of a commit.
func (f *faulty) results(list [][]store.Commit, bad flaw) ([][]store.Commit, error) {
	out := make([][]store.Commit, len(list))
	for i := range list {
		for _, c := range list[i] {
			d, err := f.decision(c.Stored, bad)
			if err != nil {
				return nil, err
			}
			out[i] = append(out[i], store.Commit{Won: c.Won && bad != foreign, Stored: d})
		}
	}
	return out, nil
}

func (f *faulty) batch(b *store.Batch, bad flaw) (*store.Batch, error) {
	if bad == foreign {
		return f.Store.Batch(context.Background(), f.neighbours().batch)
	}
	out := *b
	if bad == flipped {
		out.Signed = spoil(b.Signed, bad)
		return &out, nil
	}
	out.Hashes = b.Hashes[:len(b.Hashes)-1]
	return &out, nil
}

// rows are others than those that wait.
func (f *faulty) rows(list []int64, bad flaw) ([]int64, error) {
	switch bad {
	case foreign:
		return []int64{f.neighbours().batch}, nil
	case cut:
		return nil, nil
	}
	list = slices.Clone(list)
	for i := range list {
		list[i] += 1 << 20
	}
	return list, nil
}

func (f *faulty) ledger(l *store.Ledger, bad flaw) (*store.Ledger, error) {
	if bad == foreign {
		return f.Store.Ledger(context.Background(), f.neighbours().org)
	}
	out := *l
	switch {
	case bad == flipped:
		out.Size++
	case out.Note == "":
		out.Size--
	default:
		out.Note = string(spoil([]byte(l.Note), bad))
	}
	return &out, nil
}

func (f *faulty) ledgers(list []store.Ledger, bad flaw) ([]store.Ledger, error) {
	list = slices.Clone(list)
	for i := range list {
		org := list[i].Organization
		l, err := f.ledger(&list[i], bad)
		if err != nil {
			return nil, err
		}
		list[i] = *l
		list[i].Organization = org
	}
	return list, nil
}

func (f *faulty) tile(t *store.Tile, bad flaw) (*store.Tile, error) {
	if bad == foreign {
		return f.Store.Tile(context.Background(), f.neighbours().org, 0, 0)
	}
	out := *t
	if out.Hashes = spoil(t.Hashes, bad); bad == cut {
		out.Hashes = t.Hashes[:len(t.Hashes)-32]
	}
	return &out, nil
}

func events(p page[store.Event], bad flaw) (page[store.Event], error) {
	p.rows = slices.Clone(p.rows)
	for i := range p.rows {
		p.rows[i].Success = !p.rows[i].Success
	}
	if bad == cut {
		p.rows = p.rows[:len(p.rows)-1]
	}
	return p, nil
}

func answer(a *store.Answer, bad flaw) (*store.Answer, error) {
	if a == nil {
		return nil, nil
	}
	out := *a
	out.Body = spoil(a.Body, bad)
	if bad == foreign {
		out.Document[0] ^= 1
	}
	return &out, nil
}

func evidence(e *store.Evidence, bad flaw) (*store.Evidence, error) {
	if e == nil {
		return nil, store.ErrNotFound
	}
	out := *e
	switch bad {
	case flipped:
		out.Statement = spoil(e.Statement, bad)
	case cut:
		out.Token = e.Token[:len(e.Token)-1]
	case foreign:
		out.Statement = spoil(e.Statement, flipped)
		out.ID[0] ^= 1
	}
	return &out, nil
}
