package server_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/test/stack"
)

// Callers who send their bodies slowly hold no more than MaxRequests; the
// next is refused before its body is read, and the probes still answer.
func TestRequestsInWorkAreBounded(t *testing.T) {
	const most = 3
	s := stack.Start(t, stack.Options{MaxRequests: most})
	var slow []net.Conn
	for range most {
		c, err := net.Dial("tcp", s.API.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "POST /v1/orgs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))
		if _, err := io.ReadFull(c, buf); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, c)
	}
	get := func(path string) answer {
		r, err := http.NewRequest("GET", s.API.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return send(t, r)
	}
	if a := get("/v1/networks"); a != (answer{429, api.CodeOverloaded, 1}) {
		t.Errorf("one too many: %+v", a)
	}
	if a := get("/healthz"); a.status != 200 {
		t.Errorf("the probe: %+v", a)
	}
	for _, c := range slow {
		if _, err := io.WriteString(c, "{}"); err != nil {
			t.Fatal(err)
		}
		reply, err := io.ReadAll(c)
		if err != nil || !strings.Contains(string(reply), string(api.CodeDocumentInvalid)) {
			t.Errorf("one that waited: %s %v", reply, err)
		}
	}
	if a := get("/v1/networks"); a.status != 200 {
		t.Errorf("after the crowd: %+v", a)
	}
}
