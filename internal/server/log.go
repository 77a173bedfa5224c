package server

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/ledger"
	"github.com/sigilkeys/sigil/internal/signing"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/receipt"
)

// ledger finds the caller's. Before the first checkpoint there is nothing that
// anybody could verify, so there is none.
func (s *Server) ledger(c *call) (*store.Ledger, error) {
	l, err := s.Store.Ledger(c.ctx, c.key.OrganizationID)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && l.Noted == 0:
		return nil, refuse(api.CodeLedgerEmpty, "no decision is in the ledger yet; it takes about a second")
	case err != nil:
		return nil, refuse(api.CodeStoreUnavailable, "the database doesn't answer")
	}
	return l, nil
}

func (s *Server) checkpoint(c *call) (reply, error) {
	l, err := s.ledger(c)
	if err != nil {
		return reply{}, err
	}
	return ok(http.StatusOK, api.Checkpoint{Origin: receipt.LedgerOrigin(l.Organization), Size: l.Noted, Note: l.Note})
}

// within is a size that the checkpoint covers; the checkpoint's own where none
// is given.
func within(size uint64, name string, l *store.Ledger) (uint64, error) {
	switch {
	case size == 0:
		return l.Noted, nil
	case size > l.Noted:
		return 0, refuse(api.CodeOutsideLedger, "%s is %d, beyond the checkpoint's size, %d", name, size, l.Noted)
	}
	return size, nil
}

// tiles are what proofs are read from; a database that doesn't answer is no
// defect of theirs.
type tiles struct{ rows ledger.Rows }

// Tile implements ledger.Rows.
func (t tiles) Tile(ctx context.Context, org canon.UUID, level int, index uint64) (*store.Tile, error) {
	tile, err := t.rows.Tile(ctx, org, level, index)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		err = refuse(api.CodeStoreUnavailable, "the database doesn't answer")
	}
	return tile, err
}

func (s *Server) inclusion(c *call) (reply, error) {
	var id canon.UUID
	var size uint64
	if err := c.take(parameters{"receipt": uuidInto(&id), "size": number("size", &size, 1, maxIndex)}, "receipt"); err != nil {
		return reply{}, err
	}
	l, err := s.ledger(c)
	if err != nil {
		return reply{}, err
	}
	if size, err = within(size, "size", l); err != nil {
		return reply{}, err
	}
	index, err := s.Store.EntryOf(c.ctx, l.Organization, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return reply{}, refuse(api.CodeReceiptNotFound, "the ledger has no receipt %s (yet)", id)
	case err != nil:
		return reply{}, refuse(api.CodeStoreUnavailable, "the database doesn't answer")
	case index >= size:
		return reply{}, refuse(api.CodeOutsideLedger, "the receipt is entry %d, beyond the size %d", index, size)
	}
	path, err := ledger.NewTree(c.ctx, tiles{s.Store}, l.Organization).Inclusion(index, size)
	if err != nil {
		return reply{}, err
	}
	return ok(http.StatusOK, api.Inclusion{Receipt: id.String(), Index: index, Size: size, Path: bytesOf(path)})
}

func bytesOf(path [][32]byte) [][]byte {
	out := make([][]byte, len(path))
	for i := range path {
		out[i] = path[i][:]
	}
	return out
}

func (s *Server) consistency(c *call) (reply, error) {
	var from, to uint64
	if err := c.take(parameters{"from": number("from", &from, 1, maxIndex), "to": number("to", &to, 1, maxIndex)}, "from"); err != nil {
		return reply{}, err
	}
	l, err := s.ledger(c)
	if err != nil {
		return reply{}, err
	}
	if from, err = within(from, "from", l); err != nil {
		return reply{}, err
	}
	if to, err = within(to, "to", l); err != nil {
		return reply{}, err
	}
	if from > to {
		return reply{}, refuse(api.CodeOutsideLedger, "from is %d, beyond %d", from, to)
	}
	path, err := ledger.NewTree(c.ctx, tiles{s.Store}, l.Organization).Consistency(from, to)
	if err != nil {
		return reply{}, err
	}
	return ok(http.StatusOK, api.Consistency{From: from, To: to, Path: bytesOf(path)})
}

func (s *Server) tile(c *call) (reply, error) {
	var level int
	var index uint64
	if err := errors.Join(number("level", &level, 0, 7)(c.PathValue("level")), number("index", &index, 0, maxIndex)(c.PathValue("index"))); err != nil {
		return reply{}, err
	}
	l, err := s.ledger(c)
	if err != nil {
		return reply{}, err
	}
	t, err := s.Store.Tile(c.ctx, l.Organization, level, index)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return reply{}, refuse(api.CodeTileNotFound, "the ledger has no such tile (yet)")
	case err != nil:
		return reply{}, refuse(api.CodeStoreUnavailable, "the database doesn't answer")
	}
	return ok(http.StatusOK, api.Tile{Level: t.Level, Index: t.Index, Hashes: t.Hashes})
}

// maxEntries bounds a page: a page with as many different pieces of evidence is
// a megabyte.
const maxEntries = 100

func (s *Server) entries(c *call) (reply, error) {
	var from uint64
	limit := uint64(maxEntries)
	if err := c.take(parameters{"from": number("from", &from, 0, maxIndex), "limit": number("limit", &limit, 1, maxEntries)}); err != nil {
		return reply{}, err
	}
	l, err := s.ledger(c)
	if err != nil {
		return reply{}, err
	}
	limit = min(limit, l.Noted-min(from, l.Noted))
	out := &api.Entries{Items: []api.Entry{}, Grants: map[string]json.RawMessage{}, Evidence: map[string]api.Evidence{}, From: from, Size: l.Noted}
	if limit == 0 {
		return ok(http.StatusOK, out)
	}
	rows, err := s.Store.Entries(c.ctx, l.Organization, from, int(limit))
	if err != nil {
		return reply{}, refuse(api.CodeStoreUnavailable, "the database doesn't answer")
	}
	for i := range rows {
		if err := s.entry(c, out, &rows[i], from+uint64(i)); err != nil {
			return reply{}, err
		}
	}
	return ok(http.StatusOK, out)
}

// entry adds a decision with what it takes to verify it.
func (s *Server) entry(c *call, out *api.Entries, d *store.Decision, index uint64) error {
	proof, err := s.Signing.Receipt(c.ctx, d)
	if err != nil {
		return err
	}
	batch, _, _, err := receipt.DecodeBatch(proof.Batch)
	if err != nil {
		return signing.Damaged(d)
	}
	id := hexed(batch.Statement)
	if _, has := out.Evidence[id]; !has {
		e, err := s.findEvidence(c, batch.Statement)
		if err != nil {
			return err
		}
		out.Evidence[id] = evidence(e)
	}
	leaf, err := receipt.DecodeLeaf(d.Leaf)
	if err != nil {
		return signing.Damaged(d)
	}
	grant := hexed(leaf.Grant)
	if _, has := out.Grants[grant]; !has {
		g, err := s.Store.GrantByKeyID(c.ctx, d.KeyID)
		if err != nil {
			return refuse(api.CodeStoreUnavailable, "the database doesn't answer")
		}
		out.Grants[grant] = g.Envelope
	}
	out.Items = append(out.Items, api.Entry{Index: index, ID: d.ID.String(), Proof: proof.Encode(), Evidence: id, Grant: grant})
	return nil
}

func hexed(d [32]byte) string { return hex.EncodeToString(d[:]) }
