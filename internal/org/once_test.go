package org_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/test/stack"
)

// under sends a document with an Idempotency-Key to a control plane.
func (m *maker) under(s *stack.Stack, key, path, member string, document []byte) (int, string) {
	m.t.Helper()
	status, raw := m.send(s, []string{key}, path, member, document)
	return status, string(raw)
}

// send sends a document with the Idempotency-Key fields, if any.
func (m *maker) send(s *stack.Stack, keys []string, path, member string, document []byte) (int, []byte) {
	m.t.Helper()
	req, err := http.NewRequest("POST", s.API.URL+path, strings.NewReader(fmt.Sprintf(`{%q:%s}`, member, document)))
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if keys != nil {
		req.Header["Idempotency-Key"] = keys
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	return res.StatusCode, raw
}

// digestOf is the digest of the grant of an answer.
func digestOf(t *testing.T, answer string) string {
	t.Helper()
	var e struct{ Data api.Key }
	if err := json.Unmarshal([]byte(answer), &e); err != nil || e.Data.GrantDigest == "" {
		t.Fatal(answer, err)
	}
	return e.Data.GrantDigest
}

func isCode(body string, code api.Code) bool {
	return strings.Contains(body, fmt.Sprintf(`"code":%q`, code))
}

// A document that comes again under its Idempotency-Key gets the very answer
// that it got first, also from another control plane, and whatever became of
// what it made; another document under that key changes nothing.
func TestIdempotencyKeyOfDocuments(t *testing.T) {
	m := newMaker(t)
	other := stack.Start(t, stack.Options{Store: m.s.Store, Cloud: m.s.Cloud})
	grant, second := m.grant(m.owner.Admin, nil), m.grant(m.owner.Admin, nil)
	status, first := m.under(m.s, "one", m.keys(), "grant", grant)
	if status != 201 {
		t.Fatal(status, first)
	}
	grants := func() int {
		_, n, err := m.s.Store.Grants(t.Context(), m.owner.Genesis.OrganizationID, store.Page{Limit: 9})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := grants()
	if status, body := m.under(other, "one", m.keys(), "grant", second); status != 409 || !isCode(body, api.CodeIdempotencyConflict) {
		t.Errorf("another grant under the key: %d %s", status, body)
	}
	if n := grants(); n != before {
		t.Errorf("the refused grant is stored: %d, were %d", n, before)
	}

	// The document may have a second key, which then is its own too.
	if status, again := m.under(other, "more", m.keys(), "grant", grant); status != 201 || again != first {
		t.Errorf("under a second key: %d %s", status, again)
	}
	if status, body := m.under(other, "more", m.keys(), "grant", second); status != 409 || !isCode(body, api.CodeIdempotencyConflict) {
		t.Errorf("another grant under the second key: %d %s", status, body)
	}

	revocation := m.s.SignRevocation(m.owner, digestOf(t, first))
	revocations := strings.TrimSuffix(m.keys(), "api-keys") + "revocations"
	if status, body := m.under(m.s, "one", revocations, "revocation", revocation); status != 409 || !isCode(body, api.CodeIdempotencyConflict) {
		t.Errorf("a revocation under the key of a grant: %d %s", status, body)
	}
	if n, err := m.s.Store.CountRevocations(t.Context()); err != nil || n != 0 {
		t.Errorf("the refused revocation is stored: %d %v", n, err)
	}
	status, revoked := m.under(m.s, "two", revocations, "revocation", revocation)
	if status != 201 {
		t.Fatal(status, revoked)
	}
	for name, s := range map[string]*stack.Stack{"the same": m.s, "another control plane": other} {
		if status, again := m.under(s, "one", m.keys(), "grant", grant); status != 201 || again != first {
			t.Errorf("%s: another answer: %d\n%s\n%s", name, status, first, again)
		}
		if status, again := m.under(s, "two", revocations, "revocation", revocation); status != 201 || again != revoked {
			t.Errorf("%s: another answer: %d %s", name, status, again)
		}
		// Canary: without its key, it is answered as it stands now.
		if _, now := m.under(s, "three", m.keys(), "grant", grant); now == first || !strings.Contains(now, `"revoked"`) {
			t.Errorf("%s: a revoked key still stands as it was: %s", name, now)
		}
	}
}

// A key stands for 24 hours.
func TestIdempotencyKeyExpires(t *testing.T) {
	m := newMaker(t)
	for key, c := range map[string]struct {
		age  time.Duration
		want int
	}{"young": {24*time.Hour - time.Minute, 409}, "old": {24*time.Hour + time.Minute, 201}} {
		a := &store.Answer{Organization: m.owner.Genesis.OrganizationID, Key: sha256.Sum256([]byte(key)), Document: sha256.Sum256([]byte(key)), At: m.s.Now().Add(-c.age)}
		if _, err := m.s.Store.ClaimAnswer(t.Context(), a, time.Time{}); err != nil {
			t.Fatal(err)
		}
		if status, body := m.under(m.s, key, m.keys(), "grant", m.grant(m.owner.Admin, nil)); status != c.want {
			t.Errorf("%s: %d %s", key, status, body)
		}
	}
}

func TestIdempotencyKeyOfGenesis(t *testing.T) {
	m := newMaker(t)
	genesis := m.genesis(m.key(), nil)
	status, first := m.under(m.s, "one", "/v1/orgs", "genesis", genesis)
	if status != 201 {
		t.Fatal(status, first)
	}
	if status, again := m.under(m.s, "one", "/v1/orgs", "genesis", genesis); status != 201 || again != first {
		t.Errorf("another answer: %d\n%s\n%s", status, first, again)
	}
	for _, key := range []string{"", "a b", `a"`, strings.Repeat("k", 256)} {
		if status, body := m.under(m.s, key, "/v1/orgs", "genesis", genesis); status != 400 || !isCode(body, api.CodeInvalidArgument) {
			t.Errorf("key %.20q: %d %s", key, status, body)
		}
	}
}

// What was refused leaves its key to a document that is right.
func TestRefusedDocumentKeepsNoKey(t *testing.T) {
	m := newMaker(t)
	revocations := strings.TrimSuffix(m.keys(), "api-keys") + "revocations"
	if status, body := m.under(m.s, "one", revocations, "revocation", m.s.SignRevocation(m.owner, strings.Repeat("0", 64))); status != 404 || !isCode(body, api.CodeGrantNotFound) {
		t.Fatalf("of a grant that isn't there: %d %s", status, body)
	}
	_, answer := m.under(m.s, "grant", m.keys(), "grant", m.grant(m.owner.Admin, nil))
	if status, body := m.under(m.s, "one", revocations, "revocation", m.s.SignRevocation(m.owner, digestOf(t, answer))); status != 201 {
		t.Errorf("the right one: %d %s", status, body)
	}
	// One that may have happened keeps it.
	broken := &noAnswers{Store: m.s.Store, broken: true}
	s := stack.Start(t, stack.Options{Store: broken, Cloud: m.s.Cloud})
	m.under(s, "two", m.keys(), "grant", m.grant(m.owner.Admin, nil))
	if status, body := m.under(m.s, "two", m.keys(), "grant", m.grant(m.owner.Admin, nil)); status != 409 {
		t.Errorf("the key of one of unknown outcome is free: %d %s", status, body)
	}
}

// A stranger's document takes no key of an organisation.
func TestStrangersClaimNoKeys(t *testing.T) {
	m := newMaker(t)
	if status, _ := m.under(m.s, "one", m.keys(), "grant", m.grant(m.key(), nil)); status != 400 {
		t.Errorf("signed by a stranger: %d", status)
	}
	stranger := m.genesis(m.key(), func(g *authority.Genesis) { g.OrganizationID = m.owner.Genesis.OrganizationID })
	if status, _ := m.under(m.s, "one", "/v1/orgs", "genesis", stranger); status != 409 {
		t.Errorf("a stranger's genesis: %d", status)
	}
	if status, body := m.under(m.s, "one", m.keys(), "grant", m.grant(m.owner.Admin, nil)); status != 201 {
		t.Errorf("the owner's grant: %d %s", status, body)
	}
}

type noAnswers struct {
	store.Store
	broken bool
}

func (s *noAnswers) PutAnswer(ctx context.Context, a *store.Answer) (*store.Answer, error) {
	if s.broken {
		return nil, store.ErrUnknown
	}
	return s.Store.PutAnswer(ctx, a)
}

// An answer that can't be stored is no answer; the same again gets one.
func TestAnswerNotStored(t *testing.T) {
	m := newMaker(t)
	broken := &noAnswers{Store: m.s.Store, broken: true}
	s := stack.Start(t, stack.Options{Store: broken, Cloud: m.s.Cloud})
	grant := m.grant(m.owner.Admin, nil)
	if status, body := m.under(s, "one", m.keys(), "grant", grant); status != 503 || !isCode(body, api.CodeStoreUnavailable) {
		t.Errorf("%d %s", status, body)
	}
	broken.broken = false
	if status, body := m.under(s, "one", m.keys(), "grant", grant); status != 201 {
		t.Errorf("the same again: %d %s", status, body)
	}
}
