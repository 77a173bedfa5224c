package workload

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"

	"github.com/go-json-experiment/json"
)

// evidence is the statement in force and the token that vouches for it.
type evidence struct {
	mu        sync.Mutex // guards the fields below
	statement receipt.Statement
	token     string
	release   string
	expires   time.Time
	answered  time.Time // when challenges were last attested
}

func (e *evidence) current() (*receipt.Statement, string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.statement
	return &s, e.release
}

// ownClaims are the claims of its own token that the workload relies on. The
// token came over the launcher's socket from the platform itself; who doubts
// it verifies the chain.
type ownClaims struct {
	Expires    int64  `json:"exp"`
	Software   string `json:"swname"`
	Debug      string `json:"dbgstat"`
	SecureBoot bool   `json:"secboot"`
	Submods    struct {
		ConfidentialSpace struct {
			Support []string `json:"support_attributes"`
		} `json:"confidential_space"`
		Container struct {
			ImageDigest string            `json:"image_digest"`
			CmdOverride []string          `json:"cmd_override"`
			EnvOverride map[string]string `json:"env_override"`
		} `json:"container"`
		GCE struct {
			ProjectID string `json:"project_id"`
		} `json:"gce"`
	} `json:"submods"`
}

func parseOwnClaims(token string) (*ownClaims, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("%w: attestation token is no JWT", canon.ErrFormat)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, fmt.Errorf("attestation token: %w", err)
	}
	c := &ownClaims{}
	// Unknown claims are Google's to add.
	if err := json.Unmarshal(payload, c); err != nil {
		return nil, fmt.Errorf("attestation token: %w", err)
	}
	return c, nil
}

// check refuses to serve from an environment that nobody should trust, before
// anybody has to notice: KMS and clients refuse it as well.
func (c *ownClaims) check(projectID string) error {
	stable := false
	for _, a := range c.Submods.ConfidentialSpace.Support {
		stable = stable || a == "STABLE"
	}
	container := &c.Submods.Container
	switch {
	case c.Software != "CONFIDENTIAL_SPACE":
		return fmt.Errorf("this is not Confidential Space (swname is %q)", c.Software)
	case c.Debug != "disabled-since-boot":
		return fmt.Errorf("this is a debug image (dbgstat is %q): its memory can be read; deploy the production image family", c.Debug)
	case !stable:
		return fmt.Errorf("this Confidential Space image is not STABLE (support_attributes are %q): deploy a supported production image", c.Submods.ConfidentialSpace.Support)
	case !c.SecureBoot:
		return fmt.Errorf("secure boot is off")
	case !strings.HasPrefix(container.ImageDigest, "sha256:"):
		return fmt.Errorf("the token names no image digest")
	case len(container.CmdOverride) > 0 || len(container.EnvOverride) > 0:
		// Their content isn't printed: an environment can hold a credential.
		return fmt.Errorf("the operator overrode the image's command or environment: launch it as it was built")
	case c.Submods.GCE.ProjectID != projectID:
		return fmt.Errorf("running in project %q, configured for %q", c.Submods.GCE.ProjectID, projectID)
	}
	return nil
}

// attest has a fresh statement of this instance attested, with the challenges'
// root in it.
func (s *Service) attest(ctx context.Context, challenges [32]byte) (*receipt.Statement, string, *ownClaims, error) {
	st, _ := s.evidence.current()
	st.Issued, st.Challenges = micros(s.args.Now()), challenges
	token, err := s.args.Attester.PKIToken(ctx, receipt.EvidenceAudience, st.Nonce())
	if err != nil {
		return nil, "", nil, fmt.Errorf("no attestation: %w", err)
	}
	claims, err := parseOwnClaims(token)
	if err != nil {
		return nil, "", nil, fmt.Errorf("no attestation: %w", err)
	}
	if err := claims.check(s.args.Config.ProjectID); err != nil {
		return nil, "", nil, fmt.Errorf("no attestation: %w", err)
	}
	return st, token, claims, nil
}

// RenewEvidence puts a freshly attested statement in force.
func (s *Service) RenewEvidence(ctx context.Context) error {
	st, token, claims, err := s.attest(ctx, [32]byte{})
	if err != nil {
		return err
	}
	s.evidence.mu.Lock()
	defer s.evidence.mu.Unlock()
	s.evidence.statement, s.evidence.token = *st, token
	s.evidence.release = claims.Submods.Container.ImageDigest
	s.evidence.expires = time.Unix(claims.Expires, 0)
	return nil
}

// KeepAttested renews the evidence at 80 % of its token's life, until ctx
// ends. failed hears of each failure; it is tried again every 30 s, and once
// the token has expired nothing is decided any more.
func (s *Service) KeepAttested(ctx context.Context, failed func(error)) {
	for {
		s.evidence.mu.Lock()
		issued, expires := time.UnixMicro(int64(s.evidence.statement.Issued)), s.evidence.expires
		s.evidence.mu.Unlock()
		wait := max(issued.Add(expires.Sub(issued)*8/10).Sub(s.args.Now()), 30*time.Second)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if err := s.RenewEvidence(ctx); err != nil {
			failed(err)
		}
	}
}

// attested returns the release, or a refusal when the evidence has expired.
func (s *Service) attested(now time.Time) (string, error) {
	s.evidence.mu.Lock()
	defer s.evidence.mu.Unlock()
	if !now.Before(s.evidence.expires) {
		return "", remote("attestation_unavailable", "the TEE's attestation has expired and can't be renewed; it decides nothing until it is")
	}
	return s.evidence.release, nil
}

// Hello introduces the instance.
func (s *Service) Hello(context.Context) (teelink.HelloReply, error) {
	s.evidence.mu.Lock()
	defer s.evidence.mu.Unlock()
	return teelink.HelloReply{
		Statement: s.evidence.statement.Encode(),
		Token:     []byte(s.evidence.token),
		Release:   s.evidence.release,
		Version:   s.args.Version,
	}, nil
}

// attestInterval is the least time between tokens for challenges: the
// attestation service takes five requests a second from a project, whose other
// instances and renewals need some too.
const attestInterval = time.Second

// Attest implements teelink.Handler. The statement isn't put in force: nothing
// that this instance signs refers to it.
func (s *Service) Attest(ctx context.Context, challenges [32]byte) (teelink.HelloReply, error) {
	if !s.evidence.mayAnswer(s.args.Now()) {
		return teelink.HelloReply{}, remote("attestation_busy", "challenges are attested once a second at most; ask again")
	}
	st, token, claims, err := s.attest(ctx, challenges)
	if err != nil {
		return teelink.HelloReply{}, remote("attestation_unavailable", "the platform gives no attestation now; try again")
	}
	return teelink.HelloReply{Statement: st.Encode(), Token: []byte(token), Release: claims.Submods.Container.ImageDigest, Version: s.args.Version}, nil
}

// mayAnswer takes the turn to have challenges attested, if it is due. A clock
// that went back waits no longer than one that stands.
func (e *evidence) mayAnswer(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if since := now.Sub(e.answered); since >= 0 && since < attestInterval {
		return false
	}
	e.answered = now
	return true
}

// Release returns the image digest that the platform attests.
func (s *Service) Release() string { _, r := s.evidence.current(); return r }
