package workload

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/sealed"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
)

// Bounds of the object caches: at up to 9 KB a wallet, 150 MB.
const (
	maxGenesis = 4096
	maxGrants  = 16384
	maxWallets = 16384
	// maxRevoked bounds the one set that nothing is evicted from: 64 MB.
	maxRevoked = 1 << 20
)

// objects are the verified documents and records, by digest. What isn't here
// the control plane puts again.
type objects struct {
	genesis *cache[*authority.VerifiedGenesis]
	grants  *cache[*grant]
	wallets *cache[*wallet]
	states  *cache[*stateKey]
	items   *cache[[]jsontext.Value] // of requests, by digest

	mu      sync.Mutex // guards revoked
	revoked map[[32]byte]struct{}
}

// grant is a verified grant with the genesis that it was verified under.
type grant struct {
	*authority.VerifiedGrant
	genesis    [32]byte
	keyID      string
	credential *keys.Verifier
}

// wallet is a record whose certificate verified under the state key that it
// names, ready for joins. Whose state key that is, decide compares.
type wallet struct {
	cert *receipt.WalletCertificate
	keys []walletKey // as in the certificate
}

type walletKey struct {
	curve         keys.Curve
	public        []byte
	verifier      func() (*keys.Verifier, error) // of public, made at its first use
	tee, provider *sealed.Share
	teePlace      *sealed.Place
	providerPlace *sealed.Place
}

func newWalletKey(c keys.Curve, public []byte) walletKey {
	return walletKey{curve: c, public: public, verifier: sync.OnceValues(func() (*keys.Verifier, error) { return keys.NewVerifier(c, public) })}
}

func newObjects() objects {
	return objects{
		genesis: newCache[*authority.VerifiedGenesis](maxGenesis),
		grants:  newCache[*grant](maxGrants),
		wallets: newCache[*wallet](maxWallets),
		states:  newCache[*stateKey](maxGenesis),
		items:   newCache[[]jsontext.Value](maxItemLists),
		revoked: map[[32]byte]struct{}{},
	}
}

// Put verifies objects and takes them into the caches, in order; the first
// that doesn't verify ends it. A grant or revocation needs its genesis to be
// known.
func (s *Service) Put(_ context.Context, list []teelink.Object) error {
	for i, o := range list {
		if err := s.put(o); err != nil {
			var known *teelink.RemoteError
			if errors.As(err, &known) {
				return err
			}
			return remote("object_invalid", "object %d: %v", i, err)
		}
	}
	return nil
}

func (s *Service) put(o teelink.Object) error {
	// The frame's memory is shared by everything in it: keep a copy.
	b := append([]byte(nil), o.Bytes...)
	switch o.Kind {
	case teelink.ObjectGenesis:
		return s.putGenesis(b)
	case teelink.ObjectGrant:
		return s.putGrant(b)
	case teelink.ObjectRevocation:
		return s.putRevocation(b)
	case teelink.ObjectWalletRecord:
		w, err := openWallet(b)
		if err != nil {
			return err
		}
		s.objects.wallets.put(sha256.Sum256(b), w)
		return nil
	case teelink.ObjectStateRecord:
		k, err := openState(b)
		if err != nil {
			return err
		}
		s.objects.states.put(sha256.Sum256(b), k)
		return nil
	}
	return fmt.Errorf("unknown kind %d", o.Kind)
}

func (s *Service) putGenesis(b []byte) error {
	g, err := s.verifyGenesis(b)
	if err != nil {
		return err
	}
	s.objects.genesis.put(g.Digest, g)
	return nil
}

// verifyGenesis also requires that the owner accepts this release and the
// KMS keys of its configuration.
func (s *Service) verifyGenesis(b []byte) (*authority.VerifiedGenesis, error) {
	g, err := authority.VerifyGenesis(b)
	if err != nil {
		return nil, err
	}
	if _, ok := g.Accepts(s.Release(), s.args.Config.TEEKey, s.args.Config.ProviderKey); !ok {
		return nil, remote("release_not_accepted", "the organisation's genesis doesn't accept the image %s with its KMS keys", s.Release())
	}
	return g, nil
}

