package gcpkms

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"

	"github.com/sigilkeys/sigil/internal/kms"
)

// call is one operation. All of it is memory of the caller's, outside
// secret.Do, and only dek is secret.
type call struct {
	op      string // encrypt or decrypt
	aad     []byte
	wrapped []byte    // decrypt: what to unwrap
	dek     *[32]byte // encrypt: what to wrap; decrypt: where to put it
	wrap    *wrapResult
}

// wrapResult takes what Wrap returns; fixed arrays, so that nothing that
// secret.Do allocated gets out.
type wrapResult struct {
	wrapped [maxWrapped]byte
	n       int
	name    [maxName]byte
	nameLen int
}

// result says how an attempt went.
type result struct {
	err          error
	retry        bool // it may help to try again
	unauthorized bool // the token isn't accepted
}

func failed(k kms.Kind, format string, args ...any) result {
	return result{err: kms.Errorf(k, format, args...)}
}

// attempt makes one exchange. A connection from the pool that the server has
// closed meanwhile is replaced at once: both methods may be repeated. It runs
// inside secret.Do.
func (c *Client) attempt(ctx context.Context, token string, k *call) result {
	for {
		if err := ctx.Err(); err != nil {
			return c.networkResult(ctx, err) // send nothing that nobody waits for
		}
		cn := c.pool.get()
		if cn == nil {
			var err error
			if cn, err = c.dial(ctx); err != nil {
				return c.networkResult(ctx, err)
			}
		}
		res, err := c.exchange(ctx, cn, token, k)
		if err == nil {
			return res
		}
		if !cn.old || ctx.Err() != nil {
			return c.networkResult(ctx, err)
		}
	}
}

// networkResult: a certificate that doesn't verify and a reply that isn't
// HTTP stay as they are; anything else on the network may pass.
func (c *Client) networkResult(ctx context.Context, err error) result {
	var cert *tls.CertificateVerificationError
	switch {
	case errors.Is(err, errHTTP):
		return result{err: &kms.Error{Kind: kms.BadReply, Err: err}}
	case errors.As(err, &cert):
		return result{err: &kms.Error{Kind: kms.Unavailable, Reason: "its certificate isn't accepted", Err: err}}
	case ctx.Err() != nil:
		return result{err: &kms.Error{Kind: kms.Unavailable, Reason: "no answer in time", Err: ctx.Err()}}
	}
	return result{err: &kms.Error{Kind: kms.Unavailable, Err: err}, retry: true}
}

// exchange sends the request and reads the reply. The connection goes back to
// the pool or is closed.
func (c *Client) exchange(ctx context.Context, cn *conn, token string, k *call) (res result, err error) {
	reusable := false
	stop := watch(ctx, cn.raw.Conn)
	defer func() {
		// Stop before the connection goes back: a deadline set late would
		// hit the next exchange. Where ctx has ended, it isn't used again.
		stop()
		if cn.wipe(); reusable && ctx.Err() == nil {
			c.pool.put(cn)
		} else {
			cn.close()
		}
	}()
	body := k.appendBody(cn.body[:0])
	path := "/v1/" + c.cfg.KeyName + ":" + k.op
	if _, err := cn.tls.Write(appendRequest(cn.out[:0], c.host, path, token, body)); err != nil {
		return result{}, err
	}
	rd := &reader{src: cn.tls, buf: cn.in}
	response, err := readResponse(rd)
	if err != nil {
		return result{}, err
	}
	reusable = !response.close
	if response.status != 200 {
		return k.refused(response), nil
	}
	return k.accept(response.body, c.cfg.KeyName), nil
}

// refused maps refusals. Only status code and enum are read, since the
// message is the server's and could hold anything.
func (k *call) refused(r *response) result {
	enum := parseError(r.body).status
	switch r.status {
	case 400:
		if string(enum) == "FAILED_PRECONDITION" {
			return failed(kms.Denied, "the key version is disabled or destroyed")
		}
		if k.op == "decrypt" {
			return failed(kms.Rejected, "wrong key, wrong AAD or altered ciphertext")
		}
	case 401:
		return result{err: kms.Errorf(kms.Denied, "access token isn't accepted"), unauthorized: true}
	case 403:
		return failed(kms.Denied, "permission denied")
	case 404:
		return failed(kms.Denied, "no such key")
	case 408, 429, 500, 502, 503, 504:
		return result{err: kms.Errorf(kms.Unavailable, "HTTP status %d", r.status), retry: true}
	}
	return failed(kms.BadReply, "HTTP status %d", r.status)
}

