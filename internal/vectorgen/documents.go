package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/internal/teelink"
)

func sampleGenesis() authority.Genesis {
	a, b := public(key(3)), public(key(4))
	return authority.Genesis{Format: authority.FormatGenesis, OrganizationID: seq16(0x10), Name: "Acme <Treasury> & Söhne", Created: 1764000000, Version: 1,
		Admins: []authority.Admin{{Name: "alice", PublicKey: h(a[:])}, {Name: "bob", PublicKey: h(b[:])}}, Quorum: 2,
		Freshness: authority.Freshness{Mode: authority.FreshnessUnwitnessed},
		TEEs: []authority.TEE{{Kind: authority.KindConfidentialSpace, Issuer: "https://confidentialcomputing.googleapis.com", PKIRoot: h(seq(0x11, 32)),
			Hardware: []string{"GCP_AMD_SEV", "GCP_INTEL_TDX"}, ProjectID: "sigil-tee", ServiceAccount: "w@sigil-tee.iam.gserviceaccount.com", ImageDigests: []string{release},
			TEEKEK: "projects/a/locations/l/keyRings/r/cryptoKeys/k", ProviderKEK: "projects/b/locations/l/keyRings/r/cryptoKeys/k"}}}
}

// verifiedGenesis is the sample, signed by both of its admins.
func verifiedGenesis() (*authority.VerifiedGenesis, error) {
	envelope, err := authority.SignEnvelope(authority.TypeGenesis, sampleGenesis(), key(3), key(4))
	if err != nil {
		return nil, err
	}
	return authority.VerifyGenesis(envelope)
}

func genesisDocuments() (file, error) {
	f := file{Format: "genesis", Section: "3.1"}
	g, err := verifiedGenesis()
	if err != nil {
		return f, err
	}
	good := g.Envelope
	pin := g.Pin()
	f.good("two admins", good, map[string]any{"organization_id": g.OrganizationID.String(), "name": g.Name, "digest": h(g.Digest[:]), "pin": h(pin[:]), "quorum": g.Quorum})
	f.bad("trailing space", "not canonical", append(bytes.Clone(good), ' '))
	f.bad("empty", "truncated", nil)
	one, err := authority.SignEnvelope(authority.TypeGenesis, sampleGenesis(), key(3))
	if err != nil {
		return f, err
	}
	f.bad("one of two signatures", "quorum", one)
	same, err := authority.SignEnvelope(authority.TypeGenesis, sampleGenesis(), key(3), key(3))
	if err != nil {
		return f, err
	}
	f.bad("the same signature twice", "quorum", same)
	stranger, err := authority.SignEnvelope(authority.TypeGenesis, sampleGenesis(), key(3), key(9))
	if err != nil {
		return f, err
	}
	f.bad("signed by a stranger", "signature", stranger)
	altered := bytes.Replace(good, []byte(base64.StdEncoding.EncodeToString([]byte(`{"format":"sigi`))), []byte(base64.StdEncoding.EncodeToString([]byte(`{"format":"sigj`))), 1)
	f.bad("payload altered", "signature", altered)
	f.bad("another payload type", "type", bytes.Replace(good, []byte("sigil.genesis.v1"), []byte("sigil.genesis.v2"), 1))
	f.bad("unknown member", "not canonical", bytes.Replace(good, []byte(`{"payloadType"`), []byte(`{"x":1,"payloadType"`), 1))
	doc := sampleGenesis()
	doc.Freshness.Mode = "witnessed"
	witnessed, err := authority.SignEnvelope(authority.TypeGenesis, doc, key(3), key(4))
	if err != nil {
		return f, err
	}
	f.bad("unsupported freshness mode", "values", witnessed)
	return f, nil
}

