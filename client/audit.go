package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sigilkeys/sigil/attest"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/receipt"
)

// FormatLedger is the format of an exported ledger: JSON lines, of which the
// first has the genesis document and the checkpoint, and each further one a
// grant, a piece of evidence, or an entry that needs only what came before it.
// No line is blank:
//
//	{"format":"sigil.ledger-export.v1","genesis":<DSSE envelope>,"note":<signed note>}
//	{"grant":<DSSE envelope>}
//	{"evidence":{"statement":<base64>,"token":<JWT>}}
//	{"entry":{"index":0,"receipt":<base64>}}
const FormatLedger = "sigil.ledger-export.v1"

// ledgerLine is one line, whichever it is.
type ledgerLine struct {
	Format   string           `json:"format,omitempty"`
	Genesis  json.RawMessage  `json:"genesis,omitempty"`
	Note     string           `json:"note,omitempty"`
	Grant    json.RawMessage  `json:"grant,omitempty"`
	Evidence *attest.Evidence `json:"evidence,omitempty"`
	Entry    *ledgerEntry     `json:"entry,omitempty"`
}

type ledgerEntry struct {
	Index   uint64 `json:"index"`
	Receipt []byte `json:"receipt"`
}

// AuditError says which line of an export is the first that is wrong.
type AuditError struct {
	Line  int    // from 1; 0 at the end
	Entry uint64 // index of the next entry
	Err   error
}

// Error implements error.
func (e *AuditError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("after the last line: %v", e.Err)
	}
	return fmt.Sprintf("line %d (entry %d): %v", e.Line, e.Entry, e.Err)
}

// Unwrap returns the cause.
func (e *AuditError) Unwrap() error { return e.Err }

// Audit verifies an exported ledger line by line, without a network, and
// believes nothing but the genesis digest that it is given: every receipt with
// its evidence, the owner's grant behind it, each entry's place, and that all
// of them together are what the checkpoint signs.
type Audit struct {
	trusted  [32]byte
	earlier  []string // notes that the ledger must extend
	genesis  *authority.VerifiedGenesis
	note     string
	stateKey *[32]byte
	head     *receipt.Checkpoint

	grants   map[[32]byte]*authority.VerifiedGrant
	evidence map[[32]byte]*auditEvidence
	unused   *auditEvidence // the last one, until an entry needs it
	spans    map[evidenceUse]*evidenceSpan
	seen     map[canon.UUID]struct{}
	roots    map[uint64][32]byte // of the earlier notes, by size
	frontier receipt.Frontier
	batches  map[[32]byte]*instanceBatches // by instance key
	line     int
	report   AuditReport
}

// auditEvidence is a piece of evidence and where it stands: an entry further
// down is what shows that it is wrong.
type auditEvidence struct {
	attest.Evidence
	line  int
	entry uint64
}

// instanceBatches are the signed batches of one instance, by number.
type instanceBatches struct {
	at      int // in the report
	digests map[uint64][32]byte
}

// AuditReport sums up a verified ledger.
type AuditReport struct {
	Organization  string          `json:"organization_id"`
	GenesisDigest string          `json:"genesis_digest"` // hex
	StateKey      string          `json:"state_key"`      // hex
	Entries       uint64          `json:"entries"`
	Root          string          `json:"root"` // hex
	Note          string          `json:"checkpoint"`
	Signed        uint64          `json:"signed"`
	Denied        uint64          `json:"denied"`
	Wallets       uint64          `json:"wallets_created"`
	First         time.Time       `json:"first"`
	Last          time.Time       `json:"last"`
	Instances     []AuditInstance `json:"instances"`
	Extends       []uint64        `json:"extends"` // sizes of the earlier checkpoints
}

// AuditInstance is what a ledger holds of one workload instance. What is missing
// between First and Last, and Others in the batches that are there, are the
// decisions of other organisations, those that lost to an earlier decision on
// the same request id or Idempotency-Key, and those that a crash took before
// they were stored: or somebody hides them. Where a deployment has one
// organisation, both are few.
type AuditInstance struct {
	InstanceKey string `json:"instance_key"` // hex
	Release     string `json:"release"`
	First       uint64 `json:"first_batch"`
	Last        uint64 `json:"last_batch"`
	Batches     uint64 `json:"batches"`
	Missing     uint64 `json:"missing_batches"`
	Others      uint64 `json:"other_decisions"` // in the batches that are there
}

// NewAudit starts an audit for the organisation with that genesis digest. The
// ledger must extend the earlier checkpoints, if any are given.
func NewAudit(genesisDigest [32]byte, earlier ...string) *Audit {
	return &Audit{trusted: genesisDigest, earlier: earlier, grants: map[[32]byte]*authority.VerifiedGrant{}, evidence: map[[32]byte]*auditEvidence{},
		spans: map[evidenceUse]*evidenceSpan{}, seen: map[canon.UUID]struct{}{}, roots: map[uint64][32]byte{}, batches: map[[32]byte]*instanceBatches{}}
}

