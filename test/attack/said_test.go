package attack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"

	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/test/secrets"
	"github.com/sigilkeys/sigil/test/stack"
)

// listen has a stack to be started write its log, and what its API says no
// with, into a buffer.
func listen(opt *stack.Options) *secrets.Buffer {
	said := &secrets.Buffer{}
	if opt.Log == nil {
		opt.Log = slog.New(slog.NewJSONHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	inner := opt.WrapHandler
	opt.WrapHandler = func(next http.Handler) http.Handler {
		heard := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&refusals{ResponseWriter: w, to: said}, r)
		}))
		if inner == nil {
			return heard
		}
		return inner(heard)
	}
	return said
}

// refusals copies the bodies of answers that are errors.
type refusals struct {
	http.ResponseWriter
	to     *secrets.Buffer
	status int
}

func (r *refusals) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *refusals) Write(p []byte) (int, error) {
	if r.status >= 400 {
		_, _ = r.to.Write(p)
	}
	return r.ResponseWriter.Write(p)
}

// secretsOf collects all secrets of a scene.
func secretsOf(t *testing.T, s *scene) *secrets.Set {
	t.Helper()
	x := &secrets.Set{}
	x.AddToken("secret key", s.token)
	x.AddKey("admin key", s.owner.Admin)
	if err := x.AddOrganization(t.Context(), s.Cloud, s.Store, s.owner.Genesis.OrganizationID, 100); err != nil {
		t.Fatal(err)
	}
	return x
}

// quiet fails the test where the control plane's log or its refusals hold a
// secret, once the test is over.
func (s *scene) quiet(t *testing.T) {
	t.Helper()
	x := secretsOf(t, s) // as long as the attack hasn't begun
	t.Cleanup(func() {
		found, err := x.Log(s.said.Bytes())
		if err != nil || len(found) > 0 {
			t.Errorf("in logs or errors: %v (%v)", found, err)
		}
	})
}

// talkative is a store that says in its errors what it was to keep.
type talkative struct {
	store.Store
	secret []byte
}

func (s *talkative) Commit(ctx context.Context, b []store.CommitBatch) ([][]store.Commit, error) {
	if s.secret != nil {
		return nil, fmt.Errorf("commit of %v: %w", s.secret, errors.ErrUnsupported)
	}
	return s.Store.Commit(ctx, b)
}

// Canary: a secret in an error of the store gets into the log, and is found
// there. What the API says is free of it: errors aren't shown.
func TestSecretInTheLogIsFound(t *testing.T) {
	st := &talkative{}
	s := newScene(t, stack.Options{WrapStore: func(inner store.Store) store.Store { st.Store = inner; return st }})
	x := &secrets.Set{}
	x.Add("planted", bytes.Repeat([]byte("planted!"), 4))
	before, err := x.Log(s.said.Bytes())
	if err != nil || len(before) > 0 {
		t.Fatal(before, err)
	}
	st.secret = bytes.Repeat([]byte("planted!"), 4)
	res, err := http.DefaultClient.Do(s.Request(s.token, "POST", "/v1/s2s/sign", signBody(s.one.ID, "base", "pay")))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(res.Body); err != nil || res.StatusCode < 500 {
		t.Fatal(res.Status, err)
	}
	if found, err := x.Log(body.Bytes()); err != nil || len(found) > 0 {
		t.Errorf("the API says %s: %v (%v)", &body, found, err)
	}
	if found, err := x.Log(s.said.Bytes()); err != nil || len(found) == 0 {
		t.Errorf("canary: nothing found (%v) in\n%s", err, s.said.Bytes())
	}
	if !bytes.Contains(s.said.Bytes(), body.Bytes()) {
		t.Errorf("canary: the refusal %s isn't kept", &body)
	}
}
