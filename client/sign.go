package client

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"

	"github.com/go-json-experiment/json"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/receipt"
)

const pathSign = "/v1/s2s/sign"

// SignRequest asks for the signature of a message, a transaction or a document.
type SignRequest struct {
	WalletID string // UUID
	Network  string // slug, as GET /v1/networks lists them
	// Message is text; MessageBytes any bytes; Transaction a complete, unsigned
	// transaction as the chain's libraries serialise it: on EVM 0x and the hex
	// of its signing encoding, on Solana base64, where others may have signed,
	// on Bitcoin a PSBT in base64. TypedData (EIP-712), Authorization (EIP-7702)
	// and UserOperation (ERC-4337) are JSON. Exactly one is given, and only
	// messages have the fields from Format on.
	Message       string
	MessageBytes  []byte
	Transaction   string
	TypedData     []byte
	Authorization []byte
	UserOperation []byte
	// Format of what is signed: "" is the network's usual one (EIP-191;
	// Solana: the bytes themselves; Bitcoin: "bip322-p2wpkh"),
	// "solana-offchain-v0" and "-v1" the Solana off-chain message formats,
	// "bip322-p2tr" and "bip137-…" Bitcoin's others.
	Format string
	// ApplicationDomain of a Solana off-chain message v0: base58, 32 bytes.
	ApplicationDomain string
	// RequiredSignatories of a Solana off-chain message: base58 addresses.
	RequiredSignatories []string
	// ContentFormat of a Solana off-chain message v0: "ascii", "utf8",
	// "utf8-long"; "" picks the narrowest that fits.
	ContentFormat string
	// IdempotencyKey makes several calls one operation: later ones get the
	// first one's answer. 1 to 255 visible ASCII characters; "" = none.
	IdempotencyKey string
}

// SignResult is a signature, proved to be of the requested message or
// transaction by the requested wallet, and decided by an attested workload.
type SignResult struct {
	Signature string // 0x-hex (EVM: r ‖ s ‖ v), base58 (Solana), base64 (Bitcoin)
	WalletID  string
	Network   string
	Address   string // computed from the certified key
	PublicKey string // certified key, hex
	Receipt   *Receipt
	Verified  Verified

	// Of a transaction alone, put together here: the transaction with the
	// signature in it, to be sent to a node, and its hash; "" where other
	// signatures are missing in it.
	SignedTransaction string
	TransactionHash   string
	SignedPSBT        string // Bitcoin alone

	// Intent is the canonical JSON of what was decoded, which the receipt
	// names by its digest; computed here.
	Intent []byte
}

type signBody struct {
	WalletID string `json:"wallet_id"`
	Network  string `json:"network"`
	chain.Payload
}

func (r *SignRequest) payload() (chain.Payload, error) {
	m, err := r.message()
	if err != nil {
		return chain.Payload{}, err
	}
	p := chain.Payload{TypedData: r.TypedData, Authorization: r.Authorization, UserOperation: r.UserOperation}
	if r.Transaction != "" {
		p.Transaction = &r.Transaction
	}
	if p.Transaction == nil && p.TypedData == nil && p.Authorization == nil && p.UserOperation == nil {
		return chain.Payload{Message: m, Text: &m.Message}, nil
	}
	if r.Message != "" || r.MessageBytes != nil || r.Format != "" || r.ApplicationDomain != "" || r.RequiredSignatories != nil || r.ContentFormat != "" {
		return p, badArgument("Message", "a transaction or document excludes Message, MessageBytes and what belongs to them")
	}
	if _, err := p.Kind(); err != nil {
		return p, badArgument("payload", "%v", err)
	}
	return p, nil
}

func (r *SignRequest) message() (chain.Message, error) {
	m := chain.Message{Message: r.Message, Format: r.Format, ApplicationDomain: r.ApplicationDomain, RequiredSignatories: r.RequiredSignatories, ContentFormat: r.ContentFormat}
	if r.MessageBytes != nil {
		if r.Message != "" {
			return m, badArgument("Message", "Message and MessageBytes exclude one another")
		}
		m.Message, m.Encoding = base64.StdEncoding.EncodeToString(r.MessageBytes), "base64"
	}
	return m, nil
}

