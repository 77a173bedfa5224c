package confspace

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

// Payloads of any content decode or are refused, and never validate without
// the expected digest and nonce.
func FuzzDecodeClaims(f *testing.F) {
	for _, seed := range []string{
		`{"aud":"a","exp":1795611600,"iat":1795608000,"nbf":1795608000,"iss":"i","eat_nonce":"n","secboot":true,"hwmodel":"h","swname":"CONFIDENTIAL_SPACE","dbgstat":"disabled-since-boot","submods":{"confidential_space":{"support_attributes":["STABLE"]},"container":{"image_digest":"d"},"gce":{"project_id":"p"}},"google_service_accounts":["s"]}`,
		`{"eat_nonce":["a","b"],"submods":{"container":{"env_override":{"A":"b"}}}}`,
		`{"exp":1e3,"iat":-0,"nbf":null}`,
	} {
		f.Add([]byte(seed))
	}
	e := Expectation{Issuer: "i", Audience: "a", Hardware: []string{"h"}, ProjectID: "p", ServiceAccount: "s", ImageDigests: []string{"d"}, Nonce: "n"}
	f.Fuzz(func(t *testing.T, p []byte) {
		c, err := decodeClaims(p, SourcePKI)
		var r *Refusal
		if err != nil {
			if !errors.As(err, &r) {
				t.Fatalf("error is no refusal: %v", err)
			}
			return
		}
		err = Validate(c, e, time.Unix(1795608000, 0))
		if err == nil && (c.ImageDigest != "d" || len(c.Nonces) != 1 || c.Nonces[0] != "n" || !c.SecureBoot) {
			t.Fatalf("validated %s", p)
		}
	})
}

// Whatever a discovery document says, keys are fetched over HTTPS, from an
// accepted host and nowhere else.
func FuzzDiscovery(f *testing.F) {
	for _, seed := range []string{
		`{"issuer":"https://issuer.test","jwks_uri":"https://keys.test/jwks"}`,
		`{"issuer":"https://issuer.test/","jwks_uri":"https://keys.test"}`,
		`{"issuer":"https://issuer.test","jwks_uri":"https://keys.test@evil.test/jwks"}`,
		`{"issuer":"https://issuer.test","jwks_uri":"https://evil.test\\@keys.test/"}`,
		`{"issuer":"https://issuer.test","jwks_uri":"HTTPS://keys.test:443/#"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		address, err := parseDiscovery(doc, "https://issuer.test", []string{"keys.test"})
		if err != nil {
			return
		}
		req, err := http.NewRequest(http.MethodGet, address, nil)
		if err != nil {
			t.Fatalf("%q accepted, and is no address: %v", address, err)
		}
		if req.URL.Scheme != "https" || req.URL.Host != "keys.test" || req.Host != "keys.test" || req.URL.User != nil {
			t.Fatalf("%q leads elsewhere", address)
		}
	})
}

// Whatever the headers say, keys are kept within the bounds.
func FuzzKeyLife(f *testing.F) {
	f.Add("public, max-age=19008, must-revalidate, no-transform", "17")
	f.Add(`max-age="-1", max-age=18446744073709551616`, "18446744073709551615")
	f.Add("no-cache=\"max-age=3600\"", "")
	f.Fuzz(func(t *testing.T, cache, age string) {
		if d := keyLife(http.Header{"Cache-Control": {cache}, "Age": {age}}); d < minKeyLife || d > maxKeyLife {
			t.Fatalf("%s", d)
		}
	})
}
