package client

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/sigilkeys/sigil/attest"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/receipt"
)

// maxAge is how far the decision's time may be from the caller's clock and
// from its batch.
const maxAge = 5 * time.Minute

// Receipt is a verified receipt: an attested workload of an accepted release
// decided what Leaf says.
type Receipt struct {
	ID       string
	Proof    []byte          // the receipt as docs/FORMATS.md section 7.3 has it
	Evidence attest.Evidence // of the instance that signed the batch
	Leaf     receipt.Leaf
	Batch    receipt.Batch
	Attested Attested
}

// evidenceSource finds the evidence for a statement digest.
type evidenceSource func(ctx context.Context, statement [32]byte) (attest.Evidence, error)

// evidenceCheck is checkEvidence, or it with a memory.
type evidenceCheck func(g *authority.VerifiedGenesis, ev attest.Evidence, release string, at time.Time) (*Attested, error)

// openReceipt verifies a receipt up to the evidence. What it says is compared
// by the caller.
func openReceipt(ctx context.Context, g *authority.VerifiedGenesis, proof []byte, evidence evidenceSource) (*Receipt, error) {
	p, err := receipt.DecodeReceipt(proof)
	if err != nil {
		return nil, broken(CodeReceiptInvalid, err, "receipt")
	}
	return openReceiptBy(ctx, g, p, proof, evidence, checkEvidence)
}

// openReceiptBy opens a receipt that was decoded from proof.
func openReceiptBy(ctx context.Context, g *authority.VerifiedGenesis, p *receipt.Receipt, proof []byte, evidence evidenceSource, check evidenceCheck) (*Receipt, error) {
	batch, err := receipt.OpenBatch(p.Batch)
	if err != nil {
		return nil, broken(CodeBatch, err, "batch")
	}
	leaf, err := p.Under(batch)
	if err != nil {
		return nil, broken(CodeReceiptInvalid, err, "receipt")
	}
	ev, err := evidence(ctx, batch.Statement)
	if err != nil {
		return nil, err
	}
	s, err := openStatement(ev, batch.Statement)
	if err != nil {
		return nil, err
	}
	if s.InstanceKey != batch.InstanceKey {
		return nil, broken(CodeBatch, nil, "signed by another key than the attested instance's")
	}
	attested, err := check(g, ev, leaf.Release, micros(batch.Time))
	if err != nil {
		return nil, err
	}
	if d := micros(batch.Time).Sub(micros(leaf.Time)); d > maxAge || d < -maxAge {
		return nil, mismatch(CodeReceiptMismatch, "time", "the decision is %s older than its batch", d)
	}
	return &Receipt{ID: leaf.ID.String(), Proof: proof, Evidence: ev, Leaf: *leaf, Batch: *batch, Attested: *attested}, nil
}

// expected is what a request implies for its receipt. Every field is compared.
type expected struct {
	kind     receipt.Kind
	decision receipt.Decision
	reason   string
	root     *root
	call     *call
	wallet   receipt.UUID
	method   string
	network  string
	payload  [32]byte
	intent   [32]byte
	output   [32]byte
}

// check compares the leaf with what the request implies. It reports whether
// the receipt is that of an earlier request with the same Idempotency-Key,
// whose answer a repetition gets; the operation is the same then.
func (x *expected) check(l *receipt.Leaf, now time.Time) (replayed bool, err error) {
	r := x.root
	for _, f := range []struct {
		field string
		same  bool
	}{
		{"kind", l.Kind == x.kind},
		{"decision", l.Decision == x.decision},
		{"reason", l.Reason == x.reason},
		{"auth", l.Auth == receipt.AuthSignature},
		{"freshness", l.Freshness == receipt.FreshnessNone}, // the genesis' mode is unwitnessed
		{"organization", l.Organization == r.genesis.OrganizationID},
		{"genesis", l.Genesis == r.genesis.Digest},
		{"grant", l.Grant == r.grant.Digest},
		{"credential", l.Credential == r.grant.Credential},
		{"wallet", l.Wallet == x.wallet},
		{"network", l.Network == x.network},
		{"method", l.Method == x.method},
		{"idempotency_digest", l.IdempotencyDigest == x.call.idempotency()},
		{"payload_digest", l.PayloadDigest == x.payload},
		{"intent_digest", l.IntentDigest == x.intent},
		{"output_digest", l.OutputDigest == x.output},
	} {
		if !f.same {
			return false, mismatch(CodeReceiptMismatch, f.field, "the receipt is of another decision than was asked for")
		}
	}
	return x.checkRequest(l, now)
}

func (x *expected) checkRequest(l *receipt.Leaf, now time.Time) (replayed bool, err error) {
	sameID, sameDigest := l.RequestID == x.call.requestID(), l.RequestDigest == x.call.Digest()
	age := now.Sub(micros(l.Time))
	switch {
	case age < -maxAge:
		return false, mismatch(CodeReceiptMismatch, "time", "decided in the future; check this machine's clock")
	case !sameID && !sameDigest && x.call.IdempotencyKey != "":
		return true, nil
	case !sameID:
		return false, mismatch(CodeReceiptMismatch, "request_id", "the receipt is of another request")
	case !sameDigest:
		return false, mismatch(CodeReceiptMismatch, "request_digest", "the receipt is of another request")
	case age > maxAge:
		return false, mismatch(CodeReceiptMismatch, "time", "decided %s ago; check this machine's clock", age.Round(time.Second))
	}
	return false, nil
}

// Verified sums up what was proved about an answer.
type Verified struct {
	Organization  string    `json:"organization_id"`
	GenesisDigest string    `json:"genesis_digest"` // hex
	GrantDigest   string    `json:"grant_digest"`   // hex
	StateKey      string    `json:"state_key"`      // hex
	DecidedAt     time.Time `json:"decided_at"`
	BatchNumber   uint64    `json:"batch_number"`
	Attested      Attested  `json:"attested"`
	// Replayed: the answer is that of an earlier request with the same
	// Idempotency-Key.
	Replayed bool `json:"replayed"`
}

func (r *root) summary(rc *Receipt, replayed bool) Verified {
	return Verified{
		Organization:  r.genesis.OrganizationID.String(),
		GenesisDigest: hex.EncodeToString(r.genesis.Digest[:]),
		GrantDigest:   hex.EncodeToString(r.grant.Digest[:]),
		StateKey:      hex.EncodeToString(r.grant.StateKey[:]),
		DecidedAt:     micros(rc.Leaf.Time),
		BatchNumber:   rc.Batch.Number,
		Attested:      rc.Attested,
		Replayed:      replayed,
	}
}
