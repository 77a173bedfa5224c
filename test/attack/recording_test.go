package attack

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/stack"
)

// recorder keeps everything that crosses the control plane's HTTP face.
type recorder struct {
	mu       sync.Mutex // guards the fields below
	requests []recorded
	bytes    bytes.Buffer
}

type recorded struct {
	method, path, query string
	header              http.Header
	body                []byte
}

func (r *recorder) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		r.mu.Lock()
		r.requests = append(r.requests, recorded{req.Method, req.URL.Path, req.URL.RawQuery, req.Header.Clone(), body})
		_ = req.Header.Write(&r.bytes)
		r.bytes.Write(body)
		r.mu.Unlock()
		next.ServeHTTP(&tee{w, r}, req)
	})
}

type tee struct {
	http.ResponseWriter
	r *recorder
}

func (t *tee) Write(p []byte) (int, error) {
	t.r.mu.Lock()
	t.r.bytes.Write(p)
	t.r.mu.Unlock()
	return t.ResponseWriter.Write(p)
}

// Whoever recorded a whole session of the control plane replays, delays and
// recombines it, through the API and straight at the TEE. What comes out is
// what the owner already got: not one signature over anything else.
func TestRecordingIsWorthNothing(t *testing.T) {
	rec := &recorder{}
	var mu sync.Mutex
	offset := time.Duration(0)
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(offset)
	}
	s := newScene(t, stack.Options{WrapHandler: rec.wrap, Now: clock})
	for i := range 5 {
		for _, network := range []string{"base", "solana"} {
			if _, err := s.client.Sign(t.Context(), client.SignRequest{WalletID: s.one.ID, Network: network, Message: fmt.Sprint("order ", i)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	rec.mu.Lock()
	tape := append([]recorded(nil), rec.requests...)
	everything := append([]byte(nil), rec.bytes.Bytes()...)
	rec.mu.Unlock()
	noSecrets(t, s, everything)

	seen := map[[32]byte]bool{} // outputs that the owner got
	for _, o := range outputs(t, everything, s) {
		seen[o] = true
	}
	if len(seen) < 10 {
		t.Fatalf("the recording has %d outputs", len(seen))
	}
	a := &attacker{t: t, s: s, seen: seen}
	a.all(tape)
	mu.Lock()
	offset = 61 * time.Second
	mu.Unlock()
	a.all(tape)
	a.atTheTEE(tape)
	t.Logf("%d attempts: %d answered as before, %d refused, 0 new signatures", a.attempts, a.old, a.attempts-a.old)
	if a.fresh > 0 || a.old == 0 {
		t.Errorf("%d new signatures, %d old answers", a.fresh, a.old)
	}
}

// noSecrets looks for what must never cross.
func noSecrets(t *testing.T, s *scene, everything []byte) {
	t.Helper()
	text := s.token.Reveal()
	seed := s.token.RequestKey().Seed()
	for name, secret := range map[string][]byte{"token": []byte(text), "token without prefix": []byte(text[8:60]), "request key": seed,
		"request key, hex": []byte(hex.EncodeToString(seed)), "request key, base64": []byte(base64.StdEncoding.EncodeToString(seed)[:40]),
		"admin key": s.owner.Admin.Seed(), "admin key, hex": []byte(hex.EncodeToString(s.owner.Admin.Seed()))} {
		if bytes.Contains(everything, secret) {
			t.Errorf("the recording has the %s", name)
		}
	}
}

// outputs are the signatures in a recording, by digest.
func outputs(t *testing.T, b []byte, s *scene) (list [][32]byte) {
	t.Helper()
	for rest := b; ; {
		_, after, ok := bytes.Cut(rest, []byte(`"signature":"`))
		if !ok {
			return list
		}
		sig, tail, _ := bytes.Cut(after, []byte(`"`))
		list, rest = append(list, receipt.Digest(sig)), tail
	}
}

type attacker struct {
	t                    *testing.T
	s                    *scene
	seen                 map[[32]byte]bool
	attempts, old, fresh int
}

// judge looks at what an attempt brought.
func (a *attacker) judge(signatures [][32]byte) {
	a.attempts++
	for _, sig := range signatures {
		if a.seen[sig] {
			a.old++
		} else {
			a.fresh++
		}
	}
}

func (a *attacker) send(r recorded) {
	url := a.s.API.URL + r.path
	if r.query != "" {
		url += "?" + r.query
	}
	req, err := http.NewRequest(r.method, url, bytes.NewReader(r.body))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header = r.header
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	if res.StatusCode < 300 {
		a.judge(outputs(a.t, body, a.s))
	} else {
		a.judge(nil)
	}
}

// all replays each request, and each with parts of others or of his own.
func (a *attacker) all(tape []recorded) {
	signs := []recorded{}
	for _, r := range tape {
		if r.path == "/v1/s2s/sign" {
			signs = append(signs, r)
		}
	}
	for i, r := range signs {
		a.send(r)
		o := signs[(i+1)%len(signs)]
		for _, edit := range []func(*recorded){
			func(x *recorded) { x.body = o.body },
			func(x *recorded) { x.body = bytes.Replace(x.body, []byte("order"), []byte("bribe"), 1) },
			func(x *recorded) { x.body = bytes.Replace(x.body, []byte(a.s.one.ID), []byte(a.s.two.ID), 1) },
			func(x *recorded) { x.body = bytes.Replace(x.body, []byte(`"base"`), []byte(`"polygon"`), 1) },
			func(x *recorded) { x.body = append([]byte(" "), x.body...) },
			func(x *recorded) { x.path = "/v1/s2s/wallets" },
			func(x *recorded) { x.query = "x=1" },
			func(x *recorded) { x.header.Set("Idempotency-Key", "mine") },
			func(x *recorded) { x.header.Set("Signature", o.header.Get("Signature")) },
			func(x *recorded) { x.header.Set("Signature-Input", o.header.Get("Signature-Input")) },
			func(x *recorded) { x.header.Del("Signature") },
		} {
			c := r
			c.header = r.header.Clone()
			edit(&c)
			if !bytes.Equal(c.body, r.body) || c.path != r.path || c.query != r.query || fmt.Sprint(c.header) != fmt.Sprint(r.header) {
				a.send(c)
			}
		}
	}
}

// atTheTEE sends the recorded requests over the link, past the control plane,
// each with the record of each wallet, signed and as a bearer.
func (a *attacker) atTheTEE(tape []recorded) {
	c, err := a.s.Link.Client(a.t.Context())
	if err != nil {
		a.t.Fatal(err)
	}
	key, err := a.s.Signing.Key(a.t.Context(), keyIDOf(a.s))
	if err != nil {
		a.t.Fatal(err)
	}
	for _, r := range tape {
		if r.path != "/v1/s2s/sign" {
			continue
		}
		for _, id := range []string{a.s.one.ID, a.s.two.ID} {
			raw := a.s.row(a.t, id).Encode()
			if err := c.Put(a.t.Context(), []teelink.Object{{Kind: teelink.ObjectWalletRecord, Bytes: raw}}); err != nil {
				a.t.Fatal(err)
			}
			d := a.s.decideRecorded(a.t, r)
			d.Genesis, d.Grant, d.Record = key.Genesis.Digest, key.Digest, receipt.Digest(raw)
			for _, auth := range []uint8{teelink.AuthSignature, teelink.AuthBearer} {
				for _, created := range []int64{d.Created, a.s.Now().Unix()} {
					x := *d
					x.Auth, x.Created = auth, created
					out, err := c.Decide(a.t.Context(), &x)
					if err == nil && out.Item().ResultKind == teelink.ResultSignature {
						a.judge([][32]byte{receipt.Digest(out.Item().Result)})
					} else {
						a.judge(nil)
					}
				}
			}
		}
	}
}
