package signing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/internal/tracing"
	"github.com/sigilkeys/sigil/receipt"
)

// Error is a refusal with its code for the API.
type Error struct {
	Code    api.Code
	Message string
	// RetryAfter is when asking again may help, of refusals for load. 0 says
	// soon.
	RetryAfter time.Duration
}

// Error implements error.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

func refuse(code api.Code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Service decides requests through the TEE.
type Service struct {
	store     store.Store
	fleet     *Fleet
	committer *Committer
	networks  *chain.Registry
	queue     queue
	tracer    *tracing.Tracer
	uses      uses

	mu        sync.RWMutex // guards the fields below
	keys      map[string]*Key
	wallets   map[canon.UUID]*Wallet
	forgotten uint64 // calls of ForgetGrant and forgetKeys
}

// NewService returns a Service over its parts.
func NewService(s store.Store, f *Fleet, c *Committer, n *chain.Registry) *Service {
	return &Service{store: s, fleet: f, committer: c, networks: n, queue: queue{max: DefaultMaxInFlight, byOrg: map[canon.UUID]int{}}, uses: uses{last: map[string]time.Time{}},
		keys: map[string]*Key{}, wallets: map[canon.UUID]*Wallet{}}
}

// Key is a grant with the documents around it, verified once when loaded.
type Key struct {
	*authority.VerifiedGrant
	KeyID       string
	Genesis     *authority.VerifiedGenesis
	State       []byte // state record
	StateDigest [32]byte
	Created     time.Time
	OrgCreated  time.Time
	Revoked     bool
}

// Wallet is a wallet's record, decoded and verified once when loaded.
type Wallet struct {
	*store.Wallet
	Digest      [32]byte
	Certificate *receipt.WalletCertificate
	Signed      []byte // the certificate's bytes
	// Addresses by network, and public keys by curve in hex.
	Addresses  map[string]string
	PublicKeys map[string]string

	loaded time.Time
}

// maxWalletAge is how long a cached wallet may lag behind a label or an archive
// that another control plane has set.
const maxWalletAge = time.Minute

// maxCached bounds each of the two maps.
const maxCached = 100_000

// Key finds an API key by its id. Unknown and revoked ones are invalid_key.
func (s *Service) Key(ctx context.Context, keyID string) (*Key, error) {
	s.mu.RLock()
	k := s.keys[keyID]
	s.mu.RUnlock()
	if k == nil {
		var err error
		if k, err = s.loadKey(ctx, keyID); err != nil {
			return nil, err
		}
	}
	if k.Revoked {
		return nil, refuse(api.CodeInvalidKey, "the key was revoked")
	}
	return k, nil
}

func (s *Service) loadKey(ctx context.Context, keyID string) (*Key, error) {
	s.mu.RLock()
	before := s.forgotten
	s.mu.RUnlock()
	g, err := s.store.GrantByKeyID(ctx, keyID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, refuse(api.CodeInvalidKey, "there is no such key")
	}
	if err != nil {
		return nil, unavailable(err)
	}
	o, err := s.store.Organization(ctx, g.Organization)
	if err != nil {
		return nil, unavailable(err)
	}
	k := &Key{KeyID: keyID, State: o.State, StateDigest: sha256.Sum256(o.State), Created: g.Created, OrgCreated: o.Created, Revoked: !g.Revoked.IsZero()}
	if k.Genesis, err = authority.VerifyGenesis(o.Genesis); err != nil {
		return nil, fmt.Errorf("stored genesis: %w", err)
	}
	if k.VerifiedGrant, err = authority.VerifyGrant(g.Envelope, k.Genesis); err != nil {
		return nil, fmt.Errorf("stored grant: %w", err)
	}
	// A row that is another key's must not be remembered as this one's.
	if authority.KeyID(k.Credential) != keyID {
		return nil, errors.New("the stored grant is another key's")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// What was read before a change must not outlive it.
	if s.forgotten != before {
		return k, nil
	}
	if len(s.keys) >= maxCached {
		clear(s.keys)
	}
	s.keys[keyID] = k
	return k, nil
}

// ForgetGrant drops a grant's key from the cache, so that a change is read.
func (s *Service) ForgetGrant(digest [32]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgotten++
	for id, k := range s.keys {
		if k.Digest == digest {
			delete(s.keys, id)
		}
	}
}

// forgetKeys drops every key from the cache.
func (s *Service) forgetKeys() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgotten++
	clear(s.keys)
}

// Wallet finds a wallet of an organisation.
func (s *Service) Wallet(ctx context.Context, org, id canon.UUID) (*Wallet, error) {
	s.mu.RLock()
	w := s.wallets[id]
	s.mu.RUnlock()
	now := s.fleet.Now()
	if w != nil && w.Organization == org && now.Sub(w.loaded) < maxWalletAge {
		return w, nil
	}
	row, err := s.store.Wallet(ctx, org, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, refuse(api.CodeWalletNotFound, "there is no wallet %s in this organisation", id)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	// The certificate names its wallet, so that no row is remembered as another.
	if w, err = OpenWallet(row, s.networks); err == nil && (w.ID != id || w.Organization != org) {
		err = errors.New("the row is another wallet's")
	}
	if err != nil {
		return nil, refuse(api.CodeCertificateInvalid, "the stored record of wallet %s doesn't verify: %v", id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.wallets) >= maxCached {
		clear(s.wallets)
	}
	w.loaded = now
	s.wallets[id] = w
	return w, nil
}

// OpenWallet decodes a stored wallet and derives its addresses.
func OpenWallet(row *store.Wallet, networks *chain.Registry) (*Wallet, error) {
	r, err := receipt.DecodeWalletRecord(row.Record)
	if err != nil {
		return nil, err
	}
	cert, err := receipt.OpenWalletCertificate(r.Certificate)
	if err != nil {
		return nil, err
	}
	if cert.Wallet != row.ID || cert.Organization != row.Organization {
		return nil, errors.New("the certificate is of another wallet")
	}
	w := &Wallet{Wallet: row, Digest: sha256.Sum256(row.Record), Certificate: cert, Signed: r.Certificate,
		PublicKeys: map[string]string{}}
	w.Addresses, err = networks.Addresses(func(c keys.Curve) ([]byte, bool) {
		k, has := cert.Key(c)
		if !has {
			return nil, false
		}
		w.PublicKeys[c.String()] = hex.EncodeToString(k.PublicKey)
		return k.PublicKey, true
	})
	return w, err
}

func unavailable(err error) error {
	return refuse(api.CodeStoreUnavailable, "the database doesn't answer: %v", err)
}

// Outcome is a decision that is committed.
type Outcome struct {
	Decision *store.Decision
	Leaf     *receipt.Leaf
	Receipt  []byte   // receipt record
	Evidence [32]byte // digest of the instance's statement
	Wallet   *Wallet  // of a createWallet that was allowed
	Network  *chain.Network
}

// Call is one request for a decision.
type Call struct {
	Key     *Key
	Wallet  *Wallet // nil: create one
	Label   string  // of the wallet to create
	Request teelink.Decide
	// Item is the body's item that Request.Item names.
	Item []byte
}

func (s *Service) decide(ctx context.Context, c *Call) (*Outcome, error) {
	if err := s.queue.enter(c.Key.OrganizationID); err != nil {
		return nil, err
	}
	defer s.queue.leave(c.Key.OrganizationID)
	if c.Request.IdempotencyKey != "" {
		if out, err := s.earlier(ctx, c); out != nil || err != nil {
			return out, err
		}
	}
	forget := s.committer.expectLabel(labelKey{c.Key.KeyID, c.requestID()}, c.Label)
	s.committer.asking.Add(1)
	o, err := s.askTraced(ctx, c)
	s.committer.asking.Add(-1)
	if err != nil {
		if ctx.Err() != nil {
			// A caller who goes doesn't stop the TEE: the wallet that is
			// made later has its label, and their repeated request gets it.
			time.AfterFunc(time.Minute, forget)
		} else {
			forget()
		}
		return s.afterRefusal(ctx, c, err)
	}
	s.Used(c.Key.KeyID)
	t, ok := o.Batch.Tag.(*ticket)
	if !ok {
		return nil, errors.New("a batch without a ticket")
	}
	if s.wait(ctx, t) != nil {
		return nil, refuse(api.CodeDeadlineExceeded, "the decision wasn't recorded in time; send the same request again")
	}
	forget() // if the batch made no wallet
	if t.err != nil {
		return nil, refuse(api.CodeStoreUnavailable, "the decision couldn't be recorded, so nothing was released; send the same request again")
	}
	if r := t.results[o.Index]; !r.Won {
		return s.conflict(ctx, c, r.Stored, o.Item().Leaf)
	}
	proof := &receipt.Receipt{Leaf: o.Item().Leaf, Index: uint32(o.Index), Path: t.tree.Path(o.Index), Batch: o.Batch.Signed}
	return s.outcome(ctx, t.results[o.Index].Stored, t.leaves[o.Index], t.signed.Statement, proof)
}

// maxAsked is how many workloads are asked, one after the other.
const maxAsked = 3

// ask has a workload decide the request. Where its link breaks before the
// answer, another one is asked: what the first decided isn't released by it,
// and if its batch did arrive, the store lets the first of the two stand. A new
// wallet is left to the client to ask for again: as long as its workload is
// there, no other makes it.
func (s *Service) ask(ctx context.Context, c *Call) (*teelink.Outcome, error) {
	w := want{op: teelink.OpDecide}
	if c.Request.Item != 0 {
		w.op = teelink.OpDecideItem
	}
	asks := maxAsked
	if c.Wallet == nil {
		id := c.requestID()
		w.home, asks = append([]byte(c.Key.KeyID), id[:]...), 1
	}
	for {
		m, client, err := s.fleet.take(ctx, w)
		if err != nil {
			return nil, err
		}
		out, err := askOf(ctx, client, c)
		m.give()
		if asks--; asks == 0 || !errors.Is(err, teelink.ErrClosed) || ctx.Err() != nil {
			return out, err
		}
	}
}

// askOf sends the request over one link, with missing objects put once.
func askOf(ctx context.Context, client *teelink.Client, c *Call) (*teelink.Outcome, error) {
	r := &c.Request
	r.Genesis, r.Grant = c.Key.Genesis.Digest, c.Key.Digest
	record := teelink.Object{Kind: teelink.ObjectStateRecord, Bytes: c.Key.State}
	r.Record = c.Key.StateDigest
	if c.Wallet != nil {
		record = teelink.Object{Kind: teelink.ObjectWalletRecord, Bytes: c.Wallet.Record}
		r.Record = c.Wallet.Digest
	}
	for attempt := 0; ; attempt++ {
		out, err := client.Decide(ctx, r)
		var refused *teelink.RemoteError
		if !errors.As(err, &refused) || refused.Code != "objects_missing" || attempt == 2 {
			return out, err
		}
		if err := client.Put(ctx, []teelink.Object{
			{Kind: teelink.ObjectGenesis, Bytes: c.Key.Genesis.Envelope},
			{Kind: teelink.ObjectGrant, Bytes: c.Key.Envelope},
			record,
		}); err != nil {
			return nil, err
		}
	}
}

// afterRefusal looks whether this very request was decided before: a repeat
// that comes late is too old for the TEE, but its answer stands.
func (s *Service) afterRefusal(ctx context.Context, c *Call, err error) (*Outcome, error) {
	var refused *teelink.RemoteError
	switch {
	case errors.As(err, &refused):
		if refused.Code == string(api.CodeClockSkew) {
			switch d, err := s.store.DecisionByRequest(ctx, c.Key.KeyID, c.requestID()); {
			case err == nil:
				return s.replay(ctx, c, d)
			case !errors.Is(err, store.ErrNotFound):
				return nil, unavailable(err) // its answer may stand, so it isn't too late to ask
			}
		}
		return nil, &Error{Code: api.Code(refused.Code), Message: refused.Message}
	case errors.Is(err, teelink.ErrOldPeer):
		return nil, refuse(api.CodeUnsupportedRequest, "the TEE workload is older than batches; send the items one by one")
	case errors.Is(err, ErrUnavailable), errors.Is(err, teelink.ErrClosed):
		return nil, refuse(api.CodeTEEUnavailable, "no TEE workload is connected; nothing was released")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return nil, refuse(api.CodeDeadlineExceeded, "the TEE didn't answer in time; send the same request again")
	}
	return nil, err
}
