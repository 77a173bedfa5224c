package client_test

import (
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/attest/confspace"
	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/receipt"
)

// A receipt of last year verifies by the instant in its batch: its evidence
// brings its chain along. In the present the same evidence is refused, and a
// receipt that claims another time than its evidence lived in is too.
func TestReceiptOfLastYear(t *testing.T) {
	s := newStack(t)
	c := s.client(t, s.secret)
	b := must(c.Bundle(t.Context(), must(c.Sign(t.Context(), s.request()))(t)))(t)
	rc := must(b.Verify(s.org.GenesisDigest))(t)
	signed := time.UnixMicro(int64(rc.Batch.Time))
	if signed.Sub(start).Abs() > time.Hour {
		t.Fatalf("signed at %s", signed)
	}

	tee := s.TEE()
	root := must(confspace.ParseFingerprint(tee.PKIRoot))(t)
	data := must(must(confspace.NewArchive(b.Evidence, confspace.Trust{PKIRoot: root}, signed))(t).Encode())(t)
	archive := must(confspace.ParseArchive(data))(t)
	claims := must(archive.Verify(confspace.Pins{PKIRoot: root}))(t)
	id := archive.Evidence.ID()
	e := confspace.Expectation{Issuer: tee.Issuer, Audience: receipt.EvidenceAudience, Hardware: tee.Hardware, ProjectID: tee.ProjectID,
		ServiceAccount: tee.ServiceAccount, ImageDigests: tee.ImageDigests, Nonce: hex.EncodeToString(id[:]), At: signed}
	if err := confspace.Validate(claims, e, start.AddDate(1, 0, 0)); err != nil || id != rc.Batch.Statement {
		t.Fatalf("%x instead of %x: %v", id, rc.Batch.Statement, err)
	}
	e.At = time.Time{}
	var refusal *confspace.Refusal
	if err := confspace.Validate(claims, e, start.AddDate(1, 0, 0)); !errors.As(err, &refusal) || refusal.Reason != confspace.ReasonExpired {
		t.Errorf("canary: a year later: %v", err)
	}

	s.Attack.Batch = func(b *receipt.Batch) { b.Time += uint64(366 * 24 * time.Hour / time.Microsecond) }
	_, err := c.Sign(t.Context(), s.request())
	var v *client.VerificationError
	if !errors.As(err, &v) || v.Reason != confspace.ReasonExpired {
		t.Errorf("a batch of a year after its evidence: %v", err)
	}
}
