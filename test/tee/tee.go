// Package tee has a workload in process, with the emulated cloud, sign by keys
// that a test knows: it certifies their wallets with a state key of its own. The
// workload is given what the control plane would hand it, and no control plane
// is there.
package tee

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/networks"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/internal/sealed"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/internal/workload"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/stack"
)

// Workload is one whose organisation's state key the test holds, so that it
// can certify wallets of keys that the test chose. One goroutine uses it.
type Workload struct {
	Networks *chain.Registry // that it signs for
	service  *workload.Service
	args     workload.Args
	genesis  *authority.VerifiedGenesis
	grant    *authority.VerifiedGrant
	token    *authority.Token
	state    ed25519.PrivateKey
	admin    ed25519.PrivateKey
	wallets  map[string]Wallet
}

// Wallet is one that the workload holds.
type Wallet struct {
	Public []byte // its key, as the curve has it
	id     canon.UUID
	digest [32]byte // of its record
}

// New starts a workload that knows the configured networks as well, under a
// grant that allows all.
func New(t testing.TB, configured ...evm.Configured) *Workload {
	t.Helper()
	f := &Workload{wallets: map[string]Wallet{}}
	digest := stack.MadeUpDigest("tee")
	cloud := stack.NewCloud(t, digest)
	var err error
	if f.Networks, err = networks.New(configured...); err != nil {
		t.Fatal(err)
	}
	f.args = stack.WorkloadArgs(t, cloud, true, time.Now, [32]byte{1}, f.Networks)
	if f.service, err = workload.New(t.Context(), f.args); err != nil {
		t.Fatal(err)
	}
	_, admin, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, f.state, err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	info := cloud.Info()
	org, err := canon.NewUUID(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	genesis := sign(t, admin, authority.TypeGenesis, authority.Genesis{Format: authority.FormatGenesis, OrganizationID: org, Name: "tee", Created: time.Now().Unix(), Version: 1,
		Admins: []authority.Admin{{Name: "a", PublicKey: hex.EncodeToString(admin[32:])}}, Quorum: 1, Freshness: authority.Freshness{Mode: authority.FreshnessUnwitnessed},
		TEEs: []authority.TEE{{Kind: authority.KindConfidentialSpace, Issuer: info.IssuerURL, PKIRoot: info.PKIRootSHA256, Hardware: info.Hardware, ProjectID: info.ProjectID,
			ServiceAccount: info.ServiceAccount, ImageDigests: []string{digest}, TEEKEK: info.TEEKey, ProviderKEK: info.ProviderKey}}})
	if f.genesis, err = authority.VerifyGenesis(genesis); err != nil {
		t.Fatal(err)
	}
	if f.token, err = authority.NewToken(authority.SecretKey, f.genesis.Digest, rand.Reader); err != nil {
		t.Fatal(err)
	}
	f.admin = admin
	if err := f.service.Put(t.Context(), []teelink.Object{{Kind: teelink.ObjectGenesis, Bytes: genesis}}); err != nil {
		t.Fatal(err)
	}
	return f.Accepting(t, nil)
}

// Accepting is the same workload under a grant that allows all, and accepts
// what is listed.
func (f *Workload) Accepting(t testing.TB, accept []policy.Acceptance) *Workload {
	t.Helper()
	p, pub := stack.AllowAll(), f.token.PublicKey()
	p.Accept = accept
	grant := sign(t, f.admin, authority.TypeGrant, authority.Grant{Format: authority.FormatGrant, OrganizationID: f.genesis.OrganizationID, Genesis: hex.EncodeToString(f.genesis.Digest[:]),
		StateKey: hex.EncodeToString(f.state[32:]), GrantID: f.genesis.OrganizationID, Name: "tee", Credential: hex.EncodeToString(pub[:]), NotBefore: 0, Expires: time.Now().Unix() + 3600, Policy: p})
	g := *f
	var err error
	if g.grant, err = authority.VerifyGrant(grant, f.genesis); err != nil {
		t.Fatal(err)
	}
	if err := f.service.Put(t.Context(), []teelink.Object{{Kind: teelink.ObjectGrant, Bytes: grant}}); err != nil {
		t.Fatal(err)
	}
	return &g
}

func sign(t testing.TB, key ed25519.PrivateKey, typ string, doc any) []byte {
	t.Helper()
	b, err := authority.SignEnvelope(typ, doc, key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Wallet seals and certifies a private key and hands it to the workload.
func (f *Workload) Wallet(ctx context.Context, c keys.Curve, private []byte) (Wallet, error) {
	name := c.String() + string(private)
	if w, ok := f.wallets[name]; ok {
		return w, nil
	}
	id, err := canon.NewUUID(rand.Reader)
	if err != nil {
		return Wallet{}, err
	}
	priv, pub := [32]byte(private), make([]byte, c.PublicKeySize())
	if err := keys.Public(c, &priv, pub); err != nil {
		return Wallet{}, err
	}
	cert := &receipt.WalletCertificate{Organization: f.genesis.OrganizationID, Genesis: f.genesis.Digest, StateKey: [32]byte(f.state[32:]), Wallet: id, Release: "sha256:tee", Created: 1,
		Keys: []receipt.CertifiedKey{{Curve: c, Kind: receipt.KeyKindKey, PublicKey: pub}}}
	signed, err := cert.Sign(func(record, sig []byte) error { copy(sig, ed25519.Sign(f.state, record)); return nil })
	if err != nil {
		return Wallet{}, err
	}
	var shares [2][32]byte
	if err := sealed.Split(&priv, rand.Reader, &shares[0], &shares[1]); err != nil {
		return Wallet{}, err
	}
	record := &receipt.WalletRecord{Certificate: signed}
	for i, kek := range []sealed.KEK{f.args.TEE, f.args.Provider} {
		s, err := sealed.Seal(ctx, kek, &sealed.AAD{Genesis: f.genesis.Digest, StateKey: sha256.Sum256(f.state[32:]), Organization: f.genesis.OrganizationID, Wallet: id,
			Curve: c, Kind: sealed.KindKey, Role: sealed.Role(i + 1), Epoch: 1, PublicKey: pub}, &shares[i], rand.Reader)
		if err != nil {
			return Wallet{}, err
		}
		record.Shares = append(record.Shares, s.Encode())
	}
	b := record.Encode()
	w := Wallet{id: id, digest: sha256.Sum256(b), Public: pub}
	f.wallets[name] = w
	return w, f.service.Put(ctx, []teelink.Object{{Kind: teelink.ObjectWalletRecord, Bytes: b}})
}

// body is the body of a sign request.
type body struct {
	WalletID string `json:"wallet_id"`
	Network  string `json:"network"`
	chain.Payload
}

// Decide sends a signed request as the link server does. The item has the
// signature's text; the leaf is its receipt, or that of a denial.
func (f *Workload) Decide(ctx context.Context, w Wallet, network string, p chain.Payload) (teelink.Item, *receipt.Leaf, error) {
	raw, err := canon.EncodeJSON(body{w.id.String(), network, p})
	if err != nil {
		return teelink.Item{}, nil, err
	}
	id, err := canon.NewUUID(rand.Reader)
	if err != nil {
		return teelink.Item{}, nil, err
	}
	r := authority.Request{Method: "POST", Path: workload.PathSign, Body: raw, Created: time.Now().Unix(), ID: id}
	h, err := r.Sign(f.token.RequestKey())
	if err != nil {
		return teelink.Item{}, nil, err
	}
	parsed, err := authority.ParseSignatureHeaders(h)
	if err != nil {
		return teelink.Item{}, nil, err
	}
	item, err := f.service.Decide(ctx, &teelink.Decide{Genesis: f.genesis.Digest, Grant: f.grant.Digest, Record: w.digest, Auth: teelink.AuthSignature,
		Method: r.Method, Path: r.Path, Created: r.Created, RequestID: r.ID, Proof: parsed.Signature, Body: raw})
	if err != nil {
		return teelink.Item{}, nil, err
	}
	leaf, err := receipt.DecodeLeaf(item.Leaf)
	return item, leaf, err
}
