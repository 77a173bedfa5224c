package main

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	"github.com/sigilkeys/sigil/attest"
	"github.com/sigilkeys/sigil/attest/confspace"
	"github.com/sigilkeys/sigil/receipt"
)

// prime is the first prime of 1024 bits, both upper ones set and not 1 modulo
// 65537, in a stream of hashes: the standard library makes no RSA key from a
// seed.
func prime(seed string) *big.Int {
	for n := uint64(0); ; n++ {
		var candidate []byte
		for part := byte(0); part < 4; part++ {
			sum := sha256.Sum256(append(binary.BigEndian.AppendUint64([]byte(seed), n), part))
			candidate = append(candidate, sum[:]...)
		}
		candidate[0] |= 0xc0
		candidate[127] |= 1
		p := new(big.Int).SetBytes(candidate)
		rest := new(big.Int).Mod(p, big.NewInt(65537))
		if rest.Cmp(big.NewInt(1)) != 0 && p.ProbablyPrime(20) {
			return p
		}
	}
}

// rsaKey is a fixed RSA key of 2048 bits. Its signatures (PKCS #1 v1.5) are
// the same on every run.
func rsaKey(seed string) (*rsa.PrivateKey, error) {
	p, q, one := prime(seed+"/p/"), prime(seed+"/q/"), big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537}, Primes: []*big.Int{p, q}}
	k.D = new(big.Int).ModInverse(big.NewInt(65537), phi)
	k.Precompute()
	return k, k.Validate()
}

// archiveTime is when the archived tokens were issued.
func archiveTime() time.Time { return time.Unix(1764000000, 0).UTC() }

// tokenPayload has the claims of an honest workload's token, in Google's order.
func tokenPayload(nonce string) []byte {
	at := archiveTime().Unix()
	return fmt.Appendf(nil, `{"aud":%q,"exp":%d,"iat":%d,"iss":"https://issuer.test","nbf":%d,"sub":"https://www.googleapis.com/compute/v1/projects/project/zones/z/instances/i",`+
		`"eat_nonce":%q,"secboot":true,"oemid":11129,"hwmodel":"GCP_AMD_SEV","swname":"CONFIDENTIAL_SPACE","swversion":["260600"],"dbgstat":"disabled-since-boot",`+
		`"submods":{"confidential_space":{"support_attributes":["LATEST","STABLE","USABLE"]},"container":{"image_digest":%q},"gce":{"project_id":"project"}},`+
		`"google_service_accounts":["tee@project.iam"]}`, receipt.EvidenceAudience, at+3600, at, at, nonce, release)
}

func signToken(k *rsa.PrivateKey, header map[string]any) (string, error) {
	h, err := json.Marshal(header)
	if err != nil {
		return "", err
	}
	raw := base64.RawURLEncoding
	input := raw.EncodeToString(h) + "." + raw.EncodeToString(tokenPayload(sampleStatement().Nonce()))
	digest := sha256.Sum256([]byte(input))
	sig, err := rsa.SignPKCS1v15(nil, k, crypto.SHA256, digest[:])
	return input + "." + raw.EncodeToString(sig), err
}

// pkiToken is a token with its chain, and the root's fingerprint.
func pkiToken(leaf *rsa.PrivateKey) (string, [32]byte, error) {
	var root [32]byte
	ca, err := rsaKey("root")
	if err != nil {
		return "", root, err
	}
	middle, err := rsaKey("intermediate")
	if err != nil {
		return "", root, err
	}
	var chain []string
	var parent *x509.Certificate
	signer := ca
	for n, k := range []*rsa.PrivateKey{ca, middle, leaf} {
		template := &x509.Certificate{SerialNumber: big.NewInt(int64(n + 1)), Subject: pkix.Name{CommonName: fmt.Sprintf("vector %d", n)},
			NotBefore: archiveTime().Add(-time.Hour), NotAfter: archiveTime().AddDate(1, 0, 0), SignatureAlgorithm: x509.SHA256WithRSA,
			BasicConstraintsValid: true, IsCA: n < 2, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: []byte{byte(n + 1)}}
		if n == 0 {
			parent = template
		} else if n == 2 {
			template.KeyUsage = x509.KeyUsageDigitalSignature
		}
		der, err := x509.CreateCertificate(nil, template, parent, &k.PublicKey, signer)
		if err != nil {
			return "", root, err
		}
		if n == 0 {
			root = sha256.Sum256(der)
		}
		if parent, err = x509.ParseCertificate(der); err != nil {
			return "", root, err
		}
		signer, chain = k, append([]string{base64.StdEncoding.EncodeToString(der)}, chain...)
	}
	token, err := signToken(leaf, map[string]any{"alg": "RS256", "typ": "JWT", "x5c": chain})
	return token, root, err
}

