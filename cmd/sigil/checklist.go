package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sigilkeys/sigil/attest/confspace"
	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/receipt"
)

// attestationCheck is evidence, what it must say, and what was found.
type attestationCheck struct {
	in        *evidenceInput
	at        time.Time
	audience  string
	nonce     string
	given     string // nonce that the caller wants besides the statement's
	challenge *[32]byte

	tried   bool
	claims  *confspace.Claims // nil unless all steps passed
	results []confspace.Result
	trust   confspace.Trust
	refusal error // first of the steps 4 to 11
	passed  int   // so many of them
}

// try runs the checklist against one accepted TEE. Of several the one counts
// that all steps pass, else that most of them do: an owner who accepts two
// wants to know what is wrong by the one that was meant.
func (v *attestationCheck) try(t *client.TEE, trust trustSource) {
	if v.tried && v.refusal == nil {
		return
	}
	claims, results, anchors, err := v.run(t, trust)
	passed := 0
	for _, r := range results {
		if r.Outcome == confspace.Passed {
			passed++
		}
	}
	if !v.tried || err == nil || passed > v.passed {
		v.tried, v.claims, v.results, v.trust, v.refusal, v.passed = true, claims, results, anchors, err, passed
	}
}

func (v *attestationCheck) run(t *client.TEE, source trustSource) (*confspace.Claims, []confspace.Result, confspace.Trust, error) {
	var root [32]byte
	if t.PKIRoot != "" { // left out where only OIDC tokens are accepted
		var err error
		if root, err = confspace.ParseFingerprint(t.PKIRoot); err != nil {
			err = &confspace.Refusal{Reason: confspace.ReasonUntrusted, Claim: "x5c", Err: err}
			return nil, confspace.RefusedEarly(err), confspace.Trust{}, err
		}
	}
	if t.Kind != "confidential-space" {
		err := &confspace.Refusal{Reason: confspace.ReasonUntrusted, Detail: fmt.Sprintf("TEE kind %q is unknown to this version", t.Kind)}
		return nil, confspace.RefusedEarly(err), confspace.Trust{}, err
	}
	trust, err := source(t.Issuer, root, v.in.Token)
	if err != nil {
		return nil, confspace.RefusedEarly(err), confspace.Trust{}, err
	}
	claims, results, err := confspace.Checklist(v.in.Token, trust, confspace.Expectation{
		Issuer: t.Issuer, Audience: v.audience, Hardware: t.Hardware, ProjectID: t.ProjectID,
		ServiceAccount: t.ServiceAccount, ImageDigests: t.ImageDigests, Nonce: v.nonce, At: v.at,
	}, v.at)
	if v.given == "" || v.given == v.nonce {
		return claims, results, trust, err
	}
	for i := range results {
		if r := &results[i]; r.Step == confspace.StepNonce && r.Outcome == confspace.Passed {
			r.Outcome, r.Refusal = confspace.Refused, &confspace.Refusal{Reason: confspace.ReasonNonce, Claim: "eat_nonce",
				Detail: "it is the statement's digest, and not the nonce that was given"}
			err = errors.Join(err, r.Refusal)
		}
	}
	return nil, results, trust, err
}