// Line verifies the next line. The error is an *AuditError.
func (a *Audit) Line(data []byte) error {
	a.line++
	if err := a.take(data); err != nil {
		var earlier *AuditError
		if errors.As(err, &earlier) {
			return earlier
		}
		return &AuditError{Line: a.line, Entry: a.frontier.Size(), Err: err}
	}
	return nil
}

func (a *Audit) take(data []byte) error {
	var l ledgerLine
	if err := canon.DecodeJSONLoose(data, &l); err != nil {
		return broken(CodeLedger, err, "not a line of an export")
	}
	parts := 0
	for _, has := range []bool{l.Format != "" || l.Genesis != nil || l.Note != "", l.Grant != nil, l.Evidence != nil, l.Entry != nil} {
		if has {
			parts++
		}
	}
	switch {
	case parts != 1 || (a.line == 1) != (l.Format != ""):
		return broken(CodeLedger, nil, "the first line has the format, each other one a grant, a piece of evidence or an entry")
	case l.Format != "":
		return a.takeHeader(&l)
	case l.Grant != nil:
		return a.takeGrant(l.Grant)
	case l.Evidence != nil:
		a.unused = &auditEvidence{*l.Evidence, a.line, a.frontier.Size()}
		a.evidence[l.Evidence.ID()] = a.unused
		return nil
	}
	return a.takeEntry(l.Entry)
}

func (a *Audit) takeHeader(l *ledgerLine) error {
	if l.Format != FormatLedger {
		return broken(CodeLedger, nil, "format is %.40q, want %q", l.Format, FormatLedger)
	}
	var err error
	if a.genesis, err = openGenesis(l.Genesis); err != nil {
		return err
	}
	if a.genesis.Digest != a.trusted {
		return broken(CodePin, nil, "the ledger is of another organisation than is trusted")
	}
	a.note = l.Note
	return nil
}

// takeGrant verifies a grant; the first one says what the state key is, by the
// owner's word.
func (a *Audit) takeGrant(raw []byte) error {
	g, err := openGrant(raw, a.genesis)
	if err != nil {
		return err
	}
	if a.stateKey == nil {
		a.stateKey = &g.StateKey
		if err := a.openNotes(); err != nil {
			return err
		}
	}
	if g.StateKey != *a.stateKey {
		return broken(CodeGrant, nil, "the owner's grants name two state keys")
	}
	a.grants[g.Digest] = g
	return nil
}

func (a *Audit) openNotes() error {
	origin := receipt.LedgerOrigin(a.genesis.OrganizationID)
	var err error
	if a.head, err = receipt.OpenCheckpoint(a.note, origin, *a.stateKey); err != nil {
		return &AuditError{Line: 1, Err: broken(CodeLedger, err, "the export's checkpoint")}
	}
	for _, note := range a.earlier {
		c, err := receipt.OpenCheckpoint(note, origin, *a.stateKey)
		if err != nil {
			return broken(CodeLedger, err, "an earlier checkpoint")
		}
		if root, has := a.roots[c.Size]; has && root != c.Root {
			return broken(CodeLedger, nil, "two of the earlier checkpoints of size %d differ: the ledger was forked", c.Size)
		}
		if c.Size > a.head.Size {
			return &AuditError{Line: 1, Err: broken(CodeLedger, nil, "an earlier checkpoint has %d entries, the export's has %d", c.Size, a.head.Size)}
		}
		a.roots[c.Size] = c.Root
		a.report.Extends = append(a.report.Extends, c.Size)
	}
	return nil
}

func (a *Audit) takeEntry(e *ledgerEntry) error {
	if a.head == nil || e.Index != a.frontier.Size() || e.Index >= a.head.Size {
		return broken(CodeLedger, nil, "entry %d stands where entry %d should", e.Index, a.frontier.Size())
	}
	proof, err := receipt.DecodeReceipt(e.Receipt)
	if err != nil {
		return broken(CodeReceiptInvalid, err, "receipt")
	}
	rc, err := openReceiptBy(context.Background(), a.genesis, proof, e.Receipt, a.findEvidence, a.checkEvidence)
	if err != nil {
		return err
	}
	if err := ofOrganization(a.genesis, &rc.Leaf); err != nil {
		return err
	}
	if err := a.checkGrant(&rc.Leaf); err != nil {
		return err
	}
	if _, twice := a.seen[rc.Leaf.ID]; twice {
		return broken(CodeLedger, nil, "receipt %s stands in the ledger twice", rc.ID)
	}
	a.seen[rc.Leaf.ID] = struct{}{}
	if err := a.count(rc, proof); err != nil {
		return err
	}
	a.frontier.Append(receipt.LeafHash(proof.Leaf))
	if root, has := a.roots[a.frontier.Size()]; has && root != a.frontier.Root() {
		return broken(CodeLedger, nil, "the first %d entries aren't those of the earlier checkpoint: the ledger was rewritten", a.frontier.Size())
	}
	return nil
}

