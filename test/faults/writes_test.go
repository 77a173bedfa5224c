package faults

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/stack"
)

// deed is an operation of a cell, which is asked for again and again.
type deed struct {
	// ask has it done, always by the same request.
	ask func(context.Context) outcome
	// check compares the answer to one that went well with what is stored.
	check func(ctx context.Context, body []byte) error
	// there counts what it leaves in the store, of which there is want in the
	// end; nil: nothing.
	there func(context.Context) (int, error)
	want  int
	// cold has everything forgotten before it.
	cold bool
	// first is asked before the fault, so that there is an earlier answer.
	first bool
	// inside: nobody is told how it ended, which happens in the control plane.
	inside bool
	// starts: it starts the workload, without which there is none.
	starts bool
	// unproved: what it reads is the control plane's word, which nobody verifies.
	unproved bool
	// differs: its answers are of the moment, and not the same each time.
	differs bool
}

// maker prepares a deed on a scene that is well.
type maker func(*scene) *deed

// row turns the error of a look-up into a count.
func row(err error) (int, error) {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return 1, nil
}

// decision is a deed that leaves want decisions, of one request or its items.
func (s *scene) decision(p *posted, want int, check func(context.Context, []byte) error) *deed {
	h, err := authority.ParseSignatureHeaders(p.req.Header)
	if err != nil {
		s.t.Fatal(err)
	}
	ids := []canon.UUID{h.ID}
	if want > 1 {
		ids = nil
		for i := range want {
			ids = append(ids, canon.UUID(receipt.ItemRequestID(receipt.UUID(h.ID), uint32(i))))
		}
	}
	return &deed{want: want, check: check, ask: p.ask,
		there: func(ctx context.Context) (n int, err error) {
			for _, id := range ids {
				_, err := s.f.Store.DecisionByRequest(ctx, h.KeyID, id)
				one, err := row(err)
				if err != nil {
					return 0, err
				}
				n += one
			}
			return n, nil
		}}
}

func (s *scene) checkSignature(h *holder, r client.SignRequest) func(context.Context, []byte) error {
	return func(ctx context.Context, reply []byte) error {
		var out api.Signature
		if err := json.Unmarshal(reply, &out); err != nil {
			return err
		}
		body, err := json.Marshal(map[string]string{"message": r.Message})
		if err != nil {
			return err
		}
		return s.checker().Signature(ctx, h.org(), body, &out)
	}
}

func (s *scene) checkWallet(h *holder) func(context.Context, []byte) error {
	return func(ctx context.Context, reply []byte) error {
		var out api.Wallet
		if err := json.Unmarshal(reply, &out); err != nil {
			return err
		}
		return s.checker().Wallet(ctx, h.org(), &out)
	}
}

// checkItems checks each item of a batch's reply.
func checkItems(each func(i int) func(context.Context, []byte) error) func(context.Context, []byte) error {
	return func(ctx context.Context, reply []byte) error {
		var out api.Batch
		if err := json.Unmarshal(reply, &out); err != nil {
			return err
		}
		for i, item := range out.Items {
			if item.Error != nil {
				return fmt.Errorf("item %d: %s", i, item.Error.Code)
			}
			if err := each(i)(ctx, item.Data); err != nil {
				return fmt.Errorf("item %d: %w", i, err)
			}
		}
		return nil
	}
}

// message is what the next signature is of, and its body.
func (s *scene) message(h *holder) client.SignRequest {
	n := s.next()
	return client.SignRequest{WalletID: h.wallet.ID, Network: []string{"base", "solana"}[n%2], Message: fmt.Sprint("message ", n)}
}

func signs(r client.SignRequest) call {
	return func(ctx context.Context, c *client.Client) (any, error) { return c.Sign(ctx, r) }
}

// made is a new wallet with its receipt.
type made struct {
	*client.CreatedWallet
	Receipt *client.Receipt
}

func creates(n client.NewWallet) call {
	return func(ctx context.Context, c *client.Client) (any, error) {
		w, err := c.Wallets().Create(ctx, n)
		if err != nil {
			return nil, err
		}
		return made{w, w.Receipt}, nil
	}
}

func sign(s *scene) *deed {
	r := s.message(s.one)
	return s.decision(s.sdkRequest("/v1/s2s/sign", signs(r)), 1, s.checkSignature(s.one, r))
}

func coldSign(s *scene) *deed { d := sign(s); d.cold = true; return d }

func createWallet(s *scene) *deed {
	return s.decision(s.sdkRequest("/v1/s2s/wallets", creates(client.NewWallet{Label: fmt.Sprint("wallet ", s.next())})), 1, s.checkWallet(s.one))
}

