package confspace

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Claims are what an authentic token says. Google adds claims over time:
// those that aren't listed here are left alone and can be read from Payload.
type Claims struct {
	Source Source

	Issuer    string // iss
	Audience  string // aud; always one string
	Subject   string // sub: URL of the instance
	IssuedAt  time.Time
	NotBefore time.Time
	Expires   time.Time
	Nonces    []string // eat_nonce, which is a bare string where there is one

	Hardware        string   // hwmodel
	SecureBoot      bool     // secboot: Secure Boot, not SEV-SNP
	Software        string   // swname
	SoftwareVersion []string // swversion
	DebugStatus     string   // dbgstat
	Support         []string // submods.confidential_space.support_attributes

	ImageDigest    string            // submods.container.image_digest
	ImageReference string            // submods.container.image_reference
	CmdOverride    []string          // submods.container.cmd_override
	EnvOverride    map[string]string // submods.container.env_override

	ProjectID       string // submods.gce.project_id
	ProjectNumber   string // submods.gce.project_number
	Zone            string // submods.gce.zone
	InstanceName    string // submods.gce.instance_name
	InstanceID      string // submods.gce.instance_id
	ServiceAccounts []string

	payload []byte
}

// Payload returns a copy of the token's payload as it was signed.
func (c *Claims) Payload() []byte { return append([]byte(nil), c.payload...) }

// wire is the payload's shape: the claim table of Google's "Confidential Space
// token claims" reference.
type wire struct {
	Issuer          string         `json:"iss"`
	Audience        string         `json:"aud"`
	Subject         string         `json:"sub"`
	IssuedAt        *int64         `json:"iat"`
	NotBefore       *int64         `json:"nbf"`
	Expires         *int64         `json:"exp"`
	Nonce           jsontext.Value `json:"eat_nonce"`
	Hardware        string         `json:"hwmodel"`
	SecureBoot      bool           `json:"secboot"`
	Software        string         `json:"swname"`
	SoftwareVersion []string       `json:"swversion"`
	DebugStatus     string         `json:"dbgstat"`
	ServiceAccounts []string       `json:"google_service_accounts"`
	Submods         struct {
		ConfidentialSpace struct {
			Support []string `json:"support_attributes"`
		} `json:"confidential_space"`
		Container struct {
			ImageDigest    string            `json:"image_digest"`
			ImageReference string            `json:"image_reference"`
			CmdOverride    []string          `json:"cmd_override"`
			EnvOverride    map[string]string `json:"env_override"`
		} `json:"container"`
		GCE struct {
			ProjectID     string `json:"project_id"`
			ProjectNumber string `json:"project_number"`
			Zone          string `json:"zone"`
			InstanceName  string `json:"instance_name"`
			InstanceID    string `json:"instance_id"`
		} `json:"gce"`
	} `json:"submods"`
}

// decodeClaims reads a payload. Names are matched exactly, a name that occurs
// twice anywhere and invalid UTF-8 are refused (the decoder's defaults), so
// that no other reader can see other values.
func decodeClaims(payload []byte, source Source) (*Claims, error) {
	var w wire
	if err := json.Unmarshal(payload, &w); err != nil {
		return nil, &Refusal{Reason: ReasonMalformed, Detail: "payload", Err: err}
	}
	nonces, err := decodeNonces(w.Nonce)
	if err != nil {
		return nil, &Refusal{Reason: ReasonMalformed, Claim: "eat_nonce", Err: err}
	}
	c := &Claims{
		Source: source, Issuer: w.Issuer, Audience: w.Audience, Subject: w.Subject, Nonces: nonces,
		Hardware: w.Hardware, SecureBoot: w.SecureBoot, Software: w.Software,
		SoftwareVersion: w.SoftwareVersion, DebugStatus: w.DebugStatus,
		Support:     w.Submods.ConfidentialSpace.Support,
		ImageDigest: w.Submods.Container.ImageDigest, ImageReference: w.Submods.Container.ImageReference,
		CmdOverride: w.Submods.Container.CmdOverride, EnvOverride: w.Submods.Container.EnvOverride,
		ProjectID: w.Submods.GCE.ProjectID, ProjectNumber: w.Submods.GCE.ProjectNumber,
		Zone: w.Submods.GCE.Zone, InstanceName: w.Submods.GCE.InstanceName, InstanceID: w.Submods.GCE.InstanceID,
		ServiceAccounts: w.ServiceAccounts, payload: payload,
	}
	for _, t := range []struct {
		claim string
		value *int64
		to    *time.Time
	}{{"iat", w.IssuedAt, &c.IssuedAt}, {"nbf", w.NotBefore, &c.NotBefore}, {"exp", w.Expires, &c.Expires}} {
		// The bound keeps time arithmetic far from overflow (year 36812).
		if t.value == nil || *t.value <= 0 || *t.value >= 1<<40 {
			return nil, refuse(ReasonMalformed, t.claim, "missing or out of range")
		}
		*t.to = time.Unix(*t.value, 0).UTC()
	}
	return c, nil
}

func decodeNonces(v jsontext.Value) ([]string, error) {
	switch v.Kind() {
	case 0, 'n': // absent, null
		return nil, nil
	case '"':
		var one string
		if err := json.Unmarshal(v, &one); err != nil {
			return nil, err
		}
		return []string{one}, nil
	case '[':
		var many []string
		if err := json.Unmarshal(v, &many); err != nil {
			return nil, err
		}
		return many, nil
	default:
		return nil, errors.New("neither a string nor a list of strings")
	}
}

// String names the claims that people look for first.
func (c *Claims) String() string {
	return fmt.Sprintf("%s on %s in project %s, image %s", c.Software, c.Hardware, c.ProjectID, c.ImageDigest)
}
