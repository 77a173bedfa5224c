package server

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/ledger"
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

// numbers reads the query's numbers; names says which may and, without "?",
// must be there. "receipt" is a UUID and left to the caller.
func numbers(c *call, names ...string) (map[string]uint64, url.Values, error) {
	query, err := url.ParseQuery(c.URL.RawQuery)
	if err != nil {
		return nil, nil, refuse(api.CodeInvalidArgument, "the query is malformed")
	}
	out := map[string]uint64{}
	known := map[string]bool{"receipt": true}
	for _, name := range names {
		known[name] = true
		v, has := query[name]
		if !has {
			continue
		}
		n, err := strconv.ParseUint(v[0], 10, 62)
		if err != nil || len(v) != 1 || strconv.FormatUint(n, 10) != v[0] {
			return nil, nil, refuse(api.CodeInvalidArgument, "%s must be one decimal number", name)
		}
		out[name] = n
	}
	for name := range query {
		if !known[name] {
			return nil, nil, refuse(api.CodeInvalidArgument, "the query parameter %.20s isn't known", name)
		}
	}
	return out, query, nil
}

func (s *Server) checkpoint(c *call) (reply, error) {
	if c.URL.RawQuery != "" {
		return reply{}, refuse(api.CodeInvalidArgument, "this route takes no query")
	}
	l, err := s.ledger(c)
	if err != nil {
		return reply{}, err
	}
	return ok(http.StatusOK, api.Checkpoint{Origin: receipt.LedgerOrigin(l.Organization), Size: l.Noted, Note: l.Note})
}

// within reads a size that the checkpoint covers; it is the checkpoint's own
// where it isn't given.
func within(n map[string]uint64, name string, l *store.Ledger) (uint64, error) {
	size, has := n[name]
	switch {
	case !has:
		return l.Noted, nil
	case size == 0 || size > l.Noted:
		return 0, refuse(api.CodeInvalidArgument, "%s must be between 1 and the checkpoint's size, %d", name, l.Noted)
	}
	return size, nil
}

func (s *Server) inclusion(c *call) (reply, error) {
	n, query, err := numbers(c, "size")
	if err != nil {
		return reply{}, err
	}
	id, err := canon.ParseUUID(query.Get("receipt"))
	if err != nil || len(query["receipt"]) != 1 {
		return reply{}, refuse(api.CodeInvalidArgument, "receipt must be the id of a receipt")
	}
	l, err := s.ledger(c)
	if err != nil {
		return reply{}, err
	}
	size, err := within(n, "size", l)
	if err != nil {
		return reply{}, err
	}
	index, err := s.Store.EntryOf(c.ctx, l.Organization, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return reply{}, refuse(api.CodeReceiptNotFound, "the ledger has no receipt %s (yet)", id)
	case err != nil:
		return reply{}, refuse(api.CodeStoreUnavailable, "the database doesn't answer")
	case index >= size:
		return reply{}, refuse(api.CodeInvalidArgument, "the receipt is entry %d, beyond the size %d", index, size)
	}
	path, err := ledger.NewTree(c.ctx, s.Store, l.Organization).Inclusion(index, size)
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
	n, query, err := numbers(c, "from", "to")
	if err != nil {
		return reply{}, err
	}
	if _, has := n["from"]; !has || query.Has("receipt") {
		return reply{}, refuse(api.CodeInvalidArgument, "the query must be from=<size>, and to=<size> if it isn't the checkpoint's")
	}
	l, err := s.ledger(c)
	if err != nil {
		return reply{}, err
	}
	from, err := within(n, "from", l)
	if err != nil {
		return reply{}, err
	}
	to, err := within(n, "to", l)
	if err != nil {
		return reply{}, err
	}
	if from > to {
		return reply{}, refuse(api.CodeInvalidArgument, "from is %d, beyond %d", from, to)
	}
	path, err := ledger.NewTree(c.ctx, s.Store, l.Organization).Consistency(from, to)
	if err != nil {
		return reply{}, err
	}
	return ok(http.StatusOK, api.Consistency{From: from, To: to, Path: bytesOf(path)})
}

func (s *Server) tile(c *call) (reply, error) {
	level, err := strconv.ParseUint(c.PathValue("level"), 10, 3)
	index, err2 := strconv.ParseUint(c.PathValue("index"), 10, 62)
	if err != nil || err2 != nil || c.URL.RawQuery != "" {
		return reply{}, refuse(api.CodeInvalidArgument, "a tile is named by its level, 0 to 7, and its number")
	}
	l, err := s.ledger(c)
	if err != nil {
		return reply{}, err
	}
	t, err := s.Store.Tile(c.ctx, l.Organization, int(level), index)
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
	n, query, err := numbers(c, "from", "limit")
	if err != nil {
		return reply{}, err
	}
	limit, has := n["limit"]
	if !has {
		limit = maxEntries
	}
	if limit == 0 || limit > maxEntries || query.Has("receipt") {
		return reply{}, refuse(api.CodeInvalidArgument, "the query may have from, and limit from 1 to %d", maxEntries)
	}
	l, err := s.ledger(c)
	if err != nil {
		return reply{}, err
	}
	from := n["from"]
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
		return err
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
		return err
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
