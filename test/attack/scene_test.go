package attack

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/stack"
)

const (
	pathSign    = "/v1/s2s/sign"
	pathWallets = "/v1/s2s/wallets"
)

// clock is one that tests can move.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time        { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) move(by time.Duration) { c.offset.Add(int64(by)) }

// party is an organisation with a key that may do everything.
type party struct {
	owner   *stack.Owner
	token   *authority.Token
	org     *store.Organization
	grant   *authority.VerifiedGrant
	records map[string][]byte // wallet records by id
}

func newParty(t *testing.T, s *stack.Stack) *party {
	t.Helper()
	p := &party{owner: s.NewOwner(), records: map[string][]byte{}}
	p.token = s.NewKey(p.owner, nil)
	var err error
	if p.org, err = s.Store.Organization(t.Context(), p.owner.Genesis.OrganizationID); err != nil {
		t.Fatal(err)
	}
	p.grant = grantOf(t, s, p.owner, p.token)
	return p
}

func grantOf(t *testing.T, s *stack.Stack, o *stack.Owner, token *authority.Token) *authority.VerifiedGrant {
	t.Helper()
	row, err := s.Store.GrantByKeyID(t.Context(), authority.KeyID(token.PublicKey()))
	if err != nil {
		t.Fatal(err)
	}
	g, err := authority.VerifyGrant(row.Envelope, o.Genesis)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// newWallet makes a wallet and remembers its record.
func (p *party) newWallet(t *testing.T, s *stack.Stack) api.Wallet {
	t.Helper()
	var w api.Wallet
	s.Do(s.Request(p.token, "POST", pathWallets, `{}`), 201, &w)
	row, err := s.Store.Wallet(t.Context(), p.org.ID, uuid(t, w.ID))
	if err != nil {
		t.Fatal(err)
	}
	p.records[w.ID] = row.Record
	return w
}

func uuid(t *testing.T, text string) canon.UUID {
	t.Helper()
	u, err := canon.ParseUUID(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func signBody(wallet, network, message string) string {
	return fmt.Sprintf(`{"wallet_id":%q,"network":%q,"message":%q}`, wallet, network, message)
}

// demand is a request signed by the party's key, as the control plane puts it
// on the link.
func (p *party) demand(t *testing.T, now time.Time, path, body string, record []byte) *teelink.Decide {
	t.Helper()
	id, err := canon.NewUUID(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := authority.Request{Method: "POST", Path: path, Body: []byte(body), Created: now.Unix(), ID: id}
	h, err := r.Sign(p.token.RequestKey())
	if err != nil {
		t.Fatal(err)
	}
	sig, err := authority.ParseSignatureHeaders(h)
	if err != nil {
		t.Fatal(err)
	}
	return &teelink.Decide{Genesis: p.owner.Genesis.Digest, Grant: p.grant.Digest, Record: receipt.Digest(record), Auth: teelink.AuthSignature,
		Method: "POST", Path: path, Created: r.Created, RequestID: id, Proof: sig.Signature, Body: []byte(body)}
}

// documents are the party's, for putting.
func (p *party) documents() []teelink.Object {
	return []teelink.Object{{Kind: teelink.ObjectGenesis, Bytes: p.owner.Genesis.Envelope}, {Kind: teelink.ObjectGrant, Bytes: p.grant.Envelope}}
}

// dial connects to a workload as anybody can who reaches its port.
func dial(t *testing.T, address string) *teelink.Client {
	t.Helper()
	c, err := teelink.Dial(t.Context(), teelink.ClientConfig{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// ask puts the objects and has the workload decide; code is "" for an allow,
// the reason for a deny, else the refusal's.
func ask(t *testing.T, c *teelink.Client, d *teelink.Decide, objects ...teelink.Object) (*teelink.Item, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if len(objects) > 0 {
		if err := c.Put(ctx, objects); err != nil {
			return nil, codeOf(err)
		}
	}
	out, err := c.Decide(ctx, d)
	if err != nil {
		return nil, codeOf(err)
	}
	leaf, err := receipt.DecodeLeaf(out.Item().Leaf)
	if err != nil {
		t.Fatal(err)
	}
	if leaf.Decision != receipt.Allow {
		return out.Item(), leaf.Reason
	}
	return out.Item(), ""
}

// codeOf names an error of the link, the API or the SDK by its code, of the
// SDK's verification with the field.
func codeOf(err error) string {
	var remote *teelink.RemoteError
	var v *client.VerificationError
	var e *client.APIError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &remote):
		return remote.Code
	case errors.As(err, &v):
		if v.Field != "" {
			return string(v.Code) + "/" + v.Field
		}
		return string(v.Code)
	case errors.As(err, &e):
		return string(e.Code)
	}
	return "no code: " + err.Error()
}

// answer is what the API says.
type answer struct {
	status  int
	code    string
	message string
	body    []byte
	data    json.RawMessage
}

func send(t testing.TB, r *http.Request) answer {
	t.Helper()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: res.StatusCode, body: body}
	var env struct {
		Data  json.RawMessage `json:"data"`
		Error *api.Error      `json:"error"`
	}
	if err := json.Unmarshal(body, &env); err != nil {
		t.Fatalf("%d %.200s: %v", res.StatusCode, body, err)
	}
	a.data = env.Data
	if env.Error != nil {
		a.code, a.message = string(env.Error.Code), env.Error.Message
	}
	return a
}

// sdk returns a client without anything cached.
func sdk(t *testing.T, s *stack.Stack, token *authority.Token) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{BaseURL: s.API.URL, SecretKey: token.Reveal(), Now: s.Now,
		Sleep: func(context.Context, time.Duration) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// counts returns the number of rows of each table.
func counts(t *testing.T, dir string) string {
	t.Helper()
	db := openFile(t, dir, "?mode=ro")
	var out []string
	for _, table := range []string{"organizations", "grants", "revocations", "wallets", "batches", "decisions"} {
		var n int
		if err := db.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s %d", table, n))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, ", ")
}

func openFile(t *testing.T, dir, options string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, sqlitestore.FileName)+options)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// copyData copies a database at rest, as a thief or an operator would.
func copyData(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}
