package workload

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
)

// signBody is the body of POST /v1/s2s/sign.
type signBody struct {
	WalletID string `json:"wallet_id"`
	Network  string `json:"network"`
	chain.Payload
}

// decideSign decides on a signature and makes it.
func (s *Service) decideSign(ctx context.Context, r *request) (teelink.Item, error) {
	var body signBody
	if err := canon.DecodeJSONLoose(r.Body, &body); err != nil {
		return teelink.Item{}, remote("malformed_json", "%v", err)
	}
	kind, err := body.Kind()
	if err != nil {
		return teelink.Item{}, asRemote(err)
	}
	network, ok := s.args.Networks.Lookup(body.Network)
	if !ok {
		return teelink.Item{}, remote("unknown_network", "there is no network %.40q; GET /v1/networks lists them", body.Network)
	}
	if err := r.ownWallet(body.WalletID); err != nil {
		return teelink.Item{}, err
	}
	key, ok := r.wallet.key(network.Curve)
	if !ok {
		return teelink.Item{}, remote("curve_mismatch", "the wallet has no %v key, which %s needs", network.Curve, network.Slug)
	}
	l := r.leaf(receipt.KindSign, chain.Method(kind))
	l.Network, l.Wallet = network.Slug, r.wallet.cert.Wallet

	prepared, err := body.Prepare(network, key.public)
	if err != nil {
		return s.refused(l, r, err)
	}
	l.PayloadDigest = sha256.Sum256(prepared.SignBytes)
	if l.IntentDigest, err = prepared.Intent.Digest(); err != nil {
		return teelink.Item{}, err
	}
	q := prepared.Request(network)
	q.Wallet = l.Wallet
	d, ok := r.evaluate(q)
	if !ok {
		return s.deny(l, d.Reason, d.Explanation)
	}
	raw, err := s.sign(ctx, &approval{granted: true, key: key, parts: prepared.Signatures()})
	if err != nil {
		return teelink.Item{}, err
	}
	text, err := network.EncodeSignature(prepared, raw)
	if err != nil {
		return teelink.Item{}, err
	}
	return s.allow(l, []byte(text), teelink.ResultSignature, []byte(text))
}

// ownWallet refuses a record of another wallet, organisation or state key
// than the request, the genesis and the grant name.
func (r *request) ownWallet(id string) error {
	wallet, err := canon.ParseUUID(id)
	if err != nil {
		return remote("invalid_argument", "wallet_id is not a lower-case UUID")
	}
	cert := r.wallet.cert
	switch {
	case cert.Wallet != wallet:
		return remote("wallet_mismatch", "the control plane supplied the record of another wallet")
	case cert.Organization != r.genesis.OrganizationID || cert.Genesis != r.Genesis:
		return remote("certificate_invalid", "the wallet belongs to another organisation or genesis")
	case cert.StateKey != r.grant.StateKey:
		return remote("certificate_invalid", "the wallet's certificate isn't signed by the state key that the owner's grant names")
	}
	return nil
}

// refused turns a family's refusal into a denial with a receipt; what is
// wrong with the request's form alone has none.
func (s *Service) refused(l *receipt.Leaf, r *request, err error) (teelink.Item, error) {
	var e *chain.RefusedError
	if errors.As(err, &e) && (e.Code == chain.CodeTransaction || e.Code == chain.CodeDigest) {
		l.PayloadDigest = sha256.Sum256(r.Body)
		return s.deny(l, e.Code, e.Message)
	}
	return teelink.Item{}, asRemote(err)
}
