package server

import (
	"net/http"
	"net/netip"
)

// AddressForTest returns the client address that a request is charged to.
func (l *Limits) AddressForTest(r *http.Request) netip.Prefix { return l.address(r) }

// LooseForTest lets one address take all places of those whose body is being
// read: a canary. It returns the server.
func (s *Server) LooseForTest() *Server {
	s.reading.loose = true
	return s
}

// ReadingForTest returns how many bodies are being read.
func (s *Server) ReadingForTest() int { return int(s.reading.len()) }

// RouteForTest is a row of the route table as the outside sees it.
type RouteForTest struct {
	Method, Path string
	Query        []string // parameters that it takes
	Signed       bool     // by a key or an admin
	Decision     bool     // proven in the TEE
	Document     bool     // its body is a signed document
}

// RoutesForTest lists the table.
func RoutesForTest() []RouteForTest {
	var out []RouteForTest
	for _, r := range routes() {
		out = append(out, RouteForTest{r.method, r.path, r.query, r.auth == authReader || r.auth == authAdmin || r.auth == authDecision || r.auth == authWriter, r.auth == authDecision, r.auth == authDocument})
	}
	return out
}
