// Package kmstest is the conformance suite of sealed.KEK: every client of a
// KMS passes it, over every server that it is used with.
package kmstest

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/kms"
	"github.com/sigilkeys/sigil/internal/sealed"
)

// Fault is a way for a server to misbehave. The zero value is none.
type Fault uint8

// Faults.
const (
	NoFault          Fault = iota
	TooManyRequests        // HTTP 429
	ServiceDown            // HTTP 503
	PermissionDenied       // HTTP 403
	KeyDisabled            // HTTP 400, FAILED_PRECONDITION
	Silence                // no answer
	HangUp                 // connection closed without an answer
	CutShort               // connection closed in the middle of an answer
	WrongChecksum          // the reply's CRC32C isn't that of its data
	NotVerified            // an encrypt reply doesn't confirm the plaintext's CRC32C
	AADNotVerified         // an encrypt reply doesn't confirm the AAD's CRC32C
	InClear                // an encrypt reply's ciphertext has the plaintext in it
	OtherKey               // an encrypt reply names another key
	Garbage                // not JSON
	Oversized              // 1 MiB of it
	WrongSize              // data of a size that can't be
	Chunked                // no fault: the reply comes in many chunks
	Expired                // the token expires while the call is under way: HTTP 401
)

// Harness is what the suite needs of the client and server under test.
type Harness struct {
	// New returns a client for key 0 or 1 of the server. Operations must give
	// up after timeout.
	New func(tb testing.TB, key int, timeout time.Duration) sealed.KEK
	// Inject makes the server's next n calls go wrong; false: it can't, which
	// fails the test unless the fault is one of CannotInject.
	Inject func(f Fault, n int) bool
	// CannotInject are the faults that mean nothing to the client or server
	// under test. They are named here so that no other goes untested.
	CannotInject []Fault
	// RotateToken makes the server refuse the token that clients hold, and
	// their token source give a new one. It may be nil.
	RotateToken func()
	// ShortenTokens makes tokens live that long from now on, and Refused says
	// how many calls were refused for their token so far. They may be nil.
	ShortenTokens func(life time.Duration)
	Refused       func() int
}

const patience = 20 * time.Second

var testAAD = []byte("organization:00000000-0000-4000-8000-000000000001:wallet:00000000-0000-4000-8000-000000000002:share:tee")

// Run runs the suite; harness makes a fresh one for each test.
func Run(t *testing.T, harness func(t *testing.T) Harness) {
	t.Run("round trip", func(t *testing.T) { roundTrip(t, harness(t)) })
	t.Run("refuses what was altered", func(t *testing.T) { altered(t, harness(t)) })
	t.Run("faults", func(t *testing.T) { faults(t, harness(t)) })
	t.Run("passing faults", func(t *testing.T) { passing(t, harness(t)) })
	t.Run("deadline", func(t *testing.T) { deadline(t, harness(t)) })
	t.Run("token", func(t *testing.T) { token(t, harness(t)) })
	t.Run("renewal", func(t *testing.T) { renewal(t, harness(t)) })
	t.Run("concurrent", func(t *testing.T) { concurrent(t, harness(t)) })
}

// inject reports whether the fault was injected. One that the harness says it
// can't inject is passed over; any other that isn't injected is a failure.
func (h *Harness) inject(t testing.TB, f Fault, n int) bool {
	t.Helper()
	can := h.Inject(f, n)
	switch listed := slices.Contains(h.CannotInject, f); {
	case can && listed:
		t.Errorf("fault %d can be injected, though the harness says that it can't", f)
	case !can && !listed:
		t.Errorf("fault %d wasn't injected", f)
	case !can:
		t.Logf("fault %d can't be injected, as the harness says", f)
	}
	return can
}

func newDEK(t *testing.T) *[32]byte {
	t.Helper()
	d := new([32]byte)
	if _, err := rand.Read(d[:]); err != nil {
		t.Fatal(err)
	}
	return d
}

func wrap(t *testing.T, k sealed.KEK, dek *[32]byte) []byte {
	t.Helper()
	w, name, err := k.Wrap(t.Context(), dek, testAAD)
	if err != nil {
		t.Fatal(err)
	}
	if name == "" || len(name) > 256 || len(w) == 0 || len(w) > 512 {
		t.Fatalf("name %q, %d bytes wrapped", name, len(w))
	}
	return w
}

func roundTrip(t *testing.T, h Harness) {
	k := h.New(t, 0, patience)
	for range 5 {
		dek := newDEK(t)
		copied := *dek
		w := wrap(t, k, dek)
		var got [32]byte
		if err := k.Unwrap(t.Context(), w, testAAD, &got); err != nil || got != copied || *dek != copied {
			t.Fatal("not the DEK that was wrapped", err)
		}
	}
}

