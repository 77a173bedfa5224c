package cloudsim

import (
	"slices"
	"time"

	"github.com/sigilkeys/sigil/attest/attesttest"
)

// madeUpID is the digest of an image's configuration that nobody has.
const madeUpID = "sha256:11c28ed3507c12c978c67a8ef99ecd403aeae61c3c862ff8e647cc54fca24525"

const imageRepository = "us-central1-docker.pkg.dev/sigil-tee/sigil/sigil-tee"

// acceptedHardware is what Confidential Space attests today, and what the cloud
// was set to besides: GCP_AMD_SEV_SNP is refused by Google since mid-2026.
func acceptedHardware(own string) []string {
	list := []string{"GCP_AMD_SEV", "GCP_INTEL_TDX"}
	if !slices.Contains(list, own) {
		list = append(list, own)
	}
	return list
}

func defaultWorkload(hardware string) attesttest.Workload {
	return attesttest.Workload{
		ProjectID: "sigil-tee", ProjectNumber: "100000000001", Zone: "us-central1-b",
		InstanceName: "sigil-tee-0", InstanceID: "7757650102930921744",
		ServiceAccount: "sigil-workload@sigil-tee.iam.gserviceaccount.com", Hardware: hardware,
		Env: map[string]string{"HOSTNAME": "sigil-tee-0"},
	}
}

// Knobs bend the cloud. The zero value is an honest, healthy one.
type Knobs struct {
	// The workload is another than the honest one.
	ImageDigest    string `json:"image_digest,omitempty"` // runs this image instead
	Hardware       string `json:"hardware,omitempty"`
	ProjectID      string `json:"project_id,omitempty"`
	ServiceAccount string `json:"service_account,omitempty"`
	Debug          bool   `json:"debug,omitempty"`        // debug image
	DebugUsable    bool   `json:"debug_usable,omitempty"` // debug image with LATEST and USABLE
	DebugStable    bool   `json:"debug_stable,omitempty"` // debug image with STABLE too, which none should have
	NoStable       bool   `json:"no_stable,omitempty"`    // image out of support
	SecureBootOff  bool   `json:"secure_boot_off,omitempty"`
	PlainVM        bool   `json:"plain_vm,omitempty"` // swname GCE, no container
	Software       string `json:"software,omitempty"` // swname, all else as it was
	EnvOverride    bool   `json:"env_override,omitempty"`
	CmdOverride    bool   `json:"cmd_override,omitempty"`

	// The token is another than the one asked for.
	Expired       bool `json:"expired,omitempty"`        // two hours old
	Future        bool `json:"future,omitempty"`         // issued an hour from now
	ForeignIssuer bool `json:"foreign_issuer,omitempty"` // another service's token
	ForeignKey    bool `json:"foreign_key,omitempty"`    // this issuer's name, another one's key
	Replay        bool `json:"replay,omitempty"`         // a nonce from earlier

	// The launcher fails, so that it leaves its token file as it is: "down" (no
	// verifier client), "snp" (the hardware is refused by the attestation
	// service), "garbage".
	Launcher string `json:"launcher,omitempty"`

	// How calls fail: those of the launcher's socket, of the attestation
	// service's published documents, of STS and KMS.
	Socket Fault `json:"socket,omitzero"`
	Issuer Fault `json:"issuer,omitzero"`
	STS    Fault `json:"sts,omitzero"`
	KMS    Fault `json:"kms,omitzero"`

	// How long changes take to be in force, in milliseconds: of IAM policies,
	// pools and providers; of a key's versions and its primary one. Google
	// says minutes, and for a disabled version up to hours.
	IAMPropagation int `json:"iam_propagation,omitempty"`
	KeyPropagation int `json:"key_propagation,omitempty"`
	// AccessTokenSeconds is the life of access tokens that are issued from now
	// on; 0: what is left of the attestation token's, an hour at most.
	AccessTokenSeconds int `json:"access_token_seconds,omitempty"`
}

// Fault is a way for a service to fail.
type Fault struct {
	Mode  string `json:"mode,omitempty"`  // see the Fault constants; "" is none
	Key   string `json:"key,omitempty"`   // KMS only: this key; "" is all
	Delay int    `json:"delay,omitempty"` // milliseconds, for FaultSlow
	Count int    `json:"count,omitempty"` // so many calls, then none; 0: until changed
}

// Modes of Fault. Those of the second group are the KMS's only.
const (
	FaultSlow        = "slow" // answers after Delay
	FaultHang        = "hang" // never answers
	FaultGarbage     = "garbage"
	FaultDoneThenCut = "done-then-fail" // does it, then drops the connection
	FaultRate        = "429"            // over quota; the launcher says so with its own status
	FaultUnavailable = "503"            // likewise

	FaultDeny           = "deny"     // permission denied
	FaultDisabled       = "disabled" // key version disabled
	FaultExpired        = "expired"  // access tokens run out while the call is under way
	FaultWrongCRC       = "wrong-crc"
	FaultNotVerified    = "not-verified"     // encrypt doesn't confirm the plaintext's CRC32C
	FaultAADNotVerified = "aad-not-verified" // encrypt doesn't confirm the AAD's CRC32C
	FaultInClear        = "in-clear"         // encrypt's ciphertext has the plaintext in it
	FaultOtherKey       = "other-key"        // encrypt's reply names another key
	FaultCutShort       = "cut-short"        // drops the connection within the reply
	FaultOversized      = "oversized"        // 1 MiB
	FaultWrongSize      = "wrong-size"       // data of a size that can't be
	FaultChunked        = "chunked"          // no failure: many small pieces
)

// SetKnobs replaces all knobs.
func (s *Sim) SetKnobs(k Knobs) error {
	if err := k.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.knobs = k
	return nil
}

// Knobs returns the knobs as they stand.
func (s *Sim) Knobs() Knobs {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.knobs
}

// take returns the mode that the next call meets, and counts it.
func (f *Fault) take(key string) (mode string, delay time.Duration) {
	if f.Mode == "" || (f.Key != "" && f.Key != key) {
		return "", 0
	}
	mode, delay = f.Mode, time.Duration(f.Delay)*time.Millisecond
	if f.Count > 0 {
		if f.Count--; f.Count == 0 {
			*f = Fault{}
		}
	}
	return mode, delay
}

// apply returns the workload as the knobs make it look.
func (k Knobs) apply(w attesttest.Workload) attesttest.Workload {
	for _, f := range []struct {
		to   *string
		from string
	}{
		{&w.ImageDigest, k.ImageDigest}, {&w.Hardware, k.Hardware},
		{&w.ProjectID, k.ProjectID}, {&w.ServiceAccount, k.ServiceAccount}, {&w.Software, k.Software},
	} {
		if f.from != "" {
			*f.to = f.from
		}
	}
	w.ImageReference = imageRepository + "@" + w.ImageDigest
	w.Debug = k.Debug || k.DebugUsable || k.DebugStable
	w.DebugUsable, w.DebugStable, w.NoStable = k.DebugUsable, k.DebugStable, k.NoStable
	w.SecureBootOff, w.PlainVM = k.SecureBootOff, k.PlainVM
	if k.EnvOverride {
		w.EnvOverride = map[string]string{"SIGIL_CONFIG": "/dev/shm/evil.json"}
	}
	if k.CmdOverride {
		w.CmdOverride = []string{"--config", "/dev/shm/evil.json"}
	}
	return w
}
