package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"runtime"

	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
	"gitlab.com/yawning/secp256k1-voi/secec"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/networks"
)

// costed is one of the operations that have a bound of their own.
type costed struct {
	Name        string  `json:"name"`
	US          float64 `json:"us"` // CPU
	Allocations float64 `json:"allocations"`
	Against     string  `json:"against,omitzero"` // what it is compared with
	Ratio       float64 `json:"ratio,omitzero"`   // median over the rounds, in turns
	Bound       string  `json:"bound"`
}

const (
	operationRounds = 9
	operationCalls  = 2000
)

// operations measures decoding with digests, and keys against the bare calls
// of the libraries that they are made of.
func operations() ([]costed, error) {
	registry, err := networks.New()
	if err != nil {
		return nil, err
	}
	var out []costed
	for _, d := range []struct{ name, network, text, bound string }{
		{"EVM transfer, decode and digest", "ethereum", evmTransfer(), "< 5 us, <= 20 allocations"},
		{"Solana, 200 instructions, decode", "solana", solanaMemos(200), "< 60 us"},
	} {
		n, ok := registry.Lookup(d.network)
		if !ok {
			return nil, fmt.Errorf("there is no network %s", d.network)
		}
		pub := make([]byte, 33)[:n.Curve.PublicKeySize()] // any
		payload := chain.Payload{Transaction: &d.text}
		o, err := compareWith(d.name, d.bound, "", func() error { _, err := payload.Prepare(n, pub); return err }, nil)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	more, err := signers()
	return append(out, more...), err
}

func signers() ([]costed, error) {
	var priv [32]byte
	pub, sig, digest := make([]byte, 33), make([]byte, 65), make([]byte, 32)
	if err := keys.Generate(keys.Secp256k1, rand.Reader, &priv, pub); err != nil {
		return nil, err
	}
	bare, err := secec.NewPrivateKey(priv[:])
	if err != nil {
		return nil, err
	}
	nonces := secec.RFC6979SHA256()
	secp, err := compareWith("secp256k1 sign", "<= 1.3", "secp256k1-voi with the key loaded",
		func() error { return keys.Sign(keys.Secp256k1, &priv, pub, digest, sig) },
		func() error { _, _, _, err := bare.SignRaw(nonces, digest); return err })
	if err != nil {
		return nil, err
	}
	seed, public := priv, make([]byte, 32)
	if err := keys.Public(keys.Ed25519, &seed, public); err != nil {
		return nil, err
	}
	whole := ed25519.NewKeyFromSeed(seed[:])
	ed, err := compareWith("Ed25519 sign", "<= 1.5", "curve25519-voi with the key expanded",
		func() error { return keys.Sign(keys.Ed25519, &seed, public, digest, sig[:64]) },
		func() error { ed25519.Sign(whole, digest); return nil })
	return []costed{secp, ed}, err
}

// compareWith measures ours and, in turns with it, theirs.
func compareWith(name, bound, against string, ours, theirs func() error) (costed, error) {
	o := costed{Name: name, Bound: bound, Against: against}
	var own, ratios []float64
	for range operationRounds {
		us, err := spent(operationCalls, repeated(ours))
		if err != nil {
			return o, err
		}
		own = append(own, us)
		if theirs == nil {
			continue
		}
		other, err := spent(operationCalls, repeated(theirs))
		if err != nil {
			return o, err
		}
		ratios = append(ratios, us/other)
	}
	o.US = median(own)
	if theirs != nil {
		o.Ratio = median(ratios)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := repeated(ours)(); err != nil {
		return o, err
	}
	runtime.ReadMemStats(&after)
	o.Allocations = float64(after.Mallocs-before.Mallocs) / operationCalls
	return o, nil
}

func repeated(f func() error) func() error {
	return func() error {
		for range operationCalls {
			if err := f(); err != nil {
				return err
			}
		}
		return nil
	}
}

func (r *report) printOperations(w io.Writer) {
	fmt.Fprintf(w, "\nDecoders and keys, in this process; medians of %d rounds of %d\n\n", operationRounds, operationCalls)
	fmt.Fprintf(w, "  %-34s %8s %12s %7s  %s\n", "", "CPU, us", "allocations", "ratio", "bound")
	for _, o := range r.Operations {
		ratio := ""
		if o.Against != "" {
			ratio = fmt.Sprintf("%.2f", o.Ratio)
		}
		fmt.Fprintf(w, "  %-34s %8.1f %12.1f %7s  %s\n", o.Name, o.US, o.Allocations, ratio, o.Bound)
	}
	for _, o := range r.Operations {
		if o.Against != "" {
			fmt.Fprintf(w, "  %s is against %s.\n", o.Name, o.Against)
		}
	}
}

// evmTransfer is a transfer of 0.01 ether (EIP-1559), unsigned.
func evmTransfer() string {
	return "0x02ed0107830f42408405f5e100825208945aaeb6053f3e94c9b9a09f33669435e7ef1beaed872386f26fc1000080c0"
}

// solanaMemos is a message whose fee payer is the zero key, with so many
// memos of one letter.
func solanaMemos(n int) string {
	memo, err := hex.DecodeString("054a535a992921064d24e87160da387c7c35b5ddbc92bb81e41fa8404105448d") // MemoSq4g…
	if err != nil || n > 255 {
		panic("load: the memo program's address is a constant")
	}
	b := append([]byte{1, 0, 1, 2}, make([]byte, 32)...)
	b = append(append(b, memo...), make([]byte, 32)...)
	if n < 0x80 {
		b = append(b, byte(n))
	} else {
		b = append(b, byte(n)|0x80, byte(n>>7))
	}
	for range n {
		b = append(b, 1, 0, 1, 'x')
	}
	return base64.StdEncoding.EncodeToString(b)
}