func signsMany(items []client.SignRequest) call {
	return func(ctx context.Context, c *client.Client) (any, error) {
		out, err := c.SignBatch(ctx, items, "")
		for i := range out {
			err = errors.Join(err, out[i].Err)
		}
		return out, err
	}
}

func createsMany(items []client.NewWallet) call {
	return func(ctx context.Context, c *client.Client) (any, error) {
		out, err := c.Wallets().CreateMany(ctx, items, "")
		for i := range out {
			err = errors.Join(err, out[i].Err)
		}
		return out, err
	}
}

func signBatch(s *scene) *deed {
	items := []client.SignRequest{s.message(s.one), s.message(s.one)}
	return s.decision(s.sdkRequest("/v1/s2s/sign/batch", signsMany(items)), 2,
		checkItems(func(i int) func(context.Context, []byte) error { return s.checkSignature(s.one, items[i]) }))
}

func createWallets(s *scene) *deed {
	items := []client.NewWallet{{Label: fmt.Sprint("item ", s.next())}, {}}
	return s.decision(s.sdkRequest("/v1/s2s/wallets/bulk", createsMany(items)), 2,
		checkItems(func(int) func(context.Context, []byte) error { return s.checkWallet(s.one) }))
}

// keyed is a request that is signed anew each time, under one Idempotency-Key.
func (s *scene) keyed(path, key string, call call, check func(context.Context, []byte) error) *deed {
	digest, keyID := sha256.Sum256([]byte(key)), authority.KeyID(s.one.token.PublicKey())
	next := s.sdkRequest(path, call)
	return &deed{want: 1, check: check,
		ask: func(ctx context.Context) outcome {
			p := next
			if next = nil; p == nil {
				p = s.sdkRequest(path, call)
			}
			return p.ask(ctx)
		},
		there: func(ctx context.Context) (int, error) {
			_, err := s.f.Store.DecisionByIdempotency(ctx, keyID, digest)
			return row(err)
		}}
}

func signKeyed(s *scene) *deed {
	r := s.message(s.one)
	r.IdempotencyKey = fmt.Sprint("fault-", s.serial)
	return s.keyed("/v1/s2s/sign", r.IdempotencyKey, signs(r), s.checkSignature(s.one, r))
}

func createKeyed(s *scene) *deed {
	key := fmt.Sprint("fault-", s.next())
	return s.keyed("/v1/s2s/wallets", key, creates(client.NewWallet{IdempotencyKey: key}), s.checkWallet(s.one))
}

// createKeyedAgain has been asked for before.
func createKeyedAgain(s *scene) *deed { d := createKeyed(s); d.first = true; return d }

// late is a request that is sent again when the TEE takes it no more.
func late(s *scene) *deed {
	d := sign(s)
	ask := d.ask
	d.first = true
	asked := false
	d.ask = func(ctx context.Context) outcome {
		if asked {
			s.clock.ahead.Store(int64(2 * time.Minute))
			defer s.clock.ahead.Store(0)
		}
		asked = true
		return ask(ctx)
	}
	return d
}

func (s *scene) post(path string, body any) func(context.Context) outcome {
	return s.postUnder("", path, body)
}

