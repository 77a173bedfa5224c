// Package secrets knows what must never be seen outside of the workload, and
// finds it: in logs, in error texts, in what crosses the control plane.
//
// To know a wallet's key, its shares and their DEKs, it opens what the control
// plane stored with the emulated cloud's own keys, past the cloud's
// permissions. What it looks for is compared with nothing that the workload
// says, so a workload can't hide a leak from it.
package secrets

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/sealed"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/memscan/scan"
)

// Set is what to look for. The zero value is empty.
type Set struct {
	list  []scan.Secret
	texts []scan.Secret // looked for as they are
}

// Len is the number of secrets.
func (x *Set) Len() int { return len(x.list) + len(x.texts) }

// Add adds 32 secret bytes.
func (x *Set) Add(name string, b []byte) {
	x.list = append(x.list, scan.Secret{Label: name, Bytes: bytes.Clone(b)})
}

// AddToken adds a secret token: its text, without the prefix that shows what
// it is and the checksum, and the request key that it holds.
func (x *Set) AddToken(name string, t *authority.Token) {
	x.texts = append(x.texts, scan.Secret{Label: name, Bytes: []byte(t.Reveal()[8:60])})
	x.AddKey(name+": request key", t.RequestKey())
}

// AddKey adds the seed of a signing key.
func (x *Set) AddKey(name string, k ed25519.PrivateKey) { x.Add(name, k.Seed()) }

// cloudKEK unwraps with the emulated cloud's own keys.
type cloudKEK struct {
	sealed.KEK // no Wrap
	cloud      *cloudsim.Sim
	name       string
	dek        []byte // the last
}

func (k *cloudKEK) Unwrap(_ context.Context, wrapped, aad []byte, dek *[32]byte) error {
	b, err := k.cloud.Unwrap(k.name, wrapped, aad)
	if err == nil && copy(dek[:], b) != len(b) {
		err = fmt.Errorf("DEK of %d bytes", len(b))
	}
	k.dek = b
	return err
}

// AddOrganization adds what a store has of an organisation: the state key's
// and so many wallets' keys, shares and DEKs.
func (x *Set) AddOrganization(ctx context.Context, cloud *cloudsim.Sim, st store.Store, id canon.UUID, wallets int) error {
	org, err := st.Organization(ctx, id)
	if err != nil {
		return err
	}
	if err := x.state(ctx, cloud, org.State); err != nil {
		return fmt.Errorf("state key: %w", err)
	}
	list, _, err := st.Wallets(ctx, id, store.WalletFilter{}, store.Page{Limit: wallets})
	if err != nil {
		return err
	}
	for i := range list {
		if err := x.wallet(ctx, cloud, list[i].Record); err != nil {
			return fmt.Errorf("wallet %s: %w", list[i].ID, err)
		}
	}
	return nil
}

func (x *Set) state(ctx context.Context, cloud *cloudsim.Sim, record []byte) error {
	r, err := receipt.DecodeStateRecord(record)
	if err != nil {
		return err
	}
	c, _, _, err := receipt.DecodeStateCertificate(r.Certificate)
	if err != nil {
		return err
	}
	return x.open(ctx, cloud, "state key", sealed.AAD{Genesis: c.Genesis, Organization: c.Organization, Curve: keys.Ed25519,
		Kind: sealed.KindState, PublicKey: c.StateKey[:]}, [2][]byte{r.TEEShare, r.ProviderShare})
}

func (x *Set) wallet(ctx context.Context, cloud *cloudsim.Sim, record []byte) error {
	r, err := receipt.DecodeWalletRecord(record)
	if err != nil {
		return err
	}
	c, err := receipt.OpenWalletCertificate(r.Certificate)
	if err != nil {
		return err
	}
	if len(r.Shares) != 2*len(c.Keys) {
		return fmt.Errorf("%d shares of %d keys", len(r.Shares), len(c.Keys))
	}
	for i, k := range c.Keys {
		aad := sealed.AAD{Genesis: c.Genesis, StateKey: sha256.Sum256(c.StateKey[:]), Organization: c.Organization, Wallet: c.Wallet,
			Curve: k.Curve, Kind: k.Kind, Path: k.Path, PublicKey: k.PublicKey, Flags: c.Flags}
		if err := x.open(ctx, cloud, fmt.Sprintf("wallet %.8s %v", c.Wallet, k.Curve), aad, [2][]byte(r.Shares[2*i:])); err != nil {
			return err
		}
	}
	return nil
}

// open adds a key with its shares and DEKs. It must be the key that is
// certified: else something else would be looked for.
func (x *Set) open(ctx context.Context, cloud *cloudsim.Sim, name string, aad sealed.AAD, records [2][]byte) error {
	var shares [2][32]byte
	for i, record := range records {
		s, err := sealed.DecodeShare(record)
		if err != nil {
			return err
		}
		aad.Role, aad.Epoch = s.Role, s.Epoch
		kek := &cloudKEK{cloud: cloud, name: s.KEK}
		if err := sealed.NewOpener(kek, nil).Open(ctx, sealed.NewPlace(&aad), s, &shares[i]); err != nil {
			return err
		}
		x.Add(fmt.Sprintf("%s: DEK of the %v share", name, s.Role), kek.dek)
		x.Add(fmt.Sprintf("%s: %v share", name, s.Role), shares[i][:])
	}
	var key [32]byte
	sealed.Combine(&shares[0], &shares[1], &key)
	public := make([]byte, aad.Curve.PublicKeySize())
	if err := keys.Public(aad.Curve, &key, public); err != nil {
		return err
	}
	if !bytes.Equal(public, aad.PublicKey) {
		return errors.New(name + " opens to another key than is certified")
	}
	x.Add(name, key[:])
	return nil
}
