package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/server"
)

// row is what the tests of all routes need to know of one. What can be wrong
// with a body's members and with a query they read from api/openapi.yaml.
type row struct {
	id   func(*scene) string // for {id}, one that exists; default a wallet's
	body func(*scene) string // gets as far as it can; none for GET
	// foreign asks for what another organisation has. A route that names
	// anything by its id needs it, or says in public why not.
	foreign func(*scene) []foreign
	public  string
}

// foreign is a request for what another organisation has, and the same for
// what nobody has.
type foreign struct {
	name         string
	theirs, none *http.Request
}

const nobodys = "00000000-0000-4000-8000-000000000001"

// rows is by "METHOD /path". A route without its row fails.
func rows() map[string]row {
	empty := func(*scene) string { return "{}" }
	return map[string]row{
		"GET /healthz":        {},
		"GET /readyz":         {},
		"GET /version":        {},
		"GET /v1/networks":    {},
		"GET /v1/attestation": {},
		"GET /v1/attestation/{id}": {
			id:     func(s *scene) string { return s.evidence },
			public: "evidence is of a TEE that serves all; receipts carry its id so that anybody can verify them",
		},
		"POST /v1/orgs": {body: empty,
			public: "its id is the owner's choice, and only creating it again tells that it is taken"},
		"GET /v1/orgs/{org}":               {foreign: organisations("")},
		"GET /v1/orgs/{org}/api-keys":      {foreign: organisations("/api-keys")},
		"GET /v1/orgs/{org}/audit":         {foreign: organisations("/audit")},
		"POST /v1/orgs/{org}/api-keys":     {body: empty, foreign: grants},
		"POST /v1/orgs/{org}/revocations":  {body: empty, foreign: revocations},
		"GET /v1/s2s/credential":           {},
		"GET /v1/s2s/wallets":              {},
		"POST /v1/s2s/wallets":             {body: empty},
		"GET /v1/s2s/wallets/{id}":         {foreign: inPath("GET /v1/s2s/wallets/", "", func(s *scene) string { return s.wallet.ID })},
		"PATCH /v1/s2s/wallets/{id}":       {body: label, foreign: inPath("PATCH /v1/s2s/wallets/", "", func(s *scene) string { return s.wallet.ID })},
		"POST /v1/s2s/sign":                {body: func(s *scene) string { return signBody(s.wallet.ID) }, foreign: signing},
		"POST /v1/s2s/transactions/decode": {body: func(s *scene) string { return signBody(s.wallet.ID) }, foreign: decoding},
		"POST /v1/s2s/sign/batch":          {body: func(s *scene) string { return signItems(s.wallet.ID) }, foreign: batches},
		"POST /v1/s2s/wallets/bulk":        {body: func(*scene) string { return `{"items":[{},{}]}` }},
		"GET /v1/log/checkpoint":           {},
		"GET /v1/log/inclusion":            {foreign: inclusions},
		"GET /v1/log/consistency":          {},
		"GET /v1/log/tiles/{level}/{index}": {
			public: "a tile is named by its place in the ledger of the caller's organisation",
		},
		"GET /v1/log/entries": {},
		"GET /v1/receipts/{id}": {
			id:      func(s *scene) string { return s.wallet.Receipt.ID },
			foreign: inPath("GET /v1/receipts/", "", func(s *scene) string { return s.wallet.Receipt.ID }),
		},
	}
}

// No row is of a route that isn't there.
func TestRows(t *testing.T) {
	left := rows()
	for _, r := range server.RoutesForTest() {
		if _, ok := left[r.Method+" "+r.Path]; !ok {
			t.Errorf("%s %s has no row", r.Method, r.Path)
		}
		delete(left, r.Method+" "+r.Path)
	}
	for name := range left {
		t.Errorf("%s has a row, but isn't served", name)
	}
}

func signBody(wallet string) string {
	return fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":"hi"}`, wallet)
}

func signItems(wallet string) string {
	return `{"items":[` + signBody(wallet) + `]}`
}

func label(*scene) string { return `{"label":"x"}` }

// inPath asks a route, with its method, for another's id.
func inPath(prefix, suffix string, id func(*scene) string) func(*scene) []foreign {
	method, prefix, _ := strings.Cut(prefix, " ")
	return func(s *scene) []foreign {
		body := ""
		if method == "PATCH" {
			body = label(s)
		}
		at := func(id string) *http.Request { return s.Request(s.stranger, method, prefix+id+suffix, body) }
		return []foreign{{"id in the path", at(id(s)), at(nobodys)}}
	}
}

func organisations(suffix string) func(*scene) []foreign {
	return inPath("GET /v1/orgs/", suffix, func(s *scene) string { return s.owner.Genesis.OrganizationID.String() })
}

func signing(s *scene) []foreign { return ofWallets(s, "/v1/s2s/sign") }

func decoding(s *scene) []foreign { return ofWallets(s, "/v1/s2s/transactions/decode") }

func ofWallets(s *scene, path string) []foreign {
	return []foreign{{"wallet_id", s.Request(s.stranger, "POST", path, signBody(s.wallet.ID)), s.Request(s.stranger, "POST", path, signBody(nobodys))}}
}

func batches(s *scene) []foreign {
	at := func(wallet string) *http.Request {
		return s.Request(s.stranger, "POST", "/v1/s2s/sign/batch", signItems(wallet))
	}
	return []foreign{{"wallet_id of an item", at(s.wallet.ID), at(nobodys)}}
}

func inclusions(s *scene) []foreign {
	at := func(id string) *http.Request {
		return s.Request(s.stranger, "GET", "/v1/log/inclusion?receipt="+id, "")
	}
	return []foreign{{"receipt", at(s.wallet.Receipt.ID), at(nobodys)}}
}

// document is an unsigned request with a signed document.
func (s *scene) document(path, member string, envelope []byte) *http.Request {
	req := s.Request(s.stranger, "POST", path, fmt.Sprintf(`{%q:%s}`, member, envelope))
	req.Header = http.Header{"Content-Type": {"application/json"}}
	return req
}

func grants(s *scene) []foreign {
	_, envelope := s.SignGrant(s.other, nil)
	at := func(org string) *http.Request { return s.document("/v1/orgs/"+org+"/api-keys", "grant", envelope) }
	return []foreign{{"organisation of another's document", at(s.owner.Genesis.OrganizationID.String()), at(nobodys)}}
}

func revocations(s *scene) []foreign {
	envelope := s.SignRevocation(s.other, s.grant)
	at := func(org string) *http.Request {
		return s.document("/v1/orgs/"+org+"/revocations", "revocation", envelope)
	}
	own := s.other.Genesis.OrganizationID.String()
	none := s.document("/v1/orgs/"+own+"/revocations", "revocation", s.SignRevocation(s.other, strings.Repeat("0", 64)))
	return []foreign{
		{"organisation of another's document", at(s.owner.Genesis.OrganizationID.String()), at(nobodys)},
		{"grant in the document", at(own), none},
	}
}
