package cloudsim

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/sigilkeys/sigil/internal/canon"
)

// adminRoutes serves the knobs. Whoever can connect to a port of this machine
// may turn them; pages in this machine's browser may not: they send an Origin,
// and after DNS rebinding another Host.
func (s *Sim) adminRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sim/info", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Info()) })
	mux.HandleFunc("GET /sim/knobs", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Knobs()) })
	mux.HandleFunc("PUT /sim/knobs", command(func(k *Knobs) error { return s.SetKnobs(*k) }))
	mux.HandleFunc("GET /sim/audit", s.serveAudit)
	mux.HandleFunc("GET /sim/releases", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Releases()) })
	mux.HandleFunc("POST /sim/releases", command(func(c *releaseCommand) error {
		if c.Admit {
			return s.AdmitRelease(c.Digest)
		}
		return s.WithdrawRelease(c.Digest)
	}))
	mux.HandleFunc("POST /sim/keys", command(func(c *keyCommand) error {
		if c.State == "" {
			return s.RotateKey(c.Key)
		}
		return s.SetVersionState(c.Key, c.Version, c.State)
	}))
	mux.HandleFunc("POST /sim/pools", command(func(c *poolCommand) error {
		return s.UpdatePool(c.Pool, func(p *Pool) {
			p.Disabled, p.ProviderDisabled, p.Condition = c.Disabled, c.ProviderDisabled, c.Condition
		})
	}))
	mux.HandleFunc("POST /sim/issuer/rotate", command(func(*struct{}) error { return s.RotateIssuerKeys() }))
	mux.HandleFunc("POST /sim/tokens/revoke", command(func(*struct{}) error { return s.RevokeTokens() }))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != hostOf(s.info.AdminURL) || r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
			http.Error(w, "this endpoint is for local programs, not for browsers", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// releaseCommand admits a digest or withdraws it.
type releaseCommand struct {
	Digest string `json:"digest"`
	Admit  bool   `json:"admit"`
}

// keyCommand rotates a key, or with a state moves one of its versions there.
type keyCommand struct {
	Key     string `json:"key"`
	Version uint32 `json:"version"`
	State   string `json:"state"`
}

// poolCommand sets a pool's switches and condition ("" is the recommended).
type poolCommand struct {
	Pool             int    `json:"pool"`
	Disabled         bool   `json:"disabled"`
	ProviderDisabled bool   `json:"provider_disabled"`
	Condition        string `json:"condition"`
}

// command makes a handler of a function with a strict JSON body.
func command[T any](do func(*T) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil && r.Header.Get("Content-Type") != "application/json" {
			err = fmt.Errorf("content type must be application/json")
		}
		in := new(T)
		if err == nil {
			err = canon.DecodeJSONLoose(body, in)
		}
		if err == nil {
			err = do(in)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *Sim) serveAudit(w http.ResponseWriter, r *http.Request) {
	var after uint64
	if text := r.URL.Query().Get("after"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			http.Error(w, "after must be a number", http.StatusBadRequest)
			return
		}
		after = n
	}
	writeJSON(w, http.StatusOK, s.Audit(after))
}

func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Host
}
