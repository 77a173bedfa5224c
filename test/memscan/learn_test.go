package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/sealed"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/memscan/scan"
)

// cloudKEK unwraps with the emulated cloud's keys, past its permissions.
type cloudKEK struct {
	sealed.KEK // no Wrap
	cloud      *cloudsim.Sim
	name       string
}

func (k cloudKEK) Unwrap(_ context.Context, wrapped, aad []byte, dek *[32]byte) error {
	plain, err := k.cloud.Unwrap(k.name, wrapped, aad)
	if err == nil && copy(dek[:], plain) != len(plain) {
		err = fmt.Errorf("DEK of %d bytes", len(plain))
	}
	return err
}

// learner opens from outside what the workload sealed.
type learner struct {
	t       *testing.T
	cloud   *cloudsim.Sim
	secrets []scan.Secret
	keys    map[string]*joined
	public  []scan.Secret // what the workload must hold while it has the wallets
}

func keyID(wallet string, c keys.Curve) string { return fmt.Sprint(wallet, " ", c) }

// learn returns key, shares and DEKs of all wallets and of the state key,
// from what the control plane stored, the wallets' public keys, and the
// nonces of the last signatures.
func (s *subject) learn(t *testing.T) *learner {
	t.Helper()
	db, err := sqlitestore.Open(t.Context(), s.copyDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	id, err := canon.ParseUUID(s.stack.Info().OrganizationID)
	if err != nil {
		t.Fatal(err)
	}
	org, err := db.Organization(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	list, total, err := db.Wallets(t.Context(), id, store.WalletFilter{}, store.Page{Limit: 100})
	if err != nil || total != len(s.wallets) || len(list) != total {
		t.Fatalf("%d of %d wallets: %v", len(list), total, err)
	}
	l := &learner{t: t, cloud: s.stack.Cloud(), keys: map[string]*joined{}}
	l.state(org.State)
	for i := range list {
		l.wallet(fmt.Sprintf("wallet %d", i), list[i].Record)
	}
	l.nonces(s.last)
	return l
}

// copyDatabase copies the database with its log into a folder of its own.
func (s *subject) copyDatabase(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(s.stack.Info().Database + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, sqlitestore.FileName+suffix), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (l *learner) state(record []byte) {
	l.t.Helper()
	r, err := receipt.DecodeStateRecord(record)
	if err != nil {
		l.t.Fatal(err)
	}
	cert, _, _, err := receipt.DecodeStateCertificate(r.Certificate)
	if err != nil {
		l.t.Fatal(err)
	}
	l.key("state", sealed.AAD{Genesis: cert.Genesis, Organization: cert.Organization, Curve: keys.Ed25519,
		Kind: sealed.KindState, PublicKey: cert.StateKey[:]}, [2][]byte{r.TEEShare, r.ProviderShare})
}

func (l *learner) wallet(name string, record []byte) {
	l.t.Helper()
	r, err := receipt.DecodeWalletRecord(record)
	if err != nil {
		l.t.Fatal(err)
	}
	cert, err := receipt.OpenWalletCertificate(r.Certificate)
	if err != nil || len(r.Shares) != 2*len(cert.Keys) {
		l.t.Fatal("wallet record:", err)
	}
	for i, k := range cert.Keys {
		label := fmt.Sprintf("%s %v", name, k.Curve)
		l.key(label, sealed.AAD{Genesis: cert.Genesis, StateKey: sha256.Sum256(cert.StateKey[:]), Organization: cert.Organization,
			Wallet: cert.Wallet, Curve: k.Curve, Kind: k.Kind, Path: k.Path, PublicKey: k.PublicKey, Flags: cert.Flags},
			[2][]byte(r.Shares[2*i:]))
		l.public = append(l.public, scan.Secret{Label: label + " public", Bytes: k.PublicKey[len(k.PublicKey)-32:]})
	}
}

// key learns one key, and proves by its public key that it is the right one.
func (l *learner) key(label string, aad sealed.AAD, records [2][]byte) {
	l.t.Helper()
	var shares [2][32]byte
	for i, record := range records {
		s, err := sealed.DecodeShare(record)
		if err != nil {
			l.t.Fatal(err)
		}
		aad.Role, aad.Epoch = s.Role, s.Epoch
		kek := cloudKEK{cloud: l.cloud, name: s.KEK}
		var dek [32]byte
		if err := kek.Unwrap(l.t.Context(), s.WrappedDEK, aad.KMSAAD(), &dek); err != nil {
			l.t.Fatal(err)
		}
		if err := sealed.NewOpener(kek, nil).Open(l.t.Context(), sealed.NewPlace(&aad), s, &shares[i]); err != nil {
			l.t.Fatal(err)
		}
		l.add(fmt.Sprintf("%s %v DEK", label, s.Role), dek[:])
		l.add(fmt.Sprintf("%s %v share", label, s.Role), shares[i][:])
	}
	var priv [32]byte
	sealed.Combine(&shares[0], &shares[1], &priv)
	public := make([]byte, len(aad.PublicKey))
	if err := keys.Public(aad.Curve, &priv, public); err != nil || !bytes.Equal(public, aad.PublicKey) {
		l.t.Fatalf("%s: the joined key isn't that of the certificate: %v", label, err)
	}
	l.keys[keyID(aad.Wallet.String(), aad.Curve)] = &joined{priv, public}
	l.add(label+" key", priv[:])
}

func (l *learner) add(label string, b []byte) {
	l.secrets = append(l.secrets, scan.Secret{Label: label, Bytes: bytes.Clone(b)})
}
