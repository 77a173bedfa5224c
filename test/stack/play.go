package stack

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/receipt"
)

// What owners and holders of keys do with a running stack.

// Owner is an organisation's owner with their keys.
type Owner struct {
	Admin   ed25519.PrivateKey
	Genesis *authority.VerifiedGenesis
	State   [32]byte // state public key
}

// NewOwner provisions an organisation through the API.
func (s *Stack) NewOwner() *Owner {
	s.t.Helper()
	return s.NewOwnerOf(s.TEEReference())
}

// NewOwnerOf is NewOwner for an owner who accepts these workloads.
func (s *Stack) NewOwnerOf(accepts authority.TEE) *Owner {
	s.t.Helper()
	_, admin, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	id, err := canon.NewUUID(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	doc := authority.Genesis{Format: authority.FormatGenesis, OrganizationID: id, Name: "Acme", Created: s.Now().Unix(), Version: 1,
		Admins: []authority.Admin{{Name: "root", PublicKey: hex.EncodeToString(admin[32:])}}, Quorum: 1,
		Freshness: authority.Freshness{Mode: authority.FreshnessUnwitnessed}, TEEs: []authority.TEE{accepts}}
	envelope, err := authority.SignEnvelope(authority.TypeGenesis, doc, admin)
	if err != nil {
		s.t.Fatal(err)
	}
	var out struct {
		State []byte `json:"state_record"`
	}
	s.Post("/v1/orgs", map[string]any{"genesis": json.RawMessage(envelope)}, 201, &out)
	g, err := authority.VerifyGenesis(envelope)
	if err != nil {
		s.t.Fatal(err)
	}
	cert, err := receipt.StateCertificateOf(out.State)
	if err != nil {
		s.t.Fatal(err)
	}
	return &Owner{Admin: admin, Genesis: g, State: cert.StateKey}
}

// Post sends an unsigned JSON body and decodes the reply's data.
func (s *Stack) Post(path string, body any, want int, data any) {
	s.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := http.Post(s.API.URL+path, "application/json", strings.NewReader(string(raw)))
	if err != nil {
		s.t.Fatal(err)
	}
	s.reply(res, want, data)
}

func (s *Stack) reply(res *http.Response, want int, data any) {
	s.t.Helper()
	defer res.Body.Close()
	var env struct {
		Data  json.RawMessage `json:"data"`
		Error json.RawMessage `json:"error"`
	}
	if err := json.NewDecoder(res.Body).Decode(&env); err != nil {
		s.t.Fatal(err)
	}
	if res.StatusCode != want {
		s.t.Fatalf("status %d, want %d: %s", res.StatusCode, want, env.Error)
	}
	if data != nil {
		if err := json.Unmarshal(env.Data, data); err != nil {
			s.t.Fatal(err)
		}
	}
}

// AllowAll is a policy without limits.
func AllowAll() policy.Policy {
	all := []string{policy.Any}
	return policy.Policy{Wallets: all, Networks: all, Methods: []string{policy.MethodSignMessage, policy.MethodSignTransaction, policy.MethodSignTypedData,
		policy.MethodSignAuthorization, policy.MethodSignUserOperation, policy.MethodCreateWallet}}
}

// NewKey makes a secret token and has the owner grant it; edit may be nil.
func (s *Stack) NewKey(o *Owner, edit func(*authority.Grant)) *authority.Token {
	s.t.Helper()
	token, envelope := s.SignGrant(o, edit)
	s.Post("/v1/orgs/"+o.Genesis.OrganizationID.String()+"/api-keys", map[string]any{"grant": json.RawMessage(envelope)}, 201, nil)
	return token
}

// SignGrant makes a secret token and its grant, which nobody knows yet; edit
// may be nil.
func (s *Stack) SignGrant(o *Owner, edit func(*authority.Grant)) (*authority.Token, []byte) {
	s.t.Helper()
	token, err := authority.NewToken(authority.SecretKey, o.Genesis.Digest, rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	id, err := canon.NewUUID(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	pub := token.PublicKey()
	doc := authority.Grant{OrganizationID: o.Genesis.OrganizationID, Genesis: hex.EncodeToString(o.Genesis.Digest[:]),
		StateKey: hex.EncodeToString(o.State[:]), GrantID: id, Name: "backend", Credential: hex.EncodeToString(pub[:]),
		NotBefore: s.Now().Unix() - 60, Expires: s.Now().Unix() + 86400, Policy: AllowAll()}
	if edit != nil {
		edit(&doc)
	}
	envelope, err := authority.SignGrant(doc, o.Admin)
	if err != nil {
		s.t.Fatal(err)
	}
	return token, envelope
}

// SignRevocation makes a revocation of the grant with the digest, in hex.
func (s *Stack) SignRevocation(o *Owner, grant string) []byte {
	s.t.Helper()
	doc := authority.Revocation{Format: authority.FormatRevocation, OrganizationID: o.Genesis.OrganizationID, Genesis: hex.EncodeToString(o.Genesis.Digest[:]),
		Grant: grant, RevokedAt: s.Now().Unix(), Reason: "test"}
	envelope, err := authority.SignEnvelope(authority.TypeRevocation, doc, o.Admin)
	if err != nil {
		s.t.Fatal(err)
	}
	return envelope
}

// Request makes a signed request, ready to send or to tamper with.
func (s *Stack) Request(token *authority.Token, method, path, body string) *http.Request {
	s.t.Helper()
	id, err := canon.NewUUID(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	rest, query, _ := strings.Cut(path, "?")
	r := authority.Request{Method: method, Path: rest, Query: query, Body: []byte(body), Created: s.Now().Unix(), ID: id}
	h, err := r.Sign(token.RequestKey())
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := http.NewRequest(method, s.API.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header = h
	if method != "GET" {
		req.Header.Set("Content-Type", "application/json")
	}
	return req
}

// AwaitLedger waits until the checkpoint of the key's organisation covers as
// many decisions. The stack must have been started with Ledger.
func (s *Stack) AwaitLedger(token *authority.Token, size uint64) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		res, err := http.DefaultClient.Do(s.Request(token, "GET", "/v1/log/checkpoint", ""))
		if err != nil {
			s.t.Fatal(err)
		}
		var head struct{ Data api.Checkpoint }
		err = json.NewDecoder(res.Body).Decode(&head)
		res.Body.Close()
		if err != nil {
			s.t.Fatal(err)
		}
		if head.Data.Size >= size {
			return
		}
	}
	s.t.Fatalf("the ledger doesn't get to %d decisions", size)
}

// Do sends a request and decodes the reply's data.
func (s *Stack) Do(req *http.Request, want int, data any) {
	s.t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	s.reply(res, want, data)
}
