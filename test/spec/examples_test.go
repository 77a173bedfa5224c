package spec_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/ratelimit"
	"github.com/sigilkeys/sigil/internal/server"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/test/spec"
	"github.com/sigilkeys/sigil/test/stack"
)

const (
	file   = "../../api/openapi.yaml"
	marker = "  # Recorded: go test ./test/spec -run Examples -update\n  examples:\n"
)

var update = flag.Bool("update", false, "record the examples of api/openapi.yaml")

// faulty is a store that fails when it is told to.
type faulty struct {
	store.Store
	fault atomic.Pointer[error]
}

func (f *faulty) Organization(ctx context.Context, id canon.UUID) (*store.Organization, error) {
	if err := f.fault.Load(); err != nil {
		return &store.Organization{}, *err
	}
	return f.Store.Organization(ctx, id)
}

// recorder plays each operation and each kind of refusal on a running stack.
type recorder struct {
	*stack.Stack
	t     *testing.T
	store *faulty
	owner *stack.Owner
	token *authority.Token
	got   map[string]json.RawMessage // by example
}

func record(t *testing.T) map[string]json.RawMessage {
	r := &recorder{t: t, store: &faulty{}, got: map[string]json.RawMessage{}}
	opt := stack.Options{Ledger: true, WrapStore: func(under store.Store) store.Store {
		r.store.Store = under
		return r.store
	}}
	if *update { // a file whose new examples aren't recorded yet doesn't load
		opt.Undescribed = t.Logf
	}
	r.Stack = stack.Start(t, opt)
	r.public()
	wallet := r.organization()
	r.wallets(wallet)
	r.batches(wallet)
	r.ledger()
	r.refusals(wallet)
	return r.got
}