// altered: nothing but the very bytes, AAD and key unwrap, and a failure is
// recognisable and leaves the DEK alone.
func altered(t *testing.T, h Harness) {
	k, other := h.New(t, 0, patience), h.New(t, 1, patience)
	w := wrap(t, k, newDEK(t))
	flip := func(i int) []byte {
		b := append([]byte(nil), w...)
		b[i] ^= 1
		return b
	}
	aad := append([]byte(nil), testAAD...)
	aad[len(aad)-1] ^= 1
	for name, c := range map[string]struct {
		kek     sealed.KEK
		wrapped []byte
		aad     []byte
	}{
		"wrong AAD":    {k, w, aad},
		"no AAD":       {k, w, nil},
		"other key":    {other, w, testAAD},
		"truncated":    {k, w[:len(w)-1], testAAD},
		"first bit":    {k, flip(0), testAAD},
		"last bit":     {k, flip(len(w) - 1), testAAD},
		"nothing":      {k, nil, testAAD},
		"much too big": {k, make([]byte, 4096), testAAD},
	} {
		got := [32]byte{0xaa}
		err := c.kek.Unwrap(t.Context(), c.wrapped, c.aad, &got)
		if !errors.Is(err, sealed.ErrOpen) || got != [32]byte{0xaa} {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := k.Wrap(t.Context(), newDEK(t), nil); err == nil {
		t.Error("wraps without AAD")
	}
}

// faults: what a server that keeps failing makes of both operations.
func faults(t *testing.T, h Harness) {
	// Long enough for one reply on a busy machine: without any, a bad reply
	// and a silent KMS look the same.
	short, patient := h.New(t, 0, 2*time.Second), h.New(t, 0, patience)
	retried := []Fault{TooManyRequests, ServiceDown, HangUp, CutShort, Silence, WrongChecksum, NotVerified, AADNotVerified}
	dek := newDEK(t)
	w := wrap(t, patient, dek)
	for f, want := range map[Fault]kms.Kind{
		TooManyRequests: kms.Unavailable, ServiceDown: kms.Unavailable, HangUp: kms.Unavailable, CutShort: kms.Unavailable,
		Silence: kms.Unavailable, PermissionDenied: kms.Denied, KeyDisabled: kms.Denied, WrongChecksum: kms.BadReply,
		Garbage: kms.BadReply, Oversized: kms.BadReply, WrongSize: kms.BadReply, NotVerified: kms.BadReply, AADNotVerified: kms.BadReply,
		InClear: kms.BadReply, OtherKey: kms.BadReply,
	} {
		if !h.inject(t, f, 1000) {
			continue
		}
		client := patient
		if slices.Contains(retried, f) {
			client = short
		}
		_, _, err := client.Wrap(t.Context(), dek, testAAD)
		check(t, "wrap", f, want, err)
		if slices.Contains([]Fault{NotVerified, AADNotVerified, InClear, OtherKey}, f) {
			continue // of encrypt replies only
		}
		got := [32]byte{0xaa}
		check(t, "unwrap", f, want, client.Unwrap(t.Context(), w, testAAD, &got))
		if got != [32]byte{0xaa} {
			t.Errorf("fault %d: failed unwrap wrote to the DEK", f)
		}
	}
}

func check(t *testing.T, op string, f Fault, want kms.Kind, err error) {
	t.Helper()
	var e *kms.Error
	if !errors.As(err, &e) || e.Kind != want {
		t.Errorf("%s with fault %d: %v, want %v", op, f, err, want)
	}
}

// passing: faults that go away are waited out, and chunks are put together.
func passing(t *testing.T, h Harness) {
	k := h.New(t, 0, patience)
	dek := newDEK(t)
	w := wrap(t, k, dek)
	for _, f := range []Fault{TooManyRequests, ServiceDown, HangUp, CutShort, WrongChecksum, Chunked, Expired} {
		times := 2
		if f == Expired {
			times = 1 // two tokens in a row that aren't accepted are a denial
		}
		if !h.inject(t, f, times) {
			continue
		}
		var got [32]byte
		if err := k.Unwrap(t.Context(), w, testAAD, &got); err != nil || got != *dek {
			t.Errorf("fault %d, %d times: %v", f, times, err)
		}
		h.inject(t, NoFault, 0)
	}
}

func deadline(t *testing.T, h Harness) {
	k := h.New(t, 0, patience)
	w := wrap(t, k, newDEK(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var got [32]byte
	if err := k.Unwrap(ctx, w, testAAD, &got); err == nil || got != [32]byte{} {
		t.Error("unwraps after its context has ended", err)
	}
	if !h.inject(t, Silence, 1) {
		return
	}
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	check(t, "unwrap", Silence, kms.Unavailable, k.Unwrap(ctx, w, testAAD, &got))
	if d := time.Since(start); d > patience/2 {
		t.Errorf("took %v to notice its deadline", d)
	}
	if err := k.Unwrap(t.Context(), w, testAAD, &got); err != nil {
		t.Error("doesn't recover", err)
	}
}

func token(t *testing.T, h Harness) {
	if h.RotateToken == nil {
		t.Skip("tokens can't be rotated here")
	}
	k := h.New(t, 0, patience)
	dek := newDEK(t)
	w := wrap(t, k, dek)
	h.RotateToken()
	var got [32]byte
	if err := k.Unwrap(t.Context(), w, testAAD, &got); err != nil || got != *dek {
		t.Fatal("doesn't take a new token", err)
	}
}

// renewal: tokens are renewed before they expire, so that no call fails and
// none is even refused.
func renewal(t *testing.T, h Harness) {
	if h.ShortenTokens == nil {
		t.Log("tokens can't be shortened here")
		return
	}
	const life = 3 * time.Second
	h.ShortenTokens(life)
	k := h.New(t, 0, patience)
	dek := newDEK(t)
	w := wrap(t, k, dek)
	calls := 0
	for start := time.Now(); time.Since(start) < 2*life+life/2; time.Sleep(20 * time.Millisecond) {
		var got [32]byte
		if err := k.Unwrap(t.Context(), w, testAAD, &got); err != nil || got != *dek {
			t.Fatal("fails after", time.Since(start), err)
		}
		calls++
	}
	if n := h.Refused(); n != 0 {
		t.Errorf("%d of %d calls went out with an expired token", n, calls)
	}
}

func concurrent(t *testing.T, h Harness) {
	k := h.New(t, 0, patience)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				dek := newDEK(t)
				w, _, err := k.Wrap(t.Context(), dek, testAAD)
				var got [32]byte
				if err == nil {
					err = k.Unwrap(t.Context(), w, testAAD, &got)
				}
				if err != nil || got != *dek {
					t.Error("mixed up or failed", err)
				}
			}
		})
	}
	wg.Wait()
}
