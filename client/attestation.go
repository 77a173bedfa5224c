package client

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

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

	// Challenge was drawn for the call; Proof leads from it to the root in the
	// statement. Both were verified, and are here for whoever does it again.
	Challenge [32]byte
	Proof     api.ChallengeProof
}

// Attestation has the workload attested for a challenge that is drawn here,
// and validates the evidence against what the organisation's genesis document
// accepts: what it says was so after the call began. It may take some seconds,
// since a workload answers all challenges of a second at once.
func (c *Client) Attestation(ctx context.Context) (*Attestation, error) {
	root, err := c.trusted(ctx)
	if err != nil {
		return nil, err
	}
	var reply api.Attestation
	var challenge [32]byte
	if _, err := io.ReadFull(c.t.random, challenge[:]); err != nil {
		return nil, fmt.Errorf("draw a challenge: %w", err)
	}
	if _, err := c.t.exchange(ctx, nil, "GET", "/v1/attestation", "challenge="+hex.EncodeToString(challenge[:]), nil, &reply); err != nil {
		return nil, err
	}
	ev := evidenceOf(reply.Evidence)
	s, err := receipt.DecodeStatement(ev.Statement)
	if err != nil {
		return nil, broken(CodeEvidenceInvalid, err, "statement")
	}
	if err := CheckChallenge(reply.Challenge, challenge, s); err != nil {
		return nil, err
	}
	// Which accepted release it is, the token says: try each.
	var last error = &VerificationError{Code: CodeEvidenceRefused, Reason: confspace.ReasonImageDigest, Detail: "the genesis document accepts no release"}
	for _, t := range root.genesis.TEEs {
		for _, release := range t.ImageDigests {
			a, err := checkEvidence(root.genesis, ev, release, c.t.now())
			if err == nil {
				return &Attestation{Statement: *s, Evidence: ev, Attested: *a, Challenge: challenge, Proof: *reply.Challenge}, nil
			}
			last = err
		}
	}
	return nil, last
}

// CheckChallenge checks that the statement was made for the challenge, among
// others. A nil proof proves nothing.
func CheckChallenge(p *api.ChallengeProof, challenge [32]byte, s *receipt.Statement) error {
	if p == nil {
		return broken(CodeEvidenceInvalid, errors.New("it isn't made for the challenge"), "challenge")
	}
	path, err := hashes(p.Path)
	if err != nil {
		return broken(CodeEvidenceInvalid, err, "challenge.path")
	}
	if err := receipt.VerifyPath(challenge[:], p.Index, p.Count, path, s.Challenges); err != nil {
		return broken(CodeEvidenceInvalid, err, "challenge")
	}
	return nil
}
