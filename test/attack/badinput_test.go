package attack

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/internal/workload"
	"github.com/sigilkeys/sigil/test/stack"
)

func keyIDOf(s *scene) string { return authority.KeyID(s.token.PublicKey()) }

func (s *scene) decideRecorded(t *testing.T, r recorded) *teelink.Decide {
	t.Helper()
	h, err := authority.ParseSignatureHeaders(r.header)
	if err != nil {
		t.Fatal(err)
	}
	return &teelink.Decide{Auth: teelink.AuthSignature, Method: "POST", Path: workload.PathSign, Created: h.Created, RequestID: h.ID, Proof: h.Signature, Body: r.body}
}

// answer sends a request and returns status, whole body and error.
func answer(t *testing.T, req *http.Request) (int, []byte, *api.Error) {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var env api.Envelope
	if err := json.Unmarshal(body, &env); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if res.Header.Get("Sigil-Request-Id") == "" {
		t.Error("reply without a request id")
	}
	return res.StatusCode, body, env.Error
}

// Bad input gets its code, a sentence, and changes nothing.
func TestBadInput(t *testing.T) {
	s := newScene(t, stack.Options{})
	good := fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":"hi"}`, s.one.ID)
	sign := func(body string) *http.Request { return s.Request(s.token, "POST", "/v1/s2s/sign", body) }
	with := func(r *http.Request, edit func(*http.Request)) *http.Request { edit(r); return r }
	expired := s.NewKey(s.owner, func(g *authority.Grant) { g.NotBefore, g.Expires = 1, s.Now().Unix()-1 })
	early := s.NewKey(s.owner, func(g *authority.Grant) { g.NotBefore = s.Now().Unix() + 3600 })
	narrow := s.NewKey(s.owner, func(g *authority.Grant) {
		g.Policy.Networks = []string{"solana"}
		g.Policy.Methods = []string{"signMessage"}
	})
	stranger, err := authority.NewToken(authority.SecretKey, s.owner.Genesis.Digest, strings.NewReader(strings.Repeat("s", 32)))
	if err != nil {
		t.Fatal(err)
	}
	before := s.count(t)
	for name, c := range map[string]struct {
		req    *http.Request
		status int
		code   api.Code
	}{
		"unknown wallet":        {sign(strings.Replace(good, s.one.ID[:4], "0000", 1)), 404, api.CodeWalletNotFound},
		"wallet id malformed":   {sign(strings.Replace(good, s.one.ID, "x", 1)), 400, api.CodeInvalidArgument},
		"unknown network":       {sign(strings.Replace(good, "base", "dogecoin", 1)), 400, api.CodeUnknownNetwork},
		"malformed":             {sign(good[:len(good)-1]), 400, api.CodeMalformedJSON},
		"empty body":            {sign(""), 400, api.CodeMalformedJSON},
		"trailing":              {sign(good + "{}"), 400, api.CodeMalformedJSON},
		"array":                 {sign("[]"), 400, api.CodeInvalidArgument},
		"message missing":       {sign(strings.Replace(good, `,"message":"hi"`, "", 1)), 400, api.CodeInvalidArgument},
		"message null":          {sign(strings.Replace(good, `"hi"`, "null", 1)), 400, api.CodeInvalidArgument},
		"both":                  {sign(strings.Replace(good, `}`, `,"transaction":"0x"}`, 1)), 400, api.CodeInvalidArgument},
		"and its encoding":      {sign(strings.Replace(good, `"message":"hi"`, `"transaction":"0x02","message_encoding":"hex"`, 1)), 400, api.CodeInvalidArgument},
		"and nobody's":          {sign(strings.Replace(good, `"message":"hi"`, `"transaction":"0x02","required_signatories":[]`, 1)), 400, api.CodeInvalidArgument},
		"no transaction":        {sign(strings.Replace(good, `"message":"hi"`, `"transaction":"0x02"`, 1)), 400, api.CodeTransactionInvalid},
		"transaction on Solana": {sign(strings.NewReplacer(`"message":"hi"`, `"transaction":"0x02"`, "base", "solana").Replace(good)), 400, api.CodeTransactionInvalid},
		"message mistyped":      {sign(strings.Replace(good, `"hi"`, "7", 1)), 400, api.CodeInvalidArgument},
		"unknown field":         {sign(strings.Replace(good, `{`, `{"memo":1,`, 1)), 400, api.CodeUnknownField},
		"case variant":          {sign(strings.Replace(good, `"network"`, `"Network"`, 1)), 400, api.CodeUnknownField},
		"duplicate field":       {sign(strings.Replace(good, `{`, `{"network":"polygon",`, 1)), 400, api.CodeDuplicateField},
		"bad UTF-8":             {sign(strings.Replace(good, "hi", "\xff\xfe", 1)), 400, api.CodeInvalidUTF8},
		"oversized":             {sign(strings.Replace(good, "hi", strings.Repeat("x", 64<<10), 1)), 413, api.CodeBodyTooLarge},
		"message too long":      {sign(strings.Replace(good, "hi", strings.Repeat("x", 40<<10), 1)), 400, api.CodeMessageTooLarge},
		"bad encoding":          {sign(strings.Replace(good, `{`, `{"message_encoding":"hex",`, 1)), 400, api.CodeInvalidEncoding},
		"bad format":            {sign(strings.Replace(good, `{`, `{"message_format":"solana-offchain-v0",`, 1)), 400, api.CodeUnsupportedFormat},
		"query":                 {s.Request(s.token, "POST", "/v1/s2s/sign?x=1", good), 400, api.CodeInvalidArgument},
		"content type":          {with(sign(good), func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }), 415, api.CodeUnsupportedMediaType},
		"wrong method":          {s.Request(s.token, "PUT", "/v1/s2s/sign", good), 405, api.CodeMethodNotAllowed},
		"no such route":         {s.Request(s.token, "POST", "/v1/s2s/steal", good), 404, api.CodeNotFound},
		"unsigned":              {with(sign(good), func(r *http.Request) { r.Header.Del("Signature") }), 401, api.CodeSignatureMissing},
		"signature altered":     {with(sign(good), func(r *http.Request) { r.Header.Set("Signature", "sig=:"+strings.Repeat("A", 86)+"==:") }), 401, api.CodeSignatureInvalid},
		"body altered":          {with(sign(good), func(r *http.Request) { setBody(r, strings.Replace(good, "hi", "ho", 1)) }), 401, api.CodeSignatureInvalid},
		"unknown key":           {s.Request(stranger, "POST", "/v1/s2s/sign", good), 401, api.CodeInvalidKey},
		"expired key":           {s.Request(expired, "POST", "/v1/s2s/sign", good), 401, api.CodeKeyExpired},
		"key not yet valid":     {s.Request(early, "POST", "/v1/s2s/sign", good), 401, api.CodeKeyNotYetValid},
		"bearer":                {with(sign(good), func(r *http.Request) { bearer(r, s.token) }), 401, api.CodeBearerNotAllowed},
		"not a token": {with(sign(good), func(r *http.Request) {
			r.Header = http.Header{"Authorization": {"Bearer x"}, "Content-Type": {"application/json"}}
		}), 401, api.CodeTokenInvalid},
		"clock off":         {s.requestAt(t, s.Now().Add(-61*time.Second), good), 401, api.CodeClockSkew},
		"clock ahead":       {s.requestAt(t, s.Now().Add(62*time.Second), good), 401, api.CodeClockSkew},
		"label too long":    {s.Request(s.token, "POST", "/v1/s2s/wallets", fmt.Sprintf(`{"label":%q}`, strings.Repeat("x", 101))), 400, api.CodeInvalidArgument},
		"unknown in create": {s.Request(s.token, "POST", "/v1/s2s/wallets", `{"curve":"ed25519"}`), 400, api.CodeUnknownField},
		"receipt not found": {s.Request(s.token, "GET", "/v1/receipts/"+s.one.ID, ""), 404, api.CodeReceiptNotFound},
		"limit too large":   {s.Request(s.token, "GET", "/v1/s2s/wallets?limit=201", ""), 400, api.CodeInvalidArgument},
	} {
		status, body, e := answer(t, c.req)
		if e == nil || status != c.status || e.Code != c.code {
			t.Errorf("%s: %d %.200s, want %d %s", name, status, body, c.status, c.code)
			continue
		}
		if len(e.Message) < 10 || strings.Contains(e.Message, "\n") {
			t.Errorf("%s: not a sentence: %q", name, e.Message)
		}
	}
	if after := s.count(t); after != before {
		t.Errorf("bad input changed the store: %v became %v", before, after)
	}
	// Denials are decisions: they leave a receipt and nothing else.
	for name, req := range map[string]*http.Request{
		"policy_network":         s.Request(narrow, "POST", "/v1/s2s/sign", good),
		"policy_method":          s.Request(narrow, "POST", "/v1/s2s/wallets", `{}`),
		"message_is_digest":      sign(strings.Replace(strings.Replace(good, "hi", strings.Repeat("e7", 32), 1), `{`, `{"message_encoding":"hex",`, 1)),
		"message_is_transaction": sign(strings.Replace(strings.Replace(good, "hi", "02e7018084773594008477359400825208940000000000000000000000000000000000000000"+"8080c0", 1), `{`, `{"message_encoding":"hex",`, 1)),
	} {
		status, body, e := answer(t, req)
		if status != 403 || e == nil || string(e.Code) != name || !bytes.Contains(e.Details, []byte(`"receipt"`)) {
			t.Errorf("%s: %d %.300s", name, status, body)
		}
	}
}

