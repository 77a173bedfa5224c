package cloudsim

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// kmsRoutes serves both faces on one port, as Google's endpoint does: gRPC to
// whoever speaks it, HTTP and JSON to the others.
func (s *Sim) kmsRoutes() (http.Handler, error) {
	keys, policies := &keyService{s: s}, &policyService{s: s}
	var err error
	if s.rest, err = restRoutes(keys, policies); err != nil {
		return nil, err
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(s.intercept))
	kmspb.RegisterKeyManagementServiceServer(server, keys)
	iampb.RegisterIAMPolicyServer(server, policies)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		isGRPC := r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
		body, err := io.ReadAll(r.Body) // before any fault: only then a client's leaving is noticed
		if err != nil {
			err = status.Error(codes.InvalidArgument, "Request payload can't be read.")
		}
		if err != nil && isGRPC {
			restError(w, err)
			return
		}
		s.mu.Lock()
		mode, delay := s.knobs.KMS.take(calledKey(r))
		s.mu.Unlock()
		if !s.beforeKMS(w, r, mode, delay, isGRPC) {
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), faultKey, mode))
		if isGRPC {
			r = r.WithContext(context.WithValue(r.Context(), faceKey, "grpc"))
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		deliver(w, mode, isGRPC, func(w http.ResponseWriter) {
			if isGRPC {
				server.ServeHTTP(w, r)
			} else {
				s.serveREST(w, r, body, err)
			}
		})
	}), nil
}

// calledKey is the key that a call is about, from the path, or from the
// routing header that Google's gRPC clients send.
func calledKey(r *http.Request) string {
	name := strings.TrimPrefix(r.URL.Path, "/v1/")
	if params, err := url.ParseQuery(r.Header.Get("X-Goog-Request-Params")); err == nil && len(params) == 1 {
		for _, v := range params {
			name = v[0]
		}
	}
	name, _, _ = strings.Cut(name, ":")
	name, _ = splitVersion(name)
	return name
}

// beforeKMS plays the faults that come before the work; false: it answered.
func (s *Sim) beforeKMS(w http.ResponseWriter, r *http.Request, mode string, delay time.Duration, isGRPC bool) bool {
	switch mode {
	case FaultSlow:
		return s.wait(r, delay)
	case FaultHang:
		s.hang(r)
	case FaultGarbage:
		if isGRPC {
			writeFrame(w, []byte("\xff\xff\xff\x00garbage"))
			return false
		}
		garbage(w)
		return false
	}
	return true
}

func garbage(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_, _ = w.Write([]byte("{\"plaintext\": \x00\xff"))
}

// writeFrame writes one gRPC message and the trailer of a call that went well.
func writeFrame(w http.ResponseWriter, message []byte) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))))
	_, _ = w.Write(message)
	w.Header().Set("Grpc-Status", "0")
}

// deliver runs a face and hands its reply on in the way that the fault says.
func deliver(w http.ResponseWriter, mode string, isGRPC bool, face func(http.ResponseWriter)) {
	switch mode {
	case FaultDoneThenCut, FaultCutShort, FaultOversized, FaultChunked:
	default:
		face(w)
		return
	}
	rec := &recorder{header: http.Header{}, code: http.StatusOK}
	face(rec)
	data := rec.body.Bytes()
	switch {
	case mode == FaultDoneThenCut:
		panic(http.ErrAbortHandler)
	case mode == FaultOversized && isGRPC:
		writeFrame(w, bytes.Repeat([]byte{0xff}, 1<<20))
		return
	case mode == FaultOversized:
		data = append(bytes.Repeat([]byte(" "), 1<<20), data...)
	}
	trailers := rec.start(w)
	switch mode {
	case FaultCutShort:
		if !isGRPC {
			w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		}
		w.WriteHeader(rec.code)
		_, _ = w.Write(data[:len(data)/2])
		flush(w)
		panic(http.ErrAbortHandler)
	case FaultChunked:
		w.WriteHeader(rec.code)
		for len(data) > 10 {
			_, _ = w.Write(data[:10])
			flush(w)
			data = data[10:]
		}
	default:
		w.WriteHeader(rec.code)
	}
	_, _ = w.Write(data)
	for name, values := range trailers {
		w.Header()[name] = values
	}
}

func flush(w http.ResponseWriter) {
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
}

// recorder keeps a reply instead of sending it.
type recorder struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(code int)        { r.code = code }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }
func (r *recorder) Flush()                      {}

// start copies the headers, and returns the trailers that they declare.
func (r *recorder) start(w http.ResponseWriter) http.Header {
	trailers := http.Header{}
	for _, name := range r.header.Values("Trailer") {
		if name = http.CanonicalHeaderKey(name); r.header[name] != nil {
			trailers[name] = r.header[name]
		}
	}
	for name, values := range r.header {
		if trailers[name] == nil {
			w.Header()[name] = values
		}
	}
	return trailers
}

// quiet is the log of the emulator's servers: clients report their errors
// themselves.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
