package faults

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/backup"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/ledger"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/test/secrets"
	"github.com/sigilkeys/sigil/test/stack"
	"github.com/sigilkeys/sigil/test/stored"
)

// clock is what control plane and TEE take for the time.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// holder is an organisation with its key and what was made with it.
type holder struct {
	owner   *stack.Owner
	token   *authority.Token
	wallet  api.Wallet
	sibling api.Wallet // another wallet
	signed  api.Signature
}

// scene is a stack on a faulty store, with two organisations.
type scene struct {
	*stack.Stack
	t     *testing.T
	at    *place
	f     *faulty
	clock *clock
	log   *secrets.Buffer
	wire  *wire // to the API, of the SDK

	one, other *holder

	mu          sync.Mutex // guards undescribed
	undescribed []error    // exchanges
	acked       []func(context.Context) error
	heads       stored.Heads
	serial      int
}

// newScene starts a stack on an empty database of the engine; opt may name a
// workload that runs already.
func newScene(t *testing.T, e engine, opt stack.Options, c *clock) *scene {
	t.Helper()
	s := &scene{t: t, at: e.empty(t), f: &faulty{met: make(chan struct{}), gone: make(chan struct{})}, clock: c, log: &secrets.Buffer{}, heads: stored.Heads{}}
	s.wire = &wire{s: s, last: map[string][]byte{}, met: make(chan struct{}), gone: make(chan struct{})}
	opt.OpenStore, opt.Now = s.at.open, c.now
	opt.Log = slog.New(slog.NewTextHandler(s.log, nil))
	wrap := opt.WrapStore
	opt.WrapStore = func(under store.Store) store.Store {
		s.f.Store = under
		if wrap != nil {
			return wrap(s.f)
		}
		return s.f
	}
	opt.Undescribed = func(format string, args ...any) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.undescribed = append(s.undescribed, fmt.Errorf(format, args...))
	}
	s.Stack = stack.Start(t, opt)
	s.one, s.other = s.newHolder(), s.newHolder()
	s.revoked()
	if err := s.round(t.Context()); err != nil {
		t.Fatal(err)
	}
	d := s.decided(s.other)
	s.f.other = neighbour{org: s.other.owner.Genesis.OrganizationID, wallet: uuid(s.other.wallet.ID), request: d.RequestID, receipt: d.ID,
		sibling: uuid(s.one.sibling.ID), keyID: d.KeyID, batch: d.Batch}
	return s
}

func uuid(text string) canon.UUID {
	u, _ := canon.ParseUUID(text)
	return u
}

func (s *scene) newHolder() *holder {
	h := &holder{owner: s.NewOwner()}
	h.token = s.NewKey(h.owner, nil)
	s.Do(s.Request(h.token, "POST", "/v1/s2s/wallets", `{}`), 201, &h.wallet)
	s.Do(s.Request(h.token, "POST", "/v1/s2s/wallets", `{"label":"sibling"}`), 201, &h.sibling)
	s.Do(s.Request(h.token, "POST", "/v1/s2s/sign", s.signBody(h)), 200, &h.signed)
	return h
}

// revoked has a key made and revoked, so that there is a revocation to tell of.
func (s *scene) revoked() {
	_, grant := s.SignGrant(s.one.owner, nil)
	path := "/v1/orgs/" + s.one.org().String()
	s.Post(path+"/api-keys", map[string]any{"grant": json.RawMessage(grant)}, 201, nil)
	s.Post(path+"/revocations", map[string]any{"revocation": json.RawMessage(s.SignRevocation(s.one.owner, digestOf(s.t, s.one.owner, grant)))}, 201, nil)
}

func (h *holder) org() canon.UUID { return h.owner.Genesis.OrganizationID }

// decided is the stored decision of the holder's signature.
func (s *scene) decided(h *holder) *store.Decision {
	s.t.Helper()
	d, err := s.f.Store.Decision(s.t.Context(), h.org(), uuid(h.signed.Receipt.ID))
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *scene) next() int { s.serial++; return s.serial }

func (s *scene) signBody(h *holder) string {
	return fmt.Sprintf(`{"wallet_id":%q,"network":%q,"message":"message %d"}`, h.wallet.ID, []string{"base", "solana"}[s.next()%2], s.serial)
}

// round folds and has heads signed, as `sigil serve` does now and then.
func (s *scene) round(ctx context.Context) error {
	return (&ledger.Sequencer{Store: s.Store, Signer: s.Fleet, Log: slog.New(slog.DiscardHandler)}).Round(ctx)
}

// up waits until a workload is connected.
func (s *scene) up() {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); !s.Fleet.Up(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatal("no workload is connected after a minute")
		}
	}
}

