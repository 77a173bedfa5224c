package cloudsim

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sigilkeys/sigil/attest/confspace"
)

// Values of RFC 8693 that the STS takes.
const (
	grantType   = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessType  = "urn:ietf:params:oauth:token-type:access_token"
	jwtType     = "urn:ietf:params:oauth:token-type:jwt"
	idTokenType = "urn:ietf:params:oauth:token-type:id_token"

	maxFederatedLife = time.Hour
	maxCredentialAge = 24 * time.Hour
	maxSubject       = 127 // bytes of google.subject
)

// stsError is an error reply; all observed ones have status 400.
type stsError struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
}

func (e *stsError) Error() string { return e.Code + ": " + e.Description }

func stsErrorf(code, format string, args ...any) *stsError {
	return &stsError{code, fmt.Sprintf(format, args...)}
}

func (s *Sim) stsRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/token", func(w http.ResponseWriter, r *http.Request) {
		var reply *stsReply
		form, err := tokenForm(r)
		if err == nil {
			reply, err = s.exchange(form)
		}
		var refusal *stsError
		switch {
		case errors.As(err, &refusal):
			writeJSON(w, http.StatusBadRequest, refusal)
		case err != nil:
			writeJSON(w, http.StatusInternalServerError, stsErrorf("internal_error", "%v", err))
		default:
			writeJSON(w, http.StatusOK, reply)
		}
	})
	return s.faulty(mux, func(k *Knobs) *Fault { return &k.STS }, googleVoice)
}

// tokenForm reads the request: the form of RFC 8693, or Google's JSON with the
// same members in camel case, as the sts v1 discovery document names them.
func tokenForm(r *http.Request) (url.Values, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && media == "application/x-www-form-urlencoded":
		if err := r.ParseForm(); err != nil {
			return nil, stsErrorf("invalid_request", "Request body is not a form.")
		}
		return r.PostForm, nil
	case err == nil && media == "application/json":
		var body struct {
			GrantType          string `json:"grantType"`
			Audience           string `json:"audience"`
			Scope              string `json:"scope"`
			RequestedTokenType string `json:"requestedTokenType"`
			SubjectToken       string `json:"subjectToken"`
			SubjectTokenType   string `json:"subjectTokenType"`
			Options            string `json:"options"`
		}
		dec := json.NewDecoder(r.Body)
		dec.DisallowUnknownFields()
		if err := dec.Decode(&body); err != nil {
			return nil, stsErrorf("invalid_request", "Invalid JSON payload received.")
		}
		return url.Values{
			"grant_type": {body.GrantType}, "audience": {body.Audience}, "scope": {body.Scope}, "requested_token_type": {body.RequestedTokenType},
			"subject_token": {body.SubjectToken}, "subject_token_type": {body.SubjectTokenType},
		}, nil
	}
	return nil, stsErrorf("invalid_request", "Request body is neither a form nor JSON.")
}

// voice answers a fault as the service would that has it.
type voice func(w http.ResponseWriter, r *http.Request, mode string)

// misbehave plays the faults that come before the work; false: it answered.
func (s *Sim) misbehave(w http.ResponseWriter, r *http.Request, mode string, delay time.Duration, say voice) bool {
	switch mode {
	case FaultSlow:
		return s.wait(r, delay)
	case FaultHang:
		s.hang(r)
	case FaultGarbage, FaultRate, FaultUnavailable:
		say(w, r, mode)
		return false
	}
	return true
}

// googleVoice is how Google's services on the internet fail.
func googleVoice(w http.ResponseWriter, _ *http.Request, mode string) {
	switch mode {
	case FaultGarbage:
		garbage(w)
	case FaultRate:
		restError(w, status.Error(codes.ResourceExhausted, "Quota exceeded for quota metric 'Requests' and limit 'Requests per minute'."))
	case FaultUnavailable:
		restError(w, status.Error(codes.Unavailable, "The service is currently unavailable."))
	}
}

type stsReply struct {
	AccessToken string `json:"access_token"`
	IssuedType  string `json:"issued_token_type"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"`
}