// keySet is a JWKS with a key, and one more that signs nothing.
func keySet(kid string, k *rsa.PrivateKey) (*confspace.KeySet, error) {
	type jwk map[string]string
	raw := base64.RawURLEncoding
	other := jwk{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "another", "e": "AQAB", "n": raw.EncodeToString(bytes.Repeat([]byte{0xff}, 256))}
	data, err := json.Marshal(map[string]any{"keys": []jwk{
		{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": kid, "e": "AQAB", "n": raw.EncodeToString(k.N.Bytes())}, other}})
	if err != nil {
		return nil, err
	}
	return confspace.ParseKeySet(data)
}

func attestationArchives() (file, error) {
	f := file{Format: "attestation-archive", Section: "6.4"}
	k, err := rsaKey("leaf")
	if err != nil {
		return f, err
	}
	pki, root, err := pkiToken(k)
	if err != nil {
		return f, err
	}
	keys, err := keySet("kid", k)
	if err != nil {
		return f, err
	}
	oidc, err := signToken(k, map[string]any{"alg": "RS256", "kid": "kid", "typ": "JWT"})
	if err != nil {
		return f, err
	}
	at := archiveTime().Add(time.Minute)
	var encoded [2][]byte
	digest := keys.Digest()
	for i, token := range []string{pki, oidc} {
		a, err := confspace.NewArchive(attest.Evidence{Statement: sampleStatement().Encode(), Token: token}, confspace.Trust{PKIRoot: root, Keys: keys}, at)
		if err != nil {
			return f, err
		}
		if encoded[i], err = a.Encode(); err != nil {
			return f, err
		}
		f.good([]string{"token with its chain", "token with the issuer's keys"}[i], encoded[i],
			map[string]any{"verified": at.Unix(), "nonce": sampleStatement().Nonce(), "image_digest": release}).Context =
			map[string]any{"root_sha256": h(root[:]), "key_set_sha256": h(digest[:])}
	}
	for _, c := range []struct {
		name, failure string
		of            int
		old, new      string
	}{
		{"next version", "unknown version", 0, "archive.v1", "archive.v2"},
		{"unknown member", "not canonical", 0, `{"format"`, `{"x":1,"format"`},
		{"white space", "not canonical", 1, `,"keys"`, `, "keys"`},
		{"instant before the token", "instant", 0, fmt.Sprint(at.Unix()), fmt.Sprint(at.Unix() - 3600)},
		{"instant after the token", "instant", 1, fmt.Sprint(at.Unix()), fmt.Sprint(at.Unix() + 3661)},
		{"another root", "root", 0, h(root[:]), h(digest[:])},
		{"keys and root", "values", 1, `"root_sha256":""`, `"root_sha256":"` + h(root[:]) + `"`},
		{"another key set", "key set", 1, `"kid":"another"`, `"kid":"anothes"`},
		{"exponent spelt long", "not canonical", 1, `"AQAB"`, `"AAEAAQ"`},
	} {
		f.bad(c.name, c.failure, bytes.Replace(encoded[c.of], []byte(c.old), []byte(c.new), 1))
	}
	f.bad("empty", "truncated", nil)
	f.bad("one byte more", "trailing bytes", append(bytes.Clone(encoded[0]), '\n'))
	return f, nil
}
