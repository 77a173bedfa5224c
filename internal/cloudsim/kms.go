package cloudsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Limits of software keys.
const (
	maxPlaintext  = 64 << 10
	maxAAD        = 64 << 10
	maxCiphertext = 2 * maxPlaintext
)

// apiError writes an error of Google's REST services.
func apiError(w http.ResponseWriter, code int, status, message string) {
	type body struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Status  string `json:"status"`
	}
	writeJSON(w, code, struct {
		Error body `json:"error"`
	}{body{code, message, status}})
}

// kmsError is a refusal on its way to apiError.
type kmsError struct {
	code    int
	status  string
	message string
}

func (e *kmsError) Error() string { return e.message }

func invalidArgument(format string, args ...any) *kmsError {
	return &kmsError{http.StatusBadRequest, "INVALID_ARGUMENT", fmt.Sprintf(format, args...)}
}

// kmsRequest is the body of both methods. proto3 JSON writes 64-bit integers
// as strings and takes numbers too.
type kmsRequest struct {
	Name          string      `json:"name"`
	Plaintext     []byte      `json:"plaintext"`
	PlaintextCRC  json.Number `json:"plaintextCrc32c"`
	Ciphertext    []byte      `json:"ciphertext"`
	CiphertextCRC json.Number `json:"ciphertextCrc32c"`
	AAD           []byte      `json:"additionalAuthenticatedData"`
	AADCRC        json.Number `json:"additionalAuthenticatedDataCrc32c"`
}

type encryptReply struct {
	Name        string `json:"name"`
	Ciphertext  []byte `json:"ciphertext"`
	CRC         string `json:"ciphertextCrc32c"`
	Verified    bool   `json:"verifiedPlaintextCrc32c,omitempty"`
	VerifiedAAD bool   `json:"verifiedAdditionalAuthenticatedDataCrc32c,omitempty"`
	Protection  string `json:"protectionLevel"`
}

type decryptReply struct {
	Plaintext  []byte `json:"plaintext"`
	CRC        string `json:"plaintextCrc32c"`
	Primary    bool   `json:"usedPrimary,omitempty"`
	Protection string `json:"protectionLevel"`
}

// kmsRoutes serves POST /v1/{name}:encrypt and :decrypt.
func (s *Sim) kmsRoutes() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, op, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/"), ":")
		if !ok || r.Method != http.MethodPost || (op != "encrypt" && op != "decrypt") || !strings.HasPrefix(r.URL.Path, "/v1/") {
			http.NotFound(w, r)
			return
		}
		body, err := io.ReadAll(r.Body) // before any fault: only then a client's leaving is noticed
		if err != nil {
			apiError(w, http.StatusBadRequest, "INVALID_ARGUMENT", "Request payload can't be read.")
			return
		}
		key, _, _ := strings.Cut(name, "/cryptoKeyVersions/")
		s.mu.Lock()
		mode, delay := s.knobs.KMS.take(key)
		s.mu.Unlock()
		if !s.misbehave(w, r, mode, delay) {
			return
		}
		reply, err := s.serveKMS(r, name, op, mode, body)
		if mode == FaultDoneThenCut {
			panic(http.ErrAbortHandler)
		}
		var refusal *kmsError
		switch {
		case errors.As(err, &refusal):
			apiError(w, refusal.code, refusal.status, refusal.message)
		case err != nil:
			apiError(w, http.StatusInternalServerError, "INTERNAL", err.Error())
		default:
			deliver(w, reply, mode)
		}
	})
}

// serveKMS authenticates, authorises, does and records one call.
func (s *Sim) serveKMS(r *http.Request, name, op, mode string, body []byte) (any, error) {
	permission := map[string]string{"encrypt": permEncrypt, "decrypt": permDecrypt}[op]
	entry := AuditEntry{Time: s.cfg.Clock(), Permission: permission, Key: name, Fault: mode, Decision: DecisionUnauthenticated}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	p := s.openToken(token)
	reply, err := func() (any, error) {
		if p == nil {
			return nil, &kmsError{http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."}
		}
		entry.Principal, entry.Decision = p.String(), DecisionDeny
		keyName, _, _ := strings.Cut(name, "/cryptoKeyVersions/")
		s.mu.Lock()
		st := s.state
		s.mu.Unlock()
		key := st.key(keyName)
		if key == nil || mode == FaultDeny || !st.allowed(p, key, permission) {
			return nil, &kmsError{http.StatusForbidden, "PERMISSION_DENIED", fmt.Sprintf("Permission '%s' denied on resource '%s' (or it may not exist).", permission, keyName)}
		}
		entry.Decision = DecisionAllow
		return s.perform(key, name, op, mode, body)
	}()
	entry.Status = "OK"
	if err != nil {
		entry.Status = "INTERNAL"
		var refusal *kmsError
		if errors.As(err, &refusal) {
			entry.Status = refusal.status
		}
	}
	s.mu.Lock()
	s.audit.add(entry)
	s.mu.Unlock()
	return reply, err
}

func (s *Sim) perform(key *Key, name, op, mode string, body []byte) (any, error) {
	var q kmsRequest
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&q); err != nil {
		return nil, invalidArgument("Invalid JSON payload received. %v", err)
	}
	if q.Name != "" && q.Name != name {
		return nil, invalidArgument("The name in the body doesn't match the one in the URL.")
	}
	if len(q.AAD) > maxAAD || len(q.Plaintext) > maxPlaintext || len(q.Ciphertext) > maxCiphertext {
		return nil, invalidArgument("The plaintext, ciphertext or additional authenticated data is too long.")
	}
	if mode == FaultDisabled {
		return nil, precondition(&stateError{key.versionName(key.Primary), StateDisabled})
	}
	if err := matches(q.AADCRC, q.AAD, "additional_authenticated_data"); err != nil {
		return nil, err
	}
	if op == "encrypt" {
		return s.encrypt(key, mode, &q)
	}
	if name != key.Name {
		return nil, invalidArgument("Decrypt takes a CryptoKey, not a CryptoKeyVersion.")
	}
	return decrypt(key, mode, &q)
}

