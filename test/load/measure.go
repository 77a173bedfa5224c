package main

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
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/devstack"
)

// measurement is one run with so many clients; after all rounds, the median of
// each figure.
type measurement struct {
	Engine     string  `json:"engine"`
	Flushed    bool    `json:"flushed"` // to a disk; otherwise the database is in memory
	Clients    int     `json:"clients"`
	Requests   int     `json:"requests"`
	PerSecond  float64 `json:"per_second"`
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
	Server     float64 `json:"control_plane_us"`      // CPU per request
	TEE        float64 `json:"tee_us"`                // CPU per request
	Database   float64 `json:"database_server_us"`    // CPU per request; SQLite has none of its own
	Baseline   float64 `json:"baseline_us"`           // CPU per request of the handler that only signs
	Beyond     float64 `json:"beyond_crypto_us"`      // all, less request verify, sign and self-verify
	BeyondBusy float64 `json:"beyond_busy_crypto_us"` // the same, with those as slow as under load
	Flushes    float64 `json:"requests_per_batch"`
}

// all is the CPU of a request, whoever used it.
func (m *measurement) all() float64 { return m.Server + m.TEE + m.Database }

// middle has the median of each figure.
func middle(rounds []measurement) measurement {
	out := rounds[0]
	for _, figure := range []func(*measurement) *float64{
		func(m *measurement) *float64 { return &m.PerSecond },
		func(m *measurement) *float64 { return &m.P50 },
		func(m *measurement) *float64 { return &m.P99 },
		func(m *measurement) *float64 { return &m.Server },
		func(m *measurement) *float64 { return &m.TEE },
		func(m *measurement) *float64 { return &m.Database },
		func(m *measurement) *float64 { return &m.Baseline },
		func(m *measurement) *float64 { return &m.Flushes },
	} {
		var list []float64
		for i := range rounds {
			list = append(list, *figure(&rounds[i]))
		}
		*figure(&out) = median(list)
	}
	return out
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// signedRequest is made before the clock starts: the clients' cost is no part.
type signedRequest struct {
	method, target string
	header         http.Header
	body           []byte
}

func requestKey(info devstack.Info) (ed25519.PrivateKey, error) {
	raw, err := os.ReadFile(info.SecretKeyFile)
	if err != nil {
		return nil, err
	}
	token, err := authority.ParseToken(strings.TrimSpace(string(raw)))
	if err != nil {
		return nil, err
	}
	return token.RequestKey(), nil
}

func prepare(info devstack.Info, n int) ([]signedRequest, error) {
	key, err := requestKey(info)
	if err != nil {
		return nil, err
	}
	out := make([]signedRequest, n)
	for i := range out {
		body := fmt.Appendf(nil, `{"wallet_id":%q,"network":"base","message":"load %d"}`, info.WalletID, i)
		if out[i], err = prepareOne(key, "POST", "/v1/s2s/sign", body); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func prepareOne(key ed25519.PrivateKey, method, target string, body []byte) (signedRequest, error) {
	id, err := canon.NewOrderedUUID(time.Now(), rand.Reader)
	if err != nil {
		return signedRequest{}, err
	}
	path, query, _ := strings.Cut(target, "?")
	r := authority.Request{Method: method, Path: path, Query: query, Body: body, Created: time.Now().Unix(), ID: id}
	h, err := r.Sign(key)
	if err != nil {
		return signedRequest{}, err
	}
	if method != "GET" {
		h.Set("Content-Type", "application/json")
	}
	return signedRequest{method, target, h, body}, nil
}

// measure has an installation sign n messages for so many clients.
func measure(ctx context.Context, in *installation, clients, n int) (*measurement, error) {
	info := in.stack.Info()
	warm, err := prepare(info, 4*clients)
	if err != nil {
		return nil, err
	}
	if _, err := drive(ctx, info.APIBaseURL, clients, warm); err != nil {
		return nil, err
	}
	list, err := prepare(info, n)
	if err != nil {
		return nil, err
	}
	before, err := in.usage()
	if err != nil {
		return nil, err
	}
	d, err := drive(ctx, info.APIBaseURL, clients, list)
	if err != nil {
		return nil, err
	}
	after, err := in.usage()
	if err != nil {
		return nil, err
	}
	per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 / float64(n) }
	return &measurement{Engine: in.engine, Clients: clients, Requests: n, PerSecond: float64(n) / d.took.Seconds(), P50: d.quantile(0.5), P99: d.quantile(0.99),
		Server: per(after.server - before.server), TEE: per(after.tee - before.tee), Database: per(after.database - before.database),
		Flushes: float64(n) / float64(max(1, d.batches))}, nil
}

// driven is how a run went.
type driven struct {
	took      time.Duration
	latencies []time.Duration
	batches   int
}

func (d *driven) quantile(q float64) float64 {
	slices.Sort(d.latencies)
	return float64(d.latencies[int(q*float64(len(d.latencies)-1))].Microseconds()) / 1e3
}

// drive sends the requests from so many clients, each with one connection,
// and requires success of every one.
func drive(ctx context.Context, base string, clients int, list []signedRequest) (*driven, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: clients, MaxConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	d := &driven{latencies: make([]time.Duration, len(list))}
	var next atomic.Int64
	var group sync.WaitGroup
	var mu sync.Mutex
	var failed error
	batches := map[string]bool{}
	began := time.Now()
	for range clients {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(list); i = int(next.Add(1)) - 1 {
				start := time.Now()
				batch, err := send(ctx, client, base, &list[i])
				d.latencies[i] = time.Since(start)
				mu.Lock()
				batches[batch] = true
				failed = errors.Join(failed, err)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	group.Wait()
	d.took, d.batches = time.Since(began), len(batches)
	return d, failed
}

// send returns a name of the batch that the decision came in.
func send(ctx context.Context, client *http.Client, base string, r *signedRequest) (string, error) {
	body, err := exchange(ctx, client, base, r)
	if err != nil {
		return "", err
	}
	var reply struct {
		Data struct {
			Receipt struct {
				Proof []byte `json:"proof"`
			} `json:"receipt"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return "", err
	}
	p := reply.Data.Receipt.Proof
	return string(p[max(0, len(p)-64):]), nil // the batch's signature
}

// exchange returns the body of the reply, which must be a success.
func exchange(ctx context.Context, client *http.Client, base string, r *signedRequest) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, base+r.target, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	req.Header = r.header
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s: status %d: %.300s", r.method, r.target, res.StatusCode, body)
	}
	return body, nil
}
