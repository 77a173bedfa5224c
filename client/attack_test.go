package client_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/attest"
	"github.com/sigilkeys/sigil/attest/attesttest"
	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/clienttest"
	"github.com/sigilkeys/sigil/receipt"
)

// expect signs and requires the code and field.
func (s *stack) expect(t *testing.T, name string, code client.Code, field string) {
	t.Helper()
	s.expectRequest(t, name, s.request(), code, field)
}

func (s *stack) expectRequest(t *testing.T, name string, r client.SignRequest, code client.Code, field string) {
	t.Helper()
	res, err := s.client(t, s.secret).Sign(t.Context(), r)
	var v *client.VerificationError
	switch {
	case err == nil:
		t.Errorf("%s: accepted", name)
	case !errors.As(err, &v):
		t.Errorf("%s: %v, want %s", name, err, code)
	case v.Code != code || v.Field != field:
		t.Errorf("%s: %s (%s), want %s (%s): %v", name, v.Code, v.Field, code, field, err)
	}
	if res != nil {
		t.Errorf("%s: something was returned with the error", name)
	}
}

// A workload that is fooled, or a control plane with the workload's keys,
// signs something else than was asked for. The request signature keeps the
// real one from it; here the SDK notices by itself.
func TestAlteredBeforeSigning(t *testing.T) {
	s := newStack(t)
	c := s.client(t, s.secret)
	second := must(c.Wallets().Create(t.Context(), client.NewWallet{}))(t)
	for name, a := range map[string]struct {
		edit  func(*clienttest.SignBody)
		code  client.Code
		field string
	}{
		"message": {func(b *clienttest.SignBody) { *b.Text = "pay the attacker" }, client.CodeSignature, ""},
		"wallet":  {func(b *clienttest.SignBody) { b.WalletID = second.ID }, client.CodeSignature, ""},
		// The same bytes are signed on every EVM network: the reply shows it.
		"network": {func(b *clienttest.SignBody) { b.Network = "ethereum" }, client.CodeResponseMismatch, "network"},
		"family":  {func(b *clienttest.SignBody) { b.Network = "solana" }, client.CodeSignature, ""},
	} {
		s.Attack = clienttest.Attack{Body: a.edit}
		s.expect(t, name, a.code, a.field)
	}
	// …and when the reply is brought in line, the receipt shows it.
	s.Attack = clienttest.Attack{Body: func(b *clienttest.SignBody) { b.Network = "ethereum" }}
	s.rewrite("/v1/s2s/sign", func(d map[string]any) { d["network"] = "base" })
	s.expect(t, "network, reply in line", client.CodeReceiptMismatch, "network")
}

// rewrite alters the replies of one path on the wire.
func (s *stack) rewrite(path string, f func(data map[string]any)) {
	s.intercept(func(next http.Handler) http.Handler {
		return clienttest.Rewrite(next, func(p string, data map[string]any) {
			if p == path {
				f(data)
			}
		})
	})
}

// TestRewrittenReply is a control plane patched to alter what it relays.
func TestRewrittenReply(t *testing.T) {
	s := newStack(t)
	c := s.client(t, s.secret)
	earlier := must(c.Sign(t.Context(), s.request()))(t)
	other := s.request()
	other.Message = "another message"
	another := must(c.Sign(t.Context(), other))(t)
	second := must(c.Wallets().Create(t.Context(), client.NewWallet{}))(t)
	rc := func(d map[string]any) map[string]any { return d["receipt"].(map[string]any) }
	for name, a := range map[string]struct {
		edit  func(d map[string]any)
		code  client.Code
		field string
	}{
		"other signature":   {func(d map[string]any) { d["signature"] = another.Signature }, client.CodeSignature, ""},
		"no signature":      {func(d map[string]any) { d["signature"] = "" }, client.CodeSignature, ""},
		"wallet":            {func(d map[string]any) { d["wallet_id"] = second.ID }, client.CodeResponseMismatch, "wallet_id"},
		"network":           {func(d map[string]any) { d["network"] = "ethereum" }, client.CodeResponseMismatch, "network"},
		"address":           {func(d map[string]any) { d["address"] = second.Addresses["base"] }, client.CodeResponseMismatch, "address"},
		"public key":        {func(d map[string]any) { d["public_key"] = second.PublicKeys["secp256k1"] }, client.CodeResponseMismatch, "public_key"},
		"no receipt":        {func(d map[string]any) { delete(d, "receipt") }, client.CodeReceiptInvalid, ""},
		"receipt cut":       {func(d map[string]any) { rc(d)["proof"] = base64.StdEncoding.EncodeToString(earlier.Receipt.Proof[:99]) }, client.CodeReceiptInvalid, ""},
		"earlier receipt":   {func(d map[string]any) { d["receipt"] = ref(earlier) }, client.CodeReceiptMismatch, "request_id"},
		"another's receipt": {func(d map[string]any) { d["receipt"] = ref(another) }, client.CodeReceiptMismatch, "payload_digest"},
		"receipt id":        {func(d map[string]any) { rc(d)["id"] = earlier.Receipt.ID }, client.CodeReceiptMismatch, "id"},
		"wrong type":        {func(d map[string]any) { d["signature"] = 1 }, client.CodeResponse, ""},
	} {
		s.rewrite("/v1/s2s/sign", a.edit)
		s.expect(t, name, a.code, a.field)
	}
	s.intercept(nil)
	if _, err := c.Sign(t.Context(), s.request()); err != nil {
		t.Error("canary: the honest service is refused:", err)
	}
}

