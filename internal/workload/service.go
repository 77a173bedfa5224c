// Package workload is what the TEE does: make keys, split and seal them,
// decide on requests, join, sign, verify, wipe, and write receipts.
//
// Trust. Everything that arrives comes from a host that may lie. What the
// workload believes is: its measured configuration (teeconfig), its own clock,
// the kernel's randomness, and documents whose signatures chain to the
// genesis that every share of the organisation is bound to by its AAD. The
// host supplies documents and sealed records by content; it can withhold
// them, but not alter, mix or forge them:
//
//	genesis   names the owner's admin keys, the releases and the KMS keys
//	grant     signed by the admins, names the credential and the state key
//	wallet    certificate signed by the state key, shares sealed under an AAD
//	          of genesis, state key, wallet, curve, role, epoch, public key
//	request   signed by the credential
//
// A decision and its signature are one operation: decide makes a single-use
// approval inside the process, and nothing else can call the signing
// function. What was decided leaves only inside a signed batch.
//
// State. Nothing survives a restart, and there is no witness yet: revocations
// hold for the life of the instance that was told of them, and receipts say
// "freshness: none".
package workload

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/sealed"
	"github.com/sigilkeys/sigil/internal/secret"
	"github.com/sigilkeys/sigil/internal/teeconfig"
	"github.com/sigilkeys/sigil/receipt"
)

// Attester gets attestation tokens from the platform.
type Attester interface {
	// PKIToken returns a token for the audience with the one nonce, signed
	// under the platform's certificate chain.
	PKIToken(ctx context.Context, audience, nonce string) (string, error)
}

// Args are the parts of a Service; all but Version are required.
type Args struct {
	Config       *teeconfig.Config
	ConfigDigest [32]byte
	LinkKey      [32]byte // SHA-256 of the link certificate's SubjectPublicKeyInfo
	Version      string

	Attester Attester
	TEE      sealed.KEK // wraps DEKs of TEE shares
	Provider sealed.KEK // wraps DEKs of provider shares
	Networks *chain.Registry
	Nudger   *secret.Nudger // touched after every use of keys

	Random io.Reader // the kernel's
	Now    func() time.Time
}

// Service implements teelink.Handler.
type Service struct {
	args     Args
	instance ed25519.PrivateKey // signs statements' batches and state certificates
	tee      *sealed.Opener
	provider *sealed.Opener
	cache    *sealed.Cache // nil: no DEK cache

	evidence evidence
	objects  objects
	made     madeWallets
	ledgers  ledgers

	batchMu sync.Mutex // guards the three below
	number  uint64
	prev    [32]byte
}

// New makes the instance key, has it attested, and proves that both KMS keys
// serve this image. It fails where any of that fails: there is no mode
// without attestation.
func New(ctx context.Context, a Args) (*Service, error) {
	if a.Config == nil || a.Attester == nil || a.TEE == nil || a.Provider == nil || a.Networks == nil || a.Nudger == nil || a.Random == nil || a.Now == nil {
		return nil, errors.New("workload: incomplete arguments")
	}
	pub, priv, err := ed25519.GenerateKey(a.Random)
	if err != nil {
		return nil, fmt.Errorf("make instance key: %w", err)
	}
	s := &Service{args: a, instance: priv, objects: newObjects(), made: madeWallets{byID: map[canon.UUID]*madeWallet{}}, ledgers: ledgers{byKey: map[[32]byte]*ledger{}}}
	if err := s.openers(); err != nil {
		return nil, err
	}
	copy(s.evidence.statement.InstanceKey[:], pub)
	s.evidence.statement.LinkKey = a.LinkKey
	s.evidence.statement.Config = a.ConfigDigest
	s.evidence.statement.Started = micros(a.Now())
	if err := s.RenewEvidence(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func micros(t time.Time) uint64 { return uint64(t.UnixMicro()) }

// Seal signs one batch over the leaves.
func (s *Service) Seal(leaves [][]byte) ([]byte, error) {
	s.batchMu.Lock()
	defer s.batchMu.Unlock()
	statement, _ := s.evidence.current()
	b := receipt.Batch{
		InstanceKey: statement.InstanceKey,
		Statement:   statement.Digest(),
		Number:      s.number + 1,
		Previous:    s.prev,
		Time:        micros(s.args.Now()),
		Count:       uint32(len(leaves)),
		Root:        receipt.TreeHash(leaves),
	}
	signed, err := b.Sign(s.instance)
	if err != nil {
		return nil, err
	}
	s.number++
	s.prev = receipt.Digest(signed)
	return signed, nil
}
