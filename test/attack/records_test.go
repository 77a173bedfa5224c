package attack

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/sealed"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/internal/workload"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/secrets"
	"github.com/sigilkeys/sigil/test/stack"
)

// scene is a stack with an owner, a key and two wallets.
type scene struct {
	*stack.Stack
	owner  *stack.Owner
	token  *authority.Token
	client *client.Client
	one    *api.Wallet
	two    *api.Wallet
	said   *secrets.Buffer // log and refusals of the control plane
}

func newScene(t *testing.T, opt stack.Options) *scene {
	t.Helper()
	said := listen(&opt)
	s := &scene{Stack: stack.Start(t, opt), said: said}
	s.owner = s.NewOwner()
	s.token = s.NewKey(s.owner, nil)
	var err error
	if s.client, err = client.New(client.Config{BaseURL: s.API.URL, SecretKey: s.token.Reveal()}); err != nil {
		t.Fatal(err)
	}
	s.one, s.two = &api.Wallet{}, &api.Wallet{}
	for _, w := range []*api.Wallet{s.one, s.two} {
		s.Do(s.Request(s.token, "POST", "/v1/s2s/wallets", `{}`), 201, w)
	}
	s.quiet(t)
	return s
}

// row reads a wallet's record as the thief of the database has it.
func (s *scene) row(t *testing.T, id string) *receipt.WalletRecord {
	t.Helper()
	u, err := canon.ParseUUID(id)
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Store.Wallet(t.Context(), s.owner.Genesis.OrganizationID, u)
	if err != nil {
		t.Fatal(err)
	}
	r, err := receipt.DecodeWalletRecord(w.Record)
	if err != nil {
		t.Fatal(err)
	}
	return &receipt.WalletRecord{Certificate: bytes.Clone(r.Certificate), Shares: append([][]byte(nil), r.Shares...)}
}