// outcome is what came of asking once.
type outcome struct {
	code string // as the table has it
	ok   bool
	body []byte // of what went well, or the message of what did not

	status int
	raw    []byte                      // whole reply
	judge  func(context.Context) error // verifies it; nil: it was
}

// failed is the outcome of an error of the SDK's or of a part's.
func failed(err error) outcome {
	var refused *client.APIError
	var broken *client.VerificationError
	switch {
	case errors.Is(err, context.Canceled):
		return outcome{code: "gone"}
	case errors.Is(err, errCut):
		return outcome{code: "cut"}
	case errors.As(err, &refused):
		return outcome{code: fmt.Sprintf("%d %s", refused.Status, refused.Code), body: []byte(refused.Message)}
	case errors.As(err, &broken):
		return outcome{code: "SDK " + string(broken.Code)}
	}
	return outcome{code: "error", body: []byte(err.Error())}
}

// send sends a request, as it was signed, to the control plane of now.
func (s *scene) send(ctx context.Context, req *http.Request) outcome {
	again := req.Clone(ctx)
	again.URL.Host, again.Host = strings.TrimPrefix(s.API.URL, "http://"), ""
	if req.GetBody != nil {
		again.Body, _ = req.GetBody()
	}
	res, err := s.API.Client().Do(again)
	if err != nil {
		return failed(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return failed(err)
	}
	var env api.Envelope
	if err := json.Unmarshal(raw, &env); err != nil {
		return failed(err)
	}
	if env.Error != nil {
		return outcome{code: fmt.Sprintf("%d %s", res.StatusCode, env.Error.Code), body: []byte(env.Error.Message)}
	}
	out := outcome{code: fmt.Sprint(res.StatusCode), ok: true, body: env.Data, status: res.StatusCode, raw: raw}
	var items api.Batch
	if json.Unmarshal(env.Data, &items) == nil {
		for _, item := range items.Items {
			if item.Error != nil {
				out.code, out.ok = fmt.Sprintf("%d %s", item.Status, item.Error.Code), false
			}
		}
	}
	return out
}

// judged is an outcome that whoever asked believes.
func (out *outcome) judged(ctx context.Context) {
	if !out.ok || out.judge == nil {
		return
	}
	if err := out.judge(ctx); err != nil {
		*out = failed(err)
	}
}

// sdk returns a client that has nothing cached, and asks once.
func (s *scene) sdk() *client.Client {
	c, err := client.New(client.Config{BaseURL: s.API.URL, SecretKey: s.one.token.Reveal(), Now: s.Now, HTTPClient: &http.Client{Transport: s.wire}, Sleep: once})
	if err != nil {
		panic(err) // of arguments
	}
	return c
}

func once(context.Context, time.Duration) error { return errors.New("no second attempt") }

// answered is the outcome of a call of the SDK.
func answered(v any, err error) outcome {
	if err != nil {
		return failed(err)
	}
	body, err := json.Marshal(v)
	if err != nil {
		return failed(err)
	}
	return outcome{code: "proved", ok: true, body: body}
}

// checker compares answers with what is stored, past all faults.
func (s *scene) checker() *stored.Checker {
	return &stored.Checker{Store: s.f.Store, Networks: s.Networks}
}

// moment reads as of one moment: the control plane may still be at work for
// somebody who has gone.
func (s *scene) moment(ctx context.Context, read func(*sql.Tx) error) error {
	tx, err := s.at.db.BeginTx(ctx, &s.at.one)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	return read(tx)
}

// end reads every row once more, as the kills under load do, and SQLite's file.
func (s *scene) end() {
	s.t.Helper()
	err := s.moment(s.t.Context(), func(tx *sql.Tx) error {
		rows, err := s.at.scan(s.t.Context(), tx)
		return errors.Join(append(rows.Wrong, err)...)
	})
	if err != nil {
		s.t.Error(err)
	}
}

// verify looks at the whole state.
func (s *scene) verify(ctx context.Context) (errs []error) {
	note := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	_, err := backup.Check(ctx, s.at.at, backup.Options{})
	note("database", err)
	note("audit trail", s.moment(ctx, func(tx *sql.Tx) error { return stored.CheckTrail(ctx, tx) }))
	for _, h := range []*holder{s.one, s.other} {
		note("head", s.heads.Follow(ctx, s.f.Store, h.org()))
	}
	for _, still := range s.acked {
		note("acknowledged before", still(ctx))
	}
	if bytes.Contains(s.log.Bytes(), []byte("panicked")) {
		errs = append(errs, errors.New("a request panicked"))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, err := range s.undescribed {
		note("an exchange isn't as described", err)
	}
	s.undescribed = nil
	return errs
}
