package stack_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/test/stack"
)

// versioned sits between a control plane and a workload, with the workload's
// certificate, and speaks one version of the link to both: to each, the other
// one is as old as that.
type versioned struct {
	version string
	links   atomic.Int32 // that the control plane made
}

func (v *versioned) open(t *testing.T, target string, certificate tls.Certificate) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13, NextProtos: []string{v.version}})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			v.links.Add(1)
			running.Go(func() { v.carry(t, near, target) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); running.Wait() })
	return l.Addr().String()
}

func (v *versioned) carry(t *testing.T, near net.Conn, target string) {
	defer near.Close()
	far, err := tls.Dial("tcp", target, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{v.version}})
	if err != nil {
		t.Error(err)
		return
	}
	defer far.Close()
	if got := far.ConnectionState().NegotiatedProtocol; got != v.version {
		t.Errorf("the workload speaks %q, not %q", got, v.version)
	}
	var back sync.WaitGroup
	back.Go(func() { _, _ = io.Copy(near, far); _ = near.Close() })
	_, _ = io.Copy(far, near)
	_ = far.Close()
	back.Wait()
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// sdk makes an organisation with a key, and its client.
func sdk(t *testing.T, s *stack.Stack) (*client.Client, *client.OwnedOrganization) {
	t.Helper()
	_, key := must2(ed25519.GenerateKey(rand.Reader))(t)
	admin := must(client.NewAdmin(client.AdminConfig{BaseURL: s.API.URL, Keys: []ed25519.PrivateKey{key}}))(t)
	org := must(admin.CreateOrganization(t.Context(), client.NewOrganization{Name: "Acme", Quorum: 1, TEEs: []client.TEE{s.TEEReference()},
		Admins: []client.AdminKey{{Name: "root", PublicKey: hex.EncodeToString(key[32:])}}}))(t)
	all := []string{"*"}
	k := must(admin.CreateKey(t.Context(), org.Genesis, org.StateKey, client.NewKey{Name: "backend", Wallets: all, Networks: all, Methods: all, Expires: time.Now().Add(time.Hour)}, nil))(t)
	return must(client.New(client.Config{BaseURL: s.API.URL, SecretKey: k.Reveal()}))(t), org
}

func must2[A, B any](a A, b B, err error) func(*testing.T) (A, B) {
	return func(t *testing.T) (A, B) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return a, b
	}
}

func refusedWith(err error, status int, code api.Code) bool {
	var e *client.APIError
	return errors.As(err, &e) && e.Status == status && e.Code == code
}

// The control plane and the workload needn't be of one version: what the older
// one knows goes on, with the SDK verifying all of it, and what it doesn't know
// is refused as such. The link stays up throughout. The two ends are these
// programs', each made to speak as the older one does.
func TestVersionsOfTheLink(t *testing.T) {
	for _, c := range []struct {
		version         string
		batches, ledger bool
	}{
		{teelink.ALPN1, false, false},
		{teelink.ALPN2, false, true},
		{teelink.ALPN, true, true}, // the canary: nothing is refused
	} {
		t.Run(c.version, func(t *testing.T) {
			v := &versioned{version: c.version}
			s := stack.Start(t, stack.Options{Ledger: true, WrapLink: func(address string, cert tls.Certificate) string { return v.open(t, address, cert) }})
			cl, org := sdk(t, s)
			wallet := must(cl.Wallets().Create(t.Context(), client.NewWallet{Label: "treasury", IdempotencyKey: "w"}))(t)
			if again := must(cl.Wallets().Create(t.Context(), client.NewWallet{Label: "treasury", IdempotencyKey: "w"}))(t); again.ID != wallet.ID {
				t.Error("the same operation makes another wallet")
			}
			for _, network := range []string{"base", "solana"} {
				res := must(cl.Sign(t.Context(), client.SignRequest{WalletID: wallet.ID, Network: network, Message: "over an older link"}))(t)
				must(cl.Receipt(t.Context(), res.Receipt.ID))(t)
				if _, err := must(cl.Bundle(t.Context(), res))(t).Verify(org.GenesisDigest); err != nil {
					t.Error(err)
				}
			}
			must(cl.Attestation(t.Context()))(t)
			var challenged api.Attestation
			s.Do(must(http.NewRequest("GET", s.API.URL+"/v1/attestation?challenge="+fmt.Sprintf("%064x", 7), nil))(t), 200, &challenged)
			if challenged.Challenge == nil {
				t.Error("a challenge isn't attested")
			}
			batches(t, cl, wallet.ID, c.batches)
			ledgerOf(t, cl, c.ledger)
			if n := v.links.Load(); n != 1 {
				t.Errorf("the link was made %d times: it flaps", n)
			}
		})
	}
}

