package chaos

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/test/secrets"
	"github.com/sigilkeys/sigil/test/stored"
)

// sent is one signed request, which is only ever sent as it is.
type sent struct {
	path   string
	header http.Header
	body   []byte
}

// acknowledged is an answer that a client got.
type acknowledged struct {
	sent  sent
	reply []byte
}

func (a *acknowledged) signature(ctx context.Context, c *stored.Checker, org canon.UUID) error {
	var reply struct{ Data api.Signature }
	if err := json.Unmarshal(a.reply, &reply); err != nil {
		return err
	}
	return c.Signature(ctx, org, a.sent.body, &reply.Data)
}

func (a *acknowledged) wallet(ctx context.Context, c *stored.Checker, org canon.UUID) error {
	var reply struct{ Data api.Wallet }
	if err := json.Unmarshal(a.reply, &reply); err != nil {
		return err
	}
	return c.Wallet(ctx, org, &reply.Data)
}

// load is what the clients did and heard.
type load struct {
	base string
	key  ed25519.PrivateKey

	heard   secrets.Buffer // refusals and errors
	resent  atomic.Int64   // sends after the first
	refused atomic.Int64   // requests given up after their window

	mu         sync.Mutex // guards the fields below
	wallets    []string
	signatures []acknowledged
	created    []acknowledged
	codes      map[string]int
	faults     []string
}

func (l *load) prepare(path string, body []byte) (sent, error) {
	id, err := canon.NewOrderedUUID(time.Now(), rand.Reader)
	if err != nil {
		return sent{}, err
	}
	r := authority.Request{Method: "POST", Path: path, Body: body, Created: time.Now().Unix(), ID: id}
	h, err := r.Sign(l.key)
	if err != nil {
		return sent{}, err
	}
	h.Set("Content-Type", "application/json")
	return sent{path, h, body}, nil
}

// client sends requests until ctx ends; each until it is answered.
func (l *load) client(ctx context.Context, seed uint64) {
	random := mrand.New(mrand.NewPCG(seed, 1))
	hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}, Timeout: 8 * time.Second}
	for n := 0; ctx.Err() == nil; n++ {
		if random.IntN(40) == 0 {
			l.request(ctx, hc, "/v1/s2s/wallets", fmt.Appendf(nil, `{"label":"chaos %d %d"}`, seed, n))
			continue
		}
		l.mu.Lock()
		wallet := l.wallets[random.IntN(len(l.wallets))]
		l.mu.Unlock()
		network := []string{"base", "solana"}[random.IntN(2)]
		l.request(ctx, hc, "/v1/s2s/sign", fmt.Appendf(nil, `{"wallet_id":%q,"network":%q,"message":"chaos %d %d"}`, wallet, network, seed, n))
	}
}

// request sends the very same request until it is answered, as the SDKs do.
func (l *load) request(ctx context.Context, hc *http.Client, path string, body []byte) {
	r, err := l.prepare(path, body)
	if err != nil {
		l.fault("prepare: %v", err)
		return
	}
	began := time.Now()
	for try := 0; time.Since(began) < 50*time.Second; try++ {
		if try > 0 {
			l.resent.Add(1)
			time.Sleep(20 * time.Millisecond)
		}
		status, reply, err := send(hc, l.base, r)
		if err == nil && (status == http.StatusOK || status == http.StatusCreated) {
			l.acknowledge(acknowledged{r, reply})
			return
		}
		if err == nil && status != http.StatusServiceUnavailable && status != http.StatusTooManyRequests {
			l.fault("%s answers %d: %.200s", path, status, reply)
			return
		}
		if ctx.Err() != nil && try > 200 {
			break
		}
		l.count(err, reply)
	}
	l.refused.Add(1)
}

func send(hc *http.Client, base string, r sent) (int, []byte, error) {
	req, err := http.NewRequest("POST", base+r.path, bytes.NewReader(r.body))
	if err != nil {
		return 0, nil, err
	}
	req.Header = r.header
	res, err := hc.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, body, err
}

func (l *load) acknowledge(a acknowledged) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.sent.path == "/v1/s2s/sign" {
		l.signatures = append(l.signatures, a)
		return
	}
	l.created = append(l.created, a)
	var w struct {
		Data struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := json.Unmarshal(a.reply, &w); err != nil {
		l.faults = append(l.faults, err.Error())
		return
	}
	l.wallets = append(l.wallets, w.Data.ID)
}

func (l *load) count(err error, reply []byte) {
	code := "connection"
	if err != nil {
		_, _ = fmt.Fprintln(&l.heard, err)
	} else {
		_, _ = l.heard.Write(reply)
		var e struct {
			Error struct {
				Code string `json:"code"`
			} `json:"error"`
		}
		if json.Unmarshal(reply, &e) == nil {
			code = e.Error.Code
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.codes[code]++
}

func (l *load) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.faults) < 20 {
		l.faults = append(l.faults, fmt.Sprintf(format, args...))
	}
}
