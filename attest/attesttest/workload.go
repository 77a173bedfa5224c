package attesttest

import (
	"encoding/json"
	"time"
)

// Lifetime is how long tokens live, as Google's do.
const Lifetime = time.Hour

// Workload is what a Confidential Space VM would be found to be. The zero
// values of its switches are those of an honest production workload.
type Workload struct {
	ImageDigest    string // sha256:…
	ImageReference string
	ImageID        string // digest of the image's configuration
	ProjectID      string
	ProjectNumber  string
	Zone           string
	InstanceName   string
	InstanceID     string
	ServiceAccount string
	Hardware       string // hwmodel
	Env            map[string]string
	Args           []string

	CmdOverride []string
	EnvOverride map[string]string

	Debug         bool // debug image: dbgstat enabled, no support attributes
	DebugUsable   bool // with Debug: LATEST and USABLE, seen on some images
	DebugStable   bool // with Debug: all that a production image has; seen nowhere
	NoStable      bool // image out of support: USABLE only
	SecureBootOff bool
	PlainVM       bool   // swname GCE and no container, as a revoked image gets
	Software      string // swname; "" is CONFIDENTIAL_SPACE, or GCE for a PlainVM
}

// Request is what a token is asked for.
type Request struct {
	Audience string
	Nonces   []string
	IssuedAt time.Time
}

// The payload's members in the order in which Google writes them, with the
// omissions seen in tokens of 2026: no nonce in default tokens, no override
// member when nothing is overridden.
type payload struct {
	Audience   string   `json:"aud"`
	Expires    int64    `json:"exp"`
	IssuedAt   int64    `json:"iat"`
	Issuer     string   `json:"iss"`
	NotBefore  int64    `json:"nbf"`
	Subject    string   `json:"sub"`
	Nonce      any      `json:"eat_nonce,omitempty"`
	Profile    string   `json:"eat_profile"`
	SecureBoot bool     `json:"secboot"`
	OEM        uint64   `json:"oemid"`
	Hardware   string   `json:"hwmodel"`
	Software   string   `json:"swname"`
	Version    []string `json:"swversion,omitempty"`
	TCB        []string `json:"attester_tcb,omitempty"`
	Debug      string   `json:"dbgstat"`
	Submods    submods  `json:"submods"`
	TDX        *tdx     `json:"tdx,omitempty"`
	Accounts   []string `json:"google_service_accounts"`
}

type submods struct {
	Space     *space     `json:"confidential_space,omitempty"`
	Container *container `json:"container,omitempty"`
	GCE       gce        `json:"gce"`
}

type space struct {
	Support    []string   `json:"support_attributes,omitempty"`
	Monitoring monitoring `json:"monitoring_enabled"`
}

type monitoring struct {
	Memory bool `json:"memory"`
}

type container struct {
	Reference   string            `json:"image_reference"`
	Digest      string            `json:"image_digest"`
	Restart     string            `json:"restart_policy"`
	ID          string            `json:"image_id"`
	EnvOverride map[string]string `json:"env_override,omitempty"`
	CmdOverride []string          `json:"cmd_override,omitempty"`
	Env         map[string]string `json:"env"`
	Args        []string          `json:"args"`
}

type gce struct {
	Zone          string `json:"zone"`
	ProjectID     string `json:"project_id"`
	ProjectNumber string `json:"project_number"`
	InstanceName  string `json:"instance_name"`
	InstanceID    string `json:"instance_id"`
}

type tdx struct {
	Status string `json:"gcp_attester_tcb_status"`
	Date   string `json:"gcp_attester_tcb_date"`
}

const (
	profileSpace = "https://cloud.google.com/confidential-computing/confidential-space/docs/reference/token-claims"
	profileVM    = "https://cloud.google.com/confidential-computing/confidential-vm/docs/token-claims"
	softwareYYMM = "260800"
)

// Payload returns the claims of a token for the workload, as JSON in the
// order and with the HTML escapes that Google's tokens have.
func (w Workload) Payload(issuer string, r Request) ([]byte, error) {
	p := payload{
		Audience: r.Audience, Issuer: issuer,
		IssuedAt: r.IssuedAt.Unix(), NotBefore: r.IssuedAt.Unix(), Expires: r.IssuedAt.Add(Lifetime).Unix(),
		Subject: "https://www.googleapis.com/compute/v1/projects/" + w.ProjectID + "/zones/" + w.Zone + "/instances/" + w.InstanceName,
		Profile: profileSpace, SecureBoot: !w.SecureBootOff, OEM: 11129,
		Hardware: w.Hardware, Software: "CONFIDENTIAL_SPACE", Version: []string{softwareYYMM},
		Debug:    "disabled-since-boot",
		Submods:  submods{Space: w.space(), Container: w.container(), GCE: gce{w.Zone, w.ProjectID, w.ProjectNumber, w.InstanceName, w.InstanceID}},
		Accounts: []string{w.ServiceAccount},
	}
	switch len(r.Nonces) {
	case 0:
	case 1:
		p.Nonce = r.Nonces[0] // a single nonce is a bare string
	default:
		p.Nonce = r.Nonces
	}
	if w.Debug {
		p.Debug = "enabled"
	}
	if w.Hardware == "GCP_INTEL_TDX" {
		p.TCB, p.TDX = []string{"INTEL"}, &tdx{"UpToDate", "2024-03-13T00:00:00Z"}
	}
	if w.Software != "" {
		p.Software = w.Software
	}
	if w.PlainVM {
		p.Software, p.Version, p.Profile = "GCE", nil, profileVM
		p.Submods.Space, p.Submods.Container = nil, nil
	}
	return json.Marshal(p)
}

func (w Workload) space() *space {
	switch {
	case w.Debug && w.DebugStable:
		return &space{Support: []string{"LATEST", "STABLE", "USABLE"}}
	case w.Debug && w.DebugUsable:
		return &space{Support: []string{"LATEST", "USABLE"}}
	case w.Debug:
		return &space{}
	case w.NoStable:
		return &space{Support: []string{"USABLE"}}
	default:
		return &space{Support: []string{"LATEST", "STABLE", "USABLE"}}
	}
}

func (w Workload) container() *container {
	return &container{
		Reference: w.ImageReference, Digest: w.ImageDigest, Restart: "Never", ID: w.ImageID,
		EnvOverride: w.EnvOverride, CmdOverride: w.CmdOverride, Env: w.Env, Args: w.Args,
	}
}