func (a *Audit) findEvidence(_ context.Context, statement [32]byte) (attest.Evidence, error) {
	ev, has := a.evidence[statement]
	switch {
	case !has && a.unused != nil:
		return attest.Evidence{}, a.unused.wrong(broken(CodeEvidenceInvalid, nil, "the evidence isn't of the statement %x, of which the entry after it is", statement))
	case !has:
		return attest.Evidence{}, broken(CodeEvidenceInvalid, nil, "the export has no evidence for the statement %x", statement)
	case ev == a.unused:
		a.unused = nil
	}
	return ev.Evidence, nil
}

// wrong says that the line to blame is the evidence's.
func (e *auditEvidence) wrong(err error) error {
	return &AuditError{Line: e.line, Entry: e.entry, Err: err}
}

func (a *Audit) checkGrant(l *receipt.Leaf) error {
	g := a.grants[l.Grant]
	switch {
	case g == nil:
		return broken(CodeGrant, nil, "the export has no grant %x, signed by the owner, for receipt %s", l.Grant, l.ID)
	case g.Credential != l.Credential:
		return mismatch(CodeReceiptMismatch, "credential", "decided for another credential than the grant's")
	case !inGrantsLife(g, l):
		return mismatch(CodeReceiptMismatch, "time", "decided outside the life of the grant")
	}
	return nil
}

// count adds an entry to the report, and requires that an instance signs each
// batch number once, one after the other.
func (a *Audit) count(rc *Receipt, proof *receipt.Receipt) error {
	r, at := &a.report, micros(rc.Leaf.Time)
	if r.Entries++; r.Entries == 1 || at.Before(r.First) {
		r.First = at
	}
	if at.After(r.Last) {
		r.Last = at
	}
	switch {
	case rc.Leaf.Decision != receipt.Allow:
		r.Denied++
	case rc.Leaf.Kind == receipt.KindCreateWallet:
		r.Wallets++
	default:
		r.Signed++
	}
	return a.countBatch(rc, sha256.Sum256(proof.Batch))
}

// countBatch adds an entry's batch to the report.
func (a *Audit) countBatch(rc *Receipt, digest [32]byte) error {
	b := &rc.Batch
	known := a.batches[b.InstanceKey]
	if known == nil {
		known = &instanceBatches{at: len(a.report.Instances), digests: map[uint64][32]byte{}}
		a.batches[b.InstanceKey] = known
		a.report.Instances = append(a.report.Instances, AuditInstance{InstanceKey: hex.EncodeToString(b.InstanceKey[:]), Release: rc.Attested.Release, First: b.Number, Last: b.Number})
	}
	in := &a.report.Instances[known.at]
	if old, has := known.digests[b.Number]; has {
		if old != digest {
			return broken(CodeBatch, nil, "the instance signed two batches of number %d", b.Number)
		}
		in.Others--
		return nil
	}
	known.digests[b.Number] = digest
	if before, has := known.digests[b.Number-1]; has && before != b.Previous {
		return broken(CodeBatch, nil, "batch %d doesn't follow batch %d of the same instance", b.Number, b.Number-1)
	}
	in.First, in.Last, in.Batches = min(in.First, b.Number), max(in.Last, b.Number), in.Batches+1
	in.Missing = in.Last - in.First + 1 - in.Batches
	in.Others += uint64(b.Count) - 1
	return nil
}

// Finish requires that the export is whole, and returns the report.
func (a *Audit) Finish() (*AuditReport, error) {
	fail := func(format string, args ...any) (*AuditReport, error) {
		return nil, &AuditError{Entry: a.frontier.Size(), Err: broken(CodeLedger, nil, format, args...)}
	}
	switch {
	case a.head == nil:
		return fail("the export ends before its first entry")
	case a.frontier.Size() != a.head.Size:
		return fail("the export ends after %d of %d entries", a.frontier.Size(), a.head.Size)
	case a.frontier.Root() != a.head.Root:
		return fail("the entries aren't those that the checkpoint signs")
	}
	r := &a.report
	root := a.frontier.Root()
	r.Organization, r.GenesisDigest = a.genesis.OrganizationID.String(), hex.EncodeToString(a.genesis.Digest[:])
	r.StateKey, r.Root, r.Note = hex.EncodeToString(a.stateKey[:]), hex.EncodeToString(root[:]), a.note
	return r, nil
}

// Contains refuses unless each of the receipts, by their ids, is in the ledger
// that was verified: a decision whose receipt somebody holds and that isn't
// there was hidden, unless it is younger than the checkpoint.
func (a *Audit) Contains(ids ...string) error {
	for _, id := range ids {
		u, err := canon.ParseUUID(id)
		if err != nil {
			return badArgument("receipt", "%.40q is not a lower-case UUID", id)
		}
		if _, has := a.seen[u]; !has {
			return broken(CodeLedger, nil, "the ledger doesn't hold receipt %s: it was hidden, or is younger than the checkpoint", id)
		}
	}
	return nil
}
