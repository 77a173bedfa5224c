package confspace_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/attest"
	"github.com/sigilkeys/sigil/attest/attesttest"
	"github.com/sigilkeys/sigil/attest/confspace"
)

var statement = []byte("sigil/instance-statement/v1\nwhatever it says")

// evidence is a statement with a token of the first issuer that vouches for it.
func evidence(t testing.TB, sign func([]byte) (string, error)) attest.Evidence {
	t.Helper()
	id := sha256.Sum256(statement)
	p, err := workload().Payload(issuerURL, attesttest.Request{Audience: audience, Nonces: []string{hex.EncodeToString(id[:])}, IssuedAt: start})
	if err != nil {
		t.Fatal(err)
	}
	return attest.Evidence{Statement: statement, Token: must(t)(sign(p))}
}

// archives are one of each kind, with the pins that they are trusted by.
func archives(t testing.TB) map[string]struct {
	archive *confspace.Archive
	pins    confspace.Pins
} {
	t.Helper()
	out := map[string]struct {
		archive *confspace.Archive
		pins    confspace.Pins
	}{}
	iss := issuers()[0]
	for kind, sign := range map[string]func([]byte) (string, error){"oidc": iss.OIDC, "pki": iss.PKI} {
		a, err := confspace.NewArchive(evidence(t, sign), trust(t), start.Add(time.Minute+time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		pins := confspace.Pins{PKIRoot: iss.RootSHA256()}
		if kind == "oidc" {
			pins = confspace.Pins{KeySet: trust(t).Keys.Digest()}
		}
		out[kind] = struct {
			archive *confspace.Archive
			pins    confspace.Pins
		}{a, pins}
	}
	return out
}

// A receipt of years ago still verifies, without a network, when the issuer
// has other keys: by its bytes and what was kept elsewhere.
func TestArchiveVerifiesYearsLater(t *testing.T) {
	for kind, c := range archives(t) {
		data, err := c.archive.Encode()
		if err != nil {
			t.Fatal(err)
		}
		a, err := confspace.ParseArchive(data)
		if err != nil {
			t.Fatal(err)
		}
		claims, err := a.Verify(c.pins)
		if err != nil {
			t.Fatal(err)
		}
		id := a.Evidence.ID()
		e := expectation()
		e.Nonce, e.At = hex.EncodeToString(id[:]), a.Verified
		if err := confspace.Validate(claims, e, start.AddDate(8, 0, 0)); err != nil {
			t.Error(err)
		}
		// Canary: the present, with an issuer that has gone on, refuses.
		newer, err := confspace.ParseKeySet([]byte(jwks(t, issuers()[1])))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := confspace.Verify(a.Evidence.Token, confspace.Trust{Keys: newer, PKIRoot: c.pins.PKIRoot}, start.AddDate(11, 0, 0)); err == nil {
			t.Errorf("%s: verified in the present", kind)
		}
		again, err := a.Encode()
		if err != nil || !bytes.Equal(again, data) || a.Verified != start.Add(time.Minute) {
			t.Errorf("%s: doesn't come back as it was: %v", kind, err)
		}
	}
}

func TestArchiveRefused(t *testing.T) {
	iss, other := issuers()[0], issuers()[1]
	foreign, err := confspace.ParseKeySet([]byte(jwks(t, other)))
	if err != nil {
		t.Fatal(err)
	}
	foreignToken := evidence(t, other.OIDC).Token
	late := 61*time.Minute + 1
	type change struct {
		kind string
		do   func(*confspace.Archive, *confspace.Pins)
		want confspace.Reason
	}
	for name, c := range map[string]change{
		"nothing pinned":       {"oidc", func(_ *confspace.Archive, p *confspace.Pins) { *p = confspace.Pins{} }, confspace.ReasonUntrusted},
		"no root pinned":       {"pki", func(_ *confspace.Archive, p *confspace.Pins) { *p = confspace.Pins{} }, confspace.ReasonUntrusted},
		"root for keys":        {"oidc", func(_ *confspace.Archive, p *confspace.Pins) { *p = confspace.Pins{PKIRoot: iss.RootSHA256()} }, confspace.ReasonUntrusted},
		"keys for root":        {"pki", func(_ *confspace.Archive, p *confspace.Pins) { *p = confspace.Pins{KeySet: trust(t).Keys.Digest()} }, confspace.ReasonUntrusted},
		"other keys archived":  {"oidc", func(a *confspace.Archive, _ *confspace.Pins) { a.Keys = foreign }, confspace.ReasonKeySet},
		"other keys pinned":    {"oidc", func(_ *confspace.Archive, p *confspace.Pins) { p.KeySet = foreign.Digest() }, confspace.ReasonKeySet},
		"forged with own keys": {"oidc", func(a *confspace.Archive, _ *confspace.Pins) { a.Keys, a.Evidence.Token = foreign, foreignToken }, confspace.ReasonKeySet},
		"both other":           {"oidc", func(a *confspace.Archive, p *confspace.Pins) { a.Keys, p.KeySet = foreign, foreign.Digest() }, confspace.ReasonUnknownKey},
		"other root archived":  {"pki", func(a *confspace.Archive, _ *confspace.Pins) { a.Root = other.RootSHA256() }, confspace.ReasonRoot},
		"other root pinned":    {"pki", func(_ *confspace.Archive, p *confspace.Pins) { p.PKIRoot = other.RootSHA256() }, confspace.ReasonRoot},
		"both roots other": {"pki", func(a *confspace.Archive, p *confspace.Pins) {
			a.Root, p.PKIRoot = other.RootSHA256(), other.RootSHA256()
		}, confspace.ReasonRoot},
		"earlier":            {"oidc", func(a *confspace.Archive, _ *confspace.Pins) { a.Verified = start.Add(-61 * time.Second) }, confspace.ReasonIssuedInFuture},
		"later":              {"oidc", func(a *confspace.Archive, _ *confspace.Pins) { a.Verified = start.Add(late) }, confspace.ReasonExpired},
		"later, with a root": {"pki", func(a *confspace.Archive, _ *confspace.Pins) { a.Verified = start.Add(late) }, confspace.ReasonExpired},
		"a year later":       {"pki", func(a *confspace.Archive, _ *confspace.Pins) { a.Verified = start.AddDate(1, 0, 0) }, confspace.ReasonExpired},
		"before the chain":   {"pki", func(a *confspace.Archive, _ *confspace.Pins) { a.Verified = start.AddDate(-1, 0, 0) }, confspace.ReasonChain},
		"no instant":         {"pki", func(a *confspace.Archive, _ *confspace.Pins) { a.Verified = time.Time{} }, confspace.ReasonChain},
		"other statement":    {"pki", func(a *confspace.Archive, _ *confspace.Pins) { a.Evidence.Statement = []byte("other") }, confspace.ReasonNonce},
		"other token":        {"oidc", func(a *confspace.Archive, _ *confspace.Pins) { a.Evidence.Token = foreignToken }, confspace.ReasonUnknownKey},
		"token of a root":    {"oidc", func(a *confspace.Archive, _ *confspace.Pins) { a.Evidence.Token = evidence(t, iss.PKI).Token }, confspace.ReasonUntrusted},
		"token cut":          {"oidc", func(a *confspace.Archive, _ *confspace.Pins) { a.Evidence.Token = a.Evidence.Token[:600] }, confspace.ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			good := archives(t)[c.kind]
			c.do(good.archive, &good.pins)
			claims, err := good.archive.Verify(good.pins)
			wantReason(t, err, c.want)
			if claims != nil {
				t.Error("claims of a refused archive")
			}
		})
	}
	// Evidence that doesn't verify isn't archived.
	ev := evidence(t, iss.PKI)
	_, err = confspace.NewArchive(ev, trust(t), start.Add(late))
	wantReason(t, err, confspace.ReasonExpired)
	_, err = confspace.NewArchive(ev, confspace.Trust{}, start)
	wantReason(t, err, confspace.ReasonUntrusted)
	ev.Statement = []byte("other")
	_, err = confspace.NewArchive(ev, trust(t), start)
	wantReason(t, err, confspace.ReasonNonce)
}

func TestArchiveFormRefused(t *testing.T) {
	encoded := map[string]string{}
	for kind, c := range archives(t) {
		data, err := c.archive.Encode()
		if err != nil {
			t.Fatal(err)
		}
		encoded[kind] = string(data)
	}
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal([]byte(encoded["oidc"]), &doc); err != nil || len(doc.Keys) != 2 {
		t.Fatalf("%d keys, %v", len(doc.Keys), err)
	}
	one, two := string(doc.Keys[0]), string(doc.Keys[1])
	root := hex.EncodeToString(func() []byte { r := issuers()[0].RootSHA256(); return r[:] }())
	for name, c := range map[string]struct{ kind, old, new string }{
		"next version":   {"pki", "archive.v1", "archive.v2"},
		"unknown member": {"pki", `{"format"`, `{"x":1,"format"`},
		"white space":    {"pki", `,"keys"`, `, "keys"`},
		"no instant":     {"pki", `"verified":1795608060`, `"verified":0`},
		"far instant":    {"pki", `"verified":1795608060`, `"verified":1099511627776`},
		"fraction":       {"pki", `"verified":1795608060`, `"verified":1795608060.5`},
		"null keys":      {"pki", `"keys":[]`, `"keys":null`},
		"both":           {"oidc", `"root_sha256":""`, `"root_sha256":"` + root + `"`},
		"neither":        {"pki", root, ""},
		"zero root":      {"pki", root, strings.Repeat("0", 64)},
		"short root":     {"pki", root, root[:62]},
		"upper case":     {"pki", root, strings.ToUpper(root)},
		"key order":      {"oidc", one + "," + two, two + "," + one},
		"key twice":      {"oidc", one + "," + two, one + "," + one},
		"key unused":     {"oidc", `"use":"sig"`, `"use":"enc"`},
		"number spelt":   {"oidc", `"e":"AQAB"`, `"e":"AAEAAQ"`},
		"no token":       {"oidc", `"token":"ey`, `"token":"","x":"ey`},
	} {
		bad := strings.Replace(encoded[c.kind], c.old, c.new, 1)
		if bad == encoded[c.kind] {
			t.Fatalf("%s: canary: nothing was replaced", name)
		}
		if _, err := confspace.ParseArchive([]byte(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, bad := range []string{"", "{}", "null", encoded["pki"] + "\n", encoded["pki"][:100], strings.Repeat(" ", 1<<20)} {
		if _, err := confspace.ParseArchive([]byte(bad)); err == nil {
			t.Errorf("accepted %.40q", bad)
		}
	}
	if _, err := (&confspace.Archive{}).Encode(); err == nil {
		t.Error("an empty archive was written")
	}
}

// A key set pins the keys and not their spelling.
func TestKeySetDigest(t *testing.T) {
	text := jwks(t, issuers()[0])
	a, err := confspace.ParseKeySet([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	spelt := strings.Replace(strings.ReplaceAll(text, `,"`, ` , "`), `"keys":[`, `"keys":[{"kty":"EC","crv":"P-256"},`, 1)
	b, err := confspace.ParseKeySet([]byte(spelt))
	if err != nil || a.Digest() != b.Digest() {
		t.Errorf("another digest: %v", err)
	}
	again, err := confspace.ParseKeySet(a.Encode())
	if err != nil || again.Digest() != a.Digest() || a.Digest() != sha256.Sum256(a.Encode()) {
		t.Errorf("the canonical form has another digest: %v", err)
	}
	other, err := confspace.ParseKeySet([]byte(jwks(t, issuers()[1])))
	if err != nil || other.Digest() == a.Digest() {
		t.Errorf("other keys, one digest: %v", err)
	}
}

// Whatever bytes come, what is read writes the same bytes again, and verifies
// only with what was pinned.
func FuzzArchive(f *testing.F) {
	var tokens []string
	pins := confspace.Pins{}
	for _, c := range archives(f) {
		data, err := c.archive.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		tokens = append(tokens, c.archive.Evidence.Token)
		if c.pins.KeySet != [32]byte{} {
			pins.KeySet = c.pins.KeySet
		} else {
			pins.PKIRoot = c.pins.PKIRoot
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := confspace.ParseArchive(data)
		if err != nil {
			return
		}
		if again, err := a.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%q comes back as %q (%v)", data, again, err)
		}
		if _, err := a.Verify(pins); err == nil && a.Evidence.Token != tokens[0] && a.Evidence.Token != tokens[1] {
			t.Fatalf("accepted %q", data)
		}
	})
}
