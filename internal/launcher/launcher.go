// Package launcher is the workload's client of the Confidential Space
// launcher, which hands out attestation tokens over a Unix socket
// (/run/container_launcher/teeserver.sock).
//
// Trust. The socket belongs to the attested image of the platform, so what
// comes over it isn't verified here: a token proves itself to whoever relies
// on it. Its length and alphabet are checked all the same, because it goes
// into headers, forms and frames.
//
// The default token is a bearer credential for the token exchange: it isn't
// logged, kept or shown. Evidence for others is a PKI token with another
// audience.
package launcher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode"
)

// STSAudience is the audience of default tokens; no other token may have it.
const STSAudience = "https://sts.googleapis.com"

// TokenType is the kind of signature under a token.
type TokenType string

// Token types.
const (
	OIDC TokenType = "OIDC" // signed by a key of the issuer's JWKS
	PKI  TokenType = "PKI"  // signed under a certificate chain in the token
)

// Limits of Google's attestation service and of this client.
const (
	MaxToken    = 16384 // bytes
	maxText     = 1024  // bytes of an error text that are kept
	maxAudience = 512
	minNonce    = 10
	maxNonce    = 74
	maxNonces   = 6
)

// outcome is a class of failures; all have one code in the API.
type outcome struct{ text string }

func (o *outcome) Error() string { return o.text }

// Code returns the API's code for a workload without attestation.
func (o *outcome) Code() string { return "attestation_unavailable" }

// Outcomes, for errors.Is. Both have a method Code with the API's code.
var (
	// ErrRefused: the launcher or the attestation service said no; asking
	// again without a change won't help.
	ErrRefused error = &outcome{"attestation refused"}
	// ErrUnavailable: no answer, or a failure on the other side.
	ErrUnavailable error = &outcome{"attestation unavailable"}
)

// Client asks one launcher. It may be used by several goroutines, holds no
// connection between calls and needs no Close.
type Client struct {
	socket string
	http   *http.Client
}

// New returns a client of the socket at the given path; a relative path is
// taken from the working directory, which gets around the limit of about 104
// bytes on socket paths. timeout bounds each call.
func New(socket string, timeout time.Duration) *Client {
	dialer := &net.Dialer{}
	return &Client{socket: socket, http: &http.Client{
		Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", socket)
			},
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 8192,
		},
	}}
}

// DefaultToken returns a fresh OIDC token with the audience STSAudience.
func (c *Client) DefaultToken(ctx context.Context) (string, error) {
	return c.call(ctx, http.MethodGet, nil)
}

// Token returns a token for an audience other than STSAudience with 1 to 6
// nonces of 10 to 74 bytes.
func (c *Client) Token(ctx context.Context, kind TokenType, audience string, nonces ...string) (string, error) {
	if kind != OIDC && kind != PKI {
		return "", fmt.Errorf("%w: token type %q", ErrRefused, kind)
	}
	if audience == "" || len(audience) > maxAudience || strings.TrimSuffix(audience, "/") == STSAudience {
		return "", fmt.Errorf("%w: audience must have 1 to %d bytes and not be that of the token exchange", ErrRefused, maxAudience)
	}
	if len(nonces) < 1 || len(nonces) > maxNonces {
		return "", fmt.Errorf("%w: %d nonces, 1 to %d are possible", ErrRefused, len(nonces), maxNonces)
	}
	for _, n := range nonces {
		if len(n) < minNonce || len(n) > maxNonce {
			return "", fmt.Errorf("%w: nonce of %d bytes, %d to %d are possible", ErrRefused, len(n), minNonce, maxNonce)
		}
	}
	body, err := json.Marshal(struct {
		Audience  string    `json:"audience"`
		Nonces    []string  `json:"nonces"`
		TokenType TokenType `json:"token_type"`
	}{audience, nonces, kind})
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return c.call(ctx, http.MethodPost, body)
}

// PKIToken returns a PKI token for the audience with one nonce.
func (c *Client) PKIToken(ctx context.Context, audience, nonce string) (string, error) {
	return c.Token(ctx, PKI, audience, nonce)
}

func (c *Client) call(ctx context.Context, method string, body []byte) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://launcher/v1/token", bytes.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return "", fmt.Errorf("%w: launcher socket %s: %w", ErrUnavailable, c.socket, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, MaxToken+1))
	if err != nil {
		return "", fmt.Errorf("%w: launcher reply: %w", ErrUnavailable, err)
	}
	if resp.StatusCode != http.StatusOK {
		kind := ErrUnavailable
		if resp.StatusCode == http.StatusBadRequest {
			kind = ErrRefused
		}
		return "", fmt.Errorf("%w: launcher answers %d: %s", kind, resp.StatusCode, printable(data))
	}
	if err := checkToken(data); err != nil {
		return "", fmt.Errorf("%w: launcher reply: %w", ErrUnavailable, err)
	}
	return string(data), nil
}

// checkToken takes three non-empty base64url segments and nothing else.
func checkToken(data []byte) error {
	if len(data) > MaxToken {
		return fmt.Errorf("longer than %d bytes", MaxToken)
	}
	segments := bytes.Split(data, []byte("."))
	if len(segments) != 3 {
		return errors.New("not a compact JWT")
	}
	for _, s := range segments {
		if len(s) == 0 || bytes.ContainsFunc(s, notBase64URL) {
			return errors.New("not a compact JWT")
		}
	}
	return nil
}

func notBase64URL(r rune) bool {
	return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// printable makes foreign text safe for one line of a log.
func printable(data []byte) string {
	s := strings.ToValidUTF8(string(data[:min(len(data), maxText)]), "?")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s))
}