func (s *Sim) encrypt(key *Key, mode string, q *kmsRequest) (any, error) {
	if len(q.Plaintext) == 0 || q.Ciphertext != nil {
		return nil, invalidArgument("The plaintext is missing, or a ciphertext is given.")
	}
	if err := matches(q.PlaintextCRC, q.Plaintext, "plaintext"); err != nil {
		return nil, err
	}
	ct, version, err := key.encrypt(q.Plaintext, q.AAD, s.cfg.Random)
	if err != nil {
		return nil, keyError(err)
	}
	if mode == FaultWrongSize {
		ct = make([]byte, 600)
	}
	out := &encryptReply{
		Name: key.versionName(version), Ciphertext: ct, CRC: checksum(ct),
		Verified: q.PlaintextCRC != "", VerifiedAAD: q.AADCRC != "", Protection: "SOFTWARE",
	}
	switch mode {
	case FaultWrongCRC:
		out.CRC = checksum(append(ct, 0))
	case FaultNotVerified:
		out.Verified, out.VerifiedAAD = false, false
	case FaultOtherKey:
		out.Name = key.Name + "-other/cryptoKeyVersions/1"
	}
	return out, nil
}

func decrypt(key *Key, mode string, q *kmsRequest) (any, error) {
	if q.Plaintext != nil {
		return nil, invalidArgument("A plaintext is given.")
	}
	if err := matches(q.CiphertextCRC, q.Ciphertext, "ciphertext"); err != nil {
		return nil, err
	}
	plaintext, version, err := key.decrypt(q.Ciphertext, q.AAD)
	if err != nil {
		return nil, keyError(err)
	}
	if mode == FaultWrongSize {
		plaintext = plaintext[:len(plaintext)-1]
	}
	out := &decryptReply{Plaintext: plaintext, CRC: checksum(plaintext), Primary: version == key.Primary, Protection: "SOFTWARE"}
	if mode == FaultWrongCRC {
		out.CRC = checksum(append(plaintext, 0))
	}
	return out, nil
}

func precondition(err error) *kmsError {
	return &kmsError{http.StatusBadRequest, "FAILED_PRECONDITION", err.Error()}
}

func keyError(err error) error {
	var state *stateError
	switch {
	case errors.As(err, &state):
		return precondition(err)
	case errors.Is(err, errCiphertext), errors.Is(err, errOtherKey), errors.Is(err, errNoVersion):
		return invalidArgument("%v", err)
	}
	return err
}

func matches(sum json.Number, data []byte, field string) error {
	if sum != "" && sum.String() != checksum(data) {
		return invalidArgument("The checksum in field %s_crc32c did not match the data in field %s.", field, field)
	}
	return nil
}

func checksum(b []byte) string {
	return strconv.FormatUint(uint64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))), 10)
}

// deliver writes a good reply, in the way that the fault says.
func deliver(w http.ResponseWriter, reply any, mode string) {
	data, err := json.MarshalIndent(reply, "", "  ")
	if err != nil {
		apiError(w, http.StatusInternalServerError, "INTERNAL", err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	switch mode {
	case FaultCutShort:
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		_, _ = w.Write(data[:len(data)/2])
		panic(http.ErrAbortHandler)
	case FaultOversized:
		data = append(bytes.Repeat([]byte(" "), 1<<20), data...)
	case FaultChunked:
		flusher, _ := w.(http.Flusher)
		for len(data) > 10 && flusher != nil {
			_, _ = w.Write(data[:10])
			flusher.Flush()
			data = data[10:]
		}
	}
	_, _ = w.Write(data)
}
