// Package store declares what the control plane keeps: signed documents,
// sealed records and decisions. Nothing in it is secret, and nothing in it is
// trusted: the TEE and the clients verify whatever comes from here.
//
// Durability. When a method that writes returns nil, the write survives a
// crash of process and machine. When it returns ErrUnknown, it may or may not
// have happened; the caller drops what it cached and reads again.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
)

var (
	// ErrNotFound is returned when there is no such row in the organisation.
	ErrNotFound = errors.New("not found")
	// ErrExists is returned when a unique row exists already.
	ErrExists = errors.New("exists")
	// ErrContradiction is returned when rows that are restored violate a rule of
	// the tables.
	ErrContradiction = errors.New("rows contradict each other")
	// ErrUnknown is returned when the outcome of a write is unknown.
	ErrUnknown = errors.New("outcome of the write is unknown")
)

// Organization is an organisation with its sealed state key.
type Organization struct {
	ID      canon.UUID
	Genesis []byte // envelope
	Digest  [32]byte
	State   []byte // state record
	Created time.Time
}

// Grant is an API key.
type Grant struct {
	Organization canon.UUID
	ID           canon.UUID
	KeyID        string
	Digest       [32]byte
	Envelope     []byte
	Created      time.Time
	Revoked      time.Time // zero: not revoked
	Used         time.Time // of a list alone; to the minute, zero: never
}

// Revocation is a signed revocation with the genesis it was made under.
type Revocation struct {
	Organization canon.UUID
	Grant        [32]byte
	Envelope     []byte
	At           time.Time
}

// Wallet is a sealed wallet.
type Wallet struct {
	Organization canon.UUID
	ID           canon.UUID
	Record       []byte // wallet record
	Label        string
	Receipt      canon.UUID // of the creation
	Created      time.Time
	Archived     time.Time // zero: not archived

	// Addresses are those that the wallet is found by. They are written with a
	// new wallet and not read back: they follow from the record.
	Addresses []string
}

// ArchiveState selects wallets by whether they are archived.
type ArchiveState int

// Archive states.
const (
	AnyState ArchiveState = iota
	Live
	Archived
)

// WalletFilter selects wallets; what is zero leaves all.
type WalletFilter struct {
	Archived      ArchiveState
	LabelPrefix   string
	Address       string // as in Wallet.Addresses
	After, Before time.Time
}

// WalletChange is a change to what people see of a wallet; nil leaves a part
// as it is, and a zero time of Archived takes it back.
type WalletChange struct {
	Label    *string
	Archived *time.Time
}

// Decision is one leaf with what was released for it.
type Decision struct {
	ID           canon.UUID // receipt id
	Organization canon.UUID
	KeyID        string
	RequestID    canon.UUID
	Idempotency  [32]byte // digest of the Idempotency-Key; zero = none
	Leaf         []byte
	ResultKind   uint8
	Result       []byte // signature text; nil for wallets, which have a row
	Explanation  string

	Batch int64 // row of the batch; set by Commit
	Index int
}

// Batch is one signed batch of an instance.
type Batch struct {
	Instance [32]byte
	Number   uint64
	Signed   []byte
	Hashes   [][32]byte // of all its leaves, in order
}

// Holds reports whether the batch has a leaf of that hash at an index.
func (b *Batch) Holds(index int, hash [32]byte) bool {
	return index >= 0 && index < len(b.Hashes) && b.Hashes[index] == hash
}

// CommitBatch is a batch with the decisions and wallets that it covers.
type CommitBatch struct {
	Batch     Batch
	Decisions []Decision
	Wallets   []*Wallet // by decision, nil where none was made
}

// Commit says what became of one decision.
type Commit struct {
	// Won is set when the decision was stored. Otherwise a decision with the
	// same request id or Idempotency-Key was there before it.
	Won bool
	// Stored is the decision that stands: this one, or the winner.
	Stored *Decision
}

