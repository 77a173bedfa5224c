package cloudsim

import (
	"net/http"
)

// issuerRoutes serves what the attestation service publishes: discovery, JWKS
// and the root of PKI tokens.
func (s *Sim) issuerRoutes() http.Handler {
	url := s.issuer.URL()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, discovery{
			Issuer: url, JWKS: url + "/jwks", Subjects: []string{"public"}, Responses: []string{"id_token"},
			Claims: []string{"sub", "aud", "exp", "iat", "iss", "jti", "nbf", "dbgstat", "eat_nonce",
				"google_service_accounts", "hwmodel", "oemid", "secboot", "submods", "swname", "swversion"},
			Algorithms: []string{"RS256"}, Scopes: []string{"openid"},
		})
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		set, err := s.issuer.JWKS()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		_, _ = w.Write(set)
	})
	mux.HandleFunc("GET /.well-known/attestation-pki-root", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"root_ca_uri": url + "/.well-known/confidential_space_root.crt"})
	})
	mux.HandleFunc("GET /.well-known/confidential_space_root.crt", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-x509-ca-cert")
		_, _ = w.Write(s.issuer.RootPEM())
	})
	return s.faulty(mux, func(k *Knobs) *Fault { return &k.Issuer }, googleVoice)
}

type discovery struct {
	Issuer     string   `json:"issuer"`
	JWKS       string   `json:"jwks_uri"`
	Subjects   []string `json:"subject_types_supported"`
	Responses  []string `json:"response_types_supported"`
	Claims     []string `json:"claims_supported"`
	Algorithms []string `json:"id_token_signing_alg_values_supported"`
	Scopes     []string `json:"scopes_supported"`
}
