// Package ledger keeps the log of each organisation's decisions: it folds what
// was committed into Merkle trees, has their heads signed by the TEE, and makes
// proofs.
//
// Trust: none. The leaves are receipt leaves, which verify by themselves; the
// heads are derived and signed by the workload, which never signs one that
// doesn't extend the one before (package workload, Checkpoint). What a host can
// still do without witnesses is to have another instance sign another history;
// who keeps checkpoints notices (docs/THREATMODEL.md).
//
// Order. A fold gives decisions their places in one database transaction, and
// only then is a head over them signed: whatever was signed is a beginning of
// what is stored.
package ledger

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/receipt"
)

// TileHeight is the number of levels in a tile: 256 hashes at its bottom, as
// in C2SP's tlog-tiles.
const TileHeight = 8

// Rows are what a tree is read from.
type Rows interface {
	Tile(ctx context.Context, org canon.UUID, level int, index uint64) (*store.Tile, error)
}

// Tree reads the hashes of one ledger.
type Tree struct {
	ctx  context.Context
	rows Rows
	org  canon.UUID

	tiles map[tileID]*store.Tile // read so far
	added map[int64]tlog.Hash    // stored-hash index to hash, of leaves that aren't stored yet
}

type tileID struct {
	level int
	index uint64
}

// errTiles says that stored tiles lack hashes of the ledger.
var errTiles = errors.New("the ledger's stored tiles are damaged")

// NewTree returns the tree of an organisation's ledger. It keeps what it has
// read and ctx: make one for each use.
func NewTree(ctx context.Context, rows Rows, org canon.UUID) *Tree {
	return &Tree{ctx: ctx, rows: rows, org: org, tiles: map[tileID]*store.Tile{}, added: map[int64]tlog.Hash{}}
}

// ReadHashes implements tlog.HashReader.
func (t *Tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		h, err := t.hash(x)
		if err != nil {
			return nil, err
		}
		out[i] = h
	}
	return out, nil
}

func (t *Tree) hash(x int64) (tlog.Hash, error) {
	if h, ok := t.added[x]; ok {
		return h, nil
	}
	want := tlog.TileForIndex(TileHeight, x)
	tile, err := t.tile(tileID{want.L, uint64(want.N)})
	if err != nil {
		return tlog.Hash{}, err
	}
	want.W = len(tile.Hashes) / tlog.HashSize // as much as there is
	h, err := tlog.HashFromTile(want, tile.Hashes, x)
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("%w: %d/%d: %w", errTiles, want.L, want.N, err)
	}
	return h, nil
}

func (t *Tree) tile(id tileID) (*store.Tile, error) {
	if tile := t.tiles[id]; tile != nil {
		return tile, nil
	}
	tile, err := t.rows.Tile(t.ctx, t.org, id.level, id.index)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("%w: %d/%d: %w", errTiles, id.level, id.index, err)
	}
	if err != nil {
		return nil, fmt.Errorf("ledger tile %d/%d: %w", id.level, id.index, err)
	}
	t.tiles[id] = tile
	return tile, nil
}

// grow appends leaf hashes to a tree of that size, and returns the tiles that
// are new or longer.
func (t *Tree) grow(size uint64, leaves [][32]byte) ([]store.Tile, error) {
	for i := range leaves {
		n := int64(size) + int64(i)
		hashes, err := tlog.StoredHashesForRecordHash(n, leaves[i], t)
		if err != nil {
			return nil, err
		}
		for j, h := range hashes {
			t.added[tlog.StoredHashIndex(0, n)+int64(j)] = h
		}
	}
	var tiles []store.Tile
	for _, id := range tlog.NewTiles(TileHeight, int64(size), int64(size)+int64(len(leaves))) {
		tile, err := t.newTile(id)
		if err != nil {
			return nil, err
		}
		tiles = append(tiles, *tile)
	}
	return tiles, nil
}

func (t *Tree) newTile(id tlog.Tile) (*store.Tile, error) {
	out := &store.Tile{Level: id.L, Index: uint64(id.N), Hashes: make([]byte, 0, id.W*tlog.HashSize)}
	old, err := t.tile(tileID{id.L, uint64(id.N)})
	if err == nil {
		// Whole hashes alone, and no more than belong there.
		out.Hashes = append(out.Hashes, old.Hashes[:min(len(old.Hashes)/tlog.HashSize, id.W)*tlog.HashSize]...)
	} else if !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	for i := len(out.Hashes) / tlog.HashSize; i < id.W; i++ {
		h, err := t.hash(tlog.StoredHashIndex(id.L*TileHeight, id.N<<TileHeight+int64(i)))
		if err != nil {
			return nil, err
		}
		out.Hashes = append(out.Hashes, h[:]...)
	}
	return out, nil
}

// Leaves returns the hashes of leaves from one index to before another.
func (t *Tree) Leaves(from, to uint64) ([][32]byte, error) {
	var out [][32]byte
	for n := from; n < to; n++ {
		h, err := t.hash(tlog.StoredHashIndex(0, int64(n)))
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

// Frontier returns that of the tree's first leaves.
func (t *Tree) Frontier(size uint64) (*receipt.Frontier, error) {
	var hashes [][32]byte
	start := uint64(0)
	for level := 62; level >= 0; level-- {
		if size&(1<<level) == 0 {
			continue
		}
		h, err := t.hash(tlog.StoredHashIndex(level, int64(start>>level)))
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, h)
		start += 1 << level
	}
	return receipt.NewFrontier(size, hashes)
}

// Inclusion returns the path that proves leaf index in the first size leaves.
func (t *Tree) Inclusion(index, size uint64) ([][32]byte, error) {
	proof, err := tlog.ProveRecord(int64(size), int64(index), t)
	return list(proof), err
}

// Consistency returns the proof that the first from leaves begin the first to
// ones; it is empty where from is 0 or to.
func (t *Tree) Consistency(from, to uint64) ([][32]byte, error) {
	if from == 0 {
		return nil, nil // of which tlog has no proof
	}
	proof, err := tlog.ProveTree(int64(to), int64(from), t)
	return list(proof), err
}

func list(hashes []tlog.Hash) [][32]byte {
	out := make([][32]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i]
	}
	return out
}
