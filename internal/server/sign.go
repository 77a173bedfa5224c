package server

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/signing"
)

// signBody mirrors the workload's: decoded here for precise errors.
type signBody struct {
	WalletID string `json:"wallet_id"`
	Network  string `json:"network"`
	chain.Payload
}

func (s *Server) sign(c *call) (reply, error) {
	out, err := s.signature(c.ctx, c.decision(), c.body)
	if err != nil {
		return reply{}, err
	}
	return ok(http.StatusOK, out)
}

// asked is what a body wants signed, or decoded.
type asked struct {
	kind      string
	payload   *chain.Payload
	network   *chain.Network
	wallet    *signing.Wallet
	publicKey string // hex
}

// asked reads a body, and finds the wallet and the network that it names.
func (s *Server) asked(ctx context.Context, org canon.UUID, raw []byte) (*asked, error) {
	var body signBody
	if err := decodeObject(raw, &body); err != nil {
		return nil, err
	}
	kind, err := body.Kind()
	if err != nil {
		return nil, refusal(err)
	}
	id, err := canon.ParseUUID(body.WalletID)
	if err != nil {
		return nil, refuse(api.CodeInvalidArgument, "wallet_id isn't a lower-case UUID")
	}
	n, known := s.Networks.Lookup(body.Network)
	if !known {
		return nil, refuse(api.CodeUnknownNetwork, "there is no network %.40q; GET /v1/networks lists them", body.Network)
	}
	w, err := s.Signing.Wallet(ctx, org, id)
	if err != nil {
		return nil, err
	}
	publicKey, has := w.PublicKeys[n.Curve.String()]
	if !has {
		return nil, refuse(api.CodeCurveMismatch, "the wallet has no %v key, which %s needs", n.Curve, n.Slug)
	}
	return &asked{kind, &body.Payload, n, w, publicKey}, nil
}

// refusal is a codec's refusal as the API's.
func refusal(err error) error {
	var refused *chain.RefusedError
	if errors.As(err, &refused) {
		return refuse(api.Code(refused.Code), "%s", refused.Message)
	}
	return err
}

// prepare decodes it as the TEE does.
func (a *asked) prepare() (*chain.Prepared, error) {
	pub, err := hex.DecodeString(a.publicKey)
	if err != nil {
		return nil, err
	}
	return a.payload.Prepare(a.network, pub)
}

// signature has what a body, or an item of one, says signed.
func (s *Server) signature(ctx context.Context, call *signing.Call, raw []byte) (*api.Signature, error) {
	a, err := s.asked(ctx, call.Key.OrganizationID, raw)
	if err != nil {
		return nil, err
	}
	if !a.wallet.Archived.IsZero() {
		if err := s.archived(ctx, call, a.wallet.ID); err != nil {
			return nil, err
		}
	}
	call.Wallet = a.wallet
	o, err := s.allowed(ctx, call)
	if err != nil {
		return nil, err
	}
	out := &api.Signature{Signature: string(o.Decision.Result), WalletID: a.wallet.ID.String(), Network: a.network.Slug,
		Address: a.wallet.Addresses[a.network.Listed()], PublicKey: a.publicKey, Receipt: receiptRef(o)}
	if a.kind != chain.KindMessage {
		err = a.explain(out)
	}
	return out, err
}

// explain adds the intent that the receipt names, and puts the signature into
// the transaction that was asked for: all is public, and the workload released
// no more than the signature.
func (a *asked) explain(out *api.Signature) error {
	prepared, err := a.prepare()
	if err != nil {
		return err
	}
	if out.Intent, err = prepared.Intent.Encode(); err != nil {
		return err
	}
	signed, err := a.network.Assemble(prepared, out.Signature)
	if err != nil {
		return err
	}
	out.SignedTransaction, out.TransactionHash, out.SignedPSBT = signed.Text, signed.ID, signed.PSBT
	return nil
}

// archived refuses to sign with an archived wallet what wasn't decided before:
// a repeated request gets the answer that it got.
func (s *Server) archived(ctx context.Context, call *signing.Call, wallet canon.UUID) error {
	switch before, err := s.Signing.Decided(ctx, call); {
	case err != nil:
		return err
	case !before:
		return refuse(api.CodeWalletArchived, "the wallet %s is archived; take it back from the archive to sign with it", wallet)
	}
	return nil
}

// decode says what a request to sign would have signed, for a person to read.
// It is this server's word: who doesn't trust it decodes for itself, as the Go
// client does, or compares the intent's digest with the receipt's.
func (s *Server) decode(c *call) (reply, error) {
	a, err := s.asked(c.ctx, c.key.OrganizationID, c.body)
	if err != nil {
		return reply{}, err
	}
	prepared, err := a.prepare()
	if err != nil {
		return reply{}, refusal(err)
	}
	x, err := prepared.Explain(a.network)
	if err != nil {
		return reply{}, err
	}
	out := &api.Decoded{WalletID: a.wallet.ID.String(), Network: a.network.Slug, Address: a.wallet.Addresses[a.network.Listed()], PublicKey: a.publicKey,
		Intent: json.RawMessage(x.Intent), IntentDigest: x.IntentDigest, Summary: x.Summary, Flags: []api.FlagMeaning{}, Accept: []json.RawMessage{}, Refused: x.Refused}
	for _, f := range x.Flags {
		out.Flags = append(out.Flags, api.FlagMeaning(f))
	}
	for i := range x.Accept {
		one, err := canon.EncodeJSON(&x.Accept[i])
		if err != nil {
			return reply{}, err
		}
		out.Accept = append(out.Accept, one)
	}
	return ok(http.StatusOK, out)
}