// SignTransaction has a wallet sign a transaction, which is r.Transaction, as
// Sign does. What the TEE doesn't understand it refuses: transaction_opaque.
func (c *Client) SignTransaction(ctx context.Context, r SignRequest) (*SignResult, error) {
	if r.Transaction == "" {
		return nil, badArgument("Transaction", "it is missing")
	}
	return c.Sign(ctx, r)
}

// read checks what can be checked of r without the wallet.
func (r *SignRequest) read() (wallet canon.UUID, payload chain.Payload, err error) {
	if wallet, err = canon.ParseUUID(r.WalletID); err != nil {
		return wallet, payload, badArgument("WalletID", "not a lower-case UUID")
	}
	payload, err = r.payload()
	return wallet, payload, err
}

// Sign has a wallet sign what r holds. Errors are *ArgumentError
// (nothing was sent), *APIError, *VerificationError, or of the network.
func (c *Client) Sign(ctx context.Context, r SignRequest) (*SignResult, error) {
	wallet, payload, err := r.read()
	if err != nil {
		return nil, err
	}
	root, err := c.trusted(ctx)
	if err != nil {
		return nil, err
	}
	cert, err := c.certs.get(ctx, wallet)
	if err != nil {
		return nil, err
	}
	body, err := canon.EncodeJSON(signBody{WalletID: r.WalletID, Network: r.Network, Payload: payload})
	if err != nil {
		return nil, badArgument("payload", "%v", err)
	}
	call, err := c.t.prepare(c.key, "POST", pathSign, "", body, r.IdempotencyKey)
	if err != nil {
		return nil, err
	}
	op := &signing{c: c, root: root, cert: cert, call: call, network: r.Network, payload: payload}
	op.encode()
	var reply api.Signature
	if err := c.t.send(ctx, call, &reply); err != nil {
		return nil, op.denied(ctx, err)
	}
	return op.accept(ctx, &reply)
}

// signing is one signature on its way from the request to its proof.
type signing struct {
	c       *Client
	root    *root
	cert    *receipt.WalletCertificate
	call    *call
	network string
	payload chain.Payload

	// Filled in by encode.
	net      *chain.Network
	key      *receipt.CertifiedKey
	prepared *chain.Prepared
	intent   [32]byte // digest of intentJSON

	intentJSON []byte
	refusal    error // why the payload can't be encoded here
}

// encode makes the bytes that the wallet has to sign, from nothing but the
// request and the certified key. A refusal is kept: the service decides, and
// its denial has a receipt.
func (s *signing) encode() {
	var ok bool
	if s.net, ok = s.c.networks.Lookup(s.network); !ok {
		s.refusal = badArgument("Network", "this version of the SDK doesn't know %q", s.network)
		return
	}
	if s.key, ok = s.cert.Key(s.net.Curve); !ok {
		s.refusal = badArgument("Network", "the wallet has no %s key", s.net.Curve)
		return
	}
	if s.prepared, s.refusal = s.payload.Prepare(s.net, s.key.PublicKey); s.refusal == nil {
		s.intentJSON, s.refusal = s.prepared.Intent.Encode()
		s.intent = sha256.Sum256(s.intentJSON)
	}
}