// genesisOf finds the genesis that a document names.
func (s *Service) genesisOf(envelope []byte) (*authority.VerifiedGenesis, error) {
	digest, err := authority.GenesisOf(envelope)
	if err != nil {
		return nil, err
	}
	g, ok := s.objects.genesis.get(digest)
	if !ok {
		return nil, missing(digest)
	}
	return g, nil
}

// putGrant verifies a grant under the genesis that it names.
func (s *Service) putGrant(b []byte) error {
	g, err := s.genesisOf(b)
	if err != nil {
		return err
	}
	v, err := authority.VerifyGrant(b, g)
	if err != nil {
		return err
	}
	credential, err := keys.NewVerifier(keys.Ed25519, v.Credential[:])
	if err != nil {
		return fmt.Errorf("credential of the grant: %w", err)
	}
	s.objects.grants.put(v.Digest, &grant{VerifiedGrant: v, genesis: g.Digest, keyID: authority.KeyID(v.Credential), credential: credential})
	return nil
}

func (s *Service) putRevocation(b []byte) error {
	g, err := s.genesisOf(b)
	if err != nil {
		return err
	}
	v, err := authority.VerifyRevocation(b, g)
	if err != nil {
		return err
	}
	s.objects.mu.Lock()
	defer s.objects.mu.Unlock()
	// Never evicted: forgetting a revocation would loosen.
	if len(s.objects.revoked) >= maxRevoked {
		return errors.New("this instance holds as many revocations as it can; restart it")
	}
	s.objects.revoked[v.Grant] = struct{}{}
	return nil
}

func (o *objects) isRevoked(grant [32]byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, ok := o.revoked[grant]
	return ok
}

// openWallet verifies a record's certificate and lays out its shares.
func openWallet(record []byte) (*wallet, error) {
	r, err := receipt.DecodeWalletRecord(record)
	if err != nil {
		return nil, err
	}
	cert, err := receipt.OpenWalletCertificate(r.Certificate)
	if err != nil {
		return nil, err
	}
	if len(r.Shares) != 2*len(cert.Keys) {
		return nil, fmt.Errorf("wallet record: %w: %d shares for %d keys", receipt.ErrInvalid, len(r.Shares), len(cert.Keys))
	}
	w := &wallet{cert: cert}
	for i := range cert.Keys {
		k := newWalletKey(cert.Keys[i].Curve, cert.Keys[i].PublicKey)
		if k.tee, err = sealed.DecodeShare(r.Shares[2*i]); err != nil {
			return nil, err
		}
		if k.provider, err = sealed.DecodeShare(r.Shares[2*i+1]); err != nil {
			return nil, err
		}
		aad := keyAAD(cert, &cert.Keys[i])
		// Both shares of one key are of one epoch, whatever it is.
		aad.Epoch = k.tee.Epoch
		aad.Role = sealed.RoleTEE
		k.teePlace = sealed.NewPlace(aad)
		aad.Role = sealed.RoleProvider
		k.providerPlace = sealed.NewPlace(aad)
		w.keys = append(w.keys, k)
	}
	return w, nil
}

// keyAAD is the place of a certified key's shares, without role and epoch.
func keyAAD(cert *receipt.WalletCertificate, k *receipt.CertifiedKey) *sealed.AAD {
	return &sealed.AAD{
		Genesis:      cert.Genesis,
		StateKey:     sha256.Sum256(cert.StateKey[:]),
		Organization: cert.Organization,
		Wallet:       cert.Wallet,
		Curve:        k.Curve,
		Kind:         k.Kind,
		Path:         k.Path,
		PublicKey:    k.PublicKey,
		Flags:        cert.Flags,
	}
}

func (w *wallet) key(c keys.Curve) (*walletKey, bool) {
	for i := range w.keys {
		if w.keys[i].curve == c {
			return &w.keys[i], true
		}
	}
	return nil, false
}

func remote(code, format string, args ...any) *teelink.RemoteError {
	return &teelink.RemoteError{Code: code, Message: fmt.Sprintf(format, args...)}
}

func missing(digests ...[32]byte) *teelink.RemoteError {
	return &teelink.RemoteError{Code: "objects_missing", Message: "put the objects first", Missing: digests}
}