// batches are carried out item by item, or refused with nothing done.
func batches(t *testing.T, cl *client.Client, wallet string, known bool) {
	t.Helper()
	items := []client.SignRequest{{WalletID: wallet, Network: "base", Message: "one"}, {WalletID: wallet, Network: "solana", Message: "two"}}
	outcomes, err := cl.SignBatch(t.Context(), items, "")
	for _, o := range outcomes {
		err = errors.Join(err, o.Err)
	}
	if known != (err == nil) || !known && !refusedWith(err, 400, api.CodeUnsupportedRequest) {
		t.Errorf("a batch of signatures: %v", err)
	}
	made, err := cl.Wallets().CreateMany(t.Context(), []client.NewWallet{{Label: "a"}, {Label: "b"}}, "")
	for _, o := range made {
		err = errors.Join(err, o.Err)
	}
	if known != (err == nil) || !known && !refusedWith(err, 400, api.CodeUnsupportedRequest) {
		t.Errorf("many wallets: %v", err)
	}
}

// ledgerOf waits for a ledger that verifies, or for some rounds that give none.
func ledgerOf(t *testing.T, cl *client.Client, known bool) {
	t.Helper()
	var err error
	for range 20 {
		if _, err = cl.LedgerHead(t.Context()); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if !known {
		if !refusedWith(err, 404, api.CodeLedgerEmpty) {
			t.Errorf("a ledger that nobody signs: %v", err)
		}
		return
	}
	if _, err := cl.ExportLedger(t.Context(), io.Discard, nil); err != nil {
		t.Error(err)
	}
}

// What an old workload left out of the ledger, a new one that joins it signs,
// while the old one goes on: each is asked what it knows.
func TestOldAndNewWorkloadTogether(t *testing.T) {
	v := &versioned{version: teelink.ALPN1}
	old := stack.Start(t, stack.Options{Ledger: true, WrapLink: func(address string, cert tls.Certificate) string { return v.open(t, address, cert) }})
	cl, _ := sdk(t, old)
	wallet := must(cl.Wallets().Create(t.Context(), client.NewWallet{}))(t)
	ledgerOf(t, cl, false)
	batches(t, cl, wallet.ID, false)
	next := stack.Start(t, stack.Options{Cloud: old.Cloud})
	old.Fleet.Set([]string{old.Link.Address, next.Link.Address})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if s := old.Fleet.Status(); len(s) == 2 && s[1].State == "up" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", old.Fleet.Status())
		}
	}
	batches(t, cl, wallet.ID, true)
	instances := map[[32]byte]bool{}
	for i := range 20 {
		res := must(cl.Sign(t.Context(), client.SignRequest{WalletID: wallet.ID, Network: "base", Message: fmt.Sprint(i)}))(t)
		instances[res.Receipt.Batch.InstanceKey] = true
	}
	if len(instances) != 2 {
		t.Errorf("%d workloads sign", len(instances))
	}
	ledgerOf(t, cl, true)
	if n := v.links.Load(); n != 1 {
		t.Errorf("the old link was made %d times", n)
	}
}
