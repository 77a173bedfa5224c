package attack

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/kms"
	"github.com/sigilkeys/sigil/internal/kms/gcpkms"
	"github.com/sigilkeys/sigil/internal/sealed"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/stack"
)

// fixed is a token source with one token.
type fixed string

func (f fixed) Token(context.Context) (string, error) { return string(f), nil }

// encrypter holds KMS Encrypt on both keys, and nothing else.
type encrypter struct {
	keks  [2]sealed.KEK // TEE, provider
	state ed25519.PrivateKey
	priv  [32]byte // a secp256k1 key of theirs
	pub   []byte
}

// newEncrypter makes the owners of both KMS projects holders of Encrypt: the
// deny policy is cut back to Decrypt.
func newEncrypter(t *testing.T, s *stack.Stack) *encrypter {
	t.Helper()
	info := s.Cloud.Info()
	members := []string{"user:owner@sigil-tee.test", "user:owner@sigil-provider.test"}
	if err := s.Cloud.SetDenyRules(cloudsim.DenyRule{DeniedPrincipals: members, DeniedPermissions: []string{"cloudkms.googleapis.com/cryptoKeyVersions.useToDecrypt"}}); err != nil {
		t.Fatal(err)
	}
	e := &encrypter{priv: [32]byte{31: 7}, pub: make([]byte, keys.Secp256k1.PublicKeySize())}
	c, _ := stack.Config(t, s.Cloud, false)
	for i, key := range []string{info.TEEKey, info.ProviderKey} {
		token, err := s.Cloud.UserToken(members[i])
		if err != nil {
			t.Fatal(err)
		}
		k, err := gcpkms.New(gcpkms.Config{KeyName: key, BaseURL: c.KMSURL, RootCAs: c.Roots(), Token: fixed(token)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(k.Close)
		e.keks[i] = k
	}
	var err error
	if _, e.state, err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	if err := keys.Public(keys.Secp256k1, &e.priv, e.pub); err != nil {
		t.Fatal(err)
	}
	return e
}

// seal splits a key of theirs and seals the shares for a place of their choice.
func (e *encrypter) seal(t *testing.T, place sealed.AAD, priv [32]byte) [2][]byte {
	t.Helper()
	var parts [2][32]byte
	if err := sealed.Split(&priv, rand.Reader, &parts[0], &parts[1]); err != nil {
		t.Fatal(err)
	}
	var out [2][]byte
	for i := range parts {
		place.Role, place.Epoch = sealed.Role(i+1), 1
		sh, err := sealed.Seal(t.Context(), e.keks[i], &place, &parts[i], rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = sh.Encode()
	}
	return out
}

// place is where a certificate's first key belongs.
func place(c *receipt.WalletCertificate) sealed.AAD {
	return sealed.AAD{Genesis: c.Genesis, StateKey: sha256.Sum256(c.StateKey[:]), Organization: c.Organization, Wallet: c.Wallet,
		Curve: c.Keys[0].Curve, Kind: sealed.KindKey, PublicKey: c.Keys[0].PublicKey, Flags: c.Flags}
}

// forge makes a record of the victim's wallet with their key, certified by
// their own signature in the name of state.
func (e *encrypter) forge(t *testing.T, genuine *receipt.WalletCertificate, state [32]byte) *receipt.WalletRecord {
	t.Helper()
	c := *genuine
	c.StateKey = state
	c.Keys = []receipt.CertifiedKey{{Curve: keys.Secp256k1, Kind: receipt.KeyKindKey, PublicKey: e.pub}}
	signed, err := c.Sign(func(record, sig []byte) error { copy(sig, ed25519.Sign(e.state, record)); return nil })
	if err != nil {
		t.Fatal(err)
	}
	shares := e.seal(t, place(&c), e.priv)
	return &receipt.WalletRecord{Certificate: signed, Shares: shares[:]}
}

func (e *encrypter) statePublic() [32]byte { return [32]byte(e.state[32:]) }

func genuineCertificate(t *testing.T, s *scene) (*receipt.WalletRecord, *receipt.WalletCertificate) {
	t.Helper()
	r := s.row(t, s.one.ID)
	c, err := receipt.OpenWalletCertificate(r.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

// Whoever may call Encrypt on both KMS keys, and not Decrypt, plants a key
// that they know in the victim's wallet.
func TestEncryptIsNotEnough(t *testing.T) {
	s := newScene(t, stack.Options{})
	e := newEncrypter(t, s.Stack)
	genuine, cert := genuineCertificate(t, s)

	var dek [32]byte
	stolen, err := sealed.DecodeShare(genuine.Shares[0])
	if err != nil {
		t.Fatal(err)
	}
	aad := place(cert)
	aad.Role = sealed.RoleTEE
	var k *kms.Error
	if err := e.keks[0].Unwrap(t.Context(), stolen.WrappedDEK, aad.KMSAAD(), &dek); !errors.As(err, &k) || k.Kind != kms.Denied {
		t.Fatal("the attacker holds Decrypt:", err)
	}

	planted := e.seal(t, place(cert), e.priv)
	for name, c := range map[string]struct {
		record *receipt.WalletRecord
		want   string
	}{
		"certificate by their own state key":                   {e.forge(t, cert, e.statePublic()), "certificate_invalid"},
		"their signature in the name of the owner's state key": {e.forge(t, cert, s.owner.State), "object_invalid"},
		"their shares under the genuine certificate":           {with(genuine, planted[0], planted[1]), "self_verify_failed"},
		"their TEE share beside the genuine other":             {with(genuine, planted[0], genuine.Shares[1]), "self_verify_failed"},
		"their provider share beside the genuine other":        {with(genuine, genuine.Shares[0], planted[1]), "self_verify_failed"},
	} {
		out, err := s.ask(t, c.record, s.one.ID)
		if out != nil || code(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	// Canary: the forgery itself is sound. Had the owner granted the forger's
	// state key, the TEE would sign with the planted key.
	own := e.statePublic()
	out, err := s.askUnder(t, own, e.forge(t, cert, own))
	if err != nil || out.Item().ResultKind != teelink.ResultSignature || string(out.Item().Result) != e.sign(t, s.Stack, "pay") {
		t.Errorf("canary: a sound forgery isn't signed with: %v", err)
	}
}

// askUnder has the TEE sign with a record under a grant of the owner's that
// names the state key. The control plane wouldn't take that grant.
func (s *scene) askUnder(t *testing.T, state [32]byte, record *receipt.WalletRecord) (*teelink.Outcome, error) {
	t.Helper()
	key, err := s.Signing.Key(t.Context(), keyIDOf(s))
	if err != nil {
		t.Fatal(err)
	}
	doc := key.Grant
	doc.StateKey, doc.GrantID[0] = hex.EncodeToString(state[:]), doc.GrantID[0]^1
	envelope, err := authority.SignEnvelope(authority.TypeGrant, doc, s.owner.Admin)
	if err != nil {
		t.Fatal(err)
	}
	grant, err := authority.VerifyGrant(envelope, key.Genesis)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Link.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	raw := record.Encode()
	if err := c.Put(t.Context(), []teelink.Object{{Kind: teelink.ObjectGenesis, Bytes: key.Genesis.Envelope}, {Kind: teelink.ObjectGrant, Bytes: envelope},
		{Kind: teelink.ObjectWalletRecord, Bytes: raw}}); err != nil {
		return nil, err
	}
	d := s.decide(t, signBody(s.one.ID, "base", "pay"))
	d.Genesis, d.Grant, d.Record = key.Genesis.Digest, grant.Digest, receipt.Digest(raw)
	return c.Decide(t.Context(), d)
}

// with replaces the shares of a record's first key.
func with(r *receipt.WalletRecord, tee, provider []byte) *receipt.WalletRecord {
	return &receipt.WalletRecord{Certificate: r.Certificate, Shares: append([][]byte{tee, provider}, r.Shares[2:]...)}
}

// sign signs a message with the planted key, outside of any TEE.
func (e *encrypter) sign(t *testing.T, s *stack.Stack, message string) string {
	t.Helper()
	n, _ := s.Networks.Lookup("base")
	p, err := n.Codec.Message(n, e.pub, &chain.Message{Message: message})
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, keys.Secp256k1.SignatureSize())
	if err := keys.Sign(keys.Secp256k1, &e.priv, e.pub, p.SignBytes, raw); err != nil {
		t.Fatal(err)
	}
	text, err := n.Codec.EncodeSignature(raw)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The same for the state key, with which all wallets could be certified.
func TestForgedStateRecord(t *testing.T) {
	s := newScene(t, stack.Options{})
	e := newEncrypter(t, s.Stack)
	key, err := s.Signing.Key(t.Context(), keyIDOf(s))
	if err != nil {
		t.Fatal(err)
	}
	genuine, err := receipt.DecodeStateRecord(key.State)
	if err != nil {
		t.Fatal(err)
	}
	cert, _, _, err := receipt.DecodeStateCertificate(genuine.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	forge := func(public [32]byte) []byte {
		c := *cert
		c.StateKey = public
		signed, err := c.Sign(e.state)
		if err != nil {
			t.Fatal(err)
		}
		shares := e.seal(t, sealed.AAD{Genesis: c.Genesis, Organization: c.Organization, Curve: keys.Ed25519, Kind: sealed.KindState, PublicKey: public[:]}, [32]byte(e.state.Seed()))
		return (&receipt.StateRecord{Certificate: signed, TEEShare: shares[0], ProviderShare: shares[1]}).Encode()
	}
	for name, c := range map[string]struct {
		record []byte
		want   string
	}{
		"genuine (canary)":                    {key.State, ""},
		"a state key of theirs":               {forge(e.statePublic()), "certificate_invalid"},
		"their shares under the owner's name": {forge(s.owner.State), "self_verify_failed"},
	} {
		out, err := s.create(t, key.Genesis.Digest, key.Digest, c.record)
		if code(err) != c.want || (out != nil) != (c.want == "") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// create has the TEE make a wallet under a state record of the attacker's
// choice, with a request that the owner's key signed.
func (s *scene) create(t *testing.T, genesis, grant [32]byte, state []byte) (*teelink.Outcome, error) {
	t.Helper()
	c, err := s.Link.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Put(t.Context(), []teelink.Object{{Kind: teelink.ObjectStateRecord, Bytes: state}}); err != nil {
		return nil, err
	}
	h, err := authority.ParseSignatureHeaders(s.Request(s.token, "POST", "/v1/s2s/wallets", `{}`).Header)
	if err != nil {
		t.Fatal(err)
	}
	return c.Decide(t.Context(), &teelink.Decide{Genesis: genesis, Grant: grant, Record: receipt.Digest(state), Auth: teelink.AuthSignature,
		Method: "POST", Path: "/v1/s2s/wallets", Created: h.Created, RequestID: h.ID, Proof: h.Signature, Body: []byte(`{}`)})
}

// A patched control plane shows the SDK what the TEE refuses.
func TestForgeryShownToTheSDK(t *testing.T) {
	p := &patch{}
	s := newScene(t, stack.Options{WrapHandler: p.wrap})
	e := newEncrypter(t, s.Stack)
	genuine, cert := genuineCertificate(t, s)
	wallet := "/v1/s2s/wallets/" + s.one.ID
	show := func(certificate []byte) func(string, map[string]any) {
		return func(path string, d map[string]any) {
			switch path {
			case wallet:
				d["certificate"] = base64.StdEncoding.EncodeToString(certificate)
				delete(d, "addresses")
				delete(d, "public_keys")
			case "/v1/s2s/sign":
				d["signature"] = e.sign(t, s.Stack, "pay")
			}
		}
	}
	own := e.forge(t, cert, e.statePublic()).Certificate
	for name, c := range map[string]struct {
		shown []byte
		want  client.Code
	}{
		"certificate by their own state key": {own, client.CodeCertificate},
		"their signature, owner's state key": {e.forge(t, cert, s.owner.State).Certificate, client.CodeCertificate},
		"certificate of another wallet":      {s.row(t, s.two.ID).Certificate, client.CodeCertificate},
		"genuine certificate, their key":     {genuine.Certificate, client.CodeSignature},
	} {
		p.set(show(c.shown))
		res, err := sdk(t, s.Stack, s.token).Sign(t.Context(), client.SignRequest{WalletID: s.one.ID, Network: "base", Message: "pay"})
		if res != nil || code(err) != string(c.want) {
			t.Errorf("sign, %s: %v, want %s", name, err, c.want)
		}
		w, err := sdk(t, s.Stack, s.token).Wallets().Get(t.Context(), s.one.ID)
		if c.want == client.CodeCertificate && (w != nil || code(err) != string(c.want)) {
			t.Errorf("get, %s: %v, want %s", name, err, c.want)
		}
	}
}
