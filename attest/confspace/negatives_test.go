package confspace_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/attest/confspace"
)

// badClaim makes a good payload bad by replacing old by new.
type badClaim struct {
	old, new string
	want     confspace.Reason
}

func badClaims() map[string]badClaim {
	return map[string]badClaim{
		"issuer":             {`"iss":"https://issuer.test"`, `"iss":"https://accounts.google.com"`, confspace.ReasonIssuer},
		"issuer prefix":      {`"iss":"https://issuer.test"`, `"iss":"https://issuer.test.evil"`, confspace.ReasonIssuer},
		"no issuer":          {`"iss":"https://issuer.test",`, ``, confspace.ReasonIssuer},
		"audience":           {`"aud":"` + audience, `"aud":"https://sts.googleapis.com`, confspace.ReasonAudience},
		"audience list":      {`"aud":"` + audience + `"`, `"aud":["` + audience + `"]`, confspace.ReasonMalformed},
		"no audience":        {`"aud":"` + audience + `",`, ``, confspace.ReasonAudience},
		"software":           {`"swname":"CONFIDENTIAL_SPACE"`, `"swname":"GCE"`, confspace.ReasonSoftware},
		"no software":        {`"swname":"CONFIDENTIAL_SPACE",`, ``, confspace.ReasonSoftware},
		"hardware":           {`"hwmodel":"GCP_AMD_SEV"`, `"hwmodel":"GCP_SHIELDED_VM"`, confspace.ReasonHardware},
		"hardware not opted": {`"hwmodel":"GCP_AMD_SEV"`, `"hwmodel":"GCP_AMD_SEV_SNP"`, confspace.ReasonHardware},
		"hardware case":      {`"hwmodel":"GCP_AMD_SEV"`, `"hwmodel":"gcp_amd_sev"`, confspace.ReasonHardware},
		"no hardware":        {`"hwmodel":"GCP_AMD_SEV",`, ``, confspace.ReasonHardware},
		"secboot false":      {`"secboot":true`, `"secboot":false`, confspace.ReasonSecureBoot},
		"secboot absent":     {`"secboot":true,`, ``, confspace.ReasonSecureBoot},
		"secboot null":       {`"secboot":true`, `"secboot":null`, confspace.ReasonSecureBoot},
		"secboot text":       {`"secboot":true`, `"secboot":"true"`, confspace.ReasonMalformed},
		"secboot cased":      {`"secboot":true`, `"SecBoot":true`, confspace.ReasonSecureBoot},
		"debug":              {`"dbgstat":"disabled-since-boot"`, `"dbgstat":"enabled"`, confspace.ReasonDebug},
		"disabled":           {`"dbgstat":"disabled-since-boot"`, `"dbgstat":"disabled"`, confspace.ReasonDebug},
		"no dbgstat":         {`"dbgstat":"disabled-since-boot",`, ``, confspace.ReasonDebug},
		"not stable":         {`["LATEST","STABLE","USABLE"]`, `["LATEST","USABLE"]`, confspace.ReasonNotStable},
		"no attributes":      {`"support_attributes":["LATEST","STABLE","USABLE"],`, ``, confspace.ReasonNotStable},
		"stable as object":   {`["LATEST","STABLE","USABLE"]`, `{"STABLE":true}`, confspace.ReasonMalformed},
		"experimental":       {`["LATEST","STABLE","USABLE"]`, `["STABLE","EXPERIMENTAL"]`, confspace.ReasonNotStable},
		"digest":             {`"image_digest":"sha256:8`, `"image_digest":"sha256:9`, confspace.ReasonImageDigest},
		"digest cased":       {`"image_digest":"sha256:848c`, `"image_digest":"sha256:848C`, confspace.ReasonImageDigest},
		"no digest":          {`"image_digest":"` + digest + `",`, ``, confspace.ReasonImageDigest},
		"project":            {`"project_id":"sigil-tee"`, `"project_id":"evil"`, confspace.ReasonProject},
		"no project":         {`"project_id":"sigil-tee",`, ``, confspace.ReasonProject},
		"service account":    {`["sigil@`, `["evil@`, confspace.ReasonServiceAccount},
		"no account":         {`["sigil@sigil-tee.iam.gserviceaccount.com"]`, `[]`, confspace.ReasonServiceAccount},
		"account as text":    {`["sigil@sigil-tee.iam.gserviceaccount.com"]`, `"sigil@sigil-tee.iam.gserviceaccount.com"`, confspace.ReasonMalformed},
		"cmd override":       {`"env":{`, `"cmd_override":["sh"],"env":{`, confspace.ReasonCmdOverride},
		"env override":       {`"env":{`, `"env_override":{"LD_PRELOAD":"x"},"env":{`, confspace.ReasonEnvOverride},
		"other nonce":        {`"eat_nonce":"2`, `"eat_nonce":"3`, confspace.ReasonNonce},
		"no nonce":           {`"eat_nonce":"` + nonce + `",`, ``, confspace.ReasonNonce},
		"two nonces":         {`"eat_nonce":"` + nonce + `"`, `"eat_nonce":["` + nonce + `","another-nonce"]`, confspace.ReasonNonce},
		"empty nonces":       {`"eat_nonce":"` + nonce + `"`, `"eat_nonce":[]`, confspace.ReasonNonce},
		"nonce number":       {`"eat_nonce":"` + nonce + `"`, `"eat_nonce":7`, confspace.ReasonMalformed},
		"nonce object":       {`"eat_nonce":"` + nonce + `"`, `"eat_nonce":{}`, confspace.ReasonMalformed},
		"issued late":        {`"iat":1795608000`, `"iat":1795608061`, confspace.ReasonIssuedInFuture},
		"not before":         {`"nbf":1795608000`, `"nbf":1795608061`, confspace.ReasonNotYetValid},
		"expired":            {`"exp":1795611600`, `"exp":1795607940`, confspace.ReasonExpired},
		"long-lived":         {`"exp":1795611600`, `"exp":1795694401`, confspace.ReasonLifetime},
		"never expires":      {`"exp":1795611600`, `"exp":9223372036854775807`, confspace.ReasonMalformed},
		"no exp":             {`"exp":1795611600,`, ``, confspace.ReasonMalformed},
		"no iat":             {`"iat":1795608000,`, ``, confspace.ReasonMalformed},
		"no nbf":             {`"nbf":1795608000,`, ``, confspace.ReasonMalformed},
		"exp fraction":       {`"exp":1795611600`, `"exp":1795611600.5`, confspace.ReasonMalformed},
		"exp text":           {`"exp":1795611600`, `"exp":"1795611600"`, confspace.ReasonMalformed},
		"iat negative":       {`"iat":1795608000`, `"iat":-1`, confspace.ReasonMalformed},
		"duplicate":          {`"secboot":true`, `"secboot":false,"secboot":true`, confspace.ReasonMalformed},
		"deep duplicate":     {`"gce":{`, `"gce":{"zone":"a",`, confspace.ReasonMalformed},
		"foreign duplicate":  {`"secboot":true`, `"secboot":true,"new":{"a":1,"a":2}`, confspace.ReasonMalformed},
		"bad UTF-8":          {`"secboot":true`, "\"secboot\":true,\"new\":\"\xff\"", confspace.ReasonMalformed},
		"trailing":           {`"google_service_accounts":["sigil@sigil-tee.iam.gserviceaccount.com"]}`, `"google_service_accounts":["sigil@sigil-tee.iam.gserviceaccount.com"]}{}`, confspace.ReasonMalformed},
	}
}

