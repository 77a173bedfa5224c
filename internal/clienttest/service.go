// Package clienttest is a service for tests of SDK and CLI: a control plane
// and a workload in one, with keys in memory and an attestation issuer of its
// own. It makes authentic documents, certificates, receipts and evidence, and
// lets a test play the attacker at each point: before the signature, in the
// leaf, in the batch, in the evidence, and in the reply on the wire.
package clienttest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/attest"
	"github.com/sigilkeys/sigil/attest/attesttest"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/networks"
	"github.com/sigilkeys/sigil/receipt"
)

// Release is the image digest that the service runs.
const Release = "sha256:" + "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"

const issuerURL = "https://issuer.test"

// Attack alters what an honest service would do. Nil members alter nothing.
type Attack struct {
	// Body alters a sign request after its signature was checked, before
	// anything is signed: a workload that is fooled.
	Body func(*SignBody)
	// Leaf, Batch and Proof alter the receipt before the leaf is hashed, the
	// batch is signed, and after.
	Leaf  func(*receipt.Leaf)
	Batch func(*receipt.Batch)
	Proof func(*receipt.Receipt)
	// BatchKey signs batches instead of the instance key.
	BatchKey ed25519.PrivateKey
	// Machine alters the machine that evidence is issued for.
	Machine func(*attesttest.Workload)
	// Evidence alters evidence that is shown.
	Evidence func(*attest.Evidence)
	// Challenge alters the challenge that is attested, and the proof.
	Challenge func(*[32]byte, *api.ChallengeProof)
	// State and Wallet alter certificates before they are signed.
	State  func(*receipt.StateCertificate)
	Wallet func(*receipt.WalletCertificate)
	// Certificate replaces wallet certificates.
	Certificate func(signed []byte) []byte
}

// Service is the fake. Its methods may be called from several goroutines;
// Attack is set before requests are sent.
type Service struct {
	Attack Attack
	Issuer *attesttest.Issuer
	Now    func() time.Time

	mu       sync.Mutex // guards what follows
	instance ed25519.PrivateKey
	networks *chain.Registry
	orgs     map[canon.UUID]*org
	evidence map[[32]byte]attest.Evidence
	receipts map[canon.UUID]*receipt.Receipt
	previous [32]byte
	batches  uint64
	requests []string // method and path, as received
}

type org struct {
	genesis *authority.VerifiedGenesis
	state   ed25519.PrivateKey
	record  []byte
	grants  map[string]*authority.VerifiedGrant // by key id
	revoked map[[32]byte]bool
	wallets map[canon.UUID]*wallet
	order   []canon.UUID
}

type wallet struct {
	cert   *receipt.WalletCertificate
	signed []byte
	label  string
	priv   map[keys.Curve]*[32]byte
}

// NewIssuer makes the attestation issuer, which takes a second.
func NewIssuer(now time.Time) (*attesttest.Issuer, error) { return attesttest.New(issuerURL, now) }

// New makes a service without organisations.
func New(issuer *attesttest.Issuer, now func() time.Time) (*Service, error) {
	networks, err := networks.New()
	if err != nil {
		return nil, err
	}
	_, instance, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return &Service{
		Issuer: issuer, Now: now, instance: instance, networks: networks,
		orgs: map[canon.UUID]*org{}, evidence: map[[32]byte]attest.Evidence{}, receipts: map[canon.UUID]*receipt.Receipt{},
	}, nil
}

// TEE returns the reference values that accept the service.
func (s *Service) TEE() authority.TEE {
	root := s.Issuer.RootSHA256()
	return authority.TEE{
		Kind: authority.KindConfidentialSpace, Issuer: issuerURL, PKIRoot: hex.EncodeToString(root[:]),
		Hardware: []string{"GCP_AMD_SEV"}, ProjectID: "project", ServiceAccount: "tee@project.iam",
		ImageDigests: []string{Release}, TEEKEK: "kms/tee", ProviderKEK: "kms/provider",
	}
}

// Requests returns the requests so far, "METHOD /path".
func (s *Service) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

// attestNow returns evidence for the instance, issued now.
func (s *Service) attestNow(challenges [32]byte) (attest.Evidence, error) {
	st := &receipt.Statement{InstanceKey: [32]byte(s.instance[32:]), LinkKey: [32]byte{1}, Config: [32]byte{2}, Challenges: challenges,
		Started: micros(s.Now()), Issued: micros(s.Now())}
	m := attesttest.Workload{ImageDigest: Release, ImageReference: "registry/sigil-tee", ProjectID: "project", ProjectNumber: "1",
		Zone: "zone", InstanceName: "tee", InstanceID: "1", ServiceAccount: "tee@project.iam", Hardware: "GCP_AMD_SEV"}
	if s.Attack.Machine != nil {
		s.Attack.Machine(&m)
	}
	payload, err := m.Payload(issuerURL, attesttest.Request{Audience: receipt.EvidenceAudience, Nonces: []string{st.Nonce()}, IssuedAt: s.Now()})
	if err != nil {
		return attest.Evidence{}, err
	}
	token, err := s.Issuer.PKI(payload)
	if err != nil {
		return attest.Evidence{}, err
	}
	ev := attest.Evidence{Statement: st.Encode(), Token: token}
	s.evidence[ev.ID()] = ev
	return ev, nil
}

// current returns the evidence in force, made at most once per instant.
func (s *Service) current() (attest.Evidence, error) {
	for _, ev := range s.evidence {
		st, err := receipt.DecodeStatement(ev.Statement)
		if err == nil && st.InstanceKey == [32]byte(s.instance[32:]) && st.Issued == micros(s.Now()) && st.Challenges == [32]byte{} {
			return ev, nil
		}
	}
	return s.attestNow([32]byte{})
}

