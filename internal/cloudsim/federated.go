package cloudsim

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"cel.dev/cel-go/cel"

	"github.com/sigilkeys/sigil/attest/confspace"
)

// principal is who an access token speaks for: a federated workload, or for
// tests a person.
type principal struct {
	Member     string            `json:"member,omitempty"` // user:…, else empty
	Pool       string            `json:"pool,omitempty"`   // projects/…/workloadIdentityPools/…
	Subject    string            `json:"subject,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Expires    int64             `json:"expires"`
}

// String is the principal as audit logs name it.
func (p *principal) String() string {
	if p.Member != "" {
		return p.Member
	}
	return "principal://iam.googleapis.com/" + p.Pool + "/subject/" + p.Subject
}

// is reports whether an IAM member names the principal.
func (p *principal) is(member string) bool {
	if member == everyone {
		return true
	}
	if p.Member != "" {
		return member == p.Member
	}
	if member == p.String() {
		return true
	}
	rest, ok := strings.CutPrefix(member, "principalSet://iam.googleapis.com/"+p.Pool+"/")
	if !ok {
		return false
	}
	if rest == "*" {
		return true
	}
	name, value, ok := strings.Cut(strings.TrimPrefix(rest, "attribute."), "/")
	got, has := p.Attributes[name]
	return ok && has && strings.HasPrefix(rest, "attribute.") && got == value
}

const rejected = "The given credential is rejected by the attribute condition."

// mapAttributes evaluates mapping and condition of a provider, as CEL over the
// token's claims. Every evaluation error is a refusal.
func mapAttributes(st *state, pool *Pool, hardware []string, claims *confspace.Claims) (*principal, error) {
	var assertion map[string]any
	if err := json.Unmarshal(claims.Payload(), &assertion); err != nil {
		return nil, stsErrorf("invalid_grant", "The ID Token is malformed.")
	}
	p := &principal{Pool: pool.name(), Attributes: map[string]string{}}
	mapped := map[string]any{}
	for target, expr := range pool.Mapping {
		out, err := evaluate(expr, map[string]any{"assertion": assertion, "attribute": map[string]any{}, "google": map[string]any{}})
		value, isText := out.(string)
		if err != nil || !isText {
			return nil, stsErrorf("invalid_grant", "The mapped attribute '%s' must be of type STRING.", target)
		}
		if target == "google.subject" {
			p.Subject = value
		} else if name, ok := strings.CutPrefix(target, "attribute."); ok {
			p.Attributes[name], mapped[name] = value, value
		}
	}
	if p.Subject == "" {
		return nil, stsErrorf("invalid_grant", "The mapped attribute 'google.subject' must not be empty.")
	}
	if len(p.Subject) > maxSubject {
		return nil, stsErrorf("invalid_grant", "The size of mapped attribute google.subject exceeds the %d bytes limit. Either modify your attribute mapping or the incoming assertion to produce a mapped attribute that is less than %d bytes.", maxSubject, maxSubject)
	}
	out, err := evaluate(st.condition(pool, hardware), map[string]any{
		"assertion": assertion, "attribute": mapped, "google": map[string]any{"subject": p.Subject},
	})
	if pass, ok := out.(bool); err != nil || !ok || !pass {
		return nil, stsErrorf("unauthorized_client", rejected)
	}
	return p, nil
}

// evaluate runs one CEL expression within Google's limit on its length and a
// limit on its cost.
func evaluate(expr string, vars map[string]any) (any, error) {
	const maxExpression, maxCost = 4096, 1_000_000
	if len(expr) > maxExpression {
		return nil, errors.New("expression is too long")
	}
	env, err := cel.NewEnv(cel.Variable("assertion", cel.DynType), cel.Variable("attribute", cel.DynType),
		cel.Variable("google", cel.DynType))
	if err != nil {
		return nil, err
	}
	ast, iss := env.Compile(expr)
	if iss.Err() != nil {
		return nil, iss.Err()
	}
	prg, err := env.Program(ast, cel.CostLimit(maxCost))
	if err != nil {
		return nil, err
	}
	out, _, err := prg.Eval(vars)
	if err != nil {
		return nil, err
	}
	return out.Value(), nil
}

// Access tokens are opaque: the principal, sealed under the cloud's key, so
// that they outlive a restart as Google's outlive a server.
const tokenPrefix = "ya29.sim."

func (s *Sim) tokenAEAD() (cipher.AEAD, error) {
	s.mu.Lock()
	key := s.state.TokenKey
	s.mu.Unlock()
	return newGCM(key)
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (s *Sim) sealToken(p *principal) (string, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	aead, err := s.tokenAEAD()
	if err != nil {
		return "", err
	}
	nonce := make([]byte, aead.NonceSize())
	if _, err := io.ReadFull(s.cfg.Random, nonce); err != nil {
		return "", err
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(aead.Seal(nonce, nonce, data, []byte(tokenPrefix))), nil
}

// openToken returns whom the token speaks for, or nil.
func (s *Sim) openToken(token string) *principal {
	text, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok {
		return nil
	}
	raw := fromBase64URL(text)
	aead, err := s.tokenAEAD()
	if err != nil || len(raw) < aead.NonceSize() {
		return nil
	}
	data, err := aead.Open(nil, raw[:aead.NonceSize()], raw[aead.NonceSize():], []byte(tokenPrefix))
	p := &principal{}
	if err != nil || json.Unmarshal(data, p) != nil || s.cfg.Clock().Unix() >= p.Expires {
		return nil
	}
	if p.Member == "" && !s.poolEnabled(p.Pool) {
		return nil
	}
	return p
}

func (s *Sim) poolEnabled(name string) bool {
	st := s.iamInForce()
	for i := range st.Pools {
		if st.Pools[i].name() == name {
			return !st.Pools[i].Disabled
		}
	}
	return false
}

// UserToken returns an access token for a person, such as
// "user:owner@sigil-tee.test": for tests of what owners can reach.
func (s *Sim) UserToken(member string) (string, error) {
	if !strings.HasPrefix(member, "user:") {
		return "", fmt.Errorf("cloudsim: %q is no user", member)
	}
	return s.sealToken(&principal{Member: member, Expires: s.cfg.Clock().Add(maxFederatedLife).Unix()})
}

// RevokeTokens makes all access tokens invalid that were issued so far.
func (s *Sim) RevokeTokens() error {
	return s.update(func(st *state) error {
		_, err := io.ReadFull(s.cfg.Random, st.TokenKey)
		return err
	})
}

func fromBase64URL(text string) []byte {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil
	}
	return b
}
