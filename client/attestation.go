package client

import (
	"context"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/attest"
	"github.com/sigilkeys/sigil/attest/confspace"
	"github.com/sigilkeys/sigil/receipt"
)

// Attestation is the present evidence of the workload, verified.
type Attestation struct {
	Statement receipt.Statement
	Evidence  attest.Evidence
	Attested  Attested
}

// Attestation fetches the workload's present evidence and validates it, for
// now, against what the organisation's genesis document accepts.
func (c *Client) Attestation(ctx context.Context) (*Attestation, error) {
	root, err := c.trusted(ctx)
	if err != nil {
		return nil, err
	}
	var reply api.Attestation
	if _, err := c.t.exchange(ctx, nil, "GET", "/v1/attestation", "", nil, &reply); err != nil {
		return nil, err
	}
	ev := evidenceOf(reply.Evidence)
	s, err := receipt.DecodeStatement(ev.Statement)
	if err != nil {
		return nil, broken(CodeEvidenceInvalid, err, "statement")
	}
	// Which accepted release it is, the token says: try each.
	var last error = &VerificationError{Code: CodeEvidenceRefused, Reason: confspace.ReasonImageDigest, Detail: "the genesis document accepts no release"}
	for _, t := range root.genesis.TEEs {
		for _, release := range t.ImageDigests {
			a, err := checkEvidence(root.genesis, ev, release, c.t.now())
			if err == nil {
				c.evidence.put(ev)
				return &Attestation{Statement: *s, Evidence: ev, Attested: *a}, nil
			}
			last = err
		}
	}
	return nil, last
}