func micros(t time.Time) uint64 { return uint64(t.UnixMicro()) }

// provision makes an organisation's state key.
func (s *Service) provision(g *authority.VerifiedGenesis) (*org, error) {
	_, state, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	ev, err := s.current()
	if err != nil {
		return nil, err
	}
	cert := &receipt.StateCertificate{Organization: g.OrganizationID, Genesis: g.Digest, StateKey: [32]byte(state[32:]),
		Release: Release, Statement: ev.ID(), Created: micros(s.Now())}
	if s.Attack.State != nil {
		s.Attack.State(cert)
	}
	signed, err := cert.Sign(s.instance)
	if err != nil {
		return nil, err
	}
	record := &receipt.StateRecord{Certificate: signed, TEEShare: []byte("sealed"), ProviderShare: []byte("sealed")}
	o := &org{genesis: g, state: state, record: record.Encode(), grants: map[string]*authority.VerifiedGrant{},
		revoked: map[[32]byte]bool{}, wallets: map[canon.UUID]*wallet{}}
	s.orgs[g.OrganizationID] = o
	return o, nil
}

// Reprovision makes a new state key for every organisation, as a control
// plane can have done at any time; grants name the old one.
func (s *Service) Reprovision() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, old := range s.orgs {
		o, err := s.provision(old.genesis)
		if err != nil {
			return err
		}
		old.state, old.record = o.state, o.record
		s.orgs[id] = old
	}
	return nil
}

// newWallet makes and certifies a wallet.
func (s *Service) newWallet(o *org, label string) (*wallet, error) {
	id, err := canon.NewUUID(rand.Reader)
	if err != nil {
		return nil, err
	}
	w := &wallet{label: label, priv: map[keys.Curve]*[32]byte{}, cert: &receipt.WalletCertificate{
		Organization: o.genesis.OrganizationID, Genesis: o.genesis.Digest, StateKey: [32]byte(o.state[32:]), Wallet: id,
		Release: Release, Created: micros(s.Now())}}
	for _, c := range []keys.Curve{keys.Secp256k1, keys.Ed25519} {
		w.priv[c] = &[32]byte{}
		k := receipt.CertifiedKey{Curve: c, Kind: receipt.KeyKindKey, PublicKey: make([]byte, c.PublicKeySize())}
		if err := keys.Generate(c, rand.Reader, w.priv[c], k.PublicKey); err != nil {
			return nil, err
		}
		w.cert.Keys = append(w.cert.Keys, k)
	}
	if s.Attack.Wallet != nil {
		s.Attack.Wallet(w.cert)
	}
	w.signed, err = w.cert.Sign(func(record, sig []byte) error {
		copy(sig, ed25519.Sign(o.state, record))
		return nil
	})
	o.wallets[id], o.order = w, append(o.order, id)
	return w, err
}

// prove puts a leaf into a batch of three and signs it.
func (s *Service) prove(l *receipt.Leaf) (*receipt.Receipt, [32]byte, error) {
	var err error
	if l.ID, err = canon.NewUUID(rand.Reader); err != nil {
		return nil, [32]byte{}, err
	}
	if s.Attack.Leaf != nil {
		s.Attack.Leaf(l)
	}
	leaf, err := l.Encode()
	if err != nil {
		return nil, [32]byte{}, err
	}
	ev, err := s.current()
	if err != nil {
		return nil, [32]byte{}, err
	}
	tree := receipt.NewTree([][]byte{[]byte("other"), leaf, []byte("another")})
	s.batches++
	b := &receipt.Batch{InstanceKey: [32]byte(s.instance[32:]), Statement: ev.ID(), Number: s.batches, Previous: s.previous,
		Time: micros(s.Now()), Count: 3, Root: tree.Root()}
	if s.Attack.Batch != nil {
		s.Attack.Batch(b)
	}
	key := s.instance
	if s.Attack.BatchKey != nil {
		key = s.Attack.BatchKey
	}
	signed, err := b.Sign(key)
	if err != nil {
		return nil, [32]byte{}, err
	}
	s.previous = sha256.Sum256(signed)
	rc := &receipt.Receipt{Leaf: leaf, Index: 1, Path: tree.Path(1), Batch: signed}
	if s.Attack.Proof != nil {
		s.Attack.Proof(rc)
	}
	s.receipts[l.ID] = rc
	return rc, ev.ID(), nil
}

// authenticate checks the request signature, as the workload does.
func (s *Service) authenticate(r *http.Request, body []byte) (*org, *authority.VerifiedGrant, *authority.Request, error) {
	h, err := authority.ParseSignatureHeaders(r.Header)
	if err != nil {
		return nil, nil, nil, err
	}
	req := &authority.Request{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Body: body, Created: h.Created, ID: h.ID,
		IdempotencyKey: h.IdempotencyKey, KeyID: h.KeyID}
	for _, o := range s.orgs {
		if g, ok := o.grants[h.KeyID]; ok && !o.revoked[g.Digest] {
			_, err := req.Verify(g.Credential, h.Signature, s.Now())
			return o, g, req, err
		}
		if pub, ok := o.genesis.AdminKey(h.KeyID); ok && strings.HasPrefix(r.URL.Path, "/v1/orgs/"+o.genesis.OrganizationID.String()) {
			_, err := req.Verify(pub, h.Signature, s.Now())
			return o, nil, req, err
		}
	}
	return nil, nil, nil, &authority.Error{Code: "invalid_key", Message: fmt.Sprintf("no key %s", h.KeyID)}
}