// stepReport is a line of the checklist.
type stepReport struct {
	Step   int    `json:"step"`
	Name   string `json:"name"`
	Result string `json:"result"` // ok, refused, not_reached, not_checked
	Reason string `json:"reason,omitempty"`
	Claim  string `json:"claim,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// stepNames are the steps of docs/ATTESTATION.md, from 1.
func stepNames() []string {
	return []string{"Image", "Measured configuration", "Fetch evidence", "Token shape", "Algorithm", "Chain", "Issuer", "Times", "Nonce",
		"Platform", "Workload", "What the instance signed", "The link"}
}

// steps lists what was found, and the first refusal.
func (v *attestationCheck) steps() ([]stepReport, error) {
	var list []stepReport
	for i, name := range stepNames() {
		list = append(list, stepReport{Step: i + 1, Name: name, Result: "not_checked"})
	}
	list[0].Detail = "sigil verify image IMAGE --source CHECKOUT"
	list[1].Detail = "sigil verify image IMAGE --reference RELEASE"
	list[11].Detail = "sigil verify receipt"
	list[12].Detail = "sigil serve --accept"
	first := v.fetched(&list[2])
	if !v.tried { // no TEE is accepted
		return list, verificationError(&confspace.Refusal{Reason: confspace.ReasonExpectation})
	}
	for _, r := range v.results {
		s := &list[int(r.Step)-1]
		s.Result = map[confspace.Outcome]string{confspace.Passed: "ok", confspace.Refused: "refused", confspace.NotReached: "not_reached"}[r.Outcome]
		if r.Refusal != nil {
			s.Reason, s.Claim, s.Detail = string(r.Refusal.Reason), r.Refusal.Claim, r.Refusal.Detail
			if cause := r.Refusal.Err; cause != nil {
				s.Detail = joined(s.Detail, cause.Error())
			}
		}
	}
	if v.refusal != nil {
		return list, verificationError(v.refusal)
	}
	return list, first
}

func joined(a, b string) string {
	if a == "" {
		return b
	}
	return a + ": " + b
}

// fetched does what of step 3 can be done with a file: that the statement is
// one, and was made for the challenge.
func (v *attestationCheck) fetched(s *stepReport) error {
	s.Detail = "no --challenge given: how old the evidence is, only step 8 says"
	if len(v.in.Statement) == 0 {
		s.Detail = "a token without its statement"
	}
	var err error
	var statement *receipt.Statement
	if len(v.in.Statement) > 0 {
		statement, err = receipt.DecodeStatement(v.in.Statement)
	}
	if err == nil && v.challenge != nil {
		if statement == nil {
			statement = &receipt.Statement{} // made for no challenge
		}
		if err = client.CheckChallenge(v.in.proof, *v.challenge, statement); err == nil {
			s.Result, s.Detail = "ok", ""
		}
	}
	if err == nil {
		return nil
	}
	s.Result, s.Reason, s.Detail = "refused", "statement", err.Error()
	var already *client.VerificationError
	if errors.As(err, &already) {
		s.Reason = "challenge"
		return err
	}
	return &client.VerificationError{Code: client.CodeEvidenceInvalid, Detail: "statement", Err: err}
}

// verificationError brings a refusal into the form of all that isn't believed.
func verificationError(err error) error {
	e := &client.VerificationError{Code: client.CodeEvidenceInvalid, Err: err}
	hint := "the list on standard output says what each step found; docs/ATTESTATION.md explains the steps"
	var r *confspace.Refusal
	if !errors.As(err, &r) {
		return withHint(e, hint)
	}
	e.Reason = r.Reason
	if r.Reason.Step() > confspace.StepSignature || r.Reason == confspace.ReasonExpectation {
		e.Code = client.CodeEvidenceRefused
	}
	switch {
	case r.Reason == confspace.ReasonUntrusted && r.Claim == "kid":
		hint = "an OIDC token needs the issuer's keys: --jwks FILE or --fetch-keys; an archive of one --jwks or --key-set"
	case r.Reason == confspace.ReasonExpired:
		hint = "--at TIME verifies for an earlier instant: for a receipt that in its batch"
	case r.Reason == confspace.ReasonExpectation:
		hint = "nothing is accepted by default: each value must be given"
	}
	return withHint(e, hint)
}

// report prints the list, writes the archive, and returns what was refused.
func (a *app) report(v *attestationCheck, archive string) error {
	steps, refused := v.steps()
	out := map[string]any{"verified": refused == nil, "at": v.at.UTC().Format(time.RFC3339), "steps": steps}
	rows := make([][]string, 0, len(steps)+8)
	for _, s := range steps {
		what := map[string]string{"ok": "ok", "refused": "REFUSED", "not_reached": "not reached", "not_checked": "not checked"}[s.Result]
		if s.Reason != "" {
			what += " " + joined(s.Reason, s.Detail)
		} else if s.Detail != "" {
			what += " (" + s.Detail + ")"
		}
		rows = append(rows, []string{strconv.Itoa(s.Step), s.Name, oneLine(what)})
	}
	lines := []string{table(rows)}
	if refused == nil {
		attested := v.attested()
		out["attested"], out["source"] = attested, "pki"
		facts := [][]string{
			{"verified", "for " + v.at.UTC().Format(time.RFC3339)}, {"release", attested.Release},
			{"hardware", attested.Hardware + " in project " + attested.ProjectID},
			{"issued", attested.Issued.Format(time.RFC3339)}, {"expires", attested.Expires.Format(time.RFC3339)},
		}
		if attested.InstanceKey != "" {
			facts = append(facts, []string{"instance", attested.InstanceKey})
		}
		if v.claims.Source == confspace.SourceOIDC {
			digest := digestText(v.trust.Keys.Digest())
			out["source"], out["key_set"] = "oidc", digest
			facts = append(facts, []string{"key set", digest})
		}
		lines = append(lines, table(facts))
		if archive != "" {
			if err := v.write(archive); err != nil {
				return err
			}
			out["archive"] = archive
			a.note("wrote %s; keep the root's fingerprint or the key set's digest elsewhere, it is what the archive is trusted by", archive)
		}
	}
	if err := a.print(out, lines...); err != nil {
		return err
	}
	return refused
}

func (v *attestationCheck) attested() *client.Attested {
	c := v.claims
	at := &client.Attested{Release: c.ImageDigest, Hardware: c.Hardware, ProjectID: c.ProjectID, Zone: c.Zone, Issuer: c.Issuer, Issued: c.IssuedAt, Expires: c.Expires}
	if s, err := receipt.DecodeStatement(v.in.Statement); err == nil {
		at.InstanceKey = digestText(s.InstanceKey)
	}
	return at
}

func (v *attestationCheck) write(path string) error {
	archive, err := confspace.NewArchive(v.in.Evidence, v.trust, v.at)
	if err != nil {
		return err
	}
	data, err := archive.Encode()
	if err != nil {
		return err
	}
	return create(path, data)
}