func ref(r *client.SignResult) map[string]any {
	return map[string]any{"id": r.Receipt.ID, "proof": base64.StdEncoding.EncodeToString(r.Receipt.Proof)}
}

// Every field of the leaf is compared.
func TestAlteredLeaf(t *testing.T) {
	s := newStack(t)
	for field, edit := range map[string]func(*receipt.Leaf){
		"kind": func(l *receipt.Leaf) { l.Kind = receipt.KindCreateWallet },
		"decision": func(l *receipt.Leaf) {
			l.Decision, l.Reason, l.OutputDigest = receipt.Deny, "policy_wallet", [32]byte{}
		},
		"auth":               func(l *receipt.Leaf) { l.Auth = receipt.AuthBearer },
		"freshness":          func(l *receipt.Leaf) { l.Freshness = receipt.FreshnessWitnessed },
		"organization":       func(l *receipt.Leaf) { l.Organization[0]++ },
		"genesis":            func(l *receipt.Leaf) { l.Genesis[0]++ },
		"grant":              func(l *receipt.Leaf) { l.Grant[0]++ },
		"credential":         func(l *receipt.Leaf) { l.Credential[0]++ },
		"wallet":             func(l *receipt.Leaf) { l.Wallet[0]++ },
		"network":            func(l *receipt.Leaf) { l.Network = "polygon" },
		"method":             func(l *receipt.Leaf) { l.Method = "signTransaction" },
		"idempotency_digest": func(l *receipt.Leaf) { l.IdempotencyDigest[0]++ },
		"payload_digest":     func(l *receipt.Leaf) { l.PayloadDigest[0]++ },
		"intent_digest":      func(l *receipt.Leaf) { l.IntentDigest[0]++ },
		"output_digest":      func(l *receipt.Leaf) { l.OutputDigest[0]++ },
		"request_id":         func(l *receipt.Leaf) { l.RequestID[0]++ },
		"request_digest":     func(l *receipt.Leaf) { l.RequestDigest[0]++ },
		"time":               func(l *receipt.Leaf) { l.Time -= uint64(6 * time.Minute / time.Microsecond) },
	} {
		s.Attack = clienttest.Attack{Leaf: edit}
		s.expect(t, field, client.CodeReceiptMismatch, field)
	}
	s.Attack = clienttest.Attack{Leaf: func(l *receipt.Leaf) { l.Release = "sha256:00" }}
	s.expect(t, "release", client.CodeEvidenceRefused, "")
}

func TestAlteredBatch(t *testing.T) {
	s := newStack(t)
	_, foreign, err := ed25519.GenerateKey(bytes.NewReader(bytes.Repeat([]byte{7}, 64)))
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]struct {
		attack clienttest.Attack
		code   client.Code
		field  string
	}{
		"signed by another key":        {clienttest.Attack{BatchKey: foreign}, client.CodeBatch, ""},
		"signed and named another key": {clienttest.Attack{BatchKey: foreign, Batch: func(b *receipt.Batch) { b.InstanceKey = [32]byte(foreign[32:]) }}, client.CodeBatch, ""},
		"other root":                   {clienttest.Attack{Batch: func(b *receipt.Batch) { b.Root[0]++ }}, client.CodeReceiptInvalid, ""},
		"other count":                  {clienttest.Attack{Batch: func(b *receipt.Batch) { b.Count = 1 }}, client.CodeReceiptInvalid, ""},
		"path":                         {clienttest.Attack{Proof: func(r *receipt.Receipt) { r.Path[0][0]++ }}, client.CodeReceiptInvalid, ""},
		"index":                        {clienttest.Attack{Proof: func(r *receipt.Receipt) { r.Index = 0 }}, client.CodeReceiptInvalid, ""},
		"leaf after signing":           {clienttest.Attack{Proof: func(r *receipt.Receipt) { r.Leaf[len(r.Leaf)-1]++ }}, client.CodeReceiptInvalid, ""},
		"unknown statement":            {clienttest.Attack{Batch: func(b *receipt.Batch) { b.Statement[0]++ }}, client.CodeEvidenceInvalid, ""},
		"after the token's life":       {clienttest.Attack{Batch: func(b *receipt.Batch) { b.Time += uint64(2 * time.Hour / time.Microsecond) }}, client.CodeEvidenceRefused, ""},
	} {
		s.Attack = a.attack
		s.expect(t, name, a.code, a.field)
	}
}

