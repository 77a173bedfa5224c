package confspace

import "fmt"

// Reason is why a token was refused. The values are stable.
type Reason string

// Reasons of Verify: the token isn't authentic.
const (
	ReasonMalformed  Reason = "malformed"       // not a compact JWT of the expected shape
	ReasonTooLarge   Reason = "too_large"       // longer than MaxToken
	ReasonAlgorithm  Reason = "algorithm"       // alg isn't RS256
	ReasonHeader     Reason = "header"          // header members that change the meaning of the token
	ReasonUntrusted  Reason = "untrusted_token" // of a kind that the caller has no trust anchor for
	ReasonUnknownKey Reason = "unknown_key"     // kid isn't in the key set
	// ReasonKeysUnavailable: the issuer's keys can't be had, or not young enough.
	ReasonKeysUnavailable Reason = "keys_unavailable"
	ReasonKeySet          Reason = "key_set"   // archived keys aren't those that are pinned
	ReasonRoot            Reason = "root"      // chain ends in another root than the pinned one
	ReasonChain           Reason = "chain"     // chain doesn't verify at the given time
	ReasonSignature       Reason = "signature" // signature doesn't verify
)

// Reasons of Validate: the token is authentic and says something else than
// expected.
const (
	ReasonExpectation    Reason = "expectation_incomplete" // the caller named no value to compare with
	ReasonIssuer         Reason = "issuer"
	ReasonAudience       Reason = "audience"
	ReasonIssuedInFuture Reason = "issued_in_future"
	ReasonNotYetValid    Reason = "not_yet_valid"
	ReasonExpired        Reason = "expired"
	ReasonLifetime       Reason = "lifetime"
	ReasonSoftware       Reason = "software_name"
	ReasonHardware       Reason = "hardware"
	ReasonSecureBoot     Reason = "secure_boot"
	ReasonDebug          Reason = "debug"
	ReasonNotStable      Reason = "not_stable"
	ReasonImageDigest    Reason = "image_digest"
	ReasonProject        Reason = "project_id"
	ReasonServiceAccount Reason = "service_account"
	ReasonCmdOverride    Reason = "cmd_override"
	ReasonEnvOverride    Reason = "env_override"
	ReasonNonce          Reason = "nonce"
)

// Refusal is the error of Verify, Validate and KeySource.
type Refusal struct {
	Reason Reason
	Claim  string // claim or header member at fault, "" where none is
	Detail string // for people; never parsed
	Err    error  // cause, may be nil
}

// Error says what was refused and why.
func (r *Refusal) Error() string {
	s := "attestation token refused: " + string(r.Reason)
	if r.Claim != "" {
		s += " (" + r.Claim + ")"
	}
	if r.Detail != "" {
		s += ": " + r.Detail
	}
	if r.Err != nil {
		s += ": " + r.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }

func refuse(reason Reason, claim, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Claim: claim, Detail: fmt.Sprintf(format, args...)}
}

// clip keeps foreign text out of logs beyond a readable length.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
