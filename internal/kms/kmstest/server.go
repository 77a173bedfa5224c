package kmstest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
)

// KeyName returns the name of the i-th key of a Server.
func KeyName(i int) string {
	return fmt.Sprintf("projects/test/locations/europe-west1/keyRings/ring/cryptoKeys/key-%d", i)
}

// Server is a strict stand-in for Cloud KMS's REST API over TLS: encrypt and
// decrypt of any key named by KeyName, bearer tokens, checksums, and faults on
// demand. It is made of net/http and encoding/json, so that it shares no code
// with the client under test.
type Server struct {
	*httptest.Server

	mu     sync.Mutex // guards the fields below
	token  string
	fault  Fault
	faults int
	calls  int
	conns  int
}

// NewServer starts a server that accepts the token. Close it.
func NewServer(token string) *Server {
	s := &Server{token: token}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			s.mu.Lock()
			s.conns++
			s.mu.Unlock()
		}
	}
	s.StartTLS()
	return s
}

// Roots returns the pool with the server's certificate.
func (s *Server) Roots() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(s.Certificate())
	return p
}

// SetToken replaces the token that is accepted.
func (s *Server) SetToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = token
}

// Inject makes the next n calls go wrong. Expired isn't one of its faults: it
// is SetToken.
func (s *Server) Inject(f Fault, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault, s.faults = f, n
}

// Counts returns how many calls and connections there were.
func (s *Server) Counts() (calls, conns int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls, s.conns
}

// next counts a call and returns its fault and the token in force.
func (s *Server) next() (Fault, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.faults == 0 {
		return NoFault, s.token
	}
	s.faults--
	return s.fault, s.token
}

type request struct {
	Plaintext  []byte `json:"plaintext,omitempty"`
	Ciphertext []byte `json:"ciphertext,omitempty"`
	PCRC       string `json:"plaintextCrc32c,omitempty"`
	CCRC       string `json:"ciphertextCrc32c,omitempty"`
	AAD        []byte `json:"additionalAuthenticatedData"`
	AADCRC     string `json:"additionalAuthenticatedDataCrc32c"`
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault, token := s.next()
	switch fault {
	case TooManyRequests:
		refuse(w, http.StatusTooManyRequests, "RESOURCE_EXHAUSTED")
		return
	case ServiceDown:
		refuse(w, http.StatusServiceUnavailable, "UNAVAILABLE")
		return
	case KeyDisabled:
		refuse(w, http.StatusBadRequest, "FAILED_PRECONDITION")
		return
	case PermissionDenied:
		refuse(w, http.StatusForbidden, "PERMISSION_DENIED")
		return
	case Silence:
		_, _ = io.Copy(io.Discard, r.Body) // net/http notices a client's leaving only after that
		select {
		case <-r.Context().Done():
		case <-time.After(time.Minute):
		}
		return
	case HangUp:
		panic(http.ErrAbortHandler)
	case NoFault, WrongChecksum, NotVerified, AADNotVerified, InClear, OtherKey, Garbage, CutShort, Oversized, WrongSize, Chunked, Expired:
	}
	if r.Header.Get("Authorization") != "Bearer "+token {
		refuse(w, http.StatusUnauthorized, "UNAUTHENTICATED")
		return
	}
	s.answer(w, r, fault)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, fault Fault) {
	name, op, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/"), ":")
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<17))
	var in request
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || err != nil || canon.DecodeJSONLoose(body, &in) != nil || !ok {
		refuse(w, http.StatusBadRequest, "INVALID_ARGUMENT")
		return
	}
	if !strings.HasPrefix(name, strings.TrimSuffix(KeyName(0), "0")) {
		refuse(w, http.StatusNotFound, "NOT_FOUND")
		return
	}
	data, sum := in.Plaintext, in.PCRC
	if op == "decrypt" {
		data, sum = in.Ciphertext, in.CCRC
	}
	if sum != checksum(data) || in.AADCRC != checksum(in.AAD) {
		refuse(w, http.StatusBadRequest, "INVALID_ARGUMENT")
		return
	}
	var out map[string]any
	switch op {
	case "encrypt":
		out = encrypt(name, &in, fault)
	case "decrypt":
		out = decrypt(name, &in, fault)
	}
	if out == nil {
		refuse(w, http.StatusBadRequest, "INVALID_ARGUMENT")
		return
	}
	reply(w, out, fault)
}

func aead(name string) cipher.AEAD {
	k := sha256.Sum256([]byte(name))
	b, err := aes.NewCipher(k[:])
	if err != nil {
		panic(err) // 32 bytes are always a key
	}
	a, err := cipher.NewGCM(b)
	if err != nil {
		panic(err)
	}
	return a
}

func encrypt(name string, in *request, fault Fault) map[string]any {
	nonce := make([]byte, 12, 128)
	if _, err := rand.Read(nonce); err != nil {
		return nil
	}
	ct := aead(name).Seal(nonce, nonce, in.Plaintext, in.AAD)
	if fault == InClear {
		ct = append(ct, in.Plaintext...)
	}
	out := map[string]any{
		"name": name + "/cryptoKeyVersions/1", "ciphertext": ct, "ciphertextCrc32c": checksum(ct),
		"verifiedPlaintextCrc32c": true, "verifiedAdditionalAuthenticatedDataCrc32c": true,
		"protectionLevel": "SOFTWARE",
	}
	switch fault {
	case WrongChecksum:
		out["ciphertextCrc32c"] = checksum(append(ct, 0))
	case NotVerified:
		delete(out, "verifiedPlaintextCrc32c")
	case AADNotVerified:
		delete(out, "verifiedAdditionalAuthenticatedDataCrc32c")
	case OtherKey:
		out["name"] = KeyName(9) + "/cryptoKeyVersions/1"
	case WrongSize:
		out["ciphertext"] = make([]byte, 600)
		out["ciphertextCrc32c"] = checksum(make([]byte, 600))
	}
	return out
}

func decrypt(name string, in *request, fault Fault) map[string]any {
	if len(in.Ciphertext) < 12 {
		return nil
	}
	pt, err := aead(name).Open(nil, in.Ciphertext[:12], in.Ciphertext[12:], in.AAD)
	if err != nil {
		return nil
	}
	if fault == WrongSize {
		pt = pt[:31]
	}
	out := map[string]any{"plaintext": pt, "plaintextCrc32c": checksum(pt), "usedPrimary": true, "protectionLevel": "SOFTWARE"}
	if fault == WrongChecksum {
		out["plaintextCrc32c"] = checksum(append(pt, 0))
	}
	return out
}

func reply(w http.ResponseWriter, out map[string]any, fault Fault) {
	b, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		panic(err) // a map of strings, bools and bytes
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	switch fault {
	case Garbage:
		b = []byte(`{"plaintext":`)
	case Oversized:
		b = append(make([]byte, 0, 1<<20), strings.Repeat(" ", 1<<20)...)
	case CutShort:
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		_, _ = w.Write(b[:len(b)/2])
		panic(http.ErrAbortHandler)
	case Chunked:
		for len(b) > 10 {
			_, _ = w.Write(b[:10])
			w.(http.Flusher).Flush()
			b = b[10:]
		}
	}
	_, _ = w.Write(b)
}

func refuse(w http.ResponseWriter, status int, enum string) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"error":{"code":%d,"message":"refused","status":%q}}`, status, enum)
}

func checksum(b []byte) string {
	return strconv.FormatUint(uint64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))), 10)
}