// Evidence is an archived statement with its token.
type Evidence struct {
	ID        [32]byte // digest of the statement
	Statement []byte
	Token     string
	Release   string
	Version   string
	Stored    time.Time
}

// MaxAnswerKeys is how many Idempotency-Keys one document may come with.
// Whoever has seen a document can send it again.
const MaxAnswerKeys = 16

// Answer is what was answered to a signed document that came with an
// Idempotency-Key.
type Answer struct {
	Organization canon.UUID
	Key          [32]byte  // digest of the Idempotency-Key
	Document     [32]byte  // digest of the envelope
	Status       int       // 0: not answered yet
	Body         []byte    // with a sum of the server's before it
	At           time.Time // when the document came
}

// Ledger is how far the log of an organisation's decisions has come.
type Ledger struct {
	Organization canon.UUID
	Size         uint64 // leaves
	Note         string // newest checkpoint, "" before the first
	Noted        uint64 // leaves that it covers
}

// Tile holds up to 256 neighbouring hashes of a ledger's tree, as in C2SP's
// tlog-tiles: number Index of a level, of which level 0 has the leaves' hashes
// and each further one the roots of the full tiles below.
type Tile struct {
	Level  int
	Index  uint64
	Hashes []byte // 32 bytes each
}

// Growth is what a fold adds to one ledger.
type Growth struct {
	Organization canon.UUID
	From         uint64       // the size before
	Receipts     []canon.UUID // of the decisions that are added, in order
	Tiles        []Tile       // those that are new, longer or mended
}

// EventKind says what happened.
type EventKind int

// Event kinds; their numbers are stored.
const (
	EventSigned              EventKind = 1 // a message
	EventWalletCreated       EventKind = 2
	EventKeyCreated          EventKind = 3
	EventKeyRevoked          EventKind = 4
	EventOrganizationCreated EventKind = 5
	EventTransactionSigned   EventKind = 6
	EventTypedDataSigned     EventKind = 7
	EventAuthorizationSigned EventKind = 8
	EventUserOperationSigned EventKind = 9
)

// Event is one line of an organisation's audit trail.
type Event struct {
	Organization canon.UUID
	ID           canon.UUID // of the receipt, the grant or the organisation
	At           time.Time
	Kind         EventKind
	Success      bool       // false: denied
	KeyID        string     // that asked, or that was created or revoked
	Wallet       canon.UUID // zero: none
	Network      string
	Code         string // why it was denied
}

// EventFilter selects events; what is zero leaves all.
type EventFilter struct {
	Kind         EventKind
	Success      *bool
	Wallet       canon.UUID
	KeyID        string
	Since, Until time.Time // from Since on, before Until
}

// Page selects rows of a list.
type Page struct{ Limit, Offset int }

