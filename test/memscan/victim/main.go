// Victim does what the TEE workload does with keys, for memscan to look at:
// it makes a key of each curve, splits and seals it through a KMS, opens, joins
// and signs in many rounds, and then sits still until its input ends.
//
// It reads one Job as JSON and writes one Result. In mode "leaky" the join and
// the signature run outside secret.Do: the control that must be caught.
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/kms/gcpkms"
	"github.com/sigilkeys/sigil/internal/sealed"
	"github.com/sigilkeys/sigil/internal/secret"
)

// Job is what to do.
type Job struct {
	Mode     string    // "protected" or "leaky"
	URL      string    // of the KMS
	Root     []byte    // its certificate, DER
	Token    string    // access token
	KeyNames [2]string // KEKs of TEE and provider shares
	Rounds   int       // signatures of each of 2 goroutines and curve
	Cache    int       // seconds that DEKs are cached, 0: not
}

// Result is what was made: nothing secret.
type Result struct {
	Protected bool
	Locked    bool // the cache's pages
	Keys      []Sealed
	Seconds   float64
}

// Sealed is a key's sealed shares with their places.
type Sealed struct {
	Curve  uint8
	Shares [2][]byte
	AADs   [2][]byte
}

type token string

func (t token) Token(context.Context) (string, error) { return string(t), nil }

type victim struct {
	job     Job
	keks    [2]*gcpkms.Client
	openers [2]*sealed.Opener
	nudger  secret.Nudger
	cache   *sealed.Cache
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "victim:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	v := &victim{}
	if err := json.NewDecoder(in).Decode(&v.job); err != nil {
		return err
	}
	if os.Geteuid() == 0 { // others couldn't scan it then
		if err := secret.Harden(); err != nil {
			return err
		}
	}
	if err := v.setUp(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go v.nudger.Run(ctx, 100*time.Millisecond, func() {
		if v.cache != nil {
			v.cache.Sweep()
		}
	})
	res := Result{Protected: secret.Protected()}
	start := time.Now()
	for _, c := range []keys.Curve{keys.Secp256k1, keys.Ed25519} {
		k, err := v.work(ctx, c)
		if err != nil {
			return fmt.Errorf("%v: %w", c, err)
		}
		res.Keys = append(res.Keys, *k)
	}
	res.Seconds = time.Since(start).Seconds()
	if err := json.NewEncoder(out).Encode(res); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, in) // until the input ends
	return err
}

func (v *victim) setUp() error {
	root, err := x509.ParseCertificate(v.job.Root)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	if v.job.Cache > 0 {
		if v.cache, err = sealed.NewCache(64, time.Duration(v.job.Cache)*time.Second, time.Now); err != nil {
			return err
		}
	}
	for i := range v.keks {
		v.keks[i], err = gcpkms.New(gcpkms.Config{KeyName: v.job.KeyNames[i], BaseURL: v.job.URL, RootCAs: pool,
			Token: token(v.job.Token), Touch: v.nudger.Touch, Timeout: 30 * time.Second})
		if err != nil {
			return err
		}
		v.openers[i] = sealed.NewOpener(v.keks[i], v.cache)
	}
	return nil
}

// guard is secret.Do, but in the leaky mode.
func (v *victim) guard(f func()) {
	if v.job.Mode == "leaky" {
		f()
	} else {
		secret.Do(f)
	}
	v.nudger.Touch()
}

// work makes one key and signs with it.
func (v *victim) work(ctx context.Context, c keys.Curve) (*Sealed, error) {
	pub := make([]byte, c.PublicKeySize())
	aads := [2]*sealed.AAD{}
	for i, role := range []sealed.Role{sealed.RoleTEE, sealed.RoleProvider} {
		aads[i] = &sealed.AAD{StateKey: [32]byte{3}, Organization: canon.UUID{1}, Wallet: canon.UUID{2}, Curve: c, Kind: sealed.KindKey, Role: role, Epoch: 1, PublicKey: pub}
	}
	var out [2][2048]byte
	var n [2]int
	var err error
	secret.Do(func() { n, err = v.create(ctx, aads, pub, &out) })
	v.nudger.Touch()
	if err != nil {
		return nil, err
	}
	k := &Sealed{Curve: uint8(c)}
	for i := range k.Shares {
		k.Shares[i] = append([]byte(nil), out[i][:n[i]]...)
		k.AADs[i] = aads[i].Encode()
	}
	errs := make(chan error, 2)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { errs <- v.signMany(ctx, c, pub, k, aads) })
	}
	wg.Wait()
	return k, errors.Join(<-errs, <-errs)
}

func (v *victim) create(ctx context.Context, aads [2]*sealed.AAD, pub []byte, out *[2][2048]byte) (n [2]int, err error) {
	var priv [32]byte
	var shares [2][32]byte
	defer func() {
		clear(priv[:])
		clear(shares[0][:])
		clear(shares[1][:])
	}()
	if err := keys.Generate(aads[0].Curve, rand.Reader, &priv, pub); err != nil {
		return n, err
	}
	if err := sealed.Split(&priv, rand.Reader, &shares[0], &shares[1]); err != nil {
		return n, err
	}
	for i := range shares {
		s, err := sealed.Seal(ctx, v.keks[i], aads[i], &shares[i], rand.Reader)
		if err != nil {
			return n, err
		}
		n[i] = copy(out[i][:], s.Encode())
	}
	return n, nil
}

func (v *victim) signMany(ctx context.Context, c keys.Curve, pub []byte, k *Sealed, aads [2]*sealed.AAD) error {
	places := [2]*sealed.Place{sealed.NewPlace(aads[0]), sealed.NewPlace(aads[1])}
	var shares [2]*sealed.Share
	for i := range shares {
		var err error
		if shares[i], err = sealed.DecodeShare(k.Shares[i]); err != nil {
			return err
		}
	}
	sig := make([]byte, c.SignatureSize())
	for i := range v.job.Rounds {
		msg := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
		var err error
		v.guard(func() { err = v.sign(ctx, c, places, shares, pub, msg[:], sig) })
		if err != nil {
			return err
		}
		if !keys.Verify(c, pub, msg[:], sig) {
			return errors.New("signature doesn't verify")
		}
	}
	return nil
}

// sign opens, joins, signs and clears, as the workload does.
func (v *victim) sign(ctx context.Context, c keys.Curve, places [2]*sealed.Place, s [2]*sealed.Share, pub, msg, sig []byte) error {
	var tee, provider, priv [32]byte
	defer func() {
		clear(tee[:])
		clear(provider[:])
		clear(priv[:])
	}()
	if err := v.openers[0].Open(ctx, places[0], s[0], &tee); err != nil {
		return err
	}
	if err := v.openers[1].Open(ctx, places[1], s[1], &provider); err != nil {
		return err
	}
	sealed.Combine(&tee, &provider, &priv)
	return keys.Sign(c, &priv, pub, msg, sig)
}
