package cloudsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/sigilkeys/sigil/attest/attesttest"
)

const stsAudience = "https://sts.googleapis.com"

// Limits of the attestation service behind the launcher.
const (
	maxAudience = 512
	minNonce    = 10
	maxNonce    = 74
	maxNonces   = 6
)

// tokenOptions is the body of POST /v1/token, as the launcher's source has it.
type tokenOptions struct {
	Audience  string          `json:"audience"`
	Nonces    []string        `json:"nonces"`
	TokenType string          `json:"token_type"`
	AWS       json.RawMessage `json:"aws_principal_tag_options"`
}

// launcherRoutes serves the launcher's socket: routes, statuses and texts of
// its source. All answers are text/html, also errors.
func (s *Sim) launcherRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/token", func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet:
			s.defaultToken(w)
		case http.MethodPost:
			s.customToken(w, r)
		default:
			launcherReply(w, http.StatusBadRequest, "TEE server received an invalid HTTP method: "+r.Method)
		}
	})
	return s.faulty(mux, func(k *Knobs) *Fault { return &k.Socket }, launcherVoice)
}

// launcherVoice is how the launcher passes failures of the attestation service
// on: in plain words as text/html, with status 500 for all that may pass.
func launcherVoice(w http.ResponseWriter, r *http.Request, mode string) {
	prefix := failedDefault
	if r.Method == http.MethodPost {
		prefix = failedCustom
	}
	switch mode {
	case FaultGarbage:
		launcherReply(w, http.StatusOK, "<html>\x00\xff")
	case FaultRate:
		launcherReply(w, http.StatusInternalServerError, prefix+overQuota)
	case FaultUnavailable:
		launcherReply(w, http.StatusInternalServerError, prefix+attestationError+"503: The service is currently unavailable.")
	}
}

// Beginnings of the launcher's errors. The attestation service's words behind
// them were observed for SEV-SNP only.
const (
	failedDefault    = "failed to retrieve attestation service token: "
	failedCustom     = "failed to retrieve custom attestation service token: "
	attestationError = "calling v1.VerifyConfidentialSpace in us-central1: googleapi: Error "
	overQuota        = attestationError + "429: Quota exceeded for quota metric 'Attestation requests'"
)

// faulty puts the knob's fault before a handler, or after it. The body is read
// first: only then is a client's leaving noticed. What reading it ends in, the
// handler sees too.
func (s *Sim) faulty(h http.Handler, knob func(*Knobs) *Fault, say voice) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), r.Body))
		s.mu.Lock()
		mode, delay := knob(&s.knobs).take("")
		s.mu.Unlock()
		if s.misbehave(w, r, mode, delay, say) {
			deliver(w, mode, false, func(w http.ResponseWriter) { h.ServeHTTP(w, r) })
		}
	})
}

func launcherReply(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func (s *Sim) defaultToken(w http.ResponseWriter) {
	s.answerToken(w, failedDefault, defaultOptions())
}

func defaultOptions() tokenOptions { return tokenOptions{Audience: stsAudience, TokenType: "OIDC"} }

func (s *Sim) customToken(w http.ResponseWriter, r *http.Request) {
	var o tokenOptions
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&o); err != nil {
		launcherReply(w, http.StatusBadRequest, "failed to parse POST body as TokenOptions: "+err.Error())
		return
	}
	switch {
	case o.Audience == "":
		launcherReply(w, http.StatusBadRequest, "use GET request for the default identity token")
		return
	case o.TokenType == "":
		launcherReply(w, http.StatusBadRequest, "token_type is a required parameter")
		return
	}
	if err := checkOptions(o); err != "" {
		launcherReply(w, http.StatusBadRequest, failedCustom+err)
		return
	}
	s.answerToken(w, failedCustom, o)
}

// checkOptions are the attestation service's own checks; its texts weren't
// observed.
func checkOptions(o tokenOptions) string {
	switch {
	case len(o.Audience) > maxAudience:
		return fmt.Sprintf("googleapi: Error 400: audience must be at most %d bytes", maxAudience)
	case strings.TrimSuffix(o.Audience, "/") == stsAudience, strings.TrimSuffix(o.Audience, "/") == "https://sts.google.com":
		return "googleapi: Error 400: audience is reserved for default tokens"
	case len(o.Nonces) < 1 || len(o.Nonces) > maxNonces:
		return fmt.Sprintf("googleapi: Error 400: 1 to %d nonces must be given", maxNonces)
	case o.TokenType != "OIDC" && o.TokenType != "PKI":
		return "googleapi: Error 400: token type is not supported by the local cloud"
	}
	for _, n := range o.Nonces {
		if len(n) < minNonce || len(n) > maxNonce {
			return fmt.Sprintf("googleapi: Error 400: nonces must have %d to %d bytes", minNonce, maxNonce)
		}
	}
	return ""
}

