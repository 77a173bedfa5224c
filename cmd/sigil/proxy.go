package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sigilkeys/sigil/client"
)

// maxProxyBody is the API's own limit.
const maxProxyBody = 64 << 10

func (a *app) proxyCommand() *cobra.Command {
	var listen string
	var remote bool
	c := &cobra.Command{Use: "proxy", Short: "Sign plain HTTP requests on localhost", Args: cobra.NoArgs,
		Long: `Takes plain HTTP requests, as curl makes them, signs them with the secret key,
sends them to the service, and verifies signatures, wallets and receipts that
come back. An answer that can't be believed becomes a 502.

Whoever reaches the address acts with the key: every user and program of this
machine. Requests from web pages are refused.`,
		Example: `  sigil proxy --listen 127.0.0.1:8421 --key-file backend.key
  curl -d '{"wallet_id":"…","network":"base","message":"hello"}' \
      -H 'Content-Type: application/json' http://127.0.0.1:8421/v1/s2s/sign`,
		RunE: func(c *cobra.Command, _ []string) error {
			if !remote && !isLoopback(listen) {
				return usagef("listen on 127.0.0.1, or give --allow-remote if the network is as trusted as this machine", "%s isn't a loopback address: whoever reaches it could sign", listen)
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			l, err := (&net.ListenConfig{}).Listen(c.Context(), "tcp", listen)
			if err != nil {
				return fmt.Errorf("listen: %w", err)
			}
			if err := a.print(map[string]string{"address": l.Addr().String(), "key_id": cl.KeyID()}, "http://"+l.Addr().String()); err != nil {
				return errors.Join(err, l.Close())
			}
			p := &proxy{forward: cl.Forward}
			if !remote {
				p.port = portOf(l.Addr().String())
			}
			return serveUntil(c.Context(), l, p)
		}}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8421", "address to listen on")
	c.Flags().BoolVar(&remote, "allow-remote", false, "listen on other than loopback addresses")
	return c
}

func serveUntil(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 90 * time.Second, MaxHeaderBytes: 32 << 10}
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = s.Shutdown(grace)
	})
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// isLoopback takes literal loopback addresses and localhost: other names are
// what a resolver says.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// proxy signs requests of this machine's programs.
type proxy struct {
	forward func(ctx context.Context, method, path, query string, body []byte, idempotencyKey string) (*client.Forwarded, error)
	port    string // own port, "" when remote callers are allowed
}

// ServeHTTP refuses what a web page could send, then forwards.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if status, code, message := p.refuse(r); status != 0 {
		replyError(w, status, code, message, nil)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxProxyBody))
	if err != nil {
		replyError(w, http.StatusRequestEntityTooLarge, "body_too_large", "the body has more than 64 KiB or can't be read", nil)
		return
	}
	f, err := p.forward(r.Context(), r.Method, r.URL.EscapedPath(), r.URL.RawQuery, body, r.Header.Get("Idempotency-Key"))
	if err != nil {
		replyForwardError(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Sigil-Verified", fmt.Sprint(f.Verified))
	_ = json.NewEncoder(w).Encode(map[string]any{"data": f.Data, "error": nil})
}

// refuse keeps web pages out. A page reaches localhost by its address or, with
// a name of its own that resolves to it, by DNS rebinding; browsers then say
// so in Host, Origin or Sec-Fetch-Site. A form post needs no permission, so
// the content type must be one that a form can't send.
func (p *proxy) refuse(r *http.Request) (status int, code, message string) {
	if p.port != "" {
		host, port, err := net.SplitHostPort(r.Host)
		ip := net.ParseIP(host)
		if err != nil || port != p.port || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return http.StatusForbidden, "host_refused", "the Host field isn't this proxy's loopback address"
		}
	}
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		return http.StatusForbidden, "browser_refused", "the proxy serves no web pages"
	}
	if r.Method != http.MethodGet {
		media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || media != "application/json" {
			return http.StatusUnsupportedMediaType, "unsupported_media_type", "send Content-Type: application/json"
		}
	}
	if len(r.Header.Values("Idempotency-Key")) > 1 || !strings.HasPrefix(r.URL.Path, "/v1/") {
		return http.StatusBadRequest, "invalid_argument", "the path must begin with /v1/, and Idempotency-Key stand once"
	}
	return 0, "", ""
}

func replyForwardError(w http.ResponseWriter, err error) {
	var e *client.APIError
	var v *client.VerificationError
	var argument *client.ArgumentError
	switch {
	case errors.As(err, &v):
		replyError(w, http.StatusBadGateway, string(v.Code), v.Error(), map[string]string{"field": v.Field, "reason": string(v.Reason)})
	case errors.As(err, &e):
		if e.RequestID != "" {
			w.Header().Set("Sigil-Request-Id", e.RequestID)
		}
		if e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", strconv.Itoa(max(1, int(e.RetryAfter.Seconds()))))
		}
		if e.Receipt != nil {
			w.Header().Set("Sigil-Verified", "true")
		}
		replyError(w, e.Status, string(e.Code), e.Message, e.Details)
	case errors.As(err, &argument):
		replyError(w, http.StatusBadRequest, "invalid_argument", argument.Error(), nil)
	default:
		replyError(w, http.StatusBadGateway, "service_unreachable", err.Error(), nil)
	}
}

func replyError(w http.ResponseWriter, status int, code, message string, details any) {
	e := map[string]any{"code": code, "message": message}
	if raw, ok := details.(json.RawMessage); details != nil && (!ok || len(raw) > 0) {
		e["details"] = details
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"data": nil, "error": e})
}
