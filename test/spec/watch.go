package spec

import (
	"bytes"
	"io"
	"net/http"
)

// Watch returns a handler that answers as next does, and reports each
// exchange that isn't as described. The request's body is seen as next reads
// it, so that limits and slowness stay what they are.
func (s *Spec) Watch(next http.Handler, report func(format string, args ...any)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.Clone(r.Context()) // as it came, whatever next does to it
		body := &readBody{ReadCloser: r.Body}
		r.Body = body
		reply := &writtenReply{ResponseWriter: w}
		next.ServeHTTP(reply, r)
		x := &Exchange{Request: asked, Body: body.read.Bytes(), Whole: body.whole, Status: max(reply.status, http.StatusOK), Header: w.Header(), Reply: reply.body.Bytes()}
		if err := s.Check(x); err != nil {
			report("%s %s is not as api/openapi.yaml describes it: %v\nrequest: %.2000s\nreply: %d %.2000s", r.Method, r.URL.Path, err, x.Body, x.Status, x.Reply)
		}
	})
}

// readBody keeps what is read of a body. One goroutine reads it.
type readBody struct {
	io.ReadCloser
	read  bytes.Buffer
	whole bool
}

func (b *readBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read.Write(p[:n])
	b.whole = b.whole || err == io.EOF
	return n, err
}

// writtenReply keeps a reply while it is written.
type writtenReply struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (w *writtenReply) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *writtenReply) Write(p []byte) (int, error) {
	w.body.Write(p)
	return w.ResponseWriter.Write(p)
}
