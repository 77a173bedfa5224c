package workload

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"unicode"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/internal/sealed"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
)

// stateKey is an organisation's sealed state key. It is trusted as far as an
// owner's grant names it: what it signs is verified under the grant's key.
type stateKey struct {
	cert *receipt.StateCertificate
	key  *walletKey
}

func openState(record []byte) (*stateKey, error) {
	r, err := receipt.DecodeStateRecord(record)
	if err != nil {
		return nil, err
	}
	cert, _, _, err := receipt.DecodeStateCertificate(r.Certificate)
	if err != nil {
		return nil, err
	}
	key, err := stateKeyOf(cert.Genesis, cert.Organization, cert.StateKey[:], r.TEEShare, r.ProviderShare)
	if err != nil {
		return nil, err
	}
	return &stateKey{cert: cert, key: key}, nil
}

// Provision makes the state key of an organisation. Whoever holds a genesis
// can ask; which state key counts, the owner says in grants.
func (s *Service) Provision(ctx context.Context, genesis []byte) ([]byte, error) {
	if _, err := s.attested(s.args.Now()); err != nil {
		return nil, err
	}
	g, err := s.verifyGenesis(append([]byte(nil), genesis...))
	if err != nil {
		return nil, asRemote(err)
	}
	public := make([]byte, keys.Ed25519.PublicKeySize())
	tee, provider, err := s.newKey(ctx, stateAAD(g.Digest, g.OrganizationID), public)
	if err != nil {
		return nil, err
	}
	statement, release := s.evidence.current()
	cert := &receipt.StateCertificate{
		Organization: g.OrganizationID, Genesis: g.Digest, StateKey: [32]byte(public),
		Release: release, Statement: statement.Digest(), Created: micros(s.args.Now()),
	}
	signed, err := cert.Sign(s.instance)
	if err != nil {
		return nil, err
	}
	record := &receipt.StateRecord{Certificate: signed, TEEShare: tee, ProviderShare: provider}
	return record.Encode(), nil
}

// createBody is the body of POST /v1/s2s/wallets.
type createBody struct {
	Label string `json:"label,omitzero"`
}

// decideCreate decides on a new wallet and makes it. Its id follows from the
// request, so that the same request never makes wallets of two ids.
func (s *Service) decideCreate(ctx context.Context, r *request) (teelink.Item, error) {
	var body createBody
	if err := canon.DecodeJSONLoose(r.Body, &body); err != nil {
		return teelink.Item{}, remote("malformed_json", "%v", err)
	}
	if len(body.Label) > 100 || strings.ContainsFunc(body.Label, unicode.IsControl) {
		return teelink.Item{}, remote("invalid_argument", "label has at most 100 bytes and no control characters")
	}
	l := r.leaf(receipt.KindCreateWallet, policy.MethodCreateWallet)
	l.PayloadDigest = sha256.Sum256(r.Body)
	l.Wallet = walletID(r)
	if d, ok := r.evaluate(policy.Request{Method: policy.MethodCreateWallet}); !ok {
		return s.deny(l, d.Reason, d.Explanation)
	}
	if r.state.cert.Genesis != r.Genesis || r.state.cert.StateKey != r.grant.StateKey {
		return teelink.Item{}, remote("certificate_invalid", "the state record isn't that of the state key that the owner's grant names")
	}
	m, err := s.made.once(l.Wallet, r.now, func() (record, cert []byte, err error) { return s.newWallet(ctx, r, l.Wallet) })
	if err != nil {
		return teelink.Item{}, err
	}
	return s.allow(l, m.cert, teelink.ResultWallet, m.record)
}

// walletID derives a version 8 UUID (RFC 9562) from grant and request id.
func walletID(r *request) canon.UUID {
	h := sha256.New()
	h.Write([]byte("sigil/wallet-id/v1\n"))
	h.Write(r.Grant[:])
	h.Write(r.RequestID[:])
	u := canon.UUID(h.Sum(nil)[:16])
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return u
}

// newWallet makes a key per curve and has the state key certify them.
func (s *Service) newWallet(ctx context.Context, r *request, id canon.UUID) (record, signed []byte, err error) {
	cert := &receipt.WalletCertificate{
		Organization: r.genesis.OrganizationID, Genesis: r.Genesis, StateKey: r.grant.StateKey,
		Wallet: id, Release: r.release, Created: micros(r.now),
	}
	out := &receipt.WalletRecord{}
	for _, c := range []keys.Curve{keys.Secp256k1, keys.Ed25519} {
		k := receipt.CertifiedKey{Curve: c, Kind: receipt.KeyKindKey, PublicKey: make([]byte, c.PublicKeySize())}
		place := keyAAD(cert, &k)
		place.Epoch = 1
		tee, provider, err := s.newKey(ctx, place, k.PublicKey)
		if err != nil {
			return nil, nil, err
		}
		cert.Keys = append(cert.Keys, k)
		out.Shares = append(out.Shares, tee, provider)
	}
	signed, err = cert.Sign(s.certifier(ctx, r.state))
	if err != nil {
		return nil, nil, err
	}
	out.Certificate = signed
	record = out.Encode()
	// What leaves must open again: a wallet that can't sign is not made.
	w, err := openWallet(record)
	if err != nil {
		return nil, nil, fmt.Errorf("new wallet: %w", err)
	}
	return record, signed, s.probe(ctx, w)
}

// probe opens every share of a new wallet once.
func (s *Service) probe(ctx context.Context, w *wallet) error {
	for i := range w.keys {
		k := &w.keys[i]
		err := s.withKey(ctx, k, func(priv *[32]byte) error {
			var pub [64]byte
			out := pub[:k.curve.PublicKeySize()]
			if err := keys.Public(k.curve, priv, out); err != nil {
				return err
			}
			if string(out) != string(k.public) {
				return sealed.ErrOpen
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
