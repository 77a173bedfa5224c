package cloudsim

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/attest/attesttest"
)

// subjectToken is the honest workload's token with other claims, signed by the
// attestation service; nil takes a claim away.
func subjectToken(t *testing.T, s *Sim, at time.Time, edit map[string]any) string {
	t.Helper()
	s.mu.Lock()
	w := s.workload
	s.mu.Unlock()
	payload, err := w.Payload(s.issuer.URL(), attesttest.Request{Audience: stsAudience, IssuedAt: at})
	must(t, err)
	claims := map[string]any{}
	must(t, json.Unmarshal(payload, &claims))
	maps.Copy(claims, edit)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	payload, err = json.Marshal(claims)
	must(t, err)
	token, err := s.issuer.OIDC(payload)
	must(t, err)
	return token
}

// An access token lives as long as the attestation that it was given for, an
// hour at most, or as long as the knob says; it ends on the second.
func TestAccessTokenLife(t *testing.T) {
	for name, c := range map[string]struct {
		attested time.Duration // what the attestation token has left
		knob     int
		want     time.Duration
	}{
		"attested for ten hours":                    {10 * time.Hour, 0, time.Hour},
		"attested for an hour and a second":         {time.Hour + time.Second, 0, time.Hour},
		"attested for an hour":                      {time.Hour, 0, time.Hour},
		"attested for ten minutes":                  {10 * time.Minute, 0, 10 * time.Minute},
		"knob at 90 seconds":                        {time.Hour, 90, 90 * time.Second},
		"knob at an hour":                           {10 * time.Hour, 3600, time.Hour},
		"knob longer than what the attestation has": {10 * time.Minute, 1800, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			clock := &fakeClock{now: time.Now().Truncate(time.Second)}
			s := startAt(t, clock, -1)
			must(t, s.SetImageDigest(release))
			must(t, s.AdmitRelease(release))
			must(t, s.SetKnobs(Knobs{AccessTokenSeconds: c.knob}))
			r, refusal, text := trade(t, s, subjectToken(t, s, clock.Now(), map[string]any{"exp": clock.Now().Add(c.attested).Unix()}))
			if refusal != "" || time.Duration(r.ExpiresIn)*time.Second != c.want {
				t.Fatalf("lives %d s, want %v: %s", r.ExpiresIn, c.want, text)
			}
			clock.move(c.want - time.Second)
			for _, face := range faces() {
				if code, text := rawEncrypt(t, s, face, s.Info().TEEKey, "Bearer "+r.AccessToken); code != "OK" {
					t.Errorf("%s, a second before its end: %s %s", face, code, text)
				}
			}
			clock.move(time.Second)
			for _, face := range faces() {
				if code, text := rawEncrypt(t, s, face, s.Info().TEEKey, "Bearer "+r.AccessToken); code != "UNAUTHENTICATED" {
					t.Errorf("%s, at its end: %s %s", face, code, text)
				}
			}
		})
	}
	s := start(t)
	for _, bad := range []int{-1, 3601} {
		if s.SetKnobs(Knobs{AccessTokenSeconds: bad}) == nil {
			t.Errorf("access tokens may live %d s", bad)
		}
	}
}

// A credential is too old a day after it was issued, however long it says that
// it lives, and none before it is issued.
func TestCredentialAge(t *testing.T) {
	clock := &fakeClock{now: time.Now().Truncate(time.Second)}
	s := startAt(t, clock, -1)
	must(t, s.SetImageDigest(release))
	must(t, s.AdmitRelease(release))
	now := clock.Now()
	for name, c := range map[string]struct {
		issued time.Duration
		edit   map[string]any
		want   string // of the error's text; "": none
	}{
		"a day old":              {-24 * time.Hour, nil, ""},
		"a day and a second old": {-24*time.Hour - time.Second, nil, "is in the future or too old"},
		"a week old":             {-7 * 24 * time.Hour, nil, "is in the future or too old"},
		"from the future":        {time.Hour, nil, "is in the future or too old"},
		"expired this second":    {-time.Hour, map[string]any{"exp": now.Unix()}, "is stale to sign-in"},
		"a second to live":       {-time.Hour, map[string]any{"exp": now.Add(time.Second).Unix()}, ""},
		"other audience":         {0, map[string]any{"aud": audience}, "does not match the expected audience"},
		"other issuer":           {0, map[string]any{"iss": "https://confidentialcomputing.googleapis.com"}, "does not match the expected ones"},
		"issuer with a slash":    {0, map[string]any{"iss": s.Info().IssuerURL + "/"}, ""},
		"no subject":             {0, map[string]any{"sub": ""}, "sub claim is missing"},
	} {
		edit := map[string]any{"exp": now.Add(time.Hour).Unix()}
		maps.Copy(edit, c.edit)
		_, refusal, text := trade(t, s, subjectToken(t, s, now.Add(c.issued), edit))
		if (refusal == "") != (c.want == "") || (c.want != "" && (refusal != "invalid_grant" || !strings.Contains(text, c.want))) {
			t.Errorf("%s: %q %s", name, refusal, text)
		}
	}
}