type forgery struct {
	token string
	want  confspace.Reason
}

func forgeries(t *testing.T) map[string]forgery {
	t.Helper()
	mine, foreign := issuers()[0], issuers()[1]
	p := payload(t, workload())
	pki := must(t)(mine.PKI(p))
	parts := strings.Split(pki, ".")
	chain := mine.Chain()
	signed := func(members map[string]any) string { return must(t)(mine.SignPKI(header(t, members), p)) }
	kid := mine.KeyID()
	rawSignature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	return map[string]forgery{
		"empty":                      {"", confspace.ReasonMalformed},
		"two segments":               {parts[0] + "." + parts[1], confspace.ReasonMalformed},
		"four segments":              {pki + ".", confspace.ReasonMalformed},
		"no signature":               {parts[0] + "." + parts[1] + ".", confspace.ReasonSignature},
		"padding":                    {pki + "=", confspace.ReasonMalformed},
		"line break":                 {parts[0] + "." + parts[1] + "\n." + parts[2], confspace.ReasonMalformed},
		"final line break":           {pki + "\n", confspace.ReasonMalformed},
		"too large":                  {pki + strings.Repeat("A", confspace.MaxToken), confspace.ReasonTooLarge},
		"other payload":              {parts[0] + "." + b64(strings.Replace(string(p), "sigil-tee", "evil", 1)) + "." + parts[2], confspace.ReasonSignature},
		"alg none":                   {b64(`{"alg":"none"}`) + "." + parts[1] + ".", confspace.ReasonAlgorithm},
		"alg HS256":                  {b64(`{"alg":"HS256","kid":"`+kid+`"}`) + "." + parts[1] + "." + parts[2], confspace.ReasonAlgorithm},
		"alg PS256":                  {b64(`{"alg":"PS256","kid":"`+kid+`"}`) + "." + parts[1] + "." + parts[2], confspace.ReasonAlgorithm},
		"alg rs256":                  {b64(`{"alg":"rs256","kid":"`+kid+`"}`) + "." + parts[1] + "." + parts[2], confspace.ReasonAlgorithm},
		"no alg":                     {b64(`{"kid":"`+kid+`"}`) + "." + parts[1] + "." + parts[2], confspace.ReasonAlgorithm},
		"alg twice":                  {b64(`{"alg":"none","alg":"RS256"}`) + "." + parts[1] + "." + parts[2], confspace.ReasonMalformed},
		"header not JSON":            {b64(`hello`) + "." + parts[1] + "." + parts[2], confspace.ReasonMalformed},
		"crit":                       {signed(map[string]any{"alg": "RS256", "x5c": chain, "crit": []string{"b64"}}), confspace.ReasonHeader},
		"jwk":                        {signed(map[string]any{"alg": "RS256", "x5c": chain, "jwk": map[string]any{}}), confspace.ReasonHeader},
		"jku":                        {signed(map[string]any{"alg": "RS256", "kid": kid, "jku": "https://evil"}), confspace.ReasonHeader},
		"typ":                        {signed(map[string]any{"alg": "RS256", "x5c": chain, "typ": "at+jwt"}), confspace.ReasonHeader},
		"unknown kid":                {must(t)(foreign.OIDC(p)), confspace.ReasonUnknownKey},
		"no kid":                     {signed(map[string]any{"alg": "RS256"}), confspace.ReasonUnknownKey},
		"kid of another":             {must(t)(foreign.SignOIDC(header(t, map[string]any{"alg": "RS256", "kid": kid}), p)), confspace.ReasonSignature},
		"foreign root":               {must(t)(foreign.PKI(p)), confspace.ReasonRoot},
		"pinned root pasted":         {must(t)(foreign.SignPKI(header(t, map[string]any{"alg": "RS256", "x5c": []string{foreign.Chain()[0], foreign.Chain()[1], chain[2]}}), p)), confspace.ReasonChain},
		"chain of another":           {must(t)(foreign.SignPKI(header(t, map[string]any{"alg": "RS256", "x5c": chain}), p)), confspace.ReasonSignature},
		"two certificates":           {signed(map[string]any{"alg": "RS256", "x5c": []string{chain[0], chain[2]}}), confspace.ReasonChain},
		"no certificate":             {signed(map[string]any{"alg": "RS256", "x5c": []string{}}), confspace.ReasonChain},
		"CA as leaf":                 {signed(map[string]any{"alg": "RS256", "x5c": []string{chain[1], chain[1], chain[2]}}), confspace.ReasonChain},
		"reversed":                   {signed(map[string]any{"alg": "RS256", "x5c": []string{chain[2], chain[1], chain[0]}}), confspace.ReasonRoot},
		"bad certificate":            {signed(map[string]any{"alg": "RS256", "x5c": []string{"AAAA", chain[1], chain[2]}}), confspace.ReasonChain},
		"kid despite chain":          {must(t)(mine.SignOIDC(header(t, map[string]any{"alg": "RS256", "kid": kid, "x5c": chain}), p)), confspace.ReasonSignature},
		"HS256 with the key set":     {hs256(t, parts[1], []byte(keySet(t))), confspace.ReasonAlgorithm},
		"HS256 with the certificate": {hs256(t, parts[1], certificate(t, chain[0])), confspace.ReasonAlgorithm},
		"alg ES256":                  {b64(`{"alg":"ES256","kid":"`+kid+`"}`) + "." + parts[1] + "." + parts[2], confspace.ReasonAlgorithm},
		"alg null":                   {b64(`{"alg":null,"kid":"`+kid+`"}`) + "." + parts[1] + "." + parts[2], confspace.ReasonAlgorithm},
		"alg list":                   {b64(`{"alg":["RS256"],"kid":"`+kid+`"}`) + "." + parts[1] + "." + parts[2], confspace.ReasonMalformed},
		"x5u":                        {signed(map[string]any{"alg": "RS256", "kid": kid, "x5u": "https://evil"}), confspace.ReasonHeader},
		"b64":                        {signed(map[string]any{"alg": "RS256", "x5c": chain, "b64": false}), confspace.ReasonHeader},
		"encrypted":                  {parts[0] + "." + parts[1] + "." + parts[2] + "." + parts[1] + "." + parts[2], confspace.ReasonMalformed},
		"JSON serialisation":         {`{"payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`, confspace.ReasonMalformed},
		"bearer prefix":              {"Bearer " + pki, confspace.ReasonMalformed},
		"signature of another":       {parts[0] + "." + parts[1] + "." + strings.Split(must(t)(mine.PKI(append(p[:len(p)-1:len(p)-1], `,"x":1}`...))), ".")[2], confspace.ReasonSignature},
		"signature shorter":          {parts[0] + "." + parts[1] + "." + b64(string(rawSignature[:255])), confspace.ReasonSignature},
		"signature longer":           {pki + "AAAA", confspace.ReasonSignature},
	}
}

