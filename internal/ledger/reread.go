package ledger

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/receipt"
)

// A fold writes down, and has signed, what it read. A wrong answer of the
// database would stay for good, so what is read for a fold is compared with what
// it must agree with, and read once more where it doesn't. What doesn't agree
// then either is what is stored. Tiles are made again from the entries, which are
// the truth; where the entries don't make the signed head either, the ledger goes
// on as it stands, and auditors find it.

// decisionsOf returns a batch's decisions as the batch covers them.
func (s *Sequencer) decisionsOf(ctx context.Context, row int64) ([]store.Decision, error) {
	for again := false; ; again = true {
		decisions, err := s.Store.DecisionsOf(ctx, row)
		if err != nil {
			return nil, err
		}
		b, err := s.Store.Batch(ctx, row)
		if err != nil {
			return nil, err
		}
		if again || covers(b, decisions) {
			return decisions, nil
		}
	}
}

func covers(b *store.Batch, decisions []store.Decision) bool {
	for i := range decisions {
		d := &decisions[i]
		leaf, err := receipt.DecodeLeaf(d.Leaf)
		if err != nil || leaf.ID != d.ID || leaf.Organization != d.Organization || !b.Holds(d.Index, receipt.LeafHash(d.Leaf)) {
			return false
		}
	}
	return true
}

// maxUnsigned bounds the entries that are read to compare: more wait only where
// no head is signed for long, of which Round speaks.
const maxUnsigned = 1024

// agrees reports whether what is read of a tree is what the ledger's signed head
// and the entries after it make. The tree keeps what it has read.
func (s *Sequencer) agrees(ctx context.Context, tree *Tree, l *store.Ledger) (bool, error) {
	if l.Size-l.Noted > maxUnsigned {
		return true, nil
	}
	whole, err := tree.Frontier(l.Size)
	if err != nil {
		return false, err
	}
	f, err := tree.Frontier(l.Noted)
	if err != nil {
		return false, err
	}
	if !isHead(l, f.Root()) {
		return false, nil
	}
	if l.Noted < l.Size {
		entries, err := s.Store.Entries(ctx, tree.org, l.Noted, int(l.Size-l.Noted))
		if err != nil {
			return false, err
		}
		for i := range entries {
			f.Append(receipt.LeafHash(entries[i].Leaf))
		}
	}
	return f.Size() == l.Size && f.Root() == whole.Root(), nil
}

// isHead reports whether a root is that of the ledger's signed head, if it has
// one.
func isHead(l *store.Ledger, root [32]byte) bool {
	return l.Noted == 0 || strings.HasPrefix(l.Note, fmt.Sprintf("%s\n%d\n%s\n", receipt.LedgerOrigin(l.Organization), l.Noted, base64.StdEncoding.EncodeToString(root[:])))
}

// tree returns a ledger's tree to grow, and tiles of it that have to be stored
// anew.
func (s *Sequencer) tree(ctx context.Context, l *store.Ledger) (*Tree, []store.Tile, error) {
	for range 2 {
		tree := NewTree(ctx, s.Store, l.Organization)
		switch agrees, err := s.agrees(ctx, tree, l); {
		case err != nil && (!errors.Is(err, errTiles) || s.frail):
			return nil, nil, err
		case err == nil && agrees:
			return tree, nil, nil
		}
	}
	tree, mended, err := s.mend(ctx, l)
	if errors.Is(err, errEntries) {
		return NewTree(ctx, s.Store, l.Organization), nil, nil // as it stands
	}
	return tree, mended, err
}

var (
	errEntries = errors.New("the ledger's entries don't make its signed head")
	errLacks   = errors.New("the ledger lacks entries")
)

// mend is rebuild, but for a while after it found entries that don't do.
func (s *Sequencer) mend(ctx context.Context, l *store.Ledger) (*Tree, []store.Tile, error) {
	if b, known := s.broken[l.Organization]; known && s.round < b.until {
		return nil, nil, b.err
	}
	tree, tiles, err := s.rebuild(ctx, l)
	if errors.Is(err, errEntries) || errors.Is(err, errLacks) {
		s.broken[l.Organization] = broken{err: err, until: s.round + maxRest}
	} else {
		delete(s.broken, l.Organization)
	}
	return tree, tiles, err
}

// rebuild makes a ledger's tiles from its entries. It returns the tree, and the
// tiles that are stored otherwise.
func (s *Sequencer) rebuild(ctx context.Context, l *store.Ledger) (*Tree, []store.Tile, error) {
	tree, whole := NewTree(ctx, noTiles{}, l.Organization), &receipt.Frontier{}
	mended := map[tileID]store.Tile{}
	for whole.Size() < l.Size {
		from := whole.Size()
		leaves, err := s.leaves(ctx, l, from, min(4<<TileHeight, l.Size-from))
		if err != nil {
			return nil, nil, err
		}
		for i := range leaves {
			whole.Append(leaves[i])
			if whole.Size() == l.Noted && !isHead(l, whole.Root()) {
				return nil, nil, errEntries
			}
		}
		tiles, err := tree.grow(from, leaves)
		if err != nil {
			return nil, nil, err
		}
		tree.keep(tiles)
		for _, t := range tiles {
			old, err := s.Store.Tile(ctx, l.Organization, t.Level, t.Index)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return nil, nil, err
			}
			if err != nil || !bytes.HasPrefix(old.Hashes, t.Hashes) {
				mended[tileID{t.Level, t.Index}] = t
			}
			if t.Level == 0 && len(t.Hashes) == sha256.Size<<TileHeight {
				delete(tree.tiles, tileID{t.Level, t.Index}) // what grows reads it no more
			}
		}
	}
	tree = NewTree(ctx, s.Store, l.Organization)
	tiles := slices.SortedFunc(maps.Values(mended), func(a, b store.Tile) int { return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.Index, b.Index)) })
	tree.keep(tiles)
	return tree, tiles, nil
}

// leaves returns the hashes of a ledger's entries from an index on, all of which
// must be there.
func (s *Sequencer) leaves(ctx context.Context, l *store.Ledger, from, n uint64) ([][32]byte, error) {
	entries, err := s.Store.Entries(ctx, l.Organization, from, int(n))
	if err != nil {
		return nil, err
	}
	last := from
	if len(entries) > 0 {
		if last, err = s.Store.EntryOf(ctx, l.Organization, entries[len(entries)-1].ID); err != nil {
			return nil, err
		}
	}
	if uint64(len(entries)) != n || last != from+n-1 {
		return nil, fmt.Errorf("%w of %d, from %d on", errLacks, l.Size, from)
	}
	out := make([][32]byte, n)
	for i := range entries {
		out[i] = receipt.LeafHash(entries[i].Leaf)
	}
	return out, nil
}

// keep has a tree read tiles that were made of what it added.
func (t *Tree) keep(tiles []store.Tile) {
	clear(t.added)
	for i := range tiles {
		t.tiles[tileID{tiles[i].Level, tiles[i].Index}] = &tiles[i]
	}
}

// noTiles are the rows of a tree of which nothing is stored.
type noTiles struct{}

func (noTiles) Tile(context.Context, canon.UUID, int, uint64) (*store.Tile, error) {
	return nil, store.ErrNotFound
}
