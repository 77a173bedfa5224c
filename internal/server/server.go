// Package server is the HTTP face of the control plane: one route table, one
// place where bodies are bounded and decoded, one where errors become
// replies. What it says it enforces only for honest use: authorisation to
// sign is decided in the TEE.
package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/org"
	"github.com/sigilkeys/sigil/internal/signing"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/tracing"
)

// MaxBody bounds every request body.
const MaxBody = 64 << 10

// Args are the parts of a Server; all but TrustedProxies are required.
type Args struct {
	Store   store.Store
	Signing *signing.Service
	Fleet   *signing.Fleet
	// Challenges answers callers who want evidence made for them.
	Challenges *signing.Challenges
	Org        *org.Service
	Networks   *chain.Registry
	Limits     *Limits
	Log        *slog.Logger
	Now        func() time.Time
	NewID      func() canon.UUID
	Version    string
	// MaxRequests bounds the requests in work, whatever they are for, and
	// beside them those whose body is being read: each holds its body. 0:
	// DefaultMaxRequests.
	MaxRequests int
	// Observe, if set, is told of every answered request.
	Observe func(*Event)

	// TrustedProxies are those whose X-Forwarded-For is believed; none: the
	// caller's address is that of the connection.
	TrustedProxies []netip.Prefix
	// Tracer traces requests; nil: none.
	Tracer *tracing.Tracer
}

// DefaultMaxRequests holds 512 MiB of bodies at most: 256 MiB in work, and as
// much that is being read.
const DefaultMaxRequests = 4096

// Server answers requests.
type Server struct {
	Args
	mux   *http.ServeMux
	paths *http.ServeMux // refuses what fits no route by its method, by its path

	reading  *crowd
	inWork   atomic.Int64 // requests that were read
	draining atomic.Bool
}

// auth says how a route's caller is identified.
type auth int

const (
	authProbe    auth = iota + 1 // public, and never refused for being too many
	authNone                     // public
	authDocument                 // the body is a signed document
	authReader                   // signature by a key of the organisation, verified here
	authAdmin                    // signature by an admin or a key of the organisation in the path
	authDecision                 // identified here, proven in the TEE
	authWriter                   // as authReader, by a key of scope full
)

// row is one of the table. A zero auth, body limit or timeout is a defect that
// the table's test finds.
type row struct {
	method  string
	target  string // path with the query parameters that it takes, if any: /path?a&b
	auth    auth
	body    int64 // bytes; 0 = no body allowed
	timeout time.Duration
	handle  func(*Server, *call) (reply, error)
}

// route is a row, with its target taken apart.
type route struct {
	row
	path  string
	query []string // parameters that it takes
}

func routes() []route {
	var out []route
	for _, r := range table() {
		path, names, takes := strings.Cut(r.target, "?")
		one := route{row: r, path: path}
		if takes {
			one.query = strings.Split(names, "&")
		}
		out = append(out, one)
	}
	return out
}

func table() []row {
	// The longest is below the time that a reply may take (Serve).
	const short, long, longest = 10 * time.Second, 20 * time.Second, 35 * time.Second
	return []row{
		{"GET", "/healthz", authProbe, 0, short, (*Server).health},
		{"GET", "/readyz", authProbe, 0, short, (*Server).ready},
		{"GET", "/version", authNone, 0, short, (*Server).version},
		{"GET", "/v1/networks", authNone, 0, short, (*Server).networks},
		{"GET", "/v1/attestation?challenge", authNone, 0, short, (*Server).attestation},
		{"GET", "/v1/attestation/{id}", authNone, 0, short, (*Server).archivedEvidence},
		{"POST", "/v1/orgs", authDocument, MaxBody, long, (*Server).createOrganization},
		{"GET", "/v1/orgs/{org}", authAdmin, 0, short, (*Server).getOrganization},
		{"POST", "/v1/orgs/{org}/api-keys", authDocument, MaxBody, long, (*Server).createKey},
		{"GET", "/v1/orgs/{org}/api-keys?limit&offset", authAdmin, 0, short, (*Server).listKeys},
		{"POST", "/v1/orgs/{org}/revocations", authDocument, MaxBody, long, (*Server).revoke},
		{"GET", "/v1/orgs/{org}/audit?event_type&success&wallet_id&key_id&since&until&limit&offset", authAdmin, 0, short, (*Server).audit},
		{"GET", "/v1/s2s/credential", authReader, 0, short, (*Server).credential},
		{"GET", "/v1/s2s/wallets?label_prefix&address&created_after&created_before&archived&limit&offset", authReader, 0, short, (*Server).listWallets},
		{"GET", "/v1/s2s/wallets/{id}", authReader, 0, short, (*Server).getWallet},
		{"PATCH", "/v1/s2s/wallets/{id}", authWriter, MaxBody, short, (*Server).changeWallet},
		{"POST", "/v1/s2s/wallets", authDecision, MaxBody, long, (*Server).createWallet},
		{"POST", "/v1/s2s/sign", authDecision, MaxBody, long, (*Server).sign},
		{"POST", "/v1/s2s/sign/batch", authDecision, MaxBody, long, (*Server).signBatch},
		{"POST", "/v1/s2s/transactions/decode", authReader, MaxBody, short, (*Server).decode},
		{"POST", "/v1/s2s/wallets/bulk", authDecision, MaxBody, longest, (*Server).createWallets},
		{"GET", "/v1/receipts/{id}", authReader, 0, short, (*Server).getReceipt},
		{"GET", "/v1/log/checkpoint", authReader, 0, short, (*Server).checkpoint},
		{"GET", "/v1/log/inclusion?receipt&size", authReader, 0, short, (*Server).inclusion},
		{"GET", "/v1/log/consistency?from&to", authReader, 0, short, (*Server).consistency},
		{"GET", "/v1/log/tiles/{level}/{index}", authReader, 0, short, (*Server).tile},
		{"GET", "/v1/log/entries?from&limit", authReader, 0, long, (*Server).entries},
	}
}

