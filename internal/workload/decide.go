package workload

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
)

// Decide takes one request from authentication to its receipt leaf. An error
// is a refusal without a receipt: the request couldn't be attributed to a
// credential, is malformed, or something that it needs is missing. A decision
// by policy, allow or deny, is an item with a leaf.
func (s *Service) Decide(ctx context.Context, d *teelink.Decide) (teelink.Item, error) {
	now := s.args.Now()
	release, err := s.attested(now)
	if err != nil {
		return teelink.Item{}, err
	}
	r := &request{Decide: d, now: now, release: release}
	if err := s.lookUp(r); err != nil {
		return teelink.Item{}, err
	}
	if err := s.authenticate(r); err != nil {
		return teelink.Item{}, asRemote(err)
	}
	if d.IdempotencyKey != "" {
		r.idempotency = sha256.Sum256([]byte(d.IdempotencyKey))
	}
	if d.Query != "" {
		return teelink.Item{}, remote("invalid_argument", "this route takes no query")
	}
	if err := s.takeItem(r); err != nil {
		return teelink.Item{}, err
	}
	switch {
	case d.Method == "POST" && (d.Path == PathSign || d.Path == PathSignBatch):
		return s.decideSign(ctx, r)
	case d.Method == "POST" && (d.Path == PathWallets || d.Path == PathWalletsBulk):
		return s.decideCreate(ctx, r)
	}
	return teelink.Item{}, remote("unsupported_request", "the TEE serves no %s %s", d.Method, d.Path)
}

// Routes that the workload decides on.
const (
	PathSign        = "/v1/s2s/sign"
	PathSignBatch   = "/v1/s2s/sign/batch"
	PathWallets     = "/v1/s2s/wallets"
	PathWalletsBulk = "/v1/s2s/wallets/bulk"
)

// request is one request on its way to a decision.
type request struct {
	*teelink.Decide
	now     time.Time
	release string

	genesis *authority.VerifiedGenesis
	grant   *grant
	wallet  *wallet   // sign
	state   *stateKey // create wallet
	digest  [32]byte  // request digest

	idempotency [32]byte // digest of the Idempotency-Key, zero without
}

// lookUp finds the objects that the request names, or says which are missing.
func (s *Service) lookUp(r *request) error {
	var gone [][32]byte
	var ok bool
	if r.genesis, ok = s.objects.genesis.get(r.Genesis); !ok {
		gone = append(gone, r.Genesis)
	}
	if r.grant, ok = s.objects.grants.get(r.Grant); !ok {
		gone = append(gone, r.Grant)
	}
	if r.Path == PathWallets || r.Path == PathWalletsBulk {
		r.state, ok = s.objects.states.get(r.Record)
	} else {
		r.wallet, ok = s.objects.wallets.get(r.Record)
	}
	if !ok {
		gone = append(gone, r.Record)
	}
	if len(gone) > 0 {
		return missing(gone...)
	}
	if r.grant.genesis != r.Genesis {
		return remote("document_invalid", "the grant belongs to another genesis")
	}
	return nil
}

// authenticate proves that the holder of the grant's credential made exactly
// this request, now, and that the grant still stands.
func (s *Service) authenticate(r *request) error {
	req := &authority.Request{
		Method: r.Method, Path: r.Path, Query: r.Query, Body: r.Body, Created: r.Created,
		ID: r.RequestID, IdempotencyKey: r.IdempotencyKey, KeyID: r.grant.keyID,
	}
	var err error
	if r.Auth == teelink.AuthSignature {
		r.digest, err = req.VerifyWith(r.grant.credential, r.Proof, r.now)
	} else {
		r.digest, err = s.authenticateBearer(r, req)
	}
	if err != nil {
		return err
	}
	switch unix := r.now.Unix(); {
	case s.objects.isRevoked(r.Grant):
		return remote("invalid_key", "the key was revoked")
	case unix >= r.grant.Expires:
		return remote("key_expired", "the key expired at %s; create a new one", time.Unix(r.grant.Expires, 0).UTC().Format(time.RFC3339))
	case unix < r.grant.NotBefore:
		return remote("key_not_yet_valid", "the key is valid from %s", time.Unix(r.grant.NotBefore, 0).UTC().Format(time.RFC3339))
	case !r.grant.MayDecide():
		return remote("key_read_only", "the key's scope is to read; nothing is decided for it")
	}
	return nil
}

func (s *Service) authenticateBearer(r *request, req *authority.Request) ([32]byte, error) {
	if !r.grant.Bearer {
		return [32]byte{}, remote("bearer_not_allowed", "the grant doesn't allow presenting the token itself; sign the request (SDKs do, `sigil proxy` does for curl) or have the owner allow it")
	}
	t, err := authority.ParseToken(string(r.Proof))
	if err != nil || t.PublicKey() != r.grant.Credential || t.Pin() != r.genesis.Pin() {
		return [32]byte{}, remote("signature_invalid", "the token isn't the credential of this grant")
	}
	if err := req.CheckClock(r.now); err != nil {
		return [32]byte{}, err
	}
	return req.BearerDigest()
}

// asRemote gives refusals of packages authority and chain their code on the
// link.
func asRemote(err error) error {
	var e *authority.Error
	var c *chain.RefusedError
	switch {
	case errors.As(err, &e):
		return &teelink.RemoteError{Code: e.Code, Message: e.Message}
	case errors.As(err, &c):
		return &teelink.RemoteError{Code: c.Code, Message: c.Message}
	}
	return err
}

// leaf starts the receipt of the request.
func (r *request) leaf(kind receipt.Kind, method string) *receipt.Leaf {
	return &receipt.Leaf{
		Kind: kind, Auth: receipt.Auth(r.Auth), Freshness: receipt.FreshnessNone,
		Organization: r.genesis.OrganizationID, Genesis: r.Genesis, Grant: r.Grant, Credential: r.grant.Credential,
		RequestID: r.RequestID, RequestDigest: r.digest, IdempotencyDigest: r.idempotency,
		Method: method, Release: r.release, Time: micros(r.now),
	}
}

// deny finishes a leaf as a refusal.
func (s *Service) deny(l *receipt.Leaf, reason, explanation string) (teelink.Item, error) {
	l.Decision, l.Reason = receipt.Deny, reason
	return s.item(l, teelink.ResultNone, nil, explanation)
}

// allow finishes a leaf as carried out; output is what its digest covers.
func (s *Service) allow(l *receipt.Leaf, output []byte, kind teelink.ResultKind, result []byte) (teelink.Item, error) {
	l.Decision, l.Reason, l.OutputDigest = receipt.Allow, receipt.ReasonAllowed, sha256.Sum256(output)
	return s.item(l, kind, result, "")
}

func (s *Service) item(l *receipt.Leaf, kind teelink.ResultKind, result []byte, explanation string) (teelink.Item, error) {
	var err error
	if l.ID, err = canon.NewOrderedUUID(s.args.Now(), s.args.Random); err != nil {
		return teelink.Item{}, err
	}
	record, err := l.Encode()
	if err != nil {
		return teelink.Item{}, err
	}
	return teelink.Item{Leaf: record, ResultKind: kind, Result: result, Explanation: explanation}, nil
}

// evaluate runs the grant's policy; anything but allow is a refusal.
func (r *request) evaluate(q policy.Request) (policy.Decision, bool) {
	d := policy.Evaluate(&r.grant.Policy, q)
	return d, d.Outcome == policy.Allow
}