// A TEE that isn't what the owner accepted: debug image, other image, other
// issuer, stolen token.
func TestEvidence(t *testing.T) {
	for reason, edit := range map[string]func(*attesttest.Workload){
		"image_digest":    func(w *attesttest.Workload) { w.ImageDigest = "sha256:00" },
		"debug":           func(w *attesttest.Workload) { w.Debug, w.DebugUsable = true, true },
		"not_stable":      func(w *attesttest.Workload) { w.NoStable = true },
		"secure_boot":     func(w *attesttest.Workload) { w.SecureBootOff = true },
		"hardware":        func(w *attesttest.Workload) { w.Hardware = "GCP_INTEL_TDX" },
		"project_id":      func(w *attesttest.Workload) { w.ProjectID = "evil" },
		"service_account": func(w *attesttest.Workload) { w.ServiceAccount = "evil" },
		"env_override":    func(w *attesttest.Workload) { w.EnvOverride = map[string]string{"A": "b"} },
	} {
		s := newStack(t)
		s.clock.move(time.Minute) // new evidence
		s.Attack = clienttest.Attack{Machine: edit}
		_, err := s.client(t, s.secret).Sign(t.Context(), s.request())
		var v *client.VerificationError
		if !errors.As(err, &v) || v.Code != client.CodeEvidenceRefused || string(v.Reason) != reason {
			t.Errorf("%s: %v", reason, err)
		}
	}
	s := newStack(t)
	s.clock.move(time.Minute)
	a := must(s.client(t, s.secret).Attestation(t.Context()))(t)
	for name, edit := range map[string]func(*attest.Evidence){
		"stolen token":   func(e *attest.Evidence) { e.Token = a.Evidence.Token },
		"garbage":        func(e *attest.Evidence) { e.Token = "a.b.c" },
		"none":           func(e *attest.Evidence) { *e = attest.Evidence{} },
		"other evidence": func(e *attest.Evidence) { *e = a.Evidence },
	} {
		s.clock.move(time.Minute)
		s.Attack = clienttest.Attack{Evidence: edit}
		_, err := s.client(t, s.secret).Sign(t.Context(), s.request())
		var v *client.VerificationError
		if !errors.As(err, &v) || v.Code != client.CodeEvidenceInvalid && v.Code != client.CodeEvidenceRefused {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Evidence that wasn't made for the caller's challenge.
func TestChallengeAttacks(t *testing.T) {
	for name, edit := range map[string]func(*[32]byte, *api.ChallengeProof){
		"another challenge": func(c *[32]byte, _ *api.ChallengeProof) { c[0] ^= 1 },
		"index":             func(_ *[32]byte, p *api.ChallengeProof) { p.Index = 0 },
		"index beyond":      func(_ *[32]byte, p *api.ChallengeProof) { p.Index = 2 },
		"count":             func(_ *[32]byte, p *api.ChallengeProof) { p.Count = 3 },
		"no count":          func(_ *[32]byte, p *api.ChallengeProof) { p.Index, p.Count = 0, 0 },
		"empty path":        func(_ *[32]byte, p *api.ChallengeProof) { p.Path = [][]byte{} },
		"short hash":        func(_ *[32]byte, p *api.ChallengeProof) { p.Path = [][]byte{make([]byte, 31)} },
		"long path":         func(_ *[32]byte, p *api.ChallengeProof) { p.Path = [][]byte{make([]byte, 32), make([]byte, 32)} },
	} {
		s := newStack(t)
		s.Attack = clienttest.Attack{Challenge: edit}
		_, err := s.client(t, s.secret).Attestation(t.Context())
		var v *client.VerificationError
		if !errors.As(err, &v) || v.Code != client.CodeEvidenceInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := newStack(t)
	s.rewrite("/v1/attestation", func(d map[string]any) { delete(d, "challenge") })
	_, err := s.client(t, s.secret).Attestation(t.Context())
	var v *client.VerificationError
	if !errors.As(err, &v) || v.Code != client.CodeEvidenceInvalid {
		t.Errorf("no proof: %v", err)
	}
}

// A control plane that serves another organisation's documents.
func TestOtherOrganization(t *testing.T) {
	s, other := newStack(t), newStack(t)
	var foreign struct {
		Data map[string]any `json:"data"`
	}
	other.rewrite("/v1/s2s/credential", func(d map[string]any) { foreign.Data = d })
	must(other.client(t, other.secret).Organization(t.Context()))(t)
	narrow := s.newKey(t, client.NewKey{Name: "narrow"})
	var own map[string]any
	s.rewrite("/v1/s2s/credential", func(d map[string]any) { own = d })
	must(s.client(t, narrow.Reveal()).Organization(t.Context()))(t)
	organization := func(d map[string]any) map[string]any { return d["organization"].(map[string]any) }
	for name, a := range map[string]struct {
		edit func(d map[string]any)
		code client.Code
	}{
		"genesis":          {func(d map[string]any) { d["organization"] = foreign.Data["organization"] }, client.CodePin},
		"unsigned genesis": {func(d map[string]any) { unsign(organization(d)["genesis"]) }, client.CodeGenesis},
		"everything":       {func(d map[string]any) { clear(d); copyInto(d, foreign.Data) }, client.CodePin},
		"grant of another": {func(d map[string]any) { d["grant"] = own["grant"] }, client.CodeGrant},
		"foreign grant":    {func(d map[string]any) { d["grant"] = foreign.Data["grant"] }, client.CodeGrant},
		"unsigned grant":   {func(d map[string]any) { unsign(d["grant"]) }, client.CodeGrant},
		"foreign state key": {func(d map[string]any) {
			organization(d)["state_record"] = organization(foreign.Data)["state_record"]
			organization(d)["evidence"] = organization(foreign.Data)["evidence"]
		}, client.CodeStateCertificate},
		"no state record": {func(d map[string]any) { delete(organization(d), "state_record") }, client.CodeStateCertificate},
	} {
		s.rewrite("/v1/s2s/credential", a.edit)
		s.expect(t, name, a.code, "")
	}
}

// unsign flips a bit of an envelope's first signature.
func unsign(envelope any) {
	sig := envelope.(map[string]any)["signatures"].([]any)[0].(map[string]any)
	raw, _ := base64.StdEncoding.DecodeString(sig["sig"].(string))
	raw[0] ^= 1
	sig["sig"] = base64.StdEncoding.EncodeToString(raw)
}

func copyInto(dst, src map[string]any) {
	for k, v := range src {
		dst[k] = v
	}
}

// An attacker's certificate for the wallet: keys that it knows, or another
// wallet's.
func TestCertificates(t *testing.T) {
	s, other := newStack(t), newStack(t)
	_, key, _ := ed25519.GenerateKey(bytes.NewReader(bytes.Repeat([]byte{3}, 64)))
	second := must(s.client(t, s.secret).Wallets().Create(t.Context(), client.NewWallet{}))(t)
	forge := func(signed []byte) []byte {
		c, err := receipt.OpenWalletCertificate(signed)
		if err != nil {
			t.Fatal(err)
		}
		c.StateKey = [32]byte(key[32:])
		out, err := c.Sign(func(record, sig []byte) error { copy(sig, ed25519.Sign(key, record)); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for name, a := range map[string]struct {
		edit  func([]byte) []byte
		field string
	}{
		"own state key":  {forge, "state_key"},
		"foreign wallet": {func([]byte) []byte { return other.wallet.Certificate }, "state_key"},
		"second wallet":  {func([]byte) []byte { return second.Certificate }, "wallet"},
		"altered":        {func(b []byte) []byte { b = bytes.Clone(b); b[60] ^= 1; return b }, ""},
		"none":           {func([]byte) []byte { return nil }, ""},
	} {
		s.Attack = clienttest.Attack{Certificate: a.edit}
		s.expect(t, name, client.CodeCertificate, a.field)
	}
	s.Attack = clienttest.Attack{}
	s.rewrite("/v1/s2s/wallets/"+s.wallet.ID, func(d map[string]any) {
		d["addresses"] = map[string]any{"base": "0x0000000000000000000000000000000000000001"}
	})
	s.expect(t, "address shown", client.CodeResponseMismatch, "address")
}

func TestCreateWalletAttacks(t *testing.T) {
	s := newStack(t)
	for name, a := range map[string]struct {
		edit  func(d map[string]any)
		code  client.Code
		field string
	}{
		"earlier certificate": {func(d map[string]any) { d["certificate"] = base64.StdEncoding.EncodeToString(s.wallet.Certificate) }, client.CodeCertificate, "wallet"},
		"earlier wallet": {func(d map[string]any) {
			d["certificate"], d["id"] = base64.StdEncoding.EncodeToString(s.wallet.Certificate), s.wallet.ID
			delete(d, "addresses")
			delete(d, "public_keys")
		}, client.CodeReceiptMismatch, "wallet"},
		"no receipt": {func(d map[string]any) { delete(d, "receipt") }, client.CodeReceiptInvalid, ""},
		"receipt id": {func(d map[string]any) { d["receipt"].(map[string]any)["id"] = s.wallet.Receipt.ID }, client.CodeReceiptMismatch, "id"},
		"no id":      {func(d map[string]any) { delete(d, "id") }, client.CodeResponseMismatch, "id"},
	} {
		s.rewrite("/v1/s2s/wallets", a.edit)
		_, err := s.client(t, s.secret).Wallets().Create(t.Context(), client.NewWallet{})
		var v *client.VerificationError
		if !errors.As(err, &v) || v.Code != a.code || v.Field != a.field {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Another answer for an Idempotency-Key is taken only for the same operation.
func TestIdempotentReplay(t *testing.T) {
	s := newStack(t)
	r := s.request()
	r.IdempotencyKey = "order-7"
	c := s.client(t, s.secret)
	first := must(c.Sign(t.Context(), r))(t)
	s.rewrite("/v1/s2s/sign", func(d map[string]any) { d["signature"], d["receipt"] = first.Signature, ref(first) })
	s.clock.move(10 * time.Minute)
	again := must(c.Sign(t.Context(), r))(t)
	if !again.Verified.Replayed || again.Receipt.ID != first.Receipt.ID {
		t.Errorf("%+v", again.Verified)
	}
	s.expectRequest(t, "without the key", s.request(), client.CodeReceiptMismatch, "idempotency_digest")
	r.IdempotencyKey = "order-8"
	s.expectRequest(t, "other key", r, client.CodeReceiptMismatch, "idempotency_digest")
	r.IdempotencyKey, r.Message = "order-7", "other"
	s.expectRequest(t, "other message", r, client.CodeSignature, "")
}

func TestBundleAttacks(t *testing.T) {
	s := newStack(t)
	c := s.client(t, s.secret)
	res := must(c.Sign(t.Context(), s.request()))(t)
	other := s.request()
	other.Message = "other"
	another := must(c.Sign(t.Context(), other))(t)
	for name, a := range map[string]struct {
		edit func(*client.Bundle)
		code client.Code
	}{
		"signature":   {func(b *client.Bundle) { b.Signature = another.Signature }, client.CodeReceiptMismatch},
		"receipt":     {func(b *client.Bundle) { b.Receipt = another.Receipt.Proof }, client.CodeReceiptMismatch},
		"cut":         {func(b *client.Bundle) { b.Receipt = b.Receipt[:50] }, client.CodeReceiptInvalid},
		"no evidence": {func(b *client.Bundle) { b.Evidence = attest.Evidence{} }, client.CodeEvidenceInvalid},
		"no grant":    {func(b *client.Bundle) { b.Grant = nil }, client.CodeGrant},
		"certificate": {func(b *client.Bundle) { b.Certificate[40] ^= 1 }, client.CodeCertificate},
	} {
		b := must(c.Bundle(t.Context(), res))(t)
		a.edit(b)
		_, err := b.Verify(s.org.GenesisDigest)
		var v *client.VerificationError
		if !errors.As(err, &v) || v.Code != a.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := must(c.Bundle(t.Context(), res))(t)
	var v *client.VerificationError
	if _, err := b.Verify(sha256.Sum256(nil)); !errors.As(err, &v) || v.Code != client.CodePin {
		t.Error(err)
	}
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	back := must(client.ParseBundle(text))(t)
	if _, err := back.Verify(s.org.GenesisDigest); err != nil {
		t.Error(err)
	}
}