// send keeps a request's body and its reply under the examples' names.
func (r *recorder) send(req *http.Request, status int, asked, answered string) json.RawMessage {
	r.t.Helper()
	if asked != "" {
		body, err := req.GetBody()
		if err != nil {
			r.t.Fatal(err)
		}
		if r.got[asked], err = io.ReadAll(body); err != nil {
			r.t.Fatal(err)
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != status {
		r.t.Fatalf("%s: %d %s %v", answered, res.StatusCode, raw, err)
	}
	if answered != "" {
		r.got[answered] = raw
	}
	var env api.Envelope
	if err := json.Unmarshal(raw, &env); err != nil {
		r.t.Fatal(err)
	}
	return env.Data
}

func (r *recorder) get(path, answered string) {
	r.t.Helper()
	r.send(r.plain("GET", path, ""), 200, "", answered)
}

// plain is a request without a signature.
func (r *recorder) plain(method, path, body string) *http.Request {
	r.t.Helper()
	req, err := http.NewRequest(method, r.API.URL+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return req
}

func (r *recorder) public() {
	r.get("/healthz", "Health")
	r.get("/readyz", "Ready")
	r.get("/version", "Version")
	r.get("/v1/networks", "Networks")
	r.get("/v1/attestation?challenge="+strings.Repeat("c4", 32), "Attestation")
}

// documents of an owner, as members of a body.
func (r *recorder) document(member, kind string, doc any) string {
	r.t.Helper()
	envelope, err := authority.SignEnvelope(kind, doc, r.owner.Admin)
	if err != nil {
		r.t.Fatal(err)
	}
	return fmt.Sprintf(`{%q:%s}`, member, envelope)
}

func (r *recorder) genesis(name, digest string) string {
	tee := r.TEEReference()
	tee.ImageDigests = []string{digest}
	id := canon.UUID{0x0a, 0xc3, 6: 0x40, 8: 0x80, 15: byte(len(name))}
	return r.document("genesis", authority.TypeGenesis, authority.Genesis{Format: authority.FormatGenesis, OrganizationID: id, Name: name, Created: r.Now().Unix(), Version: 1,
		Admins: []authority.Admin{{Name: "root", PublicKey: hex.EncodeToString(r.owner.Admin[32:])}}, Quorum: 1,
		Freshness: authority.Freshness{Mode: authority.FreshnessUnwitnessed}, TEEs: []authority.TEE{tee}})
}

// organization plays what an owner does, and returns a wallet's id.
func (r *recorder) organization() string {
	r.owner = r.NewOwner()
	r.token = r.NewKey(r.owner, nil)
	r.send(r.plain("POST", "/v1/orgs", r.genesis("Acme Treasury", r.Digest)), 201, "CreateOrganization", "Organization")
	org := "/v1/orgs/" + r.owner.Genesis.OrganizationID.String()
	credential, err := authority.NewToken(authority.SecretKey, r.owner.Genesis.Digest, strings.NewReader(strings.Repeat("example ", 8)))
	if err != nil {
		r.t.Fatal(err)
	}
	public := credential.PublicKey()
	grant := authority.Grant{Format: authority.FormatGrant, OrganizationID: r.owner.Genesis.OrganizationID, Genesis: hex.EncodeToString(r.owner.Genesis.Digest[:]),
		StateKey: hex.EncodeToString(r.owner.State[:]), GrantID: canon.UUID{1, 6: 0x40, 8: 0x80}, Name: "payments backend", Credential: hex.EncodeToString(public[:]),
		NotBefore: r.Now().Unix(), Expires: r.Now().Unix() + 90*86400, Policy: stack.AllowAll()}
	var key api.Key
	data := r.send(r.plain("POST", org+"/api-keys", r.document("grant", authority.TypeGrant, grant)), 201, "CreateKey", "Key")
	if err := json.Unmarshal(data, &key); err != nil {
		r.t.Fatal(err)
	}
	revocation := authority.Revocation{Format: authority.FormatRevocation, OrganizationID: r.owner.Genesis.OrganizationID, Genesis: grant.Genesis,
		Grant: key.GrantDigest, RevokedAt: r.Now().Unix(), Reason: "rotated"}
	r.send(r.plain("POST", org+"/revocations", r.document("revocation", authority.TypeRevocation, revocation)), 201, "CreateRevocation", "Revoked")
	r.send(r.Request(r.token, "GET", org+"/api-keys?limit=2", ""), 200, "", "KeyList")
	r.send(r.Request(r.token, "GET", "/v1/s2s/credential", ""), 200, "", "Credential")
	var w api.Wallet
	data = r.send(r.Request(r.token, "POST", "/v1/s2s/wallets", `{"label":"payouts"}`), 201, "CreateWallet", "CreatedWallet")
	if err := json.Unmarshal(data, &w); err != nil {
		r.t.Fatal(err)
	}
	return w.ID
}

// transfer pays 0.01 on Base to one that EIP-55 has as an example.
const transfer = "0x02ef82210507830f42408405f5e100825208945aaeb6053f3e94c9b9a09f33669435e7ef1beaed872386f26fc1000080c0"

// approval lets the same take all USDC on Base.
const approval = "0x02f86d82210508830f42408405f5e10082ea6094833589fcd6edb6e08f4c7c32d4f71b54bda0291380b844095ea7b30000000000000000000000005aaeb6053f3e94c9b9a09f33669435e7ef1beaedffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffc0"

func signBody(wallet, message string) string {
	return fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":%q}`, wallet, message)
}

func (r *recorder) wallets(wallet string) {
	r.send(r.Request(r.token, "GET", "/v1/s2s/wallets/"+wallet, ""), 200, "", "Wallet")
	r.send(r.Request(r.token, "GET", "/v1/s2s/wallets?limit=1", ""), 200, "", "WalletList")
	var s api.Signature
	data := r.send(r.Request(r.token, "POST", "/v1/s2s/sign", signBody(wallet, "audit-log-2026-06")), 200, "Sign", "Signature")
	if err := json.Unmarshal(data, &s); err != nil {
		r.t.Fatal(err)
	}
	r.send(r.Request(r.token, "GET", "/v1/receipts/"+s.Receipt.ID, ""), 200, "", "Receipt")
	r.send(r.Request(r.token, "POST", "/v1/s2s/sign", fmt.Sprintf(`{"wallet_id":%q,"network":"base","transaction":%q}`, wallet, transfer)),
		200, "SignTransaction", "TransactionSignature")
	r.send(r.Request(r.token, "POST", "/v1/s2s/transactions/decode", fmt.Sprintf(`{"wallet_id":%q,"network":"base","transaction":%q}`, wallet, approval)),
		200, "DecodeTransaction", "DecodedTransaction")
	r.get("/v1/attestation/"+s.Receipt.Evidence, "Evidence")
}

// batches plays requests with items: one of two is refused.
func (r *recorder) batches(wallet string) {
	r.send(r.Request(r.token, "PATCH", "/v1/s2s/wallets/"+wallet, `{"label":"treasury","archived":false}`), 200, "ChangeWallet", "ChangedWallet")
	items := fmt.Sprintf(`{"items":[%s,%s]}`, signBody(wallet, "invoice-1"), signBody("00000000-0000-4000-8000-000000000001", "invoice-2"))
	r.send(r.Request(r.token, "POST", "/v1/s2s/sign/batch", items), 200, "SignBatch", "SignatureBatch")
	r.send(r.Request(r.token, "POST", "/v1/s2s/wallets/bulk", `{"items":[{"label":"deposit-1"},{"label":"deposit-2"}]}`), 200, "CreateWallets", "WalletBatch")
}

// ledger asks for the first of the decisions that were made before.
func (r *recorder) ledger() {
	r.AwaitLedger(r.token, 5)
	get := func(path, answered string) json.RawMessage {
		return r.send(r.Request(r.token, "GET", "/v1/log/"+path, ""), 200, "", answered)
	}
	get("checkpoint", "Checkpoint")
	var first api.Entries
	if err := json.Unmarshal(get("entries?from=0&limit=1", "Entries"), &first); err != nil {
		r.t.Fatal(err)
	}
	get("inclusion?size=2&receipt="+first.Items[0].ID, "Inclusion")
	get("consistency?from=1&to=2", "Consistency")
	get("tiles/0/0", "Tile")
	r.send(r.Request(r.token, "GET", "/v1/orgs/"+r.owner.Genesis.OrganizationID.String()+"/audit?event_type=message.signed&success=true&limit=1", ""), 200, "", "AuditList")
}

func (r *recorder) refusals(wallet string) {
	sign := func(body string) *http.Request { return r.Request(r.token, "POST", "/v1/s2s/sign", body) }
	good := signBody(wallet, "hi")
	r.send(sign(strings.Replace(good, "{", `{"memo":"x",`, 1)), 400, "", "BadRequest")
	r.send(r.plain("POST", "/v1/s2s/sign", good), 401, "", "Unauthorized")
	solana := r.NewKey(r.owner, func(g *authority.Grant) { g.Policy.Networks = []string{"solana"} })
	r.send(r.Request(solana, "POST", "/v1/s2s/sign", good), 403, "", "Forbidden")
	r.send(sign(signBody("00000000-0000-4000-8000-000000000001", "hi")), 404, "", "NotFound")
	r.send(r.plain("PUT", "/v1/networks", ""), 405, "", "MethodNotAllowed")
	r.send(r.plain("POST", "/v1/orgs", r.genesis("Acme Treasure", r.Digest)), 409, "", "Conflict")
	r.send(sign(signBody(wallet, strings.Repeat("x", 64<<10))), 413, "", "BodyTooLarge")
	text := sign(good)
	text.Header.Set("Content-Type", "text/plain")
	r.send(text, 415, "", "UnsupportedMediaType")
	r.send(r.plain("POST", "/v1/orgs", r.genesis("Acme", stack.MadeUpDigest("another release"))), 422, "", "RefusedByTEE")
	down, broken := errors.New("down"), error(nil)
	org := "/v1/orgs/" + r.owner.Genesis.OrganizationID.String()
	r.store.fault.Store(&down)
	r.send(r.Request(r.token, "GET", org, ""), 503, "", "Unavailable")
	r.store.fault.Store(&broken) // an organisation without a genesis
	r.send(r.Request(r.token, "GET", org, ""), 500, "", "Internal")
	r.store.fault.Store(nil)
	r.overload()
}

// overload asks more often than an address may.
func (r *recorder) overload() {
	rates := server.NoRates()
	rates.Address = ratelimit.Rate{PerSecond: 0.001, Burst: 1}
	opt := stack.Options{Limits: server.NewLimits(rates, nil)}
	if *update {
		opt.Undescribed = r.t.Logf
	}
	limited := &recorder{t: r.t, got: r.got, Stack: stack.Start(r.t, opt)}
	limited.send(limited.plain("GET", "/v1/networks", ""), 200, "", "Networks")
	limited.send(limited.plain("GET", "/v1/networks", ""), 429, "", "TooManyRequests")
}

// Each example validates; a running stack gives and takes the same shapes, so
// that none is of an earlier version.
func TestExamples(t *testing.T) {
	live := record(t)
	if *update {
		write(t, live)
		return
	}
	described, err := spec.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range described.Examples() {
		if err := e.Check(); err != nil {
			t.Errorf("%s, of %s: %v", e.Name, e.Of, err)
		}
		now, ok := live[e.Name]
		if !ok {
			t.Errorf("%s isn't recorded by this test", e.Name)
			continue
		}
		if was, is := shape(t, e.Value), shape(t, now); !slices.Equal(was, is) {
			t.Errorf("%s has the shape\n%v\na running stack has\n%v", e.Name, was, is)
		}
	}
	for name := range live {
		if !slices.ContainsFunc(described.Examples(), func(e spec.Example) bool { return e.Name == name }) {
			t.Errorf("%s is recorded, but no example", name)
		}
	}
}

// shape lists a value's members with their types.
func shape(t *testing.T, raw []byte) []string {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	var out []string
	digest := regexp.MustCompile(`^[0-9a-f]{64}$`)
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, member := range v {
				walk(at+"."+digest.ReplaceAllString(name, "(digest)"), member)
			}
		case []any:
			for _, item := range v {
				walk(at+"[]", item)
			}
		default:
			out = append(out, fmt.Sprintf("%s %T", at, v))
		}
	}
	walk("", v)
	slices.Sort(out)
	return slices.Compact(out)
}

// write puts the recorded values where the examples are.
func write(t *testing.T, live map[string]json.RawMessage) {
	t.Helper()
	head, _, ok := strings.Cut(api.OpenAPI(), marker)
	if !ok {
		t.Fatalf("%s has no line %q", file, marker)
	}
	var b bytes.Buffer
	b.WriteString(head + marker)
	names := []string{}
	for name := range live {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "    %s:\n      value:\n        ", name)
		if err := json.Indent(&b, live[name], "        ", "  "); err != nil {
			t.Fatal(err)
		}
		b.WriteString("\n")
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
