package backup

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/sqlrows"
	"github.com/sigilkeys/sigil/receipt"
)

// ledgers derives every ledger from its leaves: entries, tiles and the signed
// head must be what follows.
func (c *checker) ledgers() error {
	ids := make([]canon.UUID, 0, len(c.owners))
	for id := range c.owners {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b canon.UUID) int { return bytes.Compare(a[:], b[:]) })
	for _, id := range ids {
		o := c.owners[id]
		if err := c.ledger(o); err != nil {
			return fmt.Errorf("ledger of organisation %s: %w", o.id, err)
		}
		c.report.Organizations = append(c.report.Organizations, o.sum)
	}
	return nil
}

func (c *checker) ledger(o *owner) error {
	l, err := c.rows.Ledger(c.ctx, o.id)
	if err != nil {
		return unlessNoRows(err) // no decision yet; nothingLeft finds entries
	}
	var head *receipt.Checkpoint
	if l.Note != "" {
		if head, err = receipt.OpenCheckpoint(l.Note, receipt.LedgerOrigin(o.id), o.stateKey); err != nil {
			return invalid("its head: %w", err)
		}
	}
	if head == nil && l.Noted != 0 || head != nil && (head.Size != l.Noted || head.Size > l.Size) {
		return invalid("its head covers another number of entries than is stored")
	}
	var frontier receipt.Frontier
	t := &tiles{same: func(level int, index uint64, hashes []byte) error { return c.sameTile(o, level, index, hashes) }}
	for {
		page, err := c.leaves(o, frontier.Size())
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		for _, leaf := range page {
			frontier.Append(leaf)
			if err := t.add(leaf); err != nil {
				return err
			}
			if head != nil && frontier.Size() == head.Size && frontier.Root() != head.Root {
				return invalid("its first %d entries aren't those that the TEE signed", head.Size)
			}
		}
		c.opt.progress("ledger entries verified", frontier.Size())
	}
	if frontier.Size() != l.Size {
		return invalid("it has %d entries, not %d", frontier.Size(), l.Size)
	}
	if err := t.finish(); err != nil {
		return err
	}
	switch n, err := c.count(`SELECT COUNT(*) FROM ledger_tiles WHERE organization_id = $1`, o.id[:]); {
	case err != nil:
		return err
	case n != t.n:
		return invalid("it has %d tiles, not %d", n, t.n)
	}
	o.sum.Ledger, o.sum.Noted, o.sum.Root = l.Size, l.Noted, hexed(frontier.Root())
	return nil
}

// leaves returns the hashes of some entries from one on.
func (c *checker) leaves(o *owner, from uint64) ([][32]byte, error) {
	var page [][32]byte
	err := c.each(func(row sqlrows.Scanner) error {
		var index int64
		var org, leaf []byte
		if err := row.Scan(&index, &org, &leaf); err != nil {
			return err
		}
		if uint64(index) != from+uint64(len(page)) || !bytes.Equal(org, o.id[:]) {
			return invalid("entry %d stands where entry %d should, or is another organisation's", index, from+uint64(len(page)))
		}
		page = append(page, receipt.LeafHash(leaf))
		return nil
	}, `SELECT e.idx, d.organization_id, d.leaf FROM ledger_entries e LEFT JOIN decisions d ON d.id = e.receipt
		WHERE e.organization_id = $1 AND e.idx >= $2 ORDER BY e.idx LIMIT $3`, o.id[:], int64(from), pageOf)
	return page, err
}

func (c *checker) sameTile(o *owner, level int, index uint64, hashes []byte) error {
	t, err := c.rows.Tile(c.ctx, o.id, level, index)
	if unlessNoRows(err) != nil {
		return err
	}
	if t == nil {
		t = &store.Tile{}
	}
	if !bytes.Equal(t.Hashes, hashes) {
		return invalid("tile %d/%d doesn't follow from the entries", level, index)
	}
	return nil
}

// tiles derives a tree's tiles (store.Tile) from its leaves.
type tiles struct {
	same func(level int, index uint64, hashes []byte) error

	levels [][][32]byte // hashes of the tile that grows, by level
	index  []uint64     // its number
	n      int64        // tiles so far
}

const width = 256

func (t *tiles) add(h [32]byte) error {
	for level := 0; ; level++ {
		if level == len(t.levels) {
			t.levels, t.index = append(t.levels, nil), append(t.index, 0)
		}
		t.levels[level] = append(t.levels[level], h)
		if len(t.levels[level]) < width {
			return nil
		}
		h = receipt.NewTreeOfHashes(t.levels[level]).Root()
		if err := t.done(level); err != nil {
			return err
		}
	}
}

func (t *tiles) done(level int) error {
	t.n++
	if err := t.same(level, t.index[level], sqlrows.JoinHashes(t.levels[level])); err != nil {
		return err
	}
	t.levels[level] = t.levels[level][:0]
	t.index[level]++
	return nil
}

// finish ends with the tiles that aren't full.
func (t *tiles) finish() error {
	for level := range t.levels {
		if len(t.levels[level]) > 0 {
			if err := t.done(level); err != nil {
				return err
			}
		}
	}
	return nil
}