func setBody(r *http.Request, body string) {
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
}

func bearer(r *http.Request, token *authority.Token) {
	r.Header = http.Header{"Authorization": {"Bearer " + token.Reveal()}, "Content-Type": {"application/json"}}
}

func (s *scene) requestAt(t *testing.T, at time.Time, body string) *http.Request {
	t.Helper()
	r := authority.Request{Method: "POST", Path: "/v1/s2s/sign", Body: []byte(body), Created: at.Unix(), ID: canon.UUID{byte(at.Unix()), 1}}
	h, err := r.Sign(s.token.RequestKey())
	if err != nil {
		t.Fatal(err)
	}
	req := s.Request(s.token, "POST", "/v1/s2s/sign", body)
	h.Set("Content-Type", "application/json")
	req.Header = h
	return req
}

// count is what the store holds that bad input could have changed.
func (s *scene) count(t *testing.T) string {
	t.Helper()
	_, wallets, err := s.Store.Wallets(t.Context(), s.owner.Genesis.OrganizationID, store.WalletFilter{}, store.Page{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, grants, err := s.Store.Grants(t.Context(), s.owner.Genesis.OrganizationID, store.Page{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	batches := int64(1)
	for ; ; batches++ {
		if _, err := s.Store.Batch(t.Context(), batches); err != nil {
			break
		}
	}
	return fmt.Sprint(wallets, " wallets ", grants, " grants ", batches, " batches")
}

func TestRepeats(t *testing.T) {
	s := newScene(t, stack.Options{})
	body := func(m string) string {
		return fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":%q}`, s.one.ID, m)
	}
	again := func(r *http.Request, b string) *http.Request {
		c := r.Clone(t.Context())
		setBody(c, b)
		return c
	}
	first := s.Request(s.token, "POST", "/v1/s2s/sign", body("a"))
	var group sync.WaitGroup
	replies := make([][]byte, 32)
	for i := range replies {
		group.Go(func() {
			status, reply, _ := answer(t, again(first, body("a")))
			if status != 200 {
				t.Errorf("%d %s", status, reply)
			}
			replies[i] = reply
		})
	}
	group.Wait()
	for _, r := range replies {
		if !bytes.Equal(r, replies[0]) {
			t.Fatalf("the same request got two answers:\n%s\n%s", replies[0], r)
		}
	}
	// The same request id, signed for another body.
	h, err := authority.ParseSignatureHeaders(first.Header)
	if err != nil {
		t.Fatal(err)
	}
	r := authority.Request{Method: "POST", Path: "/v1/s2s/sign", Body: []byte(body("b")), Created: h.Created, ID: h.ID}
	header, err := r.Sign(s.token.RequestKey())
	if err != nil {
		t.Fatal(err)
	}
	header.Set("Content-Type", "application/json")
	other := again(first, body("b"))
	other.Header = header
	if status, reply, e := answer(t, other); status != 409 || e == nil || e.Code != api.CodeRequestIDConflict {
		t.Errorf("%d %s", status, reply)
	}
	s.idempotency(t, "/v1/s2s/sign", body("c"), body("d"))
	s.idempotency(t, "/v1/s2s/wallets", `{"label":"c"}`, `{"label":"d"}`)
}

// idempotency: one key, one outcome, whatever request carries it.
func (s *scene) idempotency(t *testing.T, path, body, other string) {
	t.Helper()
	send := func(b string) (int, []byte, *api.Error) {
		id := s.Request(s.token, "POST", path, b)
		h, err := authority.ParseSignatureHeaders(id.Header)
		if err != nil {
			t.Fatal(err)
		}
		r := authority.Request{Method: "POST", Path: path, Body: []byte(b), Created: h.Created, ID: h.ID, IdempotencyKey: "key for " + path[len(path)-4:]}
		r.IdempotencyKey = strings.ReplaceAll(r.IdempotencyKey, " ", "-")
		header, err := r.Sign(s.token.RequestKey())
		if err != nil {
			t.Fatal(err)
		}
		header.Set("Content-Type", "application/json")
		id.Header = header
		return answer(t, id)
	}
	_, first, _ := send(body)
	if status, second, _ := send(body); status >= 300 || !bytes.Equal(first, second) {
		t.Errorf("%s: another answer under one Idempotency-Key:\n%s\n%s", path, first, second)
	}
	if status, reply, e := send(other); status != 409 || e == nil || e.Code != api.CodeIdempotencyConflict {
		t.Errorf("%s: %d %s", path, status, reply)
	}
}

// A revoked key is refused by the control plane, and by the TEE when the
// control plane pretends not to know.
func TestRevokedKey(t *testing.T) {
	s := newScene(t, stack.Options{})
	good := fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":"hi"}`, s.one.ID)
	if _, err := s.ask(t, s.row(t, s.one.ID), s.one.ID); err != nil {
		t.Fatal(err)
	}
	key, err := s.Signing.Key(t.Context(), keyIDOf(s))
	if err != nil {
		t.Fatal(err)
	}
	doc := authority.Revocation{Format: authority.FormatRevocation, OrganizationID: s.owner.Genesis.OrganizationID, Genesis: hex.EncodeToString(s.owner.Genesis.Digest[:]),
		Grant: hex.EncodeToString(key.Digest[:]), RevokedAt: s.Now().Unix(), Reason: "lost"}
	envelope, err := authority.SignEnvelope(authority.TypeRevocation, doc, s.owner.Admin)
	if err != nil {
		t.Fatal(err)
	}
	s.Post("/v1/orgs/"+s.owner.Genesis.OrganizationID.String()+"/revocations", map[string]any{"revocation": json.RawMessage(envelope)}, 201, nil)
	if status, body, e := answer(t, s.Request(s.token, "POST", "/v1/s2s/sign", good)); status != 401 || e.Code != api.CodeInvalidKey {
		t.Errorf("control plane: %d %s", status, body)
	}
	c, err := s.Link.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	raw := s.row(t, s.one.ID).Encode()
	d := s.decide(t, good)
	d.Genesis, d.Grant, d.Record = key.Genesis.Digest, key.Digest, digestOf(raw)
	if _, err := c.Decide(t.Context(), d); code(err) != "invalid_key" {
		t.Errorf("TEE: %v", err)
	}
}

// A repeat that comes after the TEE's window still gets the stored answer.
func TestLateRepeat(t *testing.T) {
	var offset atomic.Int64
	s := newScene(t, stack.Options{Now: func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }})
	body := fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":"hi"}`, s.one.ID)
	req := s.Request(s.token, "POST", "/v1/s2s/sign", body)
	_, first, _ := answer(t, req)
	offset.Store(int64(2 * time.Minute))
	setBody(req, body)
	if status, second, _ := answer(t, req); status != 200 || !bytes.Equal(first, second) {
		t.Errorf("%d:\n%s\n%s", status, first, second)
	}
	setBody(req, strings.Replace(body, "hi", "ho", 1))
	if status, reply, e := answer(t, req); status == 200 || e == nil {
		t.Errorf("another body under the same headers: %d %s", status, reply)
	}
}
