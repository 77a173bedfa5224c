package faults

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/test/stack"
)

// wire is what an SDK sends its requests over.
type wire struct {
	s *scene

	mu    sync.Mutex // guards the fields below
	call  string     // method and path, with * for what is in between
	fault fault
	flaw  flaw
	left  bool
	hits  int
	lives int // of clients
	met   chan struct{}
	gone  chan struct{}
	last  map[string][]byte // replies from before, by call
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	method, pattern, _ := strings.Cut(w.call, " ")
	match, _ := path.Match(pattern, r.URL.Path)
	match = match && method == r.Method
	as := none
	if match && w.left {
		as, w.left = w.fault, false
		w.hits++
		close(w.met)
	}
	bad, gone, call := w.flaw, w.gone, w.call
	w.mu.Unlock()
	if as == fails {
		return nil, errCut
	}
	res, err := w.s.API.Client().Transport.RoundTrip(r)
	if err != nil || !match {
		return res, err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	switch {
	case err != nil:
		return nil, err
	case as == doneThenFail:
		return nil, errCut
	case as == slow:
		wait(r.Context(), gone)
		return nil, r.Context().Err()
	}
	res.Body = io.NopCloser(bytes.NewReader(w.said(call, body, as, bad)))
	return res, nil
}

// said is what a client gets to read of a reply.
func (w *wire) said(call string, body []byte, as fault, bad flaw) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.last[call]
	switch {
	case as != garbage:
		w.last[call] = body
		return body
	case bad != foreign:
		return spoil(body, bad)
	case before == nil:
		return []byte(`{"data":{},"error":null}`)
	}
	return before
}

func (w *wire) plan(c *cell) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.call, w.fault, w.flaw, w.left, w.hits = c.call, c.fault, c.flaw, true, 0
	w.met, w.gone = make(chan struct{}), make(chan struct{})
}

func (w *wire) reached() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.met
}

func (w *wire) leave() { close(w.gone) }

func (w *wire) heal() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = false
	return w.hits
}

// restart ends the clients: new ones know nothing.
func (w *wire) restart() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lives++
}

func (w *wire) life() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lives
}

// bySDK has the SDK send the request, and believe the answer or not.
func (s *scene) bySDK(where string, want int, c call) *deed {
	p := s.sdkRequest(where, c)
	d := s.decision(p, want, nil)
	d.ask = p.through
	if want == 1 {
		d.check = s.checkProved
	}
	return d
}

// checkProved compares what the SDK returned with what is stored.
func (s *scene) checkProved(ctx context.Context, body []byte) error {
	var out struct {
		Receipt struct {
			ID    string
			Proof []byte
		}
	}
	if err := json.Unmarshal(body, &out); err != nil {
		return err
	}
	d, err := s.f.Store.Decision(ctx, s.one.org(), uuid(out.Receipt.ID))
	if err != nil {
		return fmt.Errorf("a decision that the SDK proved: %w", err)
	}
	if !bytes.Contains(out.Receipt.Proof, d.Leaf) {
		return errors.New("another decision is stored than the SDK proved")
	}
	return nil
}

func sdkSign(s *scene) *deed { return s.bySDK("/v1/s2s/sign", 1, signs(s.message(s.one))) }

func sdkCreate(s *scene) *deed {
	return s.bySDK("/v1/s2s/wallets", 1, creates(client.NewWallet{Label: fmt.Sprint("SDK ", s.next())}))
}

func sdkSignKeyed(s *scene) *deed {
	r := s.message(s.one)
	r.IdempotencyKey = fmt.Sprint("fault-", s.serial)
	d := s.keyed("/v1/s2s/sign", r.IdempotencyKey, signs(r), s.checkProved)
	d.ask = func(ctx context.Context) outcome { return answered(s.sdk().Sign(ctx, r)) }
	d.differs = true // the time of the verification, and that it is a repeat
	return d
}

func sdkCreateKeyed(s *scene) *deed {
	n := client.NewWallet{IdempotencyKey: fmt.Sprint("fault-", s.next())}
	d := s.keyed("/v1/s2s/wallets", n.IdempotencyKey, creates(n), s.checkProved)
	d.ask = func(ctx context.Context) outcome { return answered(creates(n)(ctx, s.sdk())) }
	d.differs = true
	return d
}

func sdkSignBatch(s *scene) *deed {
	return s.bySDK("/v1/s2s/sign/batch", 2, signsMany([]client.SignRequest{s.message(s.one), s.message(s.one)}))
}

func sdkCreateMany(s *scene) *deed {
	return s.bySDK("/v1/s2s/wallets/bulk", 2, createsMany([]client.NewWallet{{Label: fmt.Sprint("many ", s.next())}, {}}))
}

// ownedBy is an owner's client that makes the same documents each time.
func (s *scene) ownedBy(key ed25519.PrivateKey) func() *client.Admin {
	pin, made := pinned{}, s.Now()
	if _, err := io.ReadFull(rand.Reader, pin[:]); err != nil {
		s.t.Fatal(err)
	}
	return func() *client.Admin {
		a, err := client.NewAdmin(client.AdminConfig{BaseURL: s.API.URL, Keys: []ed25519.PrivateKey{key}, HTTPClient: &http.Client{Transport: s.wire},
			Random: &pin, Now: func() time.Time { return made }, Sleep: once})
		if err != nil {
			panic(err) // of arguments
		}
		return a
	}
}