// castagnoli returns CRC32C, the checksum of the API.
func castagnoli(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// appendBody appends the request's JSON. Checksums are int64 and so, in
// protobuf's JSON, strings.
func (k *call) appendBody(dst []byte) []byte {
	field, data := "plaintext", k.dek[:]
	if k.op == "decrypt" {
		field, data = "ciphertext", k.wrapped
	}
	dst = append(dst, `{"`...)
	dst = append(dst, field...)
	dst = append(dst, `":"`...)
	dst = appendBase64(dst, data)
	dst = append(dst, `","`...)
	dst = append(dst, field...)
	dst = append(dst, `Crc32c":"`...)
	dst = strconv.AppendUint(dst, uint64(castagnoli(data)), 10)
	dst = append(dst, `","additionalAuthenticatedData":"`...)
	dst = appendBase64(dst, k.aad)
	dst = append(dst, `","additionalAuthenticatedDataCrc32c":"`...)
	dst = strconv.AppendUint(dst, uint64(castagnoli(k.aad)), 10)
	return append(dst, `"}`...)
}

// accept checks a reply and takes its result.
func (k *call) accept(body []byte, key string) result {
	if k.op == "decrypt" {
		return k.acceptDecrypt(body)
	}
	return k.acceptEncrypt(body, key)
}

func (k *call) acceptDecrypt(body []byte) result {
	r, err := parseReply(body, "plaintext")
	if err != nil {
		return failed(kms.BadReply, "malformed JSON")
	}
	var dek [32]byte
	defer clear(dek[:])
	// 44 digits are 32 bytes here, as decodeBase64 fails on 33.
	n, ok := decodeBase64(dek[:], r.data)
	if !ok || n != len(dek) {
		return failed(kms.BadReply, "plaintext isn't a DEK of 32 bytes")
	}
	if !crcMatches(r.crc, dek[:]) {
		return result{err: kms.Errorf(kms.BadReply, "checksum of the plaintext is wrong"), retry: true}
	}
	*k.dek = dek
	return result{}
}

func (k *call) acceptEncrypt(body []byte, key string) result {
	r, err := parseReply(body, "ciphertext")
	if err != nil {
		return failed(kms.BadReply, "malformed JSON")
	}
	out := k.wrap
	var ok bool
	if out.n, ok = decodeBase64(out.wrapped[:], r.data); !ok || out.n == 0 {
		return failed(kms.BadReply, "ciphertext is missing or too long")
	}
	if !crcMatches(r.crc, out.wrapped[:out.n]) || !r.verified || !r.verifiedAAD {
		return result{err: kms.Errorf(kms.BadReply, "a checksum is wrong or wasn't verified"), retry: true}
	}
	if bytes.Contains(out.wrapped[:out.n], k.dek[:]) {
		return failed(kms.BadReply, "ciphertext contains the DEK in clear")
	}
	if err := checkVersion(r.name, key); err != nil {
		return result{err: &kms.Error{Kind: kms.BadReply, Err: err}}
	}
	out.nameLen = copy(out.name[:], r.name)
	return result{}
}

// checkVersion tests that name is a version of key: the KMS must have used
// the key that was asked for.
func checkVersion(name []byte, key string) error {
	version, ok := bytes.CutPrefix(name, []byte(key+"/cryptoKeyVersions/"))
	if n, digits := parseUint(version, 1<<31); !ok || !digits || n == 0 || version[0] == '0' || len(name) > maxName {
		return fmt.Errorf("reply names another key than %s", key)
	}
	return nil
}

// crcMatches compares the API's decimal checksum with that of data.
func crcMatches(decimal, data []byte) bool {
	v, ok := parseUint(decimal, 1<<32-1)
	return ok && uint32(v) == castagnoli(data)
}