func (s *Sim) answerToken(w http.ResponseWriter, prefix string, o tokenOptions) {
	s.mu.Lock()
	workload, knobs := s.workload, s.knobs
	allowed := s.bucket.take(s.cfg.Clock(), s.cfg.TokensPerSecond)
	s.mu.Unlock()
	if status, text := withoutToken(workload, knobs, prefix); text != "" {
		launcherReply(w, status, text)
		return
	}
	if !allowed {
		launcherReply(w, http.StatusInternalServerError, prefix+overQuota)
		return
	}
	token, err := s.mint(knobs.apply(workload), knobs, o)
	if err != nil {
		launcherReply(w, http.StatusInternalServerError, prefix+err.Error())
		return
	}
	launcherReply(w, http.StatusOK, token)
}

// withoutToken is what a launcher says that has no token to give; "": it has.
func withoutToken(w attesttest.Workload, k Knobs, prefix string) (status int, text string) {
	switch {
	case w.ImageDigest == "" && k.ImageDigest == "", k.Launcher == "down":
		return http.StatusInternalServerError, "no GCA verifier client present, please try rebooting your VM"
	case k.Launcher == "garbage":
		return http.StatusOK, "<html><body>not a token</body></html>"
	case k.Launcher == "snp":
		return http.StatusBadRequest, prefix + attestationError + "400: attestation failed: AMD SEV-SNP is not currently supported by Google Cloud Attestation"
	}
	return 0, ""
}

// mint signs a token as the knobs say.
func (s *Sim) mint(w attesttest.Workload, k Knobs, o tokenOptions) (string, error) {
	at := s.cfg.Clock()
	switch {
	case k.Expired:
		at = at.Add(-2 * time.Hour)
	case k.Future:
		at = at.Add(time.Hour)
	}
	if k.Replay && len(o.Nonces) > 0 {
		o.Nonces = []string{strings.Repeat("0", 64)}
	}
	signer, name := s.issuer, s.issuer.URL()
	if k.ForeignIssuer || k.ForeignKey {
		var err error
		if signer, err = s.foreignIssuer(); err != nil {
			return "", err
		}
		if k.ForeignIssuer {
			name = signer.URL()
		}
	}
	payload, err := w.Payload(name, attesttest.Request{Audience: o.Audience, Nonces: o.Nonces, IssuedAt: at})
	if err != nil {
		return "", err
	}
	if o.TokenType == "PKI" {
		return signer.PKI(payload)
	}
	return signer.OIDC(payload)
}

func (s *Sim) foreignIssuer() (*attesttest.Issuer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.foreign == nil {
		issuer, err := attesttest.New("https://attestation.foreign.test", s.cfg.Clock())
		if err != nil {
			return nil, err
		}
		s.foreign = issuer
	}
	return s.foreign, nil
}

// bucket is a quota of calls per second with a burst of one second's worth.
type bucket struct {
	level float64
	last  time.Time
}

func (b *bucket) take(now time.Time, perSecond int) bool {
	if perSecond < 0 {
		return true
	}
	most := float64(perSecond)
	if b.last.IsZero() {
		b.level = most
	} else {
		b.level = min(most, b.level+max(0, now.Sub(b.last).Seconds())*most)
	}
	b.last = now
	if b.level < 1 {
		return false
	}
	b.level--
	return true
}

func (k Knobs) check() error {
	switch k.Launcher {
	case "", "down", "garbage", "snp":
	default:
		return fmt.Errorf("cloudsim: launcher can't be %q", k.Launcher)
	}
	if k.ImageDigest != "" && !digestPattern.MatchString(k.ImageDigest) {
		return fmt.Errorf("cloudsim: %q is not an image digest", k.ImageDigest)
	}
	for name, f := range map[string]Fault{"socket": k.Socket, "issuer": k.Issuer, "sts": k.STS, "kms": k.KMS} {
		if err := f.check(name == "kms"); err != nil {
			return fmt.Errorf("cloudsim: %s: %w", name, err)
		}
	}
	for _, ms := range []int{k.IAMPropagation, k.KeyPropagation} {
		if ms < 0 || time.Duration(ms)*time.Millisecond > maxPropagation {
			return fmt.Errorf("cloudsim: changes spread within %v", maxPropagation)
		}
	}
	if k.AccessTokenSeconds < 0 || time.Duration(k.AccessTokenSeconds)*time.Second > maxFederatedLife {
		return fmt.Errorf("cloudsim: access tokens live %v at most", maxFederatedLife)
	}
	return nil
}

func (f Fault) check(kms bool) error {
	if f.Delay < 0 || f.Count < 0 {
		return fmt.Errorf("negative delay or count")
	}
	switch f.Mode {
	case "", FaultSlow, FaultHang, FaultGarbage, FaultDoneThenCut, FaultRate, FaultUnavailable:
		return nil
	case FaultDeny, FaultDisabled, FaultExpired, FaultWrongCRC, FaultNotVerified, FaultAADNotVerified, FaultInClear, FaultOtherKey, FaultCutShort, FaultOversized, FaultWrongSize, FaultChunked:
		if kms {
			return nil
		}
	}
	return fmt.Errorf("no fault %q", f.Mode)
}
