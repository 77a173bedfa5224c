package receipt

import (
	"crypto/ed25519"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/keys"
)

// Flags of a wallet, fixed at its creation.
const (
	FlagExport uint8 = 1 << 0
	FlagBackup uint8 = 1 << 1
)

// Key kinds.
const (
	KeyKindKey   uint8 = 1 // a private key
	KeyKindSeed  uint8 = 2 // reserved: a seed with derived keys
	KeyKindState uint8 = 3 // an organisation's state key
)

// CertifiedKey is one public key of a wallet.
type CertifiedKey struct {
	Curve     keys.Curve
	Kind      uint8  // KeyKindKey
	Path      string // "" for a key of its own
	PublicKey []byte // secp256k1 compressed (33), Ed25519 (32)
}

// WalletCertificate binds a wallet's public keys to its organisation. The TEE
// checks it at every join, clients before they show an address.
type WalletCertificate struct {
	Organization UUID
	Genesis      [32]byte
	StateKey     [32]byte
	Wallet       UUID
	Flags        uint8
	Release      string // image digest of the workload that made the wallet
	Created      uint64 // unix microseconds
	Keys         []CertifiedKey
}

// Key returns the wallet's key for a curve.
func (c *WalletCertificate) Key(curve keys.Curve) (*CertifiedKey, bool) {
	for i := range c.Keys {
		if c.Keys[i].Curve == curve && c.Keys[i].Kind == KeyKindKey {
			return &c.Keys[i], true
		}
	}
	return nil, false
}

// Sign returns the certificate signed by the state key.
func (c *WalletCertificate) Sign(state func(record, sig []byte) error) ([]byte, error) {
	w := canon.NewWriter(magicWallet, 512).Fixed(c.Organization[:]).Fixed(c.Genesis[:]).Fixed(c.StateKey[:]).
		Fixed(c.Wallet[:]).U8(c.Flags).Text(c.Release).U64(c.Created).U32(uint32(len(c.Keys)))
	for _, k := range c.Keys {
		w.U8(uint8(k.Curve)).U8(k.Kind).Text(k.Path).Bytes(k.PublicKey)
	}
	record, err := w.Record()
	if err != nil {
		return nil, err
	}
	var sig [ed25519.SignatureSize]byte
	if err := state(record, sig[:]); err != nil {
		return nil, err
	}
	return append(record, sig[:]...), nil
}

// OpenWalletCertificate decodes a signed certificate and verifies it under
// the state key that it names. The caller compares StateKey, Genesis and
// Wallet with what it expects: by itself the certificate proves only that
// somebody's state key signed it.
func OpenWalletCertificate(signed []byte) (*WalletCertificate, error) {
	record, sig, err := split("wallet certificate", signed)
	if err != nil {
		return nil, err
	}
	r := canon.NewReader(magicWallet, record)
	c := &WalletCertificate{}
	r.Fixed(c.Organization[:])
	r.Fixed(c.Genesis[:])
	r.Fixed(c.StateKey[:])
	r.Fixed(c.Wallet[:])
	c.Flags = r.U8()
	if c.Flags&^(FlagExport|FlagBackup) != 0 {
		r.Fail("unknown flags %#x", c.Flags)
	}
	c.Release, c.Created = r.Text(128), r.U64()
	n := r.Count(8)
	for range n {
		c.Keys = append(c.Keys, readKey(r))
	}
	checkKeys(r, c.Keys)
	if err := r.Close(); err != nil {
		return nil, invalid("wallet certificate", err)
	}
	if err := verify("wallet certificate", record, sig, c.StateKey); err != nil {
		return nil, err
	}
	return c, nil
}

func readKey(r *canon.Reader) CertifiedKey {
	k := CertifiedKey{Curve: keys.Curve(r.U8()), Kind: r.U8(), Path: r.Text(128), PublicKey: r.Bytes(64)}
	if k.Kind != KeyKindKey || len(k.PublicKey) != k.Curve.PublicKeySize() || len(k.PublicKey) == 0 {
		r.Fail("key of kind %d with %d bytes for %v", k.Kind, len(k.PublicKey), k.Curve)
	}
	return k
}

func checkKeys(r *canon.Reader, list []CertifiedKey) {
	if len(list) == 0 {
		r.Fail("no keys")
	}
	for i := 1; i < len(list); i++ {
		a, b := list[i-1], list[i]
		if a.Curve > b.Curve || a.Curve == b.Curve && a.Path >= b.Path {
			r.Fail("keys are out of order")
		}
	}
}

// WalletRecord is a sealed wallet as the database keeps it.
type WalletRecord struct {
	Certificate []byte   // signed wallet certificate
	Shares      [][]byte // per key of the certificate: TEE share, provider share
}

// Encode returns the record.
func (w *WalletRecord) Encode() []byte {
	b := canon.NewWriter(magicWalletRec, 3072).Bytes(w.Certificate).U32(uint32(len(w.Shares)))
	for _, s := range w.Shares {
		b.Bytes(s)
	}
	return b.MustRecord()
}

// DecodeWalletRecord reads the record; it verifies nothing.
func DecodeWalletRecord(record []byte) (*WalletRecord, error) {
	r := canon.NewReader(magicWalletRec, record)
	w := &WalletRecord{Certificate: r.Bytes(2048)}
	n := r.Count(16)
	for range n {
		w.Shares = append(w.Shares, r.Bytes(2048))
	}
	if err := r.Close(); err != nil {
		return nil, invalid("wallet record", err)
	}
	return w, nil
}
