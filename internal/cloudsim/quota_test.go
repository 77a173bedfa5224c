package cloudsim

import (
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/kms/apiv1/kmspb"
)

// Each cryptographic call of a project counts, on both faces, also one that
// IAM refuses; what is over the quota of the minute gets a 429.
func TestQuotaIsCharged(t *testing.T) {
	clock := &fakeClock{now: time.Now().Truncate(time.Minute)}
	s := startAt(t, clock, 3)
	must(t, s.SetImageDigest(release))
	must(t, s.AdmitRelease(release))
	token, refusal := exchange(t, s)
	if refusal != "" {
		t.Fatal(refusal)
	}
	token = "Bearer " + token
	tee, other := s.Info().TEEKey, s.Info().ProviderKey
	call := func(face, key, bearer, want string) string {
		t.Helper()
		code, text := rawEncrypt(t, s, face, key, bearer)
		if code != want {
			t.Fatalf("%s: %s %s, want %s", face, code, text, want)
		}
		return text
	}
	for range 2 { // the quota is full again after a minute
		call("grpc", tee, token, "OK")
		call("rest", tee, token, "OK")
		call("rest", other, token, "PERMISSION_DENIED")
		for _, face := range faces() {
			text := call(face, tee, token, "RESOURCE_EXHAUSTED")
			if !strings.Contains(text, "Quota exceeded for quota metric 'Cryptographic requests'") || !strings.Contains(text, "for consumer 'project_number:100000000001'") {
				t.Errorf("%s: %s", face, text)
			}
			if e := lastEntry(t, s); e.Decision != DecisionNone || e.Status != "RESOURCE_EXHAUSTED" || e.Principal == "" || e.Fault != "" {
				t.Errorf("%s: audit %+v", face, e)
			}
		}
		if code, text := rawREST(t, s, "/v1/"+tee+":decrypt", `{"ciphertext":"AAAA"}`, token); code != "RESOURCE_EXHAUSTED" {
			t.Errorf("decrypt isn't counted: %s %s", code, text)
		}
		// Canary: the quota is the calling project's, and a stranger has none.
		call("rest", other, "Bearer "+userToken(t, s, "owner@sigil-provider.test"), "PERMISSION_DENIED")
		call("rest", tee, "", "UNAUTHENTICATED")
		clock.move(time.Minute)
	}
}

// Calls that do no cryptography don't count.
func TestQuotaIsOfCryptography(t *testing.T) {
	for req, want := range map[any]bool{
		&kmspb.EncryptRequest{}: true, &kmspb.DecryptRequest{}: true,
		&kmspb.GetCryptoKeyRequest{}: false, &iampb.GetIamPolicyRequest{}: false,
	} {
		if n, ok := needs(req); !ok || n.crypto != want {
			t.Errorf("%T: %+v", req, n)
		}
	}
	s := startAt(t, &fakeClock{now: time.Now()}, 1)
	token := "Bearer " + userToken(t, s, "owner@sigil-tee.test")
	for range 3 {
		if code, text := rawREST(t, s, "/v1/"+s.Info().TEEKey+":getIamPolicy", "", token); code != "OK" {
			t.Fatal(code, text)
		}
	}
	if code, _ := rawEncrypt(t, s, "rest", s.Info().TEEKey, token); code != "PERMISSION_DENIED" {
		t.Error(code)
	}
}
