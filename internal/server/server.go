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
	"path"
	"slices"
	"strings"
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

// Args are the parts of a Server; all are required.
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
)

// route is one row of the table. A zero auth, body limit or timeout is a
// defect that the table's test finds.
type route struct {
	method  string
	path    string // with the query parameters that it takes, if any: /path?a&b
	auth    auth
	body    int64 // bytes; 0 = no body allowed
	timeout time.Duration
	handle  func(*Server, *call) (reply, error)
}

func routes() []route {
	const short, long = 10 * time.Second, 20 * time.Second
	return []route{
		{"GET", "/healthz", authNone, 0, short, (*Server).health},
		{"GET", "/readyz", authNone, 0, short, (*Server).ready},
		{"GET", "/version", authNone, 0, short, (*Server).version},
		{"GET", "/v1/networks", authNone, 0, short, (*Server).networks},
		{"GET", "/v1/attestation?challenge", authNone, 0, short, (*Server).attestation},
		{"GET", "/v1/attestation/{id}", authNone, 0, short, (*Server).archivedEvidence},
		{"POST", "/v1/orgs", authDocument, MaxBody, long, (*Server).createOrganization},
		{"GET", "/v1/orgs/{org}", authAdmin, 0, short, (*Server).getOrganization},
		{"POST", "/v1/orgs/{org}/api-keys", authDocument, MaxBody, long, (*Server).createKey},
		{"GET", "/v1/orgs/{org}/api-keys?limit&offset", authAdmin, 0, short, (*Server).listKeys},
		{"POST", "/v1/orgs/{org}/revocations", authDocument, MaxBody, long, (*Server).revoke},
		{"GET", "/v1/s2s/credential", authReader, 0, short, (*Server).credential},
		{"GET", "/v1/s2s/wallets?limit&offset", authReader, 0, short, (*Server).listWallets},
		{"GET", "/v1/s2s/wallets/{id}", authReader, 0, short, (*Server).getWallet},
		{"POST", "/v1/s2s/wallets", authDecision, MaxBody, long, (*Server).createWallet},
		{"POST", "/v1/s2s/sign", authDecision, MaxBody, long, (*Server).sign},
		{"GET", "/v1/receipts/{id}", authReader, 0, short, (*Server).getReceipt},
	}
}

// New returns a Server.
func New(a Args) *Server {
	s := &Server{Args: a, mux: http.NewServeMux()}
	methods := map[string][]string{}
	for _, r := range routes() {
		pattern, query := r.pattern()
		methods[pattern] = append(methods[pattern], r.method)
		s.mux.Handle(r.method+" "+pattern, s.handler(r, query))
	}
	for pattern, allowed := range methods {
		s.mux.Handle(pattern, s.wrongMethod(allowed))
		if slices.Contains(allowed, http.MethodGet) {
			// The mux takes HEAD for GET, but then it would be served.
			s.mux.Handle(http.MethodHead+" "+pattern, s.wrongMethod(allowed))
		}
	}
	s.mux.Handle("/", s.notFound())
	return s
}

// pattern splits a row's path into the mux's pattern and query parameters.
func (r *route) pattern() (path string, query []string) {
	path, names, takes := strings.Cut(r.path, "?")
	if takes {
		query = strings.Split(names, "&")
	}
	return path, query
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
func (s *Server) handler(rt route, query []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), rt.timeout)
		defer cancel()
		c := &call{Request: r, ctx: ctx, id: s.NewID()}
		out, err := s.run(rt, query, c, w)
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

func (s *Server) run(rt route, query []string, c *call, w http.ResponseWriter) (reply, error) {
	if err := c.checkQuery(query); err != nil {
		return reply{}, err
	}
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
