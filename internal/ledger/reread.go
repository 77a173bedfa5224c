package ledger

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/receipt"
)

// A fold writes down, and has signed, what it read. A wrong answer of the
// database would stay for good, so what is read for a fold is compared with what
// it must agree with, and read once more where it doesn't. What doesn't agree
// then either is what is stored: it is folded as it stands, since leaving it out
// would hold up every other organisation's decisions, and auditors find it.

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
		if err != nil || leaf.ID != d.ID || leaf.Organization != d.Organization ||
			d.Index < 0 || d.Index >= len(b.Hashes) || b.Hashes[d.Index] != receipt.LeafHash(d.Leaf) {
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
	if root := f.Root(); l.Noted > 0 && !strings.HasPrefix(l.Note, fmt.Sprintf("%s\n%d\n%s\n", receipt.LedgerOrigin(tree.org), l.Noted, base64.StdEncoding.EncodeToString(root[:]))) {
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
