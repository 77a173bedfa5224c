package cloudsim

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/launcher"
)

func httpsClient(t *testing.T, s *Sim) *http.Client {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots(t, s)}, DisableKeepAlives: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

func send(t *testing.T, hc *http.Client, method, target, contentType, bearer, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestSTSForm(t *testing.T) {
	s := start(t)
	hc := httpsClient(t, s)
	token, err := launcher.New(socket(t, s), time.Second).DefaultToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	custom, err := launcher.New(socket(t, s), time.Second).Token(t.Context(), launcher.OIDC, audience, nonce)
	if err != nil {
		t.Fatal(err)
	}
	good := func() url.Values {
		return url.Values{
			"audience": {s.Info().TEEAudience}, "grant_type": {grantType}, "requested_token_type": {accessType},
			"scope": {"https://www.googleapis.com/auth/cloud-platform"}, "subject_token": {token}, "subject_token_type": {jwtType},
		}
	}
	const form = "application/x-www-form-urlencoded"
	code, body := send(t, hc, "POST", s.Info().STSURL, form, "", good().Encode())
	var r stsReply
	if err := json.Unmarshal([]byte(body), &r); err != nil || code != 200 || r.TokenType != "Bearer" || r.ExpiresIn < 3500 || r.ExpiresIn > 3600 || r.IssuedType != accessType {
		t.Fatalf("%d %s", code, body)
	}
	for name, c := range map[string]struct {
		field, value, want string
	}{
		"audience":     {"audience", s.Info().TEEAudience + "x", "invalid_target"},
		"grant":        {"grant_type", "password", "invalid_request"},
		"type":         {"requested_token_type", jwtType, "invalid_request"},
		"subject type": {"subject_token_type", accessType, "invalid_request"},
		"scope":        {"scope", "", "invalid_request"},
		"no token":     {"subject_token", "", "invalid_request"},
		"no JWT":       {"subject_token", "hello", "invalid_grant"},
		"alg none":     {"subject_token", "eyJhbGciOiJub25lIn0." + strings.Split(token, ".")[1] + ".", "invalid_grant"},
		"evidence":     {"subject_token", custom, `The audience in ID Token [` + audience + `] does not match the expected audience.`},
	} {
		f := good()
		f.Set(c.field, c.value)
		code, body := send(t, hc, "POST", s.Info().STSURL, form, "", f.Encode())
		if code != 400 || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	asJSON := map[string]string{"grantType": grantType, "audience": s.Info().TEEAudience, "requestedTokenType": accessType,
		"scope": "https://www.googleapis.com/auth/cloud-platform", "subjectToken": token, "subjectTokenType": jwtType}
	for name, c := range map[string]struct {
		media string
		edit  func(map[string]string)
		want  int
	}{
		"JSON":             {"application/json; charset=UTF-8", func(map[string]string) {}, 200},
		"form with a set":  {form + ";charset=UTF-8", nil, 200}, // as Google's client for Node.js says it
		"empty JSON":       {"application/json", func(m map[string]string) { clear(m) }, 400},
		"snake case":       {"application/json", func(m map[string]string) { m["grant_type"] = grantType }, 400},
		"other media type": {"text/plain", nil, 400},
		"no media type":    {"", nil, 400},
	} {
		body := good().Encode()
		if c.edit != nil {
			m := maps.Clone(asJSON)
			c.edit(m)
			text, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			body = string(text)
		}
		if code, body := send(t, hc, "POST", s.Info().STSURL, c.media, "", body); code != c.want {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	// A subject that is too long, and mappings that fail.
	for expr, want := range map[string]string{
		`assertion.sub + assertion.sub`: "exceeds the 127 bytes limit",
		`assertion.oemid`:               "must be of type STRING",
		`assertion.nothing`:             "must be of type STRING",
		`assertion.`:                    "must be of type STRING",
	} {
		if err := s.UpdatePool(0, func(p *Pool) { p.Mapping["google.subject"] = expr }); err != nil {
			t.Fatal(err)
		}
		if code, body := send(t, hc, "POST", s.Info().STSURL, form, "", good().Encode()); code != 400 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", expr, code, body)
		}
	}
}

func TestKMSWire(t *testing.T) {
	s := start(t)
	hc := httpsClient(t, s)
	token, err := tokens(t, s, 0).Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	base := s.Info().KMSURL + "/v1/" + s.Info().TEEKey
	const js = "application/json"
	code, body := send(t, hc, "POST", base+":encrypt?%24alt=json%3Benum-encoding%3Dint", js, token,
		`{"name":"`+s.Info().TEEKey+`","plaintext":"MTIzNDU2Nzg5","plaintextCrc32c":"3808858755","additionalAuthenticatedData":"YQ==","additionalAuthenticatedDataCrc32c":3251651376}`)
	var e struct {
		Ciphertext  []byte
		CRC         int64 `json:"ciphertextCrc32c,string"`
		Verified    bool  `json:"verifiedPlaintextCrc32c"`
		VerifiedAAD bool  `json:"verifiedAdditionalAuthenticatedDataCrc32c"`
	}
	if err := json.Unmarshal([]byte(body), &e); code != 200 || err != nil || !e.Verified || !e.VerifiedAAD || e.CRC != checksum(e.Ciphertext).GetValue() {
		t.Fatalf("%d %s", code, body)
	}
	flipped := []byte(token)
	flipped[len(flipped)-9] ^= 'A' ^ 'B' // no other spelling of the same bytes
	forged := string(flipped)
	ct, err := json.Marshal(e.Ciphertext)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		op, bearer, body string
		code             int
		want             string
	}{
		"decrypt":         {":decrypt", token, `{"ciphertext":` + string(ct) + `,"additionalAuthenticatedData":"YQ=="}`, 200, `"plaintext": "MTIzNDU2Nzg5"`},
		"other AAD":       {":decrypt", token, `{"ciphertext":` + string(ct) + `,"additionalAuthenticatedData":"Yg=="}`, 400, "Decryption failed: the ciphertext is invalid."},
		"garbage":         {":decrypt", token, `{"ciphertext":"AAAA"}`, 400, "Decryption failed: the ciphertext is invalid."},
		"bad sum":         {":encrypt", token, `{"plaintext":"aGVsbG8=","plaintextCrc32c":"1"}`, 400, "The checksum in field plaintext_crc32c did not match"},
		"unknown field":   {":encrypt", token, `{"plaintext":"aGVsbG8=","x":1}`, 400, "Invalid JSON payload received."},
		"other name":      {":encrypt", token, `{"name":"projects/x","plaintext":"aGVsbG8="}`, 400, "INVALID_ARGUMENT"},
		"no token":        {":encrypt", "", `{"plaintext":"aGVsbG8="}`, 401, "UNAUTHENTICATED"},
		"forged token":    {":encrypt", forged, `{"plaintext":"aGVsbG8="}`, 401, "UNAUTHENTICATED"},
		"missing key":     {"x:encrypt", token, `{"plaintext":"aGVsbG8="}`, 403, "(or it may not exist)."},
		"version decrypt": {"/cryptoKeyVersions/1:decrypt", token, `{"ciphertext":` + string(ct) + `}`, 404, ""}, // the API has no such path
		"other method":    {":sign", token, `{}`, 404, ""},
	} {
		code, body := send(t, hc, "POST", base+c.op, js, c.bearer, c.body)
		if code != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	if code, body := send(t, hc, "POST", s.Info().KMSURL+"/v1/"+s.Info().ProviderKey+":decrypt", js, token, `{"ciphertext":`+string(ct)+`}`); code != 403 ||
		!strings.Contains(body, "Permission 'cloudkms.cryptoKeyVersions.useToDecrypt' denied on resource '"+s.Info().ProviderKey+"' (or it may not exist).") {
		t.Errorf("provider key: %d %s", code, body)
	}
}

func TestAdmin(t *testing.T) {
	s := start(t)
	hc := httpsClient(t, s)
	base := s.Info().AdminURL + "/sim/"
	const js = "application/json"
	if code, body := send(t, hc, "PUT", base+"knobs", js, "", `{"debug":true,"kms":{"mode":"429","count":2}}`); code != 204 {
		t.Fatalf("%d %s", code, body)
	}
	if k := s.Knobs(); !k.Debug || k.KMS.Mode != FaultRate || k.KMS.Count != 2 {
		t.Fatalf("%+v", k)
	}
	for _, bad := range []string{`{"degub":true}`, `{"kms":{"mode":"explode"}}`, `{"sts":{"mode":"wrong-crc"}}`, `{"launcher":"x"}`, `{"image_digest":"x"}`, ``, `{"debug":true,"debug":true}`} {
		if code, _ := send(t, hc, "PUT", base+"knobs", js, "", bad); code != 400 || !s.Knobs().Debug {
			t.Errorf("%s: %d", bad, code)
		}
	}
	if code, _ := send(t, hc, "PUT", base+"knobs", "text/plain", "", `{}`); code != 400 {
		t.Error("simple request accepted")
	}
	if code, _ := send(t, hc, "POST", base+"releases", js, "", `{"digest":"`+imposter+`","admit":true}`); code != 204 || len(s.Releases()) != 2 {
		t.Error("release not admitted")
	}
	if code, _ := send(t, hc, "POST", base+"releases", js, "", `{"digest":"`+imposter+`","admit":false}`); code != 204 || len(s.Releases()) != 1 {
		t.Error("release not withdrawn")
	}
	for _, c := range []struct {
		path, body string
		code       int
	}{
		{"keys", `{"key":"` + s.Info().TEEKey + `"}`, 204}, {"keys", `{"key":"x"}`, 400},
		{"keys", `{"key":"` + s.Info().TEEKey + `","version":1,"state":"DISABLED"}`, 204},
		{"keys", `{"key":"` + s.Info().TEEKey + `","version":9,"state":"DISABLED"}`, 400},
		{"keys", `{"key":"` + s.Info().TEEKey + `","version":1,"state":"GONE"}`, 400},
		{"pools", `{"pool":0,"disabled":true}`, 204}, {"pools", `{"pool":2}`, 400},
		{"issuer/rotate", `{}`, 204}, {"tokens/revoke", `{}`, 204}, {"releases", `{"digest":"x","admit":true}`, 400},
	} {
		if code, body := send(t, hc, "POST", base+c.path, js, "", c.body); code != c.code {
			t.Errorf("%s %s: %d %s", c.path, c.body, code, body)
		}
	}
	if code, body := send(t, hc, "GET", base+"info", "", "", ""); code != 200 || !strings.Contains(body, s.Info().TEEKey) {
		t.Errorf("info: %d", code)
	}
	if code, body := send(t, hc, "GET", base+"audit?after=0", "", "", ""); code != 200 || strings.TrimSpace(body) != "[]" {
		t.Errorf("audit: %d %s", code, body)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", base+"info", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*http.Request){
		"rebinding": func(r *http.Request) { r.Host = "evil.example:80" },
		"origin":    func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
	} {
		bad := req.Clone(t.Context())
		spoil(bad)
		resp, err := hc.Do(bad)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
}
