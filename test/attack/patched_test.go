package attack

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/signing"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/stack"
)

// patchedRun is a stack whose control plane is the attacker's: its HTTP face
// and its end of the link can both be altered.
type patchedRun struct {
	*scene
	face patch
	link tap
	// What the attacker has from before.
	earlier, another, second *client.SignResult
	state                    [32]byte       // digest of the owner's state record
	otherGrant               [32]byte       // of the same owner
	otherGenesis             [32]byte       // of another organisation
	otherCredential          map[string]any // of another organisation
}

func newPatchedRun(t *testing.T) *patchedRun {
	r := &patchedRun{}
	r.link.t = t
	r.scene = newScene(t, stack.Options{WrapHandler: r.face.wrap, WrapLink: r.link.open,
		Undescribed: func(string, ...any) {}}) // what it alters needn't be as the API's description has it
	sign := func(wallet, message string) *client.SignResult {
		res, err := r.client.Sign(t.Context(), client.SignRequest{WalletID: wallet, Network: "base", Message: message})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	r.earlier, r.another, r.second = sign(r.one.ID, "pay"), sign(r.one.ID, "pay more"), sign(r.two.ID, "pay")
	known := func(token *authority.Token) *signing.Key { // the TEE has its documents then
		r.Do(r.Request(token, "POST", "/v1/s2s/wallets", `{}`), 201, nil)
		k, err := r.Signing.Key(t.Context(), authority.KeyID(token.PublicKey()))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	k := known(r.NewKey(r.owner, nil))
	r.otherGrant, r.state = k.Digest, k.StateDigest
	stranger := r.NewKey(r.NewOwner(), nil)
	r.otherGenesis = known(stranger).Genesis.Digest
	r.Do(r.Request(stranger, "GET", "/v1/s2s/credential", ""), 200, &r.otherCredential)
	return r
}

// attempt has the owner ask for one signature, and says what they see.
func (r *patchedRun) attempt(t *testing.T) (string, error) {
	res, err := sdk(t, r.Stack, r.token).Sign(t.Context(), client.SignRequest{WalletID: r.one.ID, Network: "base", Message: "pay"})
	if err == nil && res == nil || err != nil && res != nil {
		t.Error("a result with an error, or neither")
	}
	return seen(err), err
}

// seen names what the owner's program sees, with the field that is wrong.
func seen(err error) string {
	if v, ok := err.(*client.VerificationError); ok {
		s := "SDK " + string(v.Code)
		if v.Field != "" {
			s += " (" + v.Field + ")"
		}
		if v.Reason != "" {
			s += " [" + string(v.Reason) + "]"
		}
		return s
	}
	if err == nil {
		return "nothing"
	}
	if c := code(err); c != string(api.CodeStoreUnavailable) {
		return "TEE " + c
	}
	return "control plane store_unavailable" // it commits only what a batch covers
}

// onDecide alters what the control plane tells the TEE of a sign request.
func (r *patchedRun) onDecide(t *testing.T, edit func(*teelink.Decide)) {
	r.link.set(func(toTEE bool, f *teelink.Frame) {
		if !toTEE || f.Op != teelink.OpDecide {
			return
		}
		d, err := teelink.DecodeDecide(f.Payload)
		if err != nil {
			t.Error(err)
			return
		}
		edit(d)
		if f.Payload, err = d.Encode(); err != nil {
			t.Error(err)
		}
	})
}

// onBatch alters what the TEE answers.
func (r *patchedRun) onBatch(t *testing.T, edit func(signed []byte, items []teelink.Item) []byte) {
	r.link.set(func(toTEE bool, f *teelink.Frame) {
		if toTEE || f.Op != teelink.OpBatch {
			return
		}
		signed, items, err := teelink.DecodeBatch(f.Payload)
		if err != nil {
			t.Error(err)
			return
		}
		if f.Payload, err = teelink.EncodeBatch(edit(bytes.Clone(signed), items), items); err != nil {
			t.Error(err)
		}
	})
}

// onReply alters the data of one path's replies; "" is that of a signature.
func (r *patchedRun) onReply(path string, edit func(d map[string]any)) {
	if path == "" {
		path = "/v1/s2s/sign"
	}
	r.face.set(func(p string, d map[string]any) {
		if strings.HasPrefix(p, path) {
			edit(d)
		}
	})
}

// onReceipt alters the receipt of a signature's reply.
func (r *patchedRun) onReceipt(t *testing.T, edit func(*receipt.Receipt)) {
	r.onReply("", func(d map[string]any) {
		ref := d["receipt"].(map[string]any)
		raw, err := base64.StdEncoding.DecodeString(ref["proof"].(string))
		if err != nil {
			t.Error(err)
		}
		proof, err := receipt.DecodeReceipt(raw)
		if err != nil {
			t.Error(err)
			return
		}
		edit(proof)
		ref["proof"] = base64.StdEncoding.EncodeToString(proof.Encode())
	})
}

func (r *patchedRun) onLeaf(t *testing.T, edit func(*receipt.Leaf)) {
	r.onReceipt(t, func(p *receipt.Receipt) {
		l, err := receipt.DecodeLeaf(p.Leaf)
		if err != nil {
			t.Error(err)
			return
		}
		edit(l)
		if p.Leaf, err = l.Encode(); err != nil {
			t.Error(err)
		}
	})
}

func (r *patchedRun) honest() { r.face.set(nil); r.link.set(nil) }

func replace(from, to string) func(*teelink.Decide) {
	return func(d *teelink.Decide) { d.Body = bytes.Replace(d.Body, []byte(from), []byte(to), 1) }
}

func ref(r *client.SignResult) map[string]any {
	return map[string]any{"id": r.Receipt.ID, "proof": base64.StdEncoding.EncodeToString(r.Receipt.Proof)}
}

// alteration is one row of the table that the test prints.
type alteration struct {
	what  string // is altered
	how   string
	patch func(t *testing.T, r *patchedRun)
	want  string // as seen by the owner's program
}

// toTheTEE is what the control plane alters on the way in.
func toTheTEE() []alteration {
	decide := func(edit func(*testing.T, *patchedRun, *teelink.Decide)) func(*testing.T, *patchedRun) {
		return func(t *testing.T, r *patchedRun) { r.onDecide(t, func(d *teelink.Decide) { edit(t, r, d) }) }
	}
	simple := func(edit func(*teelink.Decide)) func(*testing.T, *patchedRun) {
		return decide(func(_ *testing.T, _ *patchedRun, d *teelink.Decide) { edit(d) })
	}
	const invalid = "TEE signature_invalid"
	return []alteration{
		{"message", "in the request", simple(replace(`"pay"`, `"pay the attacker"`)), invalid},
		{"network", "in the request", simple(replace(`"base"`, `"polygon"`)), invalid},
		{"wallet", "in the request", decide(func(_ *testing.T, r *patchedRun, d *teelink.Decide) { replace(r.one.ID, r.two.ID)(d) }), invalid},
		{"wallet", "another's record", decide(func(t *testing.T, r *patchedRun, d *teelink.Decide) {
			d.Record = receipt.Digest(r.row(t, r.two.ID).Encode())
		}), "TEE wallet_mismatch"},
		{"key", "another of the owner's grants", decide(func(_ *testing.T, r *patchedRun, d *teelink.Decide) { d.Grant = r.otherGrant }), invalid},
		{"key", "bearer instead of signature", simple(func(d *teelink.Decide) { d.Auth = teelink.AuthBearer }), "TEE bearer_not_allowed"},
		{"organisation", "another's genesis", decide(func(_ *testing.T, r *patchedRun, d *teelink.Decide) { d.Genesis = r.otherGenesis }), "TEE document_invalid"},
		{"request time", "made later", simple(func(d *teelink.Decide) { d.Created++ }), invalid},
		{"request id", "another one", simple(func(d *teelink.Decide) { d.RequestID[3] ^= 1 }), invalid},
		{"request", "another route", decide(func(_ *testing.T, r *patchedRun, d *teelink.Decide) {
			d.Path, d.Record = "/v1/s2s/wallets", r.state
		}), invalid},
		{"request", "another method", simple(func(d *teelink.Decide) { d.Method = "PUT" }), invalid},
		{"request", "with a query", simple(func(d *teelink.Decide) { d.Query = "x=1" }), invalid},
		{"request", "with an Idempotency-Key", simple(func(d *teelink.Decide) { d.IdempotencyKey = "mine" }), invalid},
		{"request signature", "a flipped bit", simple(func(d *teelink.Decide) { d.Proof[9] ^= 1 }), invalid},
		{"request signature", "none", simple(func(d *teelink.Decide) { d.Proof = nil }), invalid},
	}
}

// fromTheTEE is what it alters on the way out.
func fromTheTEE() []alteration {
	reply := func(edit func(*patchedRun, map[string]any)) func(*testing.T, *patchedRun) {
		return func(_ *testing.T, r *patchedRun) { r.onReply("", func(d map[string]any) { edit(r, d) }) }
	}
	batch := func(edit func(signed []byte, items []teelink.Item) []byte) func(*testing.T, *patchedRun) {
		return func(t *testing.T, r *patchedRun) { r.onBatch(t, edit) }
	}
	return []alteration{
		{"signature", "of another message", reply(func(r *patchedRun, d map[string]any) { d["signature"] = r.another.Signature }), "SDK signature_mismatch"},
		{"signature", "of another wallet", reply(func(r *patchedRun, d map[string]any) { d["signature"] = r.second.Signature }), "SDK signature_mismatch"},
		{"signature", "on the link", batch(func(signed []byte, items []teelink.Item) []byte {
			items[0].Result = bytes.Clone(items[0].Result)
			items[0].Result[20] ^= 1
			return signed
		}), "SDK signature_mismatch"},
		{"wallet", "in the reply", reply(func(r *patchedRun, d map[string]any) { d["wallet_id"] = r.two.ID }), "SDK response_mismatch (wallet_id)"},
		{"network", "in the reply", reply(func(_ *patchedRun, d map[string]any) { d["network"] = "polygon" }), "SDK response_mismatch (network)"},
		{"address", "in the reply", reply(func(r *patchedRun, d map[string]any) { d["address"] = r.two.Addresses["base"] }), "SDK response_mismatch (address)"},
		{"public key", "in the reply", reply(func(r *patchedRun, d map[string]any) { d["public_key"] = r.two.PublicKeys["secp256k1"] }), "SDK response_mismatch (public_key)"},
		{"receipt", "none", reply(func(_ *patchedRun, d map[string]any) { delete(d, "receipt") }), "SDK receipt_invalid"},
		{"receipt", "of an earlier request", reply(func(r *patchedRun, d map[string]any) { d["receipt"] = ref(r.earlier) }), "SDK receipt_mismatch (request_id)"},
		{"receipt", "of another message", reply(func(r *patchedRun, d map[string]any) { d["receipt"] = ref(r.another) }), "SDK receipt_mismatch (payload_digest)"},
		{"receipt", "of another wallet", reply(func(r *patchedRun, d map[string]any) { d["receipt"] = ref(r.second) }), "SDK receipt_mismatch (wallet)"},
		{"receipt", "its leaf's network", func(t *testing.T, r *patchedRun) { r.onLeaf(t, func(l *receipt.Leaf) { l.Network = "polygon" }) }, "SDK receipt_invalid"},
		{"receipt", "its leaf's time", func(t *testing.T, r *patchedRun) { r.onLeaf(t, func(l *receipt.Leaf) { l.Time++ }) }, "SDK receipt_invalid"},
		{"receipt", "leaf altered on the link", batch(func(signed []byte, items []teelink.Item) []byte {
			items[0].Leaf = bytes.Clone(items[0].Leaf)
			items[0].Leaf[len(items[0].Leaf)-1] ^= 1
			return signed
		}), "control plane store_unavailable"},
		{"batch", "signed by the attacker", func(t *testing.T, r *patchedRun) { r.onReceipt(t, resign(t, false)) }, "SDK batch_invalid"},
		{"batch", "signed in the attacker's name", func(t *testing.T, r *patchedRun) { r.onReceipt(t, resign(t, true)) }, "SDK batch_invalid"},
		{"batch", "signature altered on the link", batch(func(signed []byte, _ []teelink.Item) []byte { signed[len(signed)-9] ^= 1; return signed }), "control plane store_unavailable"},
	}
}

// resign has the attacker sign the batch anew, in their own name or the
// instance's.
func resign(t *testing.T, own bool) func(*receipt.Receipt) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return func(p *receipt.Receipt) {
		b, _, _, err := receipt.DecodeBatch(p.Batch)
		if err != nil {
			t.Error(err)
			return
		}
		if own {
			b.InstanceKey = [32]byte(key[32:])
		}
		if p.Batch, err = b.Sign(key); err != nil {
			// It refuses to sign in another's name: splice the signature in.
			p.Batch = append(p.Batch[:len(p.Batch)-64:len(p.Batch)-64], ed25519.Sign(key, p.Batch[:len(p.Batch)-64])...)
		}
	}
}

// documents is what it shows in place of the owner's documents.
func documents() []alteration {
	data := func(path string, edit func(t *testing.T, r *patchedRun, d map[string]any)) func(*testing.T, *patchedRun) {
		return func(t *testing.T, r *patchedRun) { r.onReply(path, func(d map[string]any) { edit(t, r, d) }) }
	}
	const credential, wallets = "/v1/s2s/credential", "/v1/s2s/wallets/"
	foreign := func(part string) func(t *testing.T, r *patchedRun, d map[string]any) {
		return func(_ *testing.T, r *patchedRun, d map[string]any) {
			other := r.otherCredential
			if part == "state" {
				d["organization"].(map[string]any)["state_record"] = other["organization"].(map[string]any)["state_record"]
				return
			}
			d[part] = other[part]
		}
	}
	evidence := func(edit func(map[string]any)) func(t *testing.T, r *patchedRun, d map[string]any) {
		return func(_ *testing.T, _ *patchedRun, d map[string]any) {
			edit(d["organization"].(map[string]any)["evidence"].(map[string]any))
		}
	}
	return []alteration{
		{"certificate", "of another wallet", data(wallets, func(t *testing.T, r *patchedRun, d map[string]any) {
			d["certificate"] = base64.StdEncoding.EncodeToString(r.row(t, r.two.ID).Certificate)
		}), "SDK certificate_invalid (wallet)"},
		{"certificate", "a flipped bit", data(wallets, func(t *testing.T, r *patchedRun, d map[string]any) {
			c := r.row(t, r.one.ID).Certificate
			c[90] ^= 1
			d["certificate"] = base64.StdEncoding.EncodeToString(c)
		}), "SDK certificate_invalid"},
		{"address", "of the wallet shown", data(wallets, func(_ *testing.T, r *patchedRun, d map[string]any) {
			d["addresses"] = r.two.Addresses
		}), "SDK response_mismatch (address)"},
		{"organisation", "another's", data(credential, foreign("organization")), "SDK pin_mismatch"},
		{"grant", "another's", data(credential, foreign("grant")), "SDK grant_invalid"},
		{"state key", "another's", data(credential, foreign("state")), "SDK state_certificate_invalid"},
		{"evidence", "another token", data(credential, evidence(func(e map[string]any) { e["token"] = "a.b.c" })), "SDK evidence_invalid [malformed]"},
		{"evidence", "its claims altered", data(credential, evidence(func(e map[string]any) { e["token"] = debugClaims(e["token"].(string)) })), "SDK evidence_invalid [signature]"},
		{"evidence", "another statement", data(credential, evidence(func(e map[string]any) { e["statement"] = "" })), "SDK evidence_invalid"},
	}
}

// debugClaims alters one claim of a JWT and leaves the signature.
func debugClaims(token string) string {
	parts := strings.Split(token, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || len(parts) != 3 {
		return ""
	}
	parts[1] = base64.RawURLEncoding.EncodeToString(bytes.Replace(payload, []byte("disabled-since-boot"), []byte("disabled-since-boo7"), 1))
	return strings.Join(parts, ".")
}

// A control plane patched to alter each thing that it relays: what the owner's
// program sees is a refusal by the TEE or by the SDK, and never a result.
func TestPatchedControlPlane(t *testing.T) {
	r := newPatchedRun(t)
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "altered\thow\trefused by")
	for _, a := range append(append(toTheTEE(), fromTheTEE()...), documents()...) {
		r.honest()
		a.patch(t, r)
		got, err := r.attempt(t)
		if got != a.want {
			t.Errorf("%s, %s: %s, want %s: %v", a.what, a.how, got, a.want, err)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", a.what, a.how, got)
	}
	r.honest()
	if got, err := r.attempt(t); got != "nothing" {
		t.Error("canary: the honest control plane is refused:", err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + table.String())
}

// Somebody else's end of the link, without the attested key: the control
// plane doesn't talk to it.
func TestManInTheMiddleOfTheLink(t *testing.T) {
	s := newScene(t, stack.Options{})
	mine, _, err := teelink.NewCertificate(s.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		certificate func() string
		up          bool
	}{
		"the workload itself (canary)": {func() string { return s.Link.Address }, true},
		"a key that isn't attested":    {func() string { return (&tap{t: t}).open(s.Link.Address, mine) }, false},
	} {
		l := &signing.Link{Address: c.certificate(), Accept: s.Link.Accept, Store: s.Store, OnBatch: func(*teelink.Batch) {}, Log: slog.New(slog.DiscardHandler), Now: s.Now}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { l.Run(ctx) })
		if _, err := l.Client(ctx); (err == nil) != c.up {
			t.Errorf("%s: %v", name, err)
		}
		stop()
		running.Wait()
	}
}
