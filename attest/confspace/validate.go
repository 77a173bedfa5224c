package confspace

import (
	"slices"
	"strings"
	"time"
)

// Skew is how far the token's times and the caller's clock may differ.
const Skew = 60 * time.Second

// MaxLifetime is the longest accepted time from issue to expiry. Google's
// tokens live an hour.
const MaxLifetime = 24 * time.Hour

// Values of claims that production workloads have.
const (
	SoftwareConfidentialSpace = "CONFIDENTIAL_SPACE"
	DebugDisabled             = "disabled-since-boot"
	SupportStable             = "STABLE"
	SupportExperimental       = "EXPERIMENTAL"
)

// Values of hwmodel. Which of them is acceptable is the caller's decision:
// Confidential Space has issued GCP_AMD_SEV_SNP, and since mid-2026 doesn't.
const (
	HardwareSEV    = "GCP_AMD_SEV"
	HardwareSEVSNP = "GCP_AMD_SEV_SNP"
	HardwareTDX    = "GCP_INTEL_TDX"
)

// Expectation holds the reference values. Every field but At must be set:
// what isn't named is refused, so the zero value refuses all tokens.
type Expectation struct {
	Issuer         string   // compared after cutting one final slash on both sides
	Audience       string   // equal
	Hardware       []string // hwmodel is one of these
	ProjectID      string   // equal
	ServiceAccount string   // among the token's service accounts
	ImageDigests   []string // image_digest is one of these
	Nonce          string   // the token has exactly this one nonce

	// At is the instant for which archived evidence is validated: when
	// something that it vouches for was signed, taken from that signed thing.
	// Verify must be given the same instant. Zero: the caller's present.
	At time.Time
}

// Validate compares authentic claims with the expectation, at the given
// present or at e.At. It returns nil or a *Refusal with the first reason.
func Validate(c *Claims, e Expectation, now time.Time) error {
	if c == nil {
		return refuse(ReasonMalformed, "", "no claims")
	}
	at := e.instant(now)
	steps := validation()
	for _, s := range steps {
		if r := e.missing(s.step, at); r != nil {
			return r
		}
	}
	for _, s := range steps {
		if r := s.check(c, &e, at); r != nil {
			return r
		}
	}
	return nil
}

// validationStep is what a step of the checklist asks of authentic claims.
type validationStep struct {
	step  Step
	check func(*Claims, *Expectation, time.Time) *Refusal
}

func validation() []validationStep {
	return []validationStep{
		{StepOrigin, checkOrigin}, {StepTimes, checkTimes}, {StepNonce, checkNonce},
		{StepPlatform, checkPlatform}, {StepWorkload, checkWorkload},
	}
}

func (e *Expectation) instant(now time.Time) time.Time {
	if !e.At.IsZero() {
		return e.At
	}
	return now
}

// missing refuses when a step has nothing to compare with.
func (e *Expectation) missing(step Step, at time.Time) *Refusal {
	for _, f := range []struct {
		step    Step
		name    string
		missing bool
	}{
		{StepOrigin, "iss", e.Issuer == ""}, {StepOrigin, "aud", e.Audience == ""}, {StepTimes, "time", at.IsZero()},
		{StepNonce, "eat_nonce", e.Nonce == ""}, {StepPlatform, "hwmodel", empty(e.Hardware)},
		{StepWorkload, "image_digest", empty(e.ImageDigests)}, {StepWorkload, "project_id", e.ProjectID == ""},
		{StepWorkload, "google_service_accounts", e.ServiceAccount == ""},
	} {
		if f.step == step && f.missing {
			return refuse(ReasonExpectation, f.name, "no expected value is given")
		}
	}
	return nil
}

func empty(set []string) bool { return len(set) == 0 || slices.Contains(set, "") }

func checkOrigin(c *Claims, e *Expectation, _ time.Time) *Refusal {
	switch {
	case !sameIssuer(c.Issuer, e.Issuer):
		return refuse(ReasonIssuer, "iss", "%q, expected %q", clip(c.Issuer), e.Issuer)
	case c.Audience != e.Audience:
		return refuse(ReasonAudience, "aud", "%q, expected %q", clip(c.Audience), e.Audience)
	}
	return nil
}

func checkTimes(c *Claims, _ *Expectation, at time.Time) *Refusal {
	switch {
	case c.IssuedAt.After(at.Add(Skew)):
		return refuse(ReasonIssuedInFuture, "iat", "%s is after %s", stamp(c.IssuedAt), stamp(at))
	case c.NotBefore.After(at.Add(Skew)):
		return refuse(ReasonNotYetValid, "nbf", "%s is after %s", stamp(c.NotBefore), stamp(at))
	case !c.Expires.After(at.Add(-Skew)):
		return refuse(ReasonExpired, "exp", "%s is not after %s", stamp(c.Expires), stamp(at))
	case !c.Expires.After(c.IssuedAt) || c.Expires.Sub(c.IssuedAt) > MaxLifetime:
		return refuse(ReasonLifetime, "exp", "%s from issue to expiry", c.Expires.Sub(c.IssuedAt))
	}
	return nil
}

func checkNonce(c *Claims, e *Expectation, _ time.Time) *Refusal {
	if len(c.Nonces) != 1 || c.Nonces[0] != e.Nonce {
		return refuse(ReasonNonce, "eat_nonce", "%d nonces, not exactly the expected one", len(c.Nonces))
	}
	return nil
}

func checkPlatform(c *Claims, e *Expectation, _ time.Time) *Refusal {
	switch {
	case c.Software != SoftwareConfidentialSpace:
		return refuse(ReasonSoftware, "swname", "%q", clip(c.Software))
	case !slices.Contains(e.Hardware, c.Hardware):
		return refuse(ReasonHardware, "hwmodel", "%q is not one of %q", clip(c.Hardware), e.Hardware)
	case !c.SecureBoot:
		return refuse(ReasonSecureBoot, "secboot", "not true")
	case c.DebugStatus != DebugDisabled:
		return refuse(ReasonDebug, "dbgstat", "%q, expected %q", clip(c.DebugStatus), DebugDisabled)
	case !slices.Contains(c.Support, SupportStable) || slices.Contains(c.Support, SupportExperimental):
		return refuse(ReasonNotStable, "support_attributes", "%s", clip(strings.Join(c.Support, " ")))
	}
	return nil
}

func checkWorkload(c *Claims, e *Expectation, _ time.Time) *Refusal {
	switch {
	case !slices.Contains(e.ImageDigests, c.ImageDigest):
		return refuse(ReasonImageDigest, "image_digest", "%q is not an accepted release", clip(c.ImageDigest))
	case c.ProjectID != e.ProjectID:
		return refuse(ReasonProject, "project_id", "%q, expected %q", clip(c.ProjectID), e.ProjectID)
	case !slices.Contains(c.ServiceAccounts, e.ServiceAccount):
		return refuse(ReasonServiceAccount, "google_service_accounts", "%q is not among them", e.ServiceAccount)
	case len(c.CmdOverride) > 0:
		return refuse(ReasonCmdOverride, "cmd_override", "the command was replaced")
	case len(c.EnvOverride) > 0:
		return refuse(ReasonEnvOverride, "env_override", "%d variables were replaced", len(c.EnvOverride))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