func sdkCreateOrganization(s *scene) *deed {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	admin := s.ownedBy(key)
	n := client.NewOrganization{Name: "SDK", Admins: []client.AdminKey{{Name: "root", PublicKey: fmt.Sprintf("%x", []byte(pub))}}, Quorum: 1, TEEs: []client.TEE{s.TEEReference()}}
	before := s.count("organizations")
	return &deed{want: 1, ask: func(ctx context.Context) outcome { return answered(admin().CreateOrganization(ctx, n)) },
		there: func(context.Context) (int, error) { return s.count("organizations") - before, nil }}
}

func sdkCreateKey(s *scene) *deed {
	admin, h := s.ownedBy(s.one.owner.Admin), s.one.owner
	n := client.NewKey{Name: "SDK", Expires: s.Now().Add(time.Hour), Wallets: []string{"*"}, Networks: []string{"*"}, Methods: []string{"*"}}
	before := s.count("grants")
	return &deed{want: 1, ask: func(ctx context.Context) outcome {
		return answered(admin().CreateKey(ctx, h.Genesis.Envelope, h.State, n, nil))
	}, there: func(context.Context) (int, error) { return s.count("grants") - before, nil }}
}

func sdkRevoke(s *scene) *deed {
	token := s.NewKey(s.one.owner, nil)
	keyID, admin := authority.KeyID(token.PublicKey()), s.ownedBy(s.one.owner.Admin)
	g, err := s.f.Store.GrantByKeyID(s.t.Context(), keyID)
	if err != nil {
		s.t.Fatal(err)
	}
	return &deed{want: 1, ask: func(ctx context.Context) outcome {
		return answered(true, admin().Revoke(ctx, s.one.owner.Genesis.Envelope, g.Digest, "test"))
	}, there: func(ctx context.Context) (int, error) {
		g, err := s.f.Store.GrantByKeyID(ctx, keyID)
		if err != nil || g.Revoked.IsZero() {
			return 0, err
		}
		return 1, nil
	}}
}

func sdkLabel(s *scene) *deed {
	var w api.Wallet
	s.Do(s.Request(s.one.token, "POST", "/v1/s2s/wallets", `{}`), 201, &w)
	label := fmt.Sprint("label ", s.next())
	return &deed{want: 1, unproved: true, ask: func(ctx context.Context) outcome { return answered(s.sdk().Wallets().Label(ctx, w.ID, label)) },
		there: func(ctx context.Context) (int, error) {
			list, _, err := s.f.Store.Wallets(ctx, s.one.org(), store.WalletFilter{LabelPrefix: label}, store.Page{Limit: 10})
			return len(list), err
		}}
}

// sdkGet reads a wallet, of which label and times are the control plane's word.
func sdkGet(s *scene) *deed { d := getWallet(s); d.unproved = true; return d }

// archivedAnew is archived of an instance that didn't make the state key, whose
// evidence comes with the organisation.
func archivedAnew(s *scene) *deed {
	if err := s.RestartWorkload(); err != nil {
		s.t.Fatal(err)
	}
	s.up()
	return archived(s)
}

func (s *scene) count(rows string) (n int) {
	s.t.Helper()
	if err := s.at.db.QueryRowContext(s.t.Context(), `SELECT COUNT(*) FROM `+rows).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// requested lists the operations that make each call of the SDK's.
func requested() []named {
	return []named{
		{"POST /v1/s2s/sign", []operation{{"sign", sdkSign}, {"sign, keyed", sdkSignKeyed}}},
		{"POST /v1/s2s/sign/batch", []operation{{"sign batch", sdkSignBatch}}},
		{"POST /v1/s2s/wallets", []operation{{"create wallet", sdkCreate}, {"create wallet, keyed", sdkCreateKeyed}}},
		{"POST /v1/s2s/wallets/bulk", []operation{{"create wallets", sdkCreateMany}}},
		{"GET /v1/s2s/wallets/*", []operation{{"get wallet", sdkGet}}},
		{"PATCH /v1/s2s/wallets/*", []operation{{"label", sdkLabel}}},
		{"GET /v1/s2s/wallets", []operation{{"list wallets", listWallets}}},
		{"GET /v1/s2s/credential", []operation{{"credential", credential}}},
		{"GET /v1/receipts/*", []operation{{"receipt", getReceipt}}},
		{"GET /v1/attestation/*", []operation{{"evidence", archivedAnew}}},
		{"GET /v1/log/checkpoint", []operation{{"head", head}}},
		{"GET /v1/log/consistency", []operation{{"head", head}}},
		{"GET /v1/log/inclusion", []operation{{"inclusion", included}}},
		{"GET /v1/log/entries", []operation{{"export", export}}},
		{"POST /v1/orgs", []operation{{"create organisation", sdkCreateOrganization}}},
		{"POST /v1/orgs/*/api-keys", []operation{{"create key", sdkCreateKey}}},
		{"GET /v1/orgs/*/api-keys", []operation{{"list keys", listKeys}}},
		{"POST /v1/orgs/*/revocations", []operation{{"revoke", sdkRevoke}}},
		{"GET /v1/orgs/*/audit", []operation{{"audit trail", trail}}},
	}
}

// clientCells runs a few calls on one database: requests that were lost are no
// reason for another.
func clientCells(t *testing.T, e engine) {
	random, rounds := draw(t)
	began, results := time.Now(), &table{name: "client, " + e.name}
	for calls := range slices.Chunk(requested(), 4) {
		t.Run(calls[0].call, func(t *testing.T) {
			s := newScene(t, e, stack.Options{}, &clock{})
			for _, n := range calls {
				s.each(drawn(random, n.call, n.ops, rounds), s.wire, results)
			}
		})
	}
	results.report(t, time.Since(began))
}