// exchange makes the checks in the order of the real service: form, provider,
// signature, issuer, audience, times, mapping, condition.
func (s *Sim) exchange(form url.Values) (*stsReply, error) {
	for name, want := range map[string][]string{
		"grant_type": {grantType}, "requested_token_type": {accessType}, "subject_token_type": {jwtType, idTokenType},
	} {
		if len(form[name]) != 1 || !slices.Contains(want, form.Get(name)) {
			return nil, stsErrorf("invalid_request", "Invalid value for %q.", name)
		}
	}
	if form.Get("scope") == "" || form.Get("subject_token") == "" {
		return nil, stsErrorf("invalid_request", "Missing required field: scope or subject_token.")
	}
	st := s.iamInForce()
	pool := st.pool(form.Get("audience"))
	if pool == nil || pool.Disabled || pool.ProviderDisabled {
		return nil, stsErrorf("invalid_target", "The target service indicated by the \"audience\" parameters is invalid. This might either be because the pool or provider is disabled or deleted or because it doesn't exist.")
	}
	claims, err := s.authenticate(form.Get("subject_token"), pool)
	if err != nil {
		return nil, err
	}
	p, err := mapAttributes(st, pool, acceptedHardware(s.cfg.Hardware), claims)
	if err != nil {
		return nil, err
	}
	life := maxFederatedLife
	if seconds := s.Knobs().AccessTokenSeconds; seconds > 0 {
		life = time.Duration(seconds) * time.Second
	}
	expires := claims.Expires
	if latest := s.cfg.Clock().Add(life); expires.After(latest) {
		expires = latest
	}
	p.Expires = expires.Unix()
	token, err := s.sealToken(p)
	if err != nil {
		return nil, err
	}
	return &stsReply{token, accessType, "Bearer", max(1, p.Expires-s.cfg.Clock().Unix())}, nil
}

// authenticate checks the credential as an OIDC token of the pool's issuer.
// Where the texts come from isn't known for all: those for a bad signature
// and time were not observed.
func (s *Sim) authenticate(token string, pool *Pool) (*confspace.Claims, error) {
	set, err := s.issuer.JWKS()
	if err != nil {
		return nil, err
	}
	keys, err := confspace.ParseKeySet(set)
	if err != nil {
		return nil, err
	}
	claims, err := confspace.Verify(token, confspace.Trust{Keys: keys}, s.cfg.Clock())
	if err != nil {
		if iss := unverifiedIssuer(token); iss != "" && iss != s.issuer.URL() {
			return nil, stsErrorf("invalid_grant", "The issuer in ID Token %s does not match the expected ones: [%s]", iss, s.issuer.URL())
		}
		return nil, stsErrorf("invalid_grant", "Invalid JWT Signature or unknown key: %v", err)
	}
	now := s.cfg.Clock()
	switch {
	case strings.TrimSuffix(claims.Issuer, "/") != strings.TrimSuffix(s.issuer.URL(), "/"):
		return nil, stsErrorf("invalid_grant", "The issuer in ID Token %s does not match the expected ones: [%s]", claims.Issuer, s.issuer.URL())
	case !slices.Contains(pool.Audiences, claims.Audience):
		return nil, stsErrorf("invalid_grant", "The audience in ID Token [%s] does not match the expected audience.", claims.Audience)
	case claims.IssuedAt.After(now.Add(confspace.Skew)) || now.Sub(claims.IssuedAt) > maxCredentialAge:
		return nil, stsErrorf("invalid_grant", "ID Token issued at %d is in the future or too old.", claims.IssuedAt.Unix())
	case !claims.Expires.After(now):
		return nil, stsErrorf("invalid_grant", "ID Token issued at %d is stale to sign-in.", claims.IssuedAt.Unix())
	case claims.Subject == "":
		return nil, stsErrorf("invalid_grant", "The sub claim is missing in the ID Token.")
	}
	return claims, nil
}

// unverifiedIssuer reads iss for an error text only.
func unverifiedIssuer(token string) string {
	var payload struct {
		Issuer string `json:"iss"`
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 || json.Unmarshal(fromBase64URL(parts[1]), &payload) != nil {
		return ""
	}
	return payload.Issuer
}
