package main

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/secret"
)

// report is one run of the program.
type report struct {
	Machine string           `json:"machine"`
	Taken   time.Time        `json:"taken"`
	Server  string           `json:"postgresql"` // version and settings
	Rounds  int              `json:"rounds"`
	Stages  crypto           `json:"crypto_us"`
	Busy    crypto           `json:"crypto_busy_us"`
	Parts   map[string]parts `json:"parts"` // by engine, of the runs with 64 clients
	Runs    []measurement    `json:"runs"`
	Wallets []walletFigures  `json:"wallets"` // by engine

	Operations []costed `json:"operations"`
}

func (r *report) run(engine string, flushed bool, clients int) *measurement {
	for i := range r.Runs {
		if m := &r.Runs[i]; m.Engine == engine && m.Flushed == flushed && m.Clients == clients {
			return m
		}
	}
	return &measurement{}
}

// crypto is the part that no design can save, in microseconds. Stages has it
// alone on an idle machine; Busy has it with every processor doing the same,
// as under load: processors that are two threads of one core slow each other
// down, and caches and clocks are shared.
type crypto struct {
	RequestVerify float64 `json:"request_verify"`
	Sign          float64 `json:"sign"`
	SelfVerify    float64 `json:"self_verify"`
	Protected     bool    `json:"sign_inside_secret_do"`
}

func (c *crypto) sum() float64 { return c.RequestVerify + c.Sign + c.SelfVerify }

// stages times the three operations as the workload does them.
func stages() (crypto, error) {
	var priv [32]byte
	pub, sig := make([]byte, 33), make([]byte, 65)
	if err := keys.Generate(keys.Secp256k1, rand.Reader, &priv, pub); err != nil {
		return crypto{}, err
	}
	verifier, err := keys.NewVerifier(keys.Secp256k1, pub)
	if err != nil {
		return crypto{}, err
	}
	_, request, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return crypto{}, err
	}
	credential, err := keys.NewVerifier(keys.Ed25519, request[32:])
	if err != nil {
		return crypto{}, err
	}
	r := authority.Request{Method: "POST", Path: "/v1/s2s/sign", Body: make([]byte, 120), Created: time.Now().Unix(), ID: [16]byte{1}}
	h, err := r.Sign(request)
	if err != nil {
		return crypto{}, err
	}
	parsed, err := authority.ParseSignatureHeaders(h)
	if err != nil {
		return crypto{}, err
	}
	c := crypto{Protected: secret.Protected()}
	c.RequestVerify = alone(func() { _, err = r.VerifyWith(credential, parsed.Signature, time.Unix(r.Created, 0)) })
	if err != nil {
		return crypto{}, err
	}
	c.Sign = alone(func() {
		secret.Do(func() { err = keys.Sign(keys.Secp256k1, &priv, pub, pub[:32], sig) })
	})
	if err != nil {
		return crypto{}, err
	}
	ok := true
	c.SelfVerify = alone(func() { ok = ok && verifier.Verify(pub[:32], sig) })
	if !ok {
		return crypto{}, fmt.Errorf("own signature refused")
	}
	return c, nil
}

// alone returns the least mean of several rounds, in microseconds: noise only
// ever adds.
func alone(f func()) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best := time.Duration(1 << 62)
	for range 7 {
		best = min(best, mean(f))
	}
	return float64(best.Nanoseconds()) / 1e3
}

func mean(f func()) time.Duration {
	const n = 400
	began := time.Now()
	for range n {
		f()
	}
	return time.Since(began) / n
}

// busyStages returns the median over all processors, each of which times the
// three operations at the same time as the others.
func busyStages() (crypto, error) {
	n := runtime.GOMAXPROCS(0)
	results := make([]crypto, n)
	errs := make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { results[i], errs[i] = stages() })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return crypto{}, err
	}
	slices.SortFunc(results, func(a, b crypto) int { return cmp.Compare(a.sum(), b.sum()) })
	return results[n/2], nil
}

func (r *report) finish() {
	for i := range r.Runs {
		m := &r.Runs[i]
		m.Beyond = m.all() - r.Stages.sum()
		m.BeyondBusy = m.all() - r.Busy.sum()
	}
}