func sampleGrant(g *authority.VerifiedGenesis) authority.Grant {
	state, credential := public(key(2)), public(key(5))
	return authority.Grant{Format: authority.FormatGrant, OrganizationID: g.OrganizationID, Genesis: h(g.Digest[:]), StateKey: h(state[:]), GrantID: seq16(0x12), Name: "backend",
		Credential: h(credential[:]), NotBefore: 1764000000, Expires: 1795536000,
		Policy: policy.Policy{Wallets: []string{policy.Any}, Networks: []string{"base", "solana"}, Methods: []string{policy.MethodSignMessage, policy.MethodCreateWallet}}}
}

func grants() (file, error) {
	f := file{Format: "grant", Section: "3.2"}
	g, err := verifiedGenesis()
	if err != nil {
		return f, err
	}
	good, err := authority.SignEnvelope(authority.TypeGrant, sampleGrant(g), key(3), key(4))
	if err != nil {
		return f, err
	}
	v, err := authority.VerifyGrant(good, g)
	if err != nil {
		return f, err
	}
	e := f.good("grant", good, map[string]any{"digest": h(v.Digest[:]), "credential": h(v.Credential[:]), "state_key": h(v.StateKey[:]), "key_id": authority.KeyID(v.Credential)})
	e.Context = map[string]any{"genesis": h(g.Envelope)}
	for _, c := range []struct {
		name, failure string
		edit          func(*authority.Grant)
	}{
		{"of another genesis", "genesis", func(v *authority.Grant) { v.Genesis = strings.Repeat("00", 32) }},
		{"without expiry", "values", func(v *authority.Grant) { v.Expires = 0 }},
		{"bearer for all wallets", "values", func(v *authority.Grant) { v.Bearer = true }},
		{"delegating", "values", func(v *authority.Grant) { v.Delegate = true }},
		{"star in company", "values", func(v *authority.Grant) { v.Policy.Networks = []string{"*", "base"} }},
	} {
		doc := sampleGrant(g)
		c.edit(&doc)
		b, err := authority.SignEnvelope(authority.TypeGrant, doc, key(3), key(4))
		if err != nil {
			return f, err
		}
		f.bad(c.name, c.failure, b)
	}
	one, err := authority.SignEnvelope(authority.TypeGrant, sampleGrant(g), key(3))
	if err != nil {
		return f, err
	}
	f.bad("one of two signatures", "quorum", one)
	f.bad("a genesis in its place", "type", g.Envelope)
	if err := secondGrants(&f, g); err != nil {
		return f, err
	}
	err = acceptingGrants(&f, g)
	return f, err
}

