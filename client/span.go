package client

import (
	"errors"
	"slices"
	"time"

	"github.com/sigilkeys/sigil/attest"
	"github.com/sigilkeys/sigil/attest/confspace"
	"github.com/sigilkeys/sigil/internal/authority"
)

// evidenceUse is a piece of evidence for a release.
type evidenceUse struct {
	id      [32]byte
	token   string
	release string
}

// evidenceSpan is the time for which it was verified: what holds at both ends
// holds in between, since each limit in token and chain has one side.
type evidenceSpan struct {
	from, to time.Time
	attested *Attested
}

// checkEvidence is the function of that name, which verifies four RSA
// signatures, with a memory.
func (a *Audit) checkEvidence(g *authority.VerifiedGenesis, ev attest.Evidence, release string, at time.Time) (*Attested, error) {
	use := evidenceUse{ev.ID(), ev.Token, release}
	s := a.spans[use]
	if s != nil && !at.Before(s.from) && !at.After(s.to) {
		return s.attested, nil
	}
	attested, err := checkEvidence(g, ev, release, at)
	if line := a.evidence[ev.ID()]; err != nil && line != nil && !ofEntry(err) {
		return nil, line.wrong(err)
	} else if err != nil {
		return nil, err
	}
	if s == nil {
		s = &evidenceSpan{from: at, to: at, attested: attested}
		a.spans[use] = s
		// Most decisions come before the token's end: look ahead, once.
		if _, err := checkEvidence(g, ev, release, attested.Expires); err == nil {
			s.to = attested.Expires
		}
	}
	if at.Before(s.from) {
		s.from = at
	}
	if at.After(s.to) {
		s.to = at
	}
	return attested, nil
}

// ofEntry reports whether evidence was refused for what the entry says, its
// time or its release.
func ofEntry(err error) bool {
	var v *VerificationError
	return errors.As(err, &v) && slices.Contains([]confspace.Reason{
		confspace.ReasonImageDigest, confspace.ReasonIssuedInFuture, confspace.ReasonNotYetValid, confspace.ReasonExpired,
	}, v.Reason)
}
