package cloudsim

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/auth"
	kmsapi "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/api/googleapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sigilkeys/sigil/internal/kms"
	"github.com/sigilkeys/sigil/internal/kms/federation"
	"github.com/sigilkeys/sigil/internal/kms/kmstest"
	"github.com/sigilkeys/sigil/internal/sealed"
)

// harness is the conformance suite's, for clients made by newKEK.
func harness(t *testing.T, s *Sim, newKEK func(tb testing.TB, key int, timeout time.Duration) sealed.KEK) kmstest.Harness {
	modes := map[kmstest.Fault]string{
		kmstest.TooManyRequests: FaultRate, kmstest.ServiceDown: FaultUnavailable, kmstest.PermissionDenied: FaultDeny,
		kmstest.KeyDisabled: FaultDisabled, kmstest.Silence: FaultHang, kmstest.HangUp: FaultDoneThenCut,
		kmstest.CutShort: FaultCutShort, kmstest.WrongChecksum: FaultWrongCRC, kmstest.NotVerified: FaultNotVerified,
		kmstest.AADNotVerified: FaultAADNotVerified, kmstest.InClear: FaultInClear,
		kmstest.OtherKey: FaultOtherKey, kmstest.Garbage: FaultGarbage, kmstest.Oversized: FaultOversized,
		kmstest.WrongSize: FaultWrongSize, kmstest.Chunked: FaultChunked, kmstest.Expired: FaultExpired, kmstest.NoFault: "",
	}
	return kmstest.Harness{
		New: newKEK,
		Inject: func(f kmstest.Fault, n int) bool {
			mode, ok := modes[f]
			return ok && s.SetKnobs(Knobs{KMS: Fault{Mode: mode, Count: n}}) == nil
		},
		RotateToken: func() {
			if err := s.RevokeTokens(); err != nil {
				t.Fatal(err)
			}
		},
		ShortenTokens: func(life time.Duration) {
			if err := s.SetKnobs(Knobs{AccessTokenSeconds: int(life / time.Second)}); err != nil {
				t.Fatal(err)
			}
		},
		Refused: func() (n int) {
			for _, e := range s.Audit(0) {
				if e.Decision == DecisionUnauthenticated {
					n++
				}
			}
			return n
		},
	}
}

// The conformance suite of KEKs, over the whole path: launcher, STS, KMS.
func TestConformance(t *testing.T) {
	kmstest.Run(t, func(t *testing.T) kmstest.Harness {
		s := start(t)
		sources := [2]*federation.Source{tokens(t, s, 0), tokens(t, s, 1)}
		return harness(t, s, func(tb testing.TB, key int, timeout time.Duration) sealed.KEK {
			if _, err := sources[key].Token(tb.Context()); err != nil { // not counted in the timeout
				tb.Fatal(err)
			}
			return client(tb, s, key, sources[key], timeout)
		})
	})
}

// The same suite over Google's client, on both faces of the emulator: what the
// suite asks of our client is what a careful user of Google's gets, from a
// server that behaves as Google's does.
func TestConformanceOfGooglesClient(t *testing.T) {
	for _, face := range []string{"grpc", "rest"} {
		t.Run(face, func(t *testing.T) {
			kmstest.Run(t, func(t *testing.T) kmstest.Harness {
				s := start(t)
				h := harness(t, s, func(tb testing.TB, key int, timeout time.Duration) sealed.KEK {
					source := &renewable{fresh: func() *auth.Credentials { return googleCredentials(t, s, key) }}
					if _, err := source.Token(tb.Context()); err != nil {
						tb.Fatal(err)
					}
					client := googleClients(t, s, auth.NewCredentials(&auth.CredentialsOptions{TokenProvider: source}))[face]
					return &googleKEK{client: client, source: source, key: []string{s.Info().TEEKey, s.Info().ProviderKey}[key], timeout: timeout}
				})
				if face == "rest" {
					// White space without end is no error to Google's REST client.
					inject := h.Inject
					h.CannotInject = []kmstest.Fault{kmstest.Oversized}
					h.Inject = func(f kmstest.Fault, n int) bool { return f != kmstest.Oversized && inject(f, n) }
				}
				return h
			})
		})
	}
}

// renewable are Google's credentials, made anew when a service didn't accept
// their token: Google's client doesn't see to that.
type renewable struct {
	fresh func() *auth.Credentials

	mu    sync.Mutex // guards creds
	creds *auth.Credentials
}

