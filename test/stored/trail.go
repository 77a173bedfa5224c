package stored

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/receipt"
)

// trail is an audit trail as it is and as it should be.
type trail struct {
	is, should map[string]int
}

func line(org []byte, at int64, id []byte, kind store.EventKind, success bool, key, wallet []byte, network, code string) string {
	return fmt.Sprintf("%x at %d: %x kind %d success %v key %x wallet %x %s %s", org, at, id, kind, success, key, wallet, network, code)
}

// CheckTrail compares every organisation's audit trail with what it follows
// from: the documents, and the leaves that are in ledgers.
func CheckTrail(ctx context.Context, db Querier) error {
	s := &Rows{db: db}
	t := &trail{is: map[string]int{}, should: map[string]int{}}
	err := errors.Join(
		s.each(ctx, `SELECT organization_id, at, id, kind, success, key_id, wallet, network, code FROM audit`, t.event),
		s.each(ctx, `SELECT id, created FROM organizations`, t.organization),
		s.each(ctx, `SELECT organization_id, id, key_id, created, revoked FROM grants`, t.grant),
		s.each(ctx, `SELECT d.leaf FROM decisions d WHERE EXISTS (SELECT 1 FROM ledger_entries e WHERE e.receipt = d.id)
			AND NOT EXISTS (SELECT 1 FROM unaudited u WHERE u.batch = d.batch)`, t.leaf),
	)
	if err != nil {
		return err
	}
	for l, n := range t.is {
		if t.should[l] != n {
			err = errors.Join(err, fmt.Errorf("audit trail: %d times what should be %d times: %s", n, t.should[l], l))
		}
		delete(t.should, l)
	}
	for l := range t.should {
		err = errors.Join(err, fmt.Errorf("audit trail: missing: %s", l))
	}
	return errors.Join(err, s.each(ctx, `SELECT c.n, (SELECT COUNT(*) FROM audit a WHERE a.organization_id = c.organization_id AND a.kind = c.kind AND a.success = c.success) FROM audit_counts c`, counted),
		s.each(ctx, `SELECT c.n, (SELECT COUNT(*) FROM wallets w WHERE w.organization_id = c.organization_id AND w.state = c.state) FROM wallet_counts c`, counted))
}

func counted(rows *sql.Rows) error {
	var said, is int64
	if err := rows.Scan(&said, &is); err != nil {
		return err
	}
	if said != is {
		return fmt.Errorf("%d rows are counted as %d", is, said)
	}
	return nil
}

func (t *trail) event(rows *sql.Rows) error {
	var org, id, key, wallet []byte
	var at, kind, success int64
	var network, code string
	if err := rows.Scan(&org, &at, &id, &kind, &success, &key, &wallet, &network, &code); err != nil {
		return err
	}
	t.is[line(org, at, id, store.EventKind(kind), success == 1, key, wallet, network, code)]++
	return nil
}

func (t *trail) organization(rows *sql.Rows) error {
	var id []byte
	var created int64
	if err := rows.Scan(&id, &created); err != nil {
		return err
	}
	t.should[line(id, created, id, store.EventOrganizationCreated, true, nil, nil, "", "")]++
	return nil
}

func (t *trail) grant(rows *sql.Rows) error {
	var org, id []byte
	var keyID string
	var created, revoked int64
	if err := rows.Scan(&org, &id, &keyID, &created, &revoked); err != nil {
		return err
	}
	key, err := hex.DecodeString(keyID)
	if err != nil {
		return err
	}
	t.should[line(org, created, id, store.EventKeyCreated, true, key, nil, "", "")]++
	if revoked != 0 {
		t.should[line(org, revoked, id, store.EventKeyRevoked, true, key, nil, "", "")]++
	}
	return nil
}

func (t *trail) leaf(rows *sql.Rows) error {
	var record []byte
	if err := rows.Scan(&record); err != nil {
		return err
	}
	l, err := receipt.DecodeLeaf(record)
	if err != nil {
		return err
	}
	kind, code := store.EventSigned, ""
	if l.Kind == receipt.KindCreateWallet {
		kind = store.EventWalletCreated
	}
	if l.Decision != receipt.Allow {
		code = l.Reason
	}
	var wallet []byte
	if l.Wallet != (receipt.UUID{}) {
		wallet = l.Wallet[:]
	}
	key, err := hex.DecodeString(authority.KeyID(l.Credential))
	if err != nil {
		return err
	}
	t.should[line(l.Organization[:], int64(l.Time), l.ID[:], kind, l.Decision == receipt.Allow, key, wallet, l.Network, code)]++
	return nil
}

// Heads are the newest heads of ledgers that were seen.
type Heads map[canon.UUID]head

type head struct {
	size uint64
	root [32]byte
}

// Follow requires that an organisation's signed head is a beginning of the
// stored entries, and extends the one that was seen last.
func (h Heads) Follow(ctx context.Context, s store.Store, org canon.UUID) error {
	l, err := s.Ledger(ctx, org)
	if errors.Is(err, store.ErrNotFound) {
		l, err = &store.Ledger{}, nil
	}
	if err != nil {
		return err
	}
	last, now := h[org], head{size: l.Noted}
	if now.size < last.size {
		return fmt.Errorf("ledger of %s: a head over %d entries was signed, and now over %d", org, last.size, now.size)
	}
	if now.size == 0 {
		return nil
	}
	if now.root, err = rootOf(l.Note); err != nil {
		return err
	}
	entries, err := s.Entries(ctx, org, 0, int(now.size))
	if err != nil {
		return err
	}
	var f receipt.Frontier
	for i := range entries {
		f.Append(receipt.LeafHash(entries[i].Leaf))
		for _, seen := range []head{last, now} {
			if f.Size() == seen.size && f.Root() != seen.root {
				return fmt.Errorf("ledger of %s: its first %d entries aren't those under the head", org, seen.size)
			}
		}
	}
	if f.Size() != now.size {
		return fmt.Errorf("ledger of %s: %d entries under a head over %d", org, f.Size(), now.size)
	}
	h[org] = now
	return nil
}

// rootOf reads a note's root; who verifies its signature is package backup.
func rootOf(note string) ([32]byte, error) {
	lines := strings.Split(note, "\n")
	if len(lines) < 3 {
		return [32]byte{}, errors.New("a note without a root")
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != 32 {
		return [32]byte{}, fmt.Errorf("root of a note: %q", lines[2])
	}
	return [32]byte(root), nil
}
