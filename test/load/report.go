package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"runtime"
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
	Runs    []measurement `json:"runs"`
}

// crypto is the part that no design can save, in microseconds on one core,
// measured alone right after the runs.
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
	_, request, err := ed25519.GenerateKey(rand.Reader)
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
	c.RequestVerify = timed(func() { _, err = r.Verify([32]byte(request[32:]), parsed.Signature, time.Unix(r.Created, 0)) })
	if err != nil {
		return crypto{}, err
	}
	c.Sign = timed(func() {
		secret.Do(func() { err = keys.Sign(keys.Secp256k1, &priv, pub, pub[:32], sig) })
	})
	if err != nil {
		return crypto{}, err
	}
	ok := true
	c.SelfVerify = timed(func() { ok = ok && keys.Verify(keys.Secp256k1, pub, pub[:32], sig) })
	if !ok {
		return crypto{}, fmt.Errorf("own signature refused")
	}
	return c, nil
}

// timed returns the least mean of several rounds, in microseconds: noise only
// ever adds.
func timed(f func()) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best := time.Duration(1 << 62)
	for range 7 {
		const n = 400
		began := time.Now()
		for range n {
			f()
		}
		best = min(best, time.Since(began)/n)
	}
	return float64(best.Nanoseconds()) / 1e3
}

func (r *report) finish() {
	for i := range r.Runs {
		m := &r.Runs[i]
		m.Beyond = m.Server + m.TEE - r.Stages.sum()
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
	row("less verify + sign + self-verify, us", "%.0f", func(m *measurement) float64 { return m.Beyond })
	row("handler that only signs, us", "%.0f", func(m *measurement) float64 { return m.Baseline })
	row("ratio to that handler", "%.1f", func(m *measurement) float64 { return (m.Server + m.TEE) / m.Baseline })
	row("requests per second", "%.0f", func(m *measurement) float64 { return m.PerSecond })
	row("latency p50, ms", "%.2f", func(m *measurement) float64 { return m.P50 })
	row("latency p99, ms", "%.2f", func(m *measurement) float64 { return m.P99 })
	row("requests per batch", "%.1f", func(m *measurement) float64 { return m.Flushes })
	fmt.Fprintf(w, "\n  alone on one core, us: request verify %.0f, sign %.0f, self-verify %.0f (secret.Do: %v)\n", r.Stages.RequestVerify, r.Stages.Sign, r.Stages.SelfVerify, r.Stages.Protected)
}
