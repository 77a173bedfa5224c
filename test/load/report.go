package main

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
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
	Machine string        `json:"machine"`
	Taken   time.Time     `json:"taken"`
	Stages  crypto        `json:"crypto_us"`
	Busy    crypto        `json:"crypto_busy_us"`
	Parts   parts         `json:"parts"` // of the run with 64 clients
	Runs    []measurement `json:"runs"`
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
		m.Beyond = m.Server + m.TEE - r.Stages.sum()
		m.BeyondBusy = m.Server + m.TEE - r.Busy.sum()
	}
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "CPU per signature (secp256k1, EIP-191), SQLite, receipts committed before the reply\n%s, %s\n\n", r.Machine, r.Taken.Format(time.RFC3339))
	fmt.Fprintf(w, "  %-34s %10s %10s\n", "", "1 client", "64 clients")
	row := func(name, format string, value func(*measurement) float64) {
		fmt.Fprintf(w, "  %-34s", name)
		for i := range r.Runs {
			fmt.Fprintf(w, " %10s", fmt.Sprintf(format, value(&r.Runs[i])))
		}
		fmt.Fprintln(w)
	}
	row("control plane, us", "%.0f", func(m *measurement) float64 { return m.Server })
	row("TEE workload, us", "%.0f", func(m *measurement) float64 { return m.TEE })
	row("both, us", "%.0f", func(m *measurement) float64 { return m.Server + m.TEE })
	row("less verify, sign, self-verify, us", "%.0f", func(m *measurement) float64 { return m.Beyond })
	row("  the same, as slow as under load", "%.0f", func(m *measurement) float64 { return m.BeyondBusy })
	row("handler that only signs, us", "%.0f", func(m *measurement) float64 { return m.Baseline })
	row("ratio to that handler", "%.1f", func(m *measurement) float64 { return (m.Server + m.TEE) / m.Baseline })
	row("requests per second", "%.0f", func(m *measurement) float64 { return m.PerSecond })
	row("latency p50, ms", "%.2f", func(m *measurement) float64 { return m.P50 })
	row("latency p99, ms", "%.2f", func(m *measurement) float64 { return m.P99 })
	row("requests per batch", "%.1f", func(m *measurement) float64 { return m.Flushes })
	r.printStages(w)
}

// printStages takes the run with 64 clients apart. What no stage accounts for
// is looking up objects, opening shares, policy, leaves and receipts, and what
// the runtime needs for all of it.
func (r *report) printStages(w io.Writer) {
	m := r.Runs[len(r.Runs)-1]
	http := m.Baseline - r.Busy.Sign
	fmt.Fprintf(w, "\n  %-34s %10s %10s\n", "stages at 64 clients, us", "alone", "all busy")
	row := func(name string, alone, busy float64) {
		cell := ""
		if alone > 0 {
			cell = fmt.Sprintf("%.0f", alone)
		}
		fmt.Fprintf(w, "  %-34s %10s %10.0f\n", name, cell, busy)
	}
	row("HTTP and JSON (handler less sign)", 0, http)
	row("link, both ends", 0, r.Parts.Link)
	row("request verify", r.Stages.RequestVerify, r.Busy.RequestVerify)
	row("sign", r.Stages.Sign, r.Busy.Sign)
	row("self-verify", r.Stages.SelfVerify, r.Busy.SelfVerify)
	row("commit, flush shared", 0, r.Parts.Commit)
	row("everything else", 0, m.BeyondBusy-http-r.Parts.Link-r.Parts.Commit)
	fmt.Fprintf(w, "\n  signing runs inside secret.Do: %v\n", r.Stages.Protected)
}
