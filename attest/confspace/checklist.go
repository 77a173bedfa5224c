package confspace

import (
	"errors"
	"time"
)

// Step is a step of the checklist in docs/ATTESTATION.md, by its number there.
// This package does the steps that need the token alone.
type Step int

// Steps that are done here.
const (
	StepShape     Step = 4
	StepAlgorithm Step = 5
	StepSignature Step = 6
	StepOrigin    Step = 7
	StepTimes     Step = 8
	StepNonce     Step = 9
	StepPlatform  Step = 10
	StepWorkload  Step = 11
)

// Step returns the step that refuses for the reason; 0 for a reason that isn't
// of this package, and for ReasonExpectation, which each step can have.
func (r Reason) Step() Step {
	switch r {
	case ReasonMalformed, ReasonTooLarge:
		return StepShape
	case ReasonAlgorithm, ReasonHeader:
		return StepAlgorithm
	case ReasonUntrusted, ReasonUnknownKey, ReasonKeysUnavailable, ReasonKeySet, ReasonRoot, ReasonChain, ReasonSignature:
		return StepSignature
	case ReasonIssuer, ReasonAudience:
		return StepOrigin
	case ReasonIssuedInFuture, ReasonNotYetValid, ReasonExpired, ReasonLifetime:
		return StepTimes
	case ReasonNonce:
		return StepNonce
	case ReasonSoftware, ReasonHardware, ReasonSecureBoot, ReasonDebug, ReasonNotStable:
		return StepPlatform
	case ReasonImageDigest, ReasonProject, ReasonServiceAccount, ReasonCmdOverride, ReasonEnvOverride:
		return StepWorkload
	}
	return 0
}

// Outcome is how a step ended; the zero value is that it wasn't reached.
type Outcome uint8

// Outcomes.
const (
	NotReached Outcome = iota
	Passed
	Refused
)

// Result is a step's outcome.
type Result struct {
	Step    Step
	Outcome Outcome
	Refusal *Refusal // of a refused step, nil elsewhere
}

// Checklist verifies and validates a token as Verify and Validate do, and
// returns what each step found: for people, who want to know all that is wrong
// and what was looked at. The claims are returned only where every step
// passed; the error is the first refusal. Claims of a token that isn't
// authentic are looked at by no step.
func Checklist(token string, trust Trust, e Expectation, now time.Time) (*Claims, []Result, error) {
	at := e.instant(now)
	claims, err := Verify(token, trust, at)
	if err != nil {
		return nil, RefusedEarly(err), err
	}
	var first error
	results := []Result{{Step: StepShape, Outcome: Passed}, {Step: StepAlgorithm, Outcome: Passed}, {Step: StepSignature, Outcome: Passed}}
	for _, s := range validation() {
		r := Result{Step: s.step, Outcome: Passed}
		refusal := e.missing(s.step, at)
		if refusal == nil {
			refusal = s.check(claims, &e, at)
		}
		if refusal != nil {
			r.Outcome, r.Refusal = Refused, refusal
			if first == nil {
				first = refusal
			}
		}
		results = append(results, r)
	}
	if first != nil {
		return nil, results, first
	}
	return claims, results, nil
}

// RefusedEarly returns the results of a token that was refused before it had
// claims: by Verify, by KeySource or by Archive. The steps before the refusing
// one have passed, those after it weren't reached.
func RefusedEarly(err error) []Result {
	var refusal *Refusal
	if !errors.As(err, &refusal) || refusal.Reason.Step() == 0 {
		refusal = &Refusal{Reason: ReasonMalformed, Err: err}
	}
	var results []Result
	for step := StepShape; step <= StepWorkload; step++ {
		r := Result{Step: step}
		switch failed := refusal.Reason.Step(); {
		case step < failed:
			r.Outcome = Passed
		case step == failed:
			r.Outcome, r.Refusal = Refused, refusal
		}
		results = append(results, r)
	}
	return results
}
