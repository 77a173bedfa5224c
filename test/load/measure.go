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

// measurement is one run with so many clients.
type measurement struct {
	Clients    int     `json:"clients"`
	Requests   int     `json:"requests"`
	PerSecond  float64 `json:"per_second"`
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
	Server     float64 `json:"control_plane_us"`      // CPU per request
	TEE        float64 `json:"tee_us"`                // CPU per request
	Baseline   float64 `json:"baseline_us"`           // CPU per request of the handler that only signs
	Beyond     float64 `json:"beyond_crypto_us"`      // both, less request verify, sign and self-verify
	BeyondBusy float64 `json:"beyond_busy_crypto_us"` // the same, with those as slow as under load
	Flushes    float64 `json:"requests_per_batch"`
}

// signedRequest is made before the clock starts: the clients' cost is no part.
type signedRequest struct {
	header http.Header
	body   []byte
}

func prepare(info devstack.Info, n int) ([]signedRequest, error) {
	raw, err := os.ReadFile(info.SecretKeyFile)
	if err != nil {
		return nil, err
	}
	token, err := authority.ParseToken(strings.TrimSpace(string(raw)))
	if err != nil {
		return nil, err
	}
	key := token.RequestKey()
	out := make([]signedRequest, n)
	for i := range out {
		if out[i], err = prepareOne(key, info.WalletID, i); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func prepareOne(key ed25519.PrivateKey, wallet string, i int) (signedRequest, error) {
	body := fmt.Appendf(nil, `{"wallet_id":%q,"network":"base","message":"load %d"}`, wallet, i)
	id, err := canon.NewOrderedUUID(time.Now(), rand.Reader)
	if err != nil {
		return signedRequest{}, err
	}
	r := authority.Request{Method: "POST", Path: "/v1/s2s/sign", Body: body, Created: time.Now().Unix(), ID: id}
	h, err := r.Sign(key)
	if err != nil {
		return signedRequest{}, err
	}
	h.Set("Content-Type", "application/json")
	return signedRequest{h, body}, nil
}

func measure(ctx context.Context, info devstack.Info, clients, n int) (*measurement, error) {
	warm, err := prepare(info, 4*clients)
	if err != nil {
		return nil, err
	}
	if _, err := drive(ctx, info.APIBaseURL+"/v1/s2s/sign", clients, warm); err != nil {
		return nil, err
	}
	list, err := prepare(info, n)
	if err != nil {
		return nil, err
	}
	pids := []int{info.PIDs["sigil-serve"], info.PIDs["sigil-tee"]}
	var before, after [2]time.Duration
	for i, pid := range pids {
		if before[i], err = cpuTime(pid); err != nil {
			return nil, err
		}
	}
	d, err := drive(ctx, info.APIBaseURL+"/v1/s2s/sign", clients, list)
	if err != nil {
		return nil, err
	}
	for i, pid := range pids {
		if after[i], err = cpuTime(pid); err != nil {
			return nil, err
		}
	}
	per := func(i int) float64 { return float64((after[i] - before[i]).Nanoseconds()) / 1e3 / float64(n) }
	return &measurement{Clients: clients, Requests: n, PerSecond: float64(n) / d.took.Seconds(), P50: d.quantile(0.5), P99: d.quantile(0.99),
		Server: per(0), TEE: per(1), Flushes: float64(n) / float64(max(1, d.batches))}, nil
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
func drive(ctx context.Context, url string, clients int, list []signedRequest) (*driven, error) {
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
				batch, err := send(ctx, client, url, &list[i])
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
func send(ctx context.Context, client *http.Client, url string, r *signedRequest) (string, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", url, bytes.NewReader(r.body))
	if err != nil {
		return "", err
	}
	req.Header = r.header
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d: %.300s", res.StatusCode, body)
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