// ask has the TEE sign with a record of the attacker's choice, straight over
// the link, with a request that the owner's key signed for wallet id.
func (s *scene) ask(t *testing.T, record *receipt.WalletRecord, id string) (*teelink.Outcome, error) {
	t.Helper()
	c, err := s.Link.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.Signing.Key(t.Context(), authority.KeyID(s.token.PublicKey()))
	if err != nil {
		t.Fatal(err)
	}
	raw := record.Encode()
	if err := c.Put(t.Context(), []teelink.Object{{Kind: teelink.ObjectGenesis, Bytes: key.Genesis.Envelope}, {Kind: teelink.ObjectGrant, Bytes: key.Envelope},
		{Kind: teelink.ObjectWalletRecord, Bytes: raw}}); err != nil {
		return nil, err
	}
	d := s.decide(t, fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":"pay"}`, id))
	d.Genesis, d.Grant, d.Record = key.Genesis.Digest, key.Digest, sha256.Sum256(raw)
	return c.Decide(t.Context(), d)
}

// decide makes the frame of a freshly signed request.
func (s *scene) decide(t *testing.T, body string) *teelink.Decide {
	t.Helper()
	req := s.Request(s.token, "POST", workload.PathSign, body)
	h, err := authority.ParseSignatureHeaders(req.Header)
	if err != nil {
		t.Fatal(err)
	}
	return &teelink.Decide{Auth: teelink.AuthSignature, Method: "POST", Path: workload.PathSign, Created: h.Created, RequestID: h.ID, Proof: h.Signature, Body: []byte(body)}
}

func code(err error) string {
	var remote *teelink.RemoteError
	var verification *client.VerificationError
	var refused *client.APIError
	switch {
	case errors.As(err, &remote):
		return remote.Code
	case errors.As(err, &verification):
		return string(verification.Code)
	case errors.As(err, &refused):
		return string(refused.Code)
	case err != nil:
		return err.Error()
	}
	return ""
}

// Shares swapped between wallets by hand, roles exchanged, epochs moved,
// certificates exchanged: nothing of it signs.
func TestSwappedRecords(t *testing.T) {
	s := newScene(t, stack.Options{})
	if _, err := s.ask(t, s.row(t, s.one.ID), s.one.ID); err != nil {
		t.Fatal("the untouched record:", err) // what the others are refused against
	}
	for name, c := range map[string]struct {
		edit func(one, two *receipt.WalletRecord)
		want string
	}{
		"TEE share of another wallet":      {func(a, b *receipt.WalletRecord) { a.Shares[0] = b.Shares[0] }, "share_open_failed"},
		"provider share of another wallet": {func(a, b *receipt.WalletRecord) { a.Shares[1] = b.Shares[1] }, "share_open_failed"},
		"both shares of another wallet":    {func(a, b *receipt.WalletRecord) { a.Shares[0], a.Shares[1] = b.Shares[0], b.Shares[1] }, "share_open_failed"},
		"roles exchanged":                  {func(a, _ *receipt.WalletRecord) { a.Shares[0], a.Shares[1] = a.Shares[1], a.Shares[0] }, "share_open_failed"},
		"shares of the other curve":        {func(a, _ *receipt.WalletRecord) { a.Shares[0], a.Shares[1] = a.Shares[2], a.Shares[3] }, "share_open_failed"},
		"certificate of another wallet":    {func(a, b *receipt.WalletRecord) { a.Certificate = b.Certificate }, "wallet_mismatch"},
		"whole record of another wallet":   {func(a, b *receipt.WalletRecord) { *a = *b }, "wallet_mismatch"},
		"share missing":                    {func(a, _ *receipt.WalletRecord) { a.Shares = a.Shares[:3] }, "object_invalid"},
		"certificate altered":              {func(a, _ *receipt.WalletRecord) { a.Certificate[80] ^= 1 }, "object_invalid"},
		"epoch moved": {func(a, _ *receipt.WalletRecord) {
			for i := range 2 {
				sh, err := sealed.DecodeShare(a.Shares[i])
				if err != nil {
					t.Fatal(err)
				}
				sh.Epoch++
				a.Shares[i] = sh.Encode()
			}
		}, "share_open_failed"},
		"ciphertext altered": {func(a, _ *receipt.WalletRecord) {
			sh, err := sealed.DecodeShare(a.Shares[0])
			if err != nil {
				t.Fatal(err)
			}
			sh.Ciphertext[7] ^= 1
			a.Shares[0] = sh.Encode()
		}, "share_open_failed"},
	} {
		one, two := s.row(t, s.one.ID), s.row(t, s.two.ID)
		c.edit(one, two)
		out, err := s.ask(t, one, s.one.ID)
		if out != nil || code(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// The holder of KMS Encrypt seals shares of keys of their own.
func TestForgedWallet(t *testing.T) {
	s := newScene(t, stack.Options{})
	ctx, args := t.Context(), stack.WorkloadArgs(t, s.Cloud, false, s.Now, [32]byte{}, s.Networks)
	genuine := s.row(t, s.one.ID)
	cert, err := receipt.OpenWalletCertificate(genuine.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	// shares seals both shares of priv where the certificate's key of the
	// curve belongs.
	shares := func(c *receipt.WalletCertificate, priv [32]byte) [][]byte {
		var parts [2][32]byte
		if err := sealed.Split(&priv, rand.Reader, &parts[0], &parts[1]); err != nil {
			t.Fatal(err)
		}
		var out [][]byte
		for i, kek := range []sealed.KEK{args.TEE, args.Provider} {
			sh, err := sealed.Seal(ctx, kek, &sealed.AAD{Genesis: c.Genesis, StateKey: sha256.Sum256(c.StateKey[:]), Organization: c.Organization, Wallet: c.Wallet,
				Curve: c.Keys[0].Curve, Kind: sealed.KindKey, Role: sealed.Role(i + 1), Epoch: 1, PublicKey: c.Keys[0].PublicKey}, &parts[i], rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, sh.Encode())
		}
		return out
	}
	priv, pub := [32]byte{31: 7}, make([]byte, 33)
	if err := keys.Public(keys.Secp256k1, &priv, pub); err != nil {
		t.Fatal(err)
	}

	t.Run("his key under the genuine certificate", func(t *testing.T) {
		r := s.row(t, s.one.ID)
		copy(r.Shares, shares(cert, priv))
		if out, err := s.ask(t, r, s.one.ID); out != nil || code(err) != "self_verify_failed" {
			t.Fatal(err)
		}
	})
	_, own, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	forged := *cert
	forged.Keys = []receipt.CertifiedKey{{Curve: keys.Secp256k1, Kind: receipt.KeyKindKey, PublicKey: pub}}
	by := func(record, sig []byte) error { copy(sig, ed25519.Sign(own, record)); return nil }
	t.Run("a state key of his own", func(t *testing.T) {
		f := forged
		f.StateKey = [32]byte(own[32:])
		signed, err := f.Sign(by)
		if err != nil {
			t.Fatal(err)
		}
		r := &receipt.WalletRecord{Certificate: signed, Shares: shares(&f, priv)}
		if out, err := s.ask(t, r, s.one.ID); out != nil || code(err) != "certificate_invalid" {
			t.Fatal(err)
		}
	})
	t.Run("the owner's state key, his signature", func(t *testing.T) {
		f := forged
		signed, err := f.Sign(by)
		if err != nil {
			t.Fatal(err)
		}
		r := &receipt.WalletRecord{Certificate: signed, Shares: shares(&f, priv)}
		if out, err := s.ask(t, r, s.one.ID); out != nil || code(err) != "object_invalid" {
			t.Fatal(err)
		}
	})
}

// The database in the hands of another image: the platform runs it, and the
// cloud's condition or the KMS says no. With the condition laxed by mistake
// the KMS's binding still does.
func TestOtherImageDecryptsNothing(t *testing.T) {
	s := newScene(t, stack.Options{})
	other := stack.MadeUpDigest("somebody else's image")
	if err := s.Cloud.SetImageDigest(other); err != nil {
		t.Fatal(err)
	}
	start := func() error {
		w, err := workload.New(t.Context(), stack.WorkloadArgs(t, s.Cloud, true, s.Now, [32]byte{}, s.Networks))
		if err != nil {
			return err
		}
		return w.SelfTest(t.Context())
	}
	if err := start(); err == nil {
		t.Fatal("another image serves")
	}
	if err := s.Cloud.AdmitRelease(other); err != nil {
		t.Fatal(err)
	}
	if err := start(); err != nil {
		t.Fatal("canary: admitted on purpose, it serves:", err)
	}
	// Even admitted by the cloud, it isn't accepted by the owner's genesis.
	w, err := workload.New(t.Context(), stack.WorkloadArgs(t, s.Cloud, true, s.Now, [32]byte{}, s.Networks))
	if err != nil {
		t.Fatal(err)
	}
	err = w.Put(t.Context(), []teelink.Object{{Kind: teelink.ObjectGenesis, Bytes: s.owner.Genesis.Envelope}})
	if code(err) != "release_not_accepted" {
		t.Fatal(err)
	}
	if err := s.Cloud.SetKnobs(cloudsim.Knobs{KMS: cloudsim.Fault{Mode: cloudsim.FaultDeny}}); err != nil {
		t.Fatal(err)
	}
	if err := start(); err == nil {
		t.Fatal("serves though the KMS denies")
	}
}

func digestOf(b []byte) [32]byte { return sha256.Sum256(b) }
