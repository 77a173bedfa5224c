// Package server is the HTTP face of the control plane: one route table, one
// place where bodies are bounded and decoded, one where errors become
// replies. What it says it enforces only for honest use: authorisation to
// sign is decided in the TEE.
package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"path"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/org"
	"github.com/sigilkeys/sigil/internal/signing"
	"github.com/sigilkeys/sigil/internal/store"
)

// MaxBody bounds every request body.
const MaxBody = 64 << 10

// Args are the parts of a Server; all but TrustedProxies are required.
type Args struct {
	Store   store.Store
	Signing *signing.Service
	Link    *signing.Link
	// Challenges answers callers who want evidence made for them.
	Challenges *signing.Challenges
	Org        *org.Service
	Networks   *chain.Registry
	Log        *slog.Logger
	Now        func() time.Time
	NewID      func() canon.UUID
	Version    string

	// TrustedProxies are those whose X-Forwarded-For is believed; none: the
	// caller's address is that of the connection.
	TrustedProxies []netip.Prefix
}

// Server answers requests.
type Server struct {
	Args
	mux *http.ServeMux
}

// auth says how a route's caller is identified.
type auth int

const (
	authNone     auth = iota + 1 // public
	authDocument                 // the body is a signed document
	authReader                   // signature by a key of the organisation, verified here
	authAdmin                    // signature by an admin or a key of the organisation in the path
	authDecision                 // identified here, proven in the TEE
	authWriter                   // as authReader, by a key of scope full
)

// route is one row of the table. A zero auth, body limit or timeout is a
// defect that the table's test finds.
type route struct {
	method  string
	path    string
	auth    auth
	body    int64 // bytes; 0 = no body allowed
	timeout time.Duration
	handle  func(*Server, *call) (reply, error)
}

func routes() []route {
	// The longest is below the time that a reply may take (Serve).
	const short, long, longest = 10 * time.Second, 20 * time.Second, 35 * time.Second
	return []route{
		{"GET", "/healthz", authNone, 0, short, (*Server).health},
		{"GET", "/readyz", authNone, 0, short, (*Server).ready},
		{"GET", "/version", authNone, 0, short, (*Server).version},
		{"GET", "/v1/networks", authNone, 0, short, (*Server).networks},
		{"GET", "/v1/attestation", authNone, 0, short, (*Server).attestation},
		{"GET", "/v1/attestation/{id}", authNone, 0, short, (*Server).archivedEvidence},
		{"POST", "/v1/orgs", authDocument, MaxBody, long, (*Server).createOrganization},
		{"GET", "/v1/orgs/{org}", authAdmin, 0, short, (*Server).getOrganization},
		{"POST", "/v1/orgs/{org}/api-keys", authDocument, MaxBody, long, (*Server).createKey},
		{"GET", "/v1/orgs/{org}/api-keys", authAdmin, 0, short, (*Server).listKeys},
		{"POST", "/v1/orgs/{org}/revocations", authDocument, MaxBody, long, (*Server).revoke},
		{"GET", "/v1/orgs/{org}/audit", authAdmin, 0, short, (*Server).audit},
		{"GET", "/v1/s2s/credential", authReader, 0, short, (*Server).credential},
		{"GET", "/v1/s2s/wallets", authReader, 0, short, (*Server).listWallets},
		{"GET", "/v1/s2s/wallets/{id}", authReader, 0, short, (*Server).getWallet},
		{"PATCH", "/v1/s2s/wallets/{id}", authWriter, MaxBody, short, (*Server).changeWallet},
		{"POST", "/v1/s2s/wallets", authDecision, MaxBody, long, (*Server).createWallet},
		{"POST", "/v1/s2s/sign", authDecision, MaxBody, long, (*Server).sign},
		{"POST", "/v1/s2s/sign/batch", authDecision, MaxBody, long, (*Server).signBatch},
		{"POST", "/v1/s2s/wallets/bulk", authDecision, MaxBody, longest, (*Server).createWallets},
		{"GET", "/v1/receipts/{id}", authReader, 0, short, (*Server).getReceipt},
	}
}

// New returns a Server.
func New(a Args) *Server {
	s := &Server{Args: a, mux: http.NewServeMux()}
	methods := map[string][]string{}
	for _, r := range routes() {
		methods[r.path] = append(methods[r.path], r.method)
		s.mux.Handle(r.method+" "+r.path, s.handler(r))
	}
	// What fits no route by its method, by its path. These patterns stand
	// apart, since one without a method and one with a wildcard can conflict.
	paths := http.NewServeMux()
	for pattern, allowed := range methods {
		paths.Handle(pattern, s.wrongMethod(allowed))
	}
	paths.Handle("/", s.notFound())
	s.mux.Handle("/", paths)
	return s
}

// ServeHTTP implements http.Handler. A path that the mux would clean is no
// route: it would be redirected, without an envelope, and what was signed
// isn't what would be asked for then.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p := r.URL.Path; p != "/" && path.Clean("/"+p) != p {
		s.notFound().ServeHTTP(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

func (s *Server) notFound() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.fail(w, s.NewID(), refuse(api.CodeNotFound, "there is no such route"))
	})
}

func (s *Server) wrongMethod(allowed []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for _, m := range allowed {
			w.Header().Add("Allow", m)
		}
		s.fail(w, s.NewID(), refuse(api.CodeMethodNotAllowed, "this route takes %v", allowed))
	})
}

// handler runs one route: limits, identification, the use case, the reply.
func (s *Server) handler(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), rt.timeout)
		defer cancel()
		c := &call{Request: r, ctx: ctx, id: s.NewID()}
		out, err := s.run(rt, c, w)
		if err != nil {
			s.fail(w, c.id, err)
			return
		}
		h := w.Header()
		h["Content-Type"] = []string{"application/json"}
		h["Sigil-Request-Id"] = []string{c.id.String()}
		w.WriteHeader(out.status)
		if _, err := w.Write(out.body); err != nil {
			s.Log.Debug("client went away", "request", c.id.String())
		}
	})
}

func (s *Server) run(rt route, c *call, w http.ResponseWriter) (reply, error) {
	if err := c.read(rt.body, w); err != nil {
		return reply{}, err
	}
	if err := s.identify(rt.auth, c); err != nil {
		return reply{}, err
	}
	return rt.handle(s, c)
}

// Serve listens with timeouts on everything until ctx ends, then lets
// requests in work finish.
func (s *Server) Serve(ctx context.Context, hs *http.Server, serve func() error) error {
	hs.Handler = s
	hs.ReadHeaderTimeout = 5 * time.Second
	hs.ReadTimeout = 15 * time.Second
	hs.WriteTimeout = 40 * time.Second
	hs.IdleTimeout = 2 * time.Minute
	hs.MaxHeaderBytes = 16 << 10
	done := make(chan error, 1)
	go func() {
		<-ctx.Done()
		sctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		done <- hs.Shutdown(sctx)
	}()
	if err := serve(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-done
}