// acceptingGrants adds entries of grants that accept what nobody can explain.
func acceptingGrants(f *file, g *authority.VerifiedGenesis) error {
	const contract, program = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48", "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
	call := policy.Acceptance{Kind: policy.AcceptCall, Network: "base", Contract: contract, Function: "supply(address,(uint256,bytes)[2][],int8)"}
	changed := func(edit func(*policy.Acceptance)) []policy.Acceptance {
		a := call
		edit(&a)
		return []policy.Acceptance{a}
	}
	for _, c := range []struct {
		name   string
		good   bool
		accept []policy.Acceptance
	}{
		{"accepting one of each kind", true, []policy.Acceptance{
			call,
			{Kind: policy.AcceptCalldata, Network: "base", Contract: contract, Code: strings.Repeat("c0", 32)},
			{Kind: policy.AcceptCalldata, Network: "base", From: contract, Contract: contract, Code: strings.Repeat("c0", 32)},
			{Kind: policy.AcceptTypedData, Network: "base", Contract: contract, Type: "Order(address maker)"},
			{Kind: policy.AcceptTypedData, Network: "base", Type: "Login(string nonce)"},
			{Kind: policy.AcceptDelegate, Network: "base", Contract: contract},
			{Kind: policy.AcceptDelegate, Network: "solana", Contract: program},
			{Kind: policy.AcceptDeploy, Network: "base", Code: strings.Repeat("0d", 32)},
			{Kind: policy.AcceptInstruction, Network: "solana", Contract: program, Begins: "0c"},
			{Kind: policy.AcceptAccounts, Network: "solana", Contract: program},
			{Kind: policy.AcceptTable, Network: "solana", Contract: program, Accounts: []string{program, program}},
		}},
		{"accepting an unknown kind", false, changed(func(a *policy.Acceptance) { a.Kind = "anything" })},
		{"accepting on all networks", false, changed(func(a *policy.Acceptance) { a.Network = policy.Any })},
		{"accepting a call of any contract", false, changed(func(a *policy.Acceptance) { a.Contract = "" })},
		{"accepting a call of any function", false, changed(func(a *policy.Acceptance) { a.Function = "" })},
		{"accepting a call by an alias of a type", false, changed(func(a *policy.Acceptance) { a.Function = "supply(uint)" })},
		{"accepting a call with names", false, changed(func(a *policy.Acceptance) { a.Function = "supply(uint256 amount)" })},
		{"accepting a contract with a checksum", false, changed(func(a *policy.Acceptance) { a.Contract = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48" })},
		{"accepting with what the kind has no use for", false, changed(func(a *policy.Acceptance) { a.Code = strings.Repeat("c0", 32) })},
		{"accepting code by half a digest", false, []policy.Acceptance{{Kind: policy.AcceptDeploy, Network: "base", Code: strings.Repeat("c0", 16)}}},
		{"accepting typed data from somebody", false, []policy.Acceptance{{Kind: policy.AcceptTypedData, Network: "base", From: contract, Contract: contract, Type: "Order(address maker)"}}},
		{"accepting calldata from a Solana program", false, []policy.Acceptance{{Kind: policy.AcceptCalldata, Network: "base", From: program, Contract: contract, Code: strings.Repeat("c0", 32)}}},
		{"accepting instructions by nine bytes", false, []policy.Acceptance{{Kind: policy.AcceptInstruction, Network: "solana", Contract: program, Begins: strings.Repeat("0c", 9)}}},
		{"accepting a table with an account that is none", false, []policy.Acceptance{{Kind: policy.AcceptTable, Network: "solana", Contract: program, Accounts: []string{"0"}}}},
	} {
		doc := sampleGrant(g)
		doc.Policy.Accept = c.accept
		failure := "values"
		if c.good {
			failure = ""
		}
		if err := f.grant(g, c.name, failure, authority.TypeGrant, doc); err != nil {
			return err
		}
	}
	return nil
}

// grant adds an entry of a grant that fails so; "" is a good one.
func (f *file) grant(g *authority.VerifiedGenesis, name, failure, kind string, doc authority.Grant) error {
	b, err := authority.SignEnvelope(kind, doc, key(3), key(4))
	if err != nil {
		return err
	}
	if failure != "" {
		f.bad(name, failure, b)
		return nil
	}
	v, err := authority.VerifyGrant(b, g)
	if err != nil {
		return err
	}
	e := f.good(name, b, map[string]any{"digest": h(v.Digest[:]), "credential": h(v.Credential[:]), "state_key": h(v.StateKey[:]), "key_id": authority.KeyID(v.Credential)})
	e.Context = map[string]any{"genesis": h(g.Envelope)}
	return nil
}

// secondGrants adds entries of a grant's version 2.
func secondGrants(f *file, g *authority.VerifiedGenesis) error {
	sample := sampleGrant(g)
	sample.Format, sample.Scope, sample.Policy = authority.FormatGrant2, authority.ScopeRead, policy.Policy{}
	sample.AllowIPs = []string{"192.0.2.0/24", "2001:db8::/32"}
	for _, c := range []struct {
		name, failure string // no failure: good
		edit          func(*authority.Grant)
	}{
		{"version 2, to read from two networks", "", func(*authority.Grant) {}},
		{"version 2, full from anywhere", "", func(v *authority.Grant) {
			v.Scope, v.AllowIPs, v.Policy = authority.ScopeFull, []string{"*"}, sampleGrant(g).Policy
		}},
		{"version 2 with an unknown scope", "values", func(v *authority.Grant) { v.Scope = "write" }},
		{"version 2 without a scope", "not canonical", func(v *authority.Grant) { v.Scope = "" }},
		{"version 2 without networks", "not canonical", func(v *authority.Grant) { v.AllowIPs = nil }},
		{"version 2 with an address for a network", "values", func(v *authority.Grant) { v.AllowIPs = []string{"192.0.2.1"} }},
		{"version 2, star in company", "values", func(v *authority.Grant) { v.AllowIPs = []string{"*", "192.0.2.0/24"} }},
		{"version 2, to read with a policy", "values", func(v *authority.Grant) { v.Policy = sampleGrant(g).Policy }},
		{"version 2 that says version 1", "values", func(v *authority.Grant) { v.Format = authority.FormatGrant }},
	} {
		doc := sample
		c.edit(&doc)
		if err := f.grant(g, c.name, c.failure, authority.TypeGrant2, doc); err != nil {
			return err
		}
	}
	mixed := sample
	mixed.Format = authority.FormatGrant
	b, err := authority.SignEnvelope(authority.TypeGrant, mixed, key(3), key(4))
	f.bad("version 1 with a scope", "values", b)
	return err
}

func revocations() (file, error) {
	f := file{Format: "revocation", Section: "3.3"}
	g, err := verifiedGenesis()
	if err != nil {
		return f, err
	}
	doc := authority.Revocation{Format: authority.FormatRevocation, OrganizationID: g.OrganizationID, Genesis: h(g.Digest[:]), Grant: h(seq(0x31, 32)), RevokedAt: 1764000100, Reason: "lost"}
	good, err := authority.SignEnvelope(authority.TypeRevocation, doc, key(4))
	if err != nil {
		return f, err
	}
	e := f.good("by one admin of two", good, map[string]any{"grant": doc.Grant, "revoked_at": doc.RevokedAt, "reason": doc.Reason})
	e.Context = map[string]any{"genesis": h(g.Envelope)}
	bad, err := authority.SignEnvelope(authority.TypeRevocation, doc, key(9))
	if err != nil {
		return f, err
	}
	f.bad("by a stranger", "signature", bad)
	return f, nil
}

func tokens() (file, error) {
	f := file{Format: "secret-token", Section: "2"}
	genesis := seq32(0x30)
	for _, kind := range []authority.TokenKind{authority.SecretKey, authority.AgentSession} {
		t, err := authority.NewToken(kind, genesis, bytes.NewReader(seq(0xc0, 32)))
		if err != nil {
			return f, err
		}
		pub, pin := t.PublicKey(), t.Pin()
		f.good(string(kind), []byte(t.Reveal()), map[string]any{"kind": string(kind), "pin": h(pin[:]), "seed": h(seq(0xc0, 32)), "public_key": h(pub[:]), "key_id": authority.KeyID(pub)})
	}
	t, err := authority.NewToken(authority.SecretKey, genesis, bytes.NewReader(seq(0xc0, 32)))
	if err != nil {
		return f, err
	}
	s := t.Reveal()
	f.bad("cut", "length", []byte(s[:len(s)-1]))
	f.bad("upper case", "alphabet", []byte(strings.ToUpper(s)))
	f.bad("another prefix", "checksum", []byte("as_live_"+s[8:]))
	f.bad("typing error", "checksum", []byte(strings.Replace(s, s[40:41], string('a'+(s[40]-'a'+1)%26), 1)))
	f.bad("unused bit set", "checksum", []byte(s[:len(s)-1]+string(s[len(s)-1]+1)))
	f.bad("white space", "alphabet", []byte(s+"\n"))
	return f, nil
}

func requests() (file, error) {
	f := file{Format: "request-signature", Section: "4.1"}
	for _, c := range []struct {
		name string
		r    authority.Request
	}{
		{"sign", authority.Request{Method: "POST", Path: "/v1/s2s/sign", Body: []byte(`{"wallet_id":"x"}`), Created: 1764000000, ID: seq16(0x60)}},
		{"with Idempotency-Key", authority.Request{Method: "POST", Path: "/v1/s2s/wallets", Body: []byte(`{}`), Created: 1764000000, ID: seq16(0x61), IdempotencyKey: "order-1"}},
		{"read with query", authority.Request{Method: "GET", Path: "/v1/s2s/wallets", Query: "limit=10&offset=0", Created: 1764000000, ID: seq16(0x62)}},
	} {
		header, err := c.r.Sign(key(5))
		if err != nil {
			return f, err
		}
		d := c.r.Digest()
		text := "Content-Digest: " + header.Get("Content-Digest") + "\nSignature-Input: " + header.Get("Signature-Input") + "\nSignature: " + header.Get("Signature")
		f.good(c.name, []byte(text), map[string]any{"method": c.r.Method, "path": c.r.Path, "query": c.r.Query, "body": h(c.r.Body), "created": c.r.Created, "nonce": canon.UUID(c.r.ID).String(),
			"idempotency_key": c.r.IdempotencyKey, "key_id": c.r.KeyID, "seed": h(seq(5, 32)), "digest": h(d[:])})
	}
	text, err := hex.DecodeString(f.Entries[0].Encoded)
	if err != nil {
		return f, err
	}
	for _, c := range [][3]string{
		{"components out of order", `"@method" "@path"`, `"@path" "@method"`}, {"component missing", `"@query" `, ``},
		{"parameter added", `;nonce=`, `;expires=1764000060;nonce=`}, {"bearer tag", `sigil-v1`, `sigil-bearer-v1`},
		{"other label", `Signature-Input: sig=`, `Signature-Input: sig1=`}, {"padding missing", `==:`, `:`},
	} {
		f.bad(c[0], "profile", []byte(strings.Replace(string(text), c[1], c[2], 1)))
	}
	return f, nil
}

func frames() (file, error) {
	f := file{Format: "link-frame", Section: "8"}
	d := &teelink.Decide{Genesis: seq32(0x30), Grant: seq32(0x31), Record: seq32(0x33), Auth: teelink.AuthSignature, Method: "POST", Path: "/v1/s2s/sign", Created: 1764000000,
		RequestID: seq16(0x60), IdempotencyKey: "order-1", Proof: seq(0xd0, 64), Body: []byte(`{"wallet_id":"x"}`)}
	payload, err := d.Encode()
	if err != nil {
		return f, err
	}
	for _, c := range []struct {
		name  string
		frame teelink.Frame
	}{
		{"hello", teelink.Frame{ID: 1, Op: teelink.OpHello}},
		{"decide", teelink.Frame{ID: 2, Op: teelink.OpDecide, Timeout: 20000000, Payload: payload}},
		{"error", teelink.Frame{ID: 2, Op: teelink.OpError, Payload: (&teelink.RemoteError{Code: "objects_missing", Message: "put them", Missing: [][32]byte{seq32(1)}}).Encode()}},
	} {
		b, err := teelink.AppendFrame(nil, c.frame)
		if err != nil {
			return f, err
		}
		f.good(c.name, b, map[string]any{"id": c.frame.ID, "op": c.frame.Op, "timeout": c.frame.Timeout, "payload": h(c.frame.Payload)})
	}
	f.bad("length beyond the limit", "length", []byte{0, 1, 0x80, 1})
	f.bad("length below the header", "length", append([]byte{0, 0, 0, 16}, seq(0, 16)...))
	f.bad("cut", "truncated", []byte{0, 0, 0, 17, 0})
	return f, nil
}