// Store keeps everything. Methods may be called from many goroutines; every
// read is of committed rows. Rows of another organisation are not found.
type Store interface {
	CreateOrganization(ctx context.Context, o *Organization) error
	Organization(ctx context.Context, id canon.UUID) (*Organization, error)

	CreateGrant(ctx context.Context, g *Grant) error
	GrantByKeyID(ctx context.Context, keyID string) (*Grant, error)
	Grants(ctx context.Context, org canon.UUID, p Page) ([]Grant, int, error)
	// PutUses notes when keys were used last; an earlier time changes nothing.
	PutUses(ctx context.Context, uses map[string]time.Time) error

	// Revoke stores the revocation and marks the grant; again is no error.
	Revoke(ctx context.Context, r *Revocation) error
	Revocations(ctx context.Context) ([]Revocation, error)
	CountRevocations(ctx context.Context) (int, error)

	// ClaimAnswer notes that a document came with a key, unless the key came
	// with one before, or the document with MaxAnswerKeys others, and returns what
	// stands under the key; nil: nothing. Answers of the organisation older than
	// expired are forgotten first.
	ClaimAnswer(ctx context.Context, a *Answer, expired time.Time) (*Answer, error)
	// PutAnswer notes the answer to a claimed document, unless there is one, and
	// returns what stands under the key; nil: nothing.
	PutAnswer(ctx context.Context, a *Answer) (*Answer, error)
	// DropAnswer frees the key of a document that wasn't answered.
	DropAnswer(ctx context.Context, a *Answer) error

	Wallet(ctx context.Context, org, id canon.UUID) (*Wallet, error)
	// Wallets returns a page in order of creation, and how many there are.
	Wallets(ctx context.Context, org canon.UUID, f WalletFilter, p Page) ([]Wallet, int, error)
	SetWallet(ctx context.Context, org, id canon.UUID, c WalletChange) error
	// Unaddressed returns wallets that an older program stored without their
	// addresses; PutAddresses stores these.
	Unaddressed(ctx context.Context, limit int) ([]Wallet, error)
	PutAddresses(ctx context.Context, wallets []Wallet) error

	// Commit stores batches whole in one transaction with one flush. A
	// decision whose request id or Idempotency-Key was used by the same key
	// isn't stored, nor its wallet; Stored is the winner then.
	Commit(ctx context.Context, batches []CommitBatch) ([][]Commit, error)
	// DecisionByRequest finds a decision by request id, or by the digest of
	// its Idempotency-Key.
	DecisionByRequest(ctx context.Context, keyID string, request canon.UUID) (*Decision, error)
	DecisionByIdempotency(ctx context.Context, keyID string, digest [32]byte) (*Decision, error)
	Decision(ctx context.Context, org, id canon.UUID) (*Decision, error)
	Batch(ctx context.Context, row int64) (*Batch, error)

	// Unfolded returns rows of batches, after one, whose decisions aren't all in
	// ledgers yet, oldest first. Commit puts a batch there.
	Unfolded(ctx context.Context, after int64, limit int) ([]int64, error)
	// DecisionsOf returns a batch's stored decisions that are in no ledger yet,
	// in order.
	DecisionsOf(ctx context.Context, batch int64) ([]Decision, error)
	// Fold takes decisions into ledgers and audit trails, and batches that are
	// there with all of theirs off Unfolded's list, in one transaction. ErrExists:
	// another fold was faster with one of them, and nothing happened.
	Fold(ctx context.Context, batches []int64, ledgers []Growth) error
	Ledger(ctx context.Context, org canon.UUID) (*Ledger, error)
	// Unnoted returns ledgers that are longer than their checkpoint, of the
	// organisations after one, in the order of their ids.
	Unnoted(ctx context.Context, after canon.UUID, limit int) ([]Ledger, error)
	// PutNote stores a checkpoint; one that covers no more than the stored one
	// is dropped.
	PutNote(ctx context.Context, org canon.UUID, size uint64, note string) error
	Tile(ctx context.Context, org canon.UUID, level int, index uint64) (*Tile, error)
	// Entries returns a ledger's decisions from an index on.
	Entries(ctx context.Context, org canon.UUID, from uint64, limit int) ([]Decision, error)
	// EntryOf returns the index of a receipt's decision.
	EntryOf(ctx context.Context, org, receipt canon.UUID) (uint64, error)

	// Events returns a page of an audit trail, newest first, and how many
	// there are. Decisions are in it once they are folded.
	Events(ctx context.Context, org canon.UUID, f EventFilter, p Page) ([]Event, int, error)
	// AuditOlder takes batches into audit trails that were folded by an older
	// program, and returns how many. ErrExists: somebody else was faster.
	AuditOlder(ctx context.Context, limit int) (int, error)

	// PutEvidence archives evidence; again is no error.
	PutEvidence(ctx context.Context, e *Evidence) error
	Evidence(ctx context.Context, id [32]byte) (*Evidence, error)

	// Ready reports whether the store can read and write.
	Ready(ctx context.Context) error
	Close() error
}