func (r *renewable) Token(ctx context.Context) (*auth.Token, error) {
	r.mu.Lock()
	if r.creds == nil {
		r.creds = r.fresh()
	}
	creds := r.creds
	r.mu.Unlock()
	return creds.Token(ctx)
}

func (r *renewable) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.creds = nil
}

// googleKEK does with Google's client what its documentation asks for:
// checksums both ways, the name of the key, another try for what may pass.
type googleKEK struct {
	client  *kmsapi.KeyManagementClient
	source  *renewable
	key     string
	timeout time.Duration
}

func (g *googleKEK) Wrap(ctx context.Context, dek *[32]byte, aad []byte) (wrapped []byte, name string, err error) {
	if len(aad) == 0 {
		return nil, "", errors.New("no AAD")
	}
	err = g.try(ctx, func(ctx context.Context) error {
		r, err := g.client.Encrypt(ctx, &kmspb.EncryptRequest{
			Name: g.key, Plaintext: dek[:], AdditionalAuthenticatedData: aad,
			PlaintextCrc32C: checksum(dek[:]), AdditionalAuthenticatedDataCrc32C: checksum(aad),
		})
		if err != nil {
			return err
		}
		wrapped, name = r.GetCiphertext(), r.GetName()
		got, _ := splitVersion(name)
		switch {
		case !r.GetVerifiedPlaintextCrc32C() || !r.GetVerifiedAdditionalAuthenticatedDataCrc32C() ||
			r.GetCiphertextCrc32C().GetValue() != checksum(wrapped).GetValue():
			return errChecksum
		case got != g.key || len(wrapped) > 512 || bytes.Contains(wrapped, dek[:]):
			return kms.Errorf(kms.BadReply, "other key, too long, or not encrypted")
		}
		return nil
	})
	return wrapped, name, err
}

func (g *googleKEK) Unwrap(ctx context.Context, wrapped, aad []byte, dek *[32]byte) error {
	return g.try(ctx, func(ctx context.Context) error {
		r, err := g.client.Decrypt(ctx, &kmspb.DecryptRequest{
			Name: g.key, Ciphertext: wrapped, AdditionalAuthenticatedData: aad,
			CiphertextCrc32C: checksum(wrapped), AdditionalAuthenticatedDataCrc32C: checksum(aad),
		})
		switch {
		case err != nil:
			return err
		case r.GetPlaintextCrc32C().GetValue() != checksum(r.GetPlaintext()).GetValue():
			return errChecksum
		case len(r.GetPlaintext()) != len(dek):
			return kms.Errorf(kms.BadReply, "%d bytes", len(r.GetPlaintext()))
		}
		copy(dek[:], r.GetPlaintext())
		return nil
	})
}

var errChecksum = kms.Errorf(kms.BadReply, "checksum")

// try calls until the outcome is final or time is up; a token that isn't
// accepted is renewed once. Where time is up, the error before it says more.
func (g *googleKEK) try(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	renewed := false
	var last *kms.Error
	for {
		err := call(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = classify(err)
		}
		retry := last.Kind == kms.Unavailable || last == errChecksum
		if status.Code(err) == codes.Unauthenticated && !renewed {
			g.source.drop()
			renewed, retry = true, true
		}
		if !retry {
			return last
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// googleCode is the status of an error of Google's client: HTTP has one for
// two of them.
func googleCode(err error) codes.Code {
	var rest *googleapi.Error
	if errors.As(err, &rest) && strings.Contains(rest.Body, `"FAILED_PRECONDITION"`) {
		return codes.FailedPrecondition
	}
	return status.Code(err)
}

// classify says of an error of Google's client which kind it is.
func classify(err error) *kms.Error {
	var own *kms.Error
	if errors.As(err, &own) {
		return own
	}
	code := googleCode(err)
	kind := kms.Unavailable
	switch {
	case code == codes.PermissionDenied, code == codes.FailedPrecondition, code == codes.Unauthenticated:
		kind = kms.Denied
	case code == codes.InvalidArgument:
		kind = kms.Rejected
	case code == codes.Internal && strings.Contains(err.Error(), "RST_STREAM"): // cut off; may pass
	case code == codes.Internal, errors.Is(err, proto.Error): // not the message that was asked for
		kind = kms.BadReply
	}
	return &kms.Error{Kind: kind, Reason: "Google's client", Err: err}
}