// accept verifies a reply; only what passes every check is returned.
func (s *signing) accept(ctx context.Context, reply *api.Signature) (*SignResult, error) {
	if s.refusal != nil {
		return nil, broken(CodeSignature, s.refusal, "the service signed what can't be signed")
	}
	if !s.net.Verify(s.key.PublicKey, s.prepared, reply.Signature) {
		return nil, broken(CodeSignature, nil, "the signature doesn't sign what was asked for under the certified key")
	}
	address, err := s.net.Codec.Address(s.key.PublicKey)
	if err != nil {
		return nil, broken(CodeCertificate, err, "certified key")
	}
	signed, err := s.net.Assemble(s.prepared, reply.Signature)
	if err != nil {
		return nil, broken(CodeSignature, err, "the signature doesn't fit the transaction")
	}
	public := hex.EncodeToString(s.key.PublicKey)
	for _, f := range []struct{ field, got, want string }{
		{"wallet_id", reply.WalletID, s.cert.Wallet.String()},
		{"network", reply.Network, s.network},
		{"address", reply.Address, address},
		{"public_key", reply.PublicKey, public},
		{"signed_transaction", reply.SignedTransaction, signed.Text},
		{"transaction_hash", reply.TransactionHash, signed.ID},
		{"signed_psbt", reply.SignedPSBT, signed.PSBT},
	} {
		if f.got != f.want {
			return nil, mismatch(CodeResponseMismatch, f.field, "%.80q instead of %q", f.got, f.want)
		}
	}
	rc, replayed, err := s.verifyReceipt(ctx, reply.Receipt, receipt.Allow, receipt.ReasonAllowed, sha256.Sum256([]byte(reply.Signature)))
	if err != nil {
		return nil, err
	}
	return &SignResult{
		Signature: reply.Signature, WalletID: reply.WalletID, Network: s.network, Address: address, PublicKey: public,
		Receipt: rc, Verified: s.root.summary(rc, replayed), SignedTransaction: signed.Text, TransactionHash: signed.ID,
		SignedPSBT: signed.PSBT, Intent: s.intentJSON,
	}, nil
}

// method is the policy's name for what was asked for.
func (s *signing) method() string {
	kind, _ := s.payload.Kind() // SignRequest.payload makes one of either kind
	return chain.Method(kind)
}

func (s *signing) verifyReceipt(ctx context.Context, r api.ReceiptRef, d receipt.Decision, reason string, output [32]byte) (*Receipt, bool, error) {
	rc, err := openReceipt(ctx, s.root.genesis, r.Proof, s.c.evidence.get)
	if err != nil {
		return nil, false, err
	}
	if rc.ID != r.ID {
		return nil, false, mismatch(CodeReceiptMismatch, "id", "the reply names another receipt")
	}
	x := &expected{
		kind: receipt.KindSign, decision: d, reason: reason, root: s.root, call: s.call, wallet: s.cert.Wallet,
		method: s.method(), network: s.network, output: output,
	}
	if s.prepared != nil && s.refusal == nil {
		x.payload, x.intent = sha256.Sum256(s.prepared.SignBytes), s.intent
	} else { // what couldn't be decoded is named by the request's body
		x.payload = sha256.Sum256(s.call.decided())
	}
	replayed, err := x.check(&rc.Leaf, s.c.t.now())
	return rc, replayed, err
}

// denialDetails are the details of a refusal that a workload decided.
type denialDetails struct {
	Receipt *api.ReceiptRef `json:"receipt"`
}

func decodeDenial(e *APIError) (api.ReceiptRef, bool, error) {
	var d denialDetails
	if e.Details == nil {
		return api.ReceiptRef{}, false, nil
	}
	if err := json.Unmarshal(e.Details, &d); err != nil {
		return api.ReceiptRef{}, false, broken(CodeResponse, err, "details of the refusal %s", e.Code)
	}
	if d.Receipt == nil {
		return api.ReceiptRef{}, false, nil
	}
	return *d.Receipt, true, nil
}

// denied verifies the receipt of a denial and puts it into the error.
func (s *signing) denied(ctx context.Context, err error) error {
	var e *APIError
	if !errors.As(err, &e) || e.Status != 403 {
		return err
	}
	r, ok, err := decodeDenial(e)
	if err != nil {
		return err
	}
	if !ok { // refused by the control plane itself
		return e
	}
	rc, _, err := s.verifyReceipt(ctx, r, receipt.Deny, string(e.Code), [32]byte{})
	if err != nil {
		return err
	}
	e.Receipt = rc
	return e
}