// hs256 signs with a key that everybody knows, as for a verifier that takes
// the algorithm from the token.
func hs256(t *testing.T, payload string, key []byte) string {
	t.Helper()
	input := b64(`{"alg":"HS256","kid":"`+issuers()[0].KeyID()+`","typ":"JWT"}`) + "." + payload
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(input))
	return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func keySet(t *testing.T) string {
	t.Helper()
	jwks, err := issuers()[0].JWKS()
	if err != nil {
		t.Fatal(err)
	}
	return string(jwks)
}

func certificate(t *testing.T, encoded string) []byte {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

var update = flag.Bool("update", false, "write docs/attestation-negatives.md")

const negatives = "../../docs/attestation-negatives.md"

// Every bad token with what it is refused for, as the documentation lists it.
func TestNegativesTable(t *testing.T) {
	var rows []string
	row := func(name string, err error) {
		var r *confspace.Refusal
		if !errors.As(err, &r) {
			t.Errorf("%s: %v", name, err)
			return
		}
		rows = append(rows, fmt.Sprintf("| %s | `%s` | %s |", name, r.Reason, r.Claim))
	}
	anchors := trust(t)
	list := forgeries(t)
	for _, name := range slices.Sorted(maps.Keys(list)) {
		_, err := confspace.Verify(list[name].token, anchors, start)
		row("forged: "+name, err)
	}
	good := string(payload(t, workload()))
	claims := badClaims()
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		c := claims[name]
		v, err := confspace.Verify(must(t)(issuers()[0].PKI([]byte(strings.Replace(good, c.old, c.new, 1)))), anchors, start)
		if err == nil {
			err = confspace.Validate(v, expectation(), start)
		}
		row("claim: "+name, err)
	}
	v, err := confspace.Verify(must(t)(issuers()[0].PKI([]byte(good))), anchors, start)
	if err != nil {
		t.Fatal(err)
	}
	row("a perfect token, expectation left empty", confspace.Validate(v, confspace.Expectation{}, start))
	_, err = confspace.Verify(must(t)(issuers()[0].PKI([]byte(good))), confspace.Trust{}, start)
	row("a perfect token, no trust anchor", err)
	if len(rows) < 80 {
		t.Errorf("%d negatives, want 80 or more", len(rows))
	}
	table := fmt.Sprintf("# Attestation tokens that are refused\n\nWritten by `go test ./attest/confspace -run NegativesTable -update`; each line is a token that\nthe test makes and has refused. %d in all, none accepted.\n\n| Token | Reason | Claim or header member |\n|---|---|---|\n%s\n", len(rows), strings.Join(rows, "\n"))
	if *update {
		if err := os.WriteFile(negatives, []byte(table), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(negatives); err != nil || string(b) != table {
		t.Errorf("the table isn't what the tokens are refused for; run this test with -update and read the difference (%v)", err)
	}
	t.Logf("%d negatives", len(rows))
}