// postUnder posts with an Idempotency-Key.
func (s *scene) postUnder(key, path string, body any) func(context.Context) outcome {
	raw, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	return func(ctx context.Context) outcome {
		req, err := http.NewRequestWithContext(ctx, "POST", s.API.URL+path, bytes.NewReader(raw))
		if err != nil {
			return failed(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if key != "" {
			req.Header.Set("Idempotency-Key", key)
		}
		return s.send(ctx, req)
	}
}

func createOrganization(s *scene) *deed {
	_, admin, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	id, err := canon.NewUUID(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	genesis, err := authority.SignEnvelope(authority.TypeGenesis, authority.Genesis{Format: authority.FormatGenesis, OrganizationID: id, Name: "New", Created: s.Now().Unix(), Version: 1,
		Admins: []authority.Admin{{Name: "root", PublicKey: hex.EncodeToString(admin[32:])}}, Quorum: 1,
		Freshness: authority.Freshness{Mode: authority.FreshnessUnwitnessed}, TEEs: []authority.TEE{s.TEEReference()}}, admin)
	if err != nil {
		s.t.Fatal(err)
	}
	return &deed{want: 1, ask: s.post("/v1/orgs", map[string]any{"genesis": json.RawMessage(genesis)}),
		there: func(ctx context.Context) (int, error) { _, err := s.f.Store.Organization(ctx, id); return row(err) },
		check: func(ctx context.Context, body []byte) error {
			var out api.Organization
			if err := json.Unmarshal(body, &out); err != nil {
				return err
			}
			o, err := s.f.Store.Organization(ctx, id)
			if err != nil {
				return fmt.Errorf("an acknowledged organisation: %w", err)
			}
			if !bytes.Equal(o.State, out.StateRecord) || !bytes.Equal(o.Genesis, genesis) || out.ID != id.String() {
				return errors.New("another organisation is stored than was acknowledged")
			}
			return nil
		}}
}

func digestOf(t testing.TB, o *stack.Owner, grant []byte) string {
	t.Helper()
	d, err := client.GrantDigest(grant, o.Genesis.Envelope)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(d[:])
}

// checkGrant compares what is said of a key with its row.
func (s *scene) checkGrant(ctx context.Context, keyID string, body []byte) error {
	var out api.Key
	if err := json.Unmarshal(body, &out); err != nil {
		return err
	}
	g, err := s.f.Store.GrantByKeyID(ctx, keyID)
	if err != nil {
		return fmt.Errorf("an acknowledged key: %w", err)
	}
	if out.KeyID != keyID || out.ID != g.ID.String() || out.GrantDigest != hex.EncodeToString(g.Digest[:]) {
		return errors.New("another key is stored than was acknowledged")
	}
	return nil
}

func createKey(s *scene) *deed { return s.createKey("") }

func createKeyUnder(s *scene) *deed { return s.createKey(fmt.Sprint("key-", s.next())) }

// createKeyAgain has been answered before.
func createKeyAgain(s *scene) *deed {
	d := createKeyUnder(s)
	d.first = true
	return d
}

func (s *scene) createKey(under string) *deed {
	token, grant := s.SignGrant(s.one.owner, nil)
	keyID := authority.KeyID(token.PublicKey())
	return &deed{want: 1, ask: s.postUnder(under, "/v1/orgs/"+s.one.org().String()+"/api-keys", map[string]any{"grant": json.RawMessage(grant)}),
		there: func(ctx context.Context) (int, error) { _, err := s.f.Store.GrantByKeyID(ctx, keyID); return row(err) },
		check: func(ctx context.Context, body []byte) error { return s.checkGrant(ctx, keyID, body) }}
}

func revoke(s *scene) *deed {
	token, grant := s.SignGrant(s.one.owner, nil)
	keyID, path := authority.KeyID(token.PublicKey()), "/v1/orgs/"+s.one.org().String()
	s.Post(path+"/api-keys", map[string]any{"grant": json.RawMessage(grant)}, 201, nil)
	s.Do(s.Request(token, "GET", "/v1/s2s/credential", ""), 200, nil) // it is in the cache
	d := &deed{want: 1, ask: s.post(path+"/revocations", map[string]any{"revocation": json.RawMessage(s.SignRevocation(s.one.owner, digestOf(s.t, s.one.owner, grant)))})}
	d.there = func(ctx context.Context) (int, error) {
		g, err := s.f.Store.GrantByKeyID(ctx, keyID)
		if err != nil || g.Revoked.IsZero() {
			return 0, err
		}
		return 1, nil
	}
	// Once it is acknowledged, the key is good for nothing.
	d.check = func(ctx context.Context, _ []byte) error {
		if out := s.send(ctx, s.Request(token, "POST", "/v1/s2s/sign", s.signBody(s.one))); out.code != "401 invalid_key" {
			return fmt.Errorf("a revoked key gets %q", out.code)
		}
		return nil
	}
	return d
}

func changeWallet(s *scene) *deed {
	var w api.Wallet
	s.Do(s.Request(s.one.token, "POST", "/v1/s2s/wallets", `{}`), 201, &w)
	label := fmt.Sprintf("changed %d", s.next())
	req := s.Request(s.one.token, "PATCH", "/v1/s2s/wallets/"+w.ID, fmt.Sprintf(`{"label":%q}`, label))
	return &deed{want: 1, ask: func(ctx context.Context) outcome { return s.send(ctx, req) },
		there: func(ctx context.Context) (int, error) {
			row, err := s.f.Store.Wallet(ctx, s.one.org(), uuid(w.ID))
			if err != nil || row.Label != label {
				return 0, err
			}
			return 1, nil
		},
		check: func(_ context.Context, body []byte) error {
			var out api.Wallet
			if err := json.Unmarshal(body, &out); err != nil {
				return err
			}
			if out.ID != w.ID || out.Label != label || !bytes.Equal(out.Certificate, w.Certificate) {
				return fmt.Errorf("the wallet is said to be %s, %q", out.ID, out.Label)
			}
			return nil
		}}
}
