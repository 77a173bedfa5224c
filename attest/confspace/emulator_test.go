package confspace_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/attest/confspace"
	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/internal/launcher"
)

// The local cloud's launcher and issuer, over their real sockets: tokens as a
// workload gets them, keys as a verifier gets them.
func TestKeySourceAgainstEmulator(t *testing.T) {
	cloud, err := cloudsim.Start(cloudsim.Config{Dir: t.TempDir(), TokensPerSecond: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer cloud.Close()
	if err := cloud.SetImageDigest(digest); err != nil {
		t.Fatal(err)
	}
	info := cloud.Info()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(info.CAPEM)) {
		t.Fatal("no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer transport.CloseIdleConnections()
	now := time.Now()
	source, err := confspace.NewKeySource(confspace.KeySourceConfig{
		Issuer: info.IssuerURL, KeyHosts: []string{strings.TrimPrefix(info.IssuerURL, "https://")},
		Client: &http.Client{Transport: transport}, Now: func() time.Time { return now }, Timeout: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	socket, cleanup, err := cloudsim.ShortPath(info.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer cleanup()
	tee := launcher.New(socket, 30*time.Second)
	root, err := hex.DecodeString(info.PKIRootSHA256)
	if err != nil {
		t.Fatal(err)
	}
	token := func() string {
		t.Helper()
		return must(t)(tee.DefaultToken(t.Context()))
	}
	verify := func(token string) error {
		c, err := source.Verify(t.Context(), token, [32]byte(root), time.Now())
		if err == nil && c.ImageDigest != digest {
			t.Errorf("claims %v", c)
		}
		return err
	}
	knobs := func(k cloudsim.Knobs) {
		t.Helper()
		if err := cloud.SetKnobs(k); err != nil {
			t.Fatal(err)
		}
	}
	rotate := func() {
		t.Helper()
		if err := cloud.RotateIssuerKeys(); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range []string{cloudsim.FaultHang, cloudsim.FaultGarbage, cloudsim.FaultUnavailable, cloudsim.FaultRate, cloudsim.FaultDoneThenCut} {
		knobs(cloudsim.Knobs{Issuer: cloudsim.Fault{Mode: k}})
		wantReason(t, verify(token()), confspace.ReasonKeysUnavailable)
		now = now.Add(time.Minute)
	}
	knobs(cloudsim.Knobs{})
	old := token()
	if err := verify(old); err != nil {
		t.Fatal(err)
	}
	if err := verify(must(t)(tee.PKIToken(t.Context(), audience, nonce))); err != nil {
		t.Fatal(err)
	}
	// One rotation keeps the older key published, two retire it.
	rotate()
	now = now.Add(time.Minute)
	for _, tok := range []string{token(), old} {
		if err := verify(tok); err != nil {
			t.Fatal(err)
		}
	}
	rotate()
	if err := verify(old); err != nil {
		t.Fatal(err) // within the bound
	}
	now = now.Add(time.Minute)
	err = verify(old) // begins the fetch, and may be answered before its end
	for late := time.Now().Add(30 * time.Second); err == nil && time.Now().Before(late); err = verify(old) {
		time.Sleep(time.Millisecond)
	}
	wantReason(t, err, confspace.ReasonUnknownKey)

	// The issuer fails: the keys at hand serve until the bound.
	newer := token()
	if err := verify(newer); err != nil {
		t.Fatal(err)
	}
	knobs(cloudsim.Knobs{Issuer: cloudsim.Fault{Mode: cloudsim.FaultUnavailable}})
	now = now.Add(5 * time.Hour)
	if err := verify(newer); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	wantReason(t, verify(newer), confspace.ReasonKeysUnavailable)
	knobs(cloudsim.Knobs{ForeignKey: true})
	now = now.Add(time.Minute)
	wantReason(t, verify(token()), confspace.ReasonUnknownKey)
}