// New returns a Server.
func New(a Args) *Server {
	s := &Server{Args: a, mux: http.NewServeMux(), paths: http.NewServeMux()}
	if s.MaxRequests == 0 {
		s.MaxRequests = DefaultMaxRequests
	}
	s.reading = newCrowd(s.MaxRequests)
	methods := map[string][]string{}
	for _, r := range routes() {
		methods[r.path] = append(methods[r.path], r.method)
		s.mux.Handle(r.method+" "+r.path, s.handler(r))
	}
	// Patterns without a method stand apart, since one of these and one with
	// a wildcard can conflict.
	for pattern, allowed := range methods {
		s.paths.Handle(pattern, s.wrongMethod(allowed))
		// The mux would take the method of another row whose wildcard fits
		// this path.
		for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPatch} {
			if !slices.Contains(allowed, m) {
				s.mux.Handle(m+" "+pattern, s.wrongMethod(allowed))
			}
		}
	}
	s.paths.Handle("/", s.notFound())
	s.mux.Handle("/", s.paths)
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
	if r.Method == http.MethodHead {
		s.paths.ServeHTTP(w, r) // the mux would take it for GET, and serve it
		return
	}
	s.mux.ServeHTTP(w, r)
}

func (s *Server) notFound() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.refuseRoute(w, r, refuse(api.CodeNotFound, "there is no such route"))
	})
}

func (s *Server) wrongMethod(allowed []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, m := range allowed {
			w.Header().Add("Allow", m)
		}
		s.refuseRoute(w, r, refuse(api.CodeMethodNotAllowed, "this route takes %v", allowed))
	})
}

func (s *Server) refuseRoute(w http.ResponseWriter, r *http.Request, err error) {
	c, began := &call{Request: r, ctx: r.Context(), id: s.NewID()}, s.Now()
	err = s.charged(0, c, err)
	status := s.fail(w, c.id, err)
	s.observe(s.event(route{}, c, began, status, err), false)
}

// handler runs one route: limits, identification, the use case, the reply.
func (s *Server) handler(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), rt.timeout)
		defer cancel()
		ctx, span := s.trace(ctx, r, rt)
		c, began := &call{Request: r, ctx: ctx, id: s.NewID()}, s.Now()
		out, err := s.guarded(rt, c, w)
		if err != nil {
			out.status = s.fail(w, c.id, err)
			endSpan(span, c, out.status, err)
			s.observe(s.event(rt, c, began, out.status, err), rt.auth == authProbe)
			return
		}
		h := w.Header()
		h["Content-Type"] = []string{"application/json"}
		h["Sigil-Request-Id"] = []string{c.id.String()}
		s.closing(h)
		w.WriteHeader(out.status)
		if _, err := w.Write(out.body); err != nil {
			s.Log.Debug("client went away", "request", c.id.String())
		}
		endSpan(span, c, out.status, nil)
		s.observe(s.event(rt, c, began, out.status, nil), rt.auth == authProbe)
	})
}

func (s *Server) run(rt route, c *call, w http.ResponseWriter) (reply, error) {
	if err := c.readQuery(rt.query); err != nil {
		return reply{}, s.charged(rt.auth, c, err)
	}
	if err := s.receive(rt, c, w); err != nil {
		return reply{}, err
	}
	if n := s.inWork.Add(1); n > int64(s.MaxRequests) && rt.auth != authProbe {
		s.inWork.Add(-1)
		return reply{}, refuse(api.CodeOverloaded, "more than %d requests are in work", s.MaxRequests)
	}
	defer s.inWork.Add(-1)
	err := s.identify(rt.auth, c)
	if over := s.charge(rt.auth, c, err); over != nil {
		return reply{}, over
	}
	if err != nil {
		return reply{}, err
	}
	return rt.handle(s, c)
}

// receive reads the body, while there is a place for its address.
func (s *Server) receive(rt route, c *call, w http.ResponseWriter) error {
	if c.ContentLength != 0 && rt.auth != authProbe {
		a := s.Limits.address(c.Request)
		if err := s.reading.enter(a); err != nil {
			if c.ProtoMajor == 1 {
				w.Header().Set("Connection", "close") // else the reply waits for the body
			}
			return err
		}
		defer s.reading.leave(a)
	}
	if err := c.read(rt.body, w); err != nil {
		return s.charged(rt.auth, c, err)
	}
	return nil
}
