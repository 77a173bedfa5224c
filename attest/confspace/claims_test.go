package confspace

import (
	"errors"
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
