package cloudsim

import (
	"testing"
	"time"

	kmsapi "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// The API's way to rotate a key: a version is made, and used once it is made
// the primary one; what the older one has encrypted can still be read.
func TestUpdatePrimaryVersion(t *testing.T) {
	s := start(t)
	must(t, s.SetDenyRules())
	name := s.Info().TEEKey
	for face, c := range clientsOf(t, s, "owner@sigil-tee.test") {
		t.Run(face, func(t *testing.T) {
			ctx := patient(t)
			encrypt := func() *kmspb.EncryptResponse {
				t.Helper()
				r, err := c.Encrypt(ctx, &kmspb.EncryptRequest{Name: name, Plaintext: []byte("x")})
				must(t, err)
				return r
			}
			before := encrypt()
			v, err := c.CreateCryptoKeyVersion(ctx, &kmspb.CreateCryptoKeyVersionRequest{Parent: name})
			must(t, err)
			_, number := splitVersion(v.GetName())
			if e := encrypt(); e.GetName() != before.GetName() {
				t.Fatalf("a new version is primary unasked: %s", e.GetName())
			}
			set := func(id string) (*kmspb.CryptoKey, error) {
				return c.UpdateCryptoKeyPrimaryVersion(ctx, &kmspb.UpdateCryptoKeyPrimaryVersionRequest{Name: name, CryptoKeyVersionId: id})
			}
			k, err := set(number)
			if err != nil || k.GetName() != name || k.GetPrimary().GetName() != v.GetName() {
				t.Fatal(k, err)
			}
			got, err := c.GetCryptoKey(ctx, &kmspb.GetCryptoKeyRequest{Name: name})
			if err != nil || got.GetPrimary().GetName() != v.GetName() {
				t.Fatal(got, err)
			}
			after := encrypt()
			if after.GetName() != v.GetName() {
				t.Errorf("encrypts with %s", after.GetName())
			}
			for ct, primary := range map[*kmspb.EncryptResponse]bool{before: false, after: true} {
				d, err := c.Decrypt(ctx, &kmspb.DecryptRequest{Name: name, Ciphertext: ct.GetCiphertext()})
				if err != nil || string(d.GetPlaintext()) != "x" || d.GetUsedPrimary() != primary {
					t.Errorf("%s: %v %v", ct.GetName(), d, err)
				}
			}
			must(t, s.SetVersionState(name, 1, StateDisabled))
			for id, want := range map[string]codes.Code{"1": codes.FailedPrecondition, "99": codes.NotFound, "0": codes.InvalidArgument, "x": codes.InvalidArgument, "": codes.InvalidArgument} {
				_, err := set(id)
				wantCode(t, "primary "+id, err, want)
			}
			if e := encrypt(); e.GetName() != v.GetName() {
				t.Errorf("a refused change made %s primary", e.GetName())
			}
			must(t, s.SetVersionState(name, 1, StateEnabled))
			_, err = set("1")
			must(t, err)
			if e := encrypt(); e.GetName() != name+"/cryptoKeyVersions/1" {
				t.Errorf("back again: %s", e.GetName())
			}
			_, err = clientsOf(t, s, "nobody@x.test")[face].UpdateCryptoKeyPrimaryVersion(ctx, &kmspb.UpdateCryptoKeyPrimaryVersionRequest{Name: name, CryptoKeyVersionId: number})
			wantCode(t, "a stranger", err, codes.PermissionDenied)
		})
	}
}

// A version's destruction is scheduled, can be taken back until its time, and
// comes by itself on the second.
func TestScheduledDestruction(t *testing.T) {
	clock := &fakeClock{now: time.Now().Truncate(time.Second)}
	s := startAt(t, clock, -1)
	must(t, s.SetDenyRules())
	name := s.Info().TEEKey
	version := name + "/cryptoKeyVersions/1"
	for _, face := range faces() {
		t.Run(face, func(t *testing.T) {
			version := version
			if face == "rest" {
				version = name + "/cryptoKeyVersions/2"
				must(t, s.RotateKey(name))
			}
			ctx := patient(t)
			// Tokens end while the clock moves.
			c := func() *kmsapi.KeyManagementClient { return clientsOf(t, s, "owner@sigil-tee.test")[face] }
			e, err := c().Encrypt(ctx, &kmspb.EncryptRequest{Name: name, Plaintext: []byte("x")})
			if err != nil || e.GetName() != version {
				t.Fatal(e, err)
			}
			state := func(when string, want kmspb.CryptoKeyVersion_CryptoKeyVersionState, due time.Time) {
				t.Helper()
				v, err := c().GetCryptoKeyVersion(ctx, &kmspb.GetCryptoKeyVersionRequest{Name: version})
				must(t, err)
				gone := want == kmspb.CryptoKeyVersion_DESTROYED
				if v.GetState() != want || (v.GetDestroyTime() != nil) != (want == kmspb.CryptoKeyVersion_DESTROY_SCHEDULED) || (v.GetDestroyEventTime() != nil) != gone {
					t.Fatalf("%s: %v", when, v)
				}
				if at := v.GetDestroyTime(); at != nil && !at.AsTime().Equal(due) {
					t.Errorf("%s: to be destroyed at %v, want %v", when, at.AsTime(), due)
				}
				if at := v.GetDestroyEventTime(); gone && !at.AsTime().Equal(due) {
					t.Errorf("%s: destroyed at %v, want %v", when, at.AsTime(), due)
				}
				usable := codes.FailedPrecondition
				if want == kmspb.CryptoKeyVersion_ENABLED {
					usable = codes.OK
				}
				wantCode(t, when+": decrypt", tryDecrypt(ctx, c(), name, e.GetCiphertext()), usable)
				_, err = tryEncrypt(ctx, c(), name)
				wantCode(t, when+": encrypt", err, usable)
			}
			enable := func() error {
				_, err := c().UpdateCryptoKeyVersion(ctx, &kmspb.UpdateCryptoKeyVersionRequest{
					CryptoKeyVersion: &kmspb.CryptoKeyVersion{Name: version, State: kmspb.CryptoKeyVersion_ENABLED},
					UpdateMask:       &fieldmaskpb.FieldMask{Paths: []string{"state"}}})
				return err
			}
			destroy := func() error {
				_, err := c().DestroyCryptoKeyVersion(ctx, &kmspb.DestroyCryptoKeyVersionRequest{Name: version})
				return err
			}
			restore := func() error {
				_, err := c().RestoreCryptoKeyVersion(ctx, &kmspb.RestoreCryptoKeyVersionRequest{Name: version})
				return err
			}
			const month = 30 * 24 * time.Hour
			state("at first", kmspb.CryptoKeyVersion_ENABLED, time.Time{})
			wantCode(t, "restore what isn't scheduled", restore(), codes.FailedPrecondition)

			must(t, destroy())
			due := clock.Now().Add(month)
			state("scheduled", kmspb.CryptoKeyVersion_DESTROY_SCHEDULED, due)
			wantCode(t, "schedule it twice", destroy(), codes.FailedPrecondition)
			wantCode(t, "enable what is scheduled", enable(), codes.FailedPrecondition)
			clock.move(month - time.Second)
			state("a second before", kmspb.CryptoKeyVersion_DESTROY_SCHEDULED, due)
			must(t, restore())
			state("restored", kmspb.CryptoKeyVersion_DISABLED, time.Time{})
			must(t, enable())
			state("enabled", kmspb.CryptoKeyVersion_ENABLED, time.Time{})
			clock.move(time.Hour)
			state("after its time was", kmspb.CryptoKeyVersion_ENABLED, time.Time{})

			must(t, destroy())
			due = clock.Now().Add(month)
			clock.move(month)
			state("at its time", kmspb.CryptoKeyVersion_DESTROYED, due)
			wantCode(t, "restore what is destroyed", restore(), codes.FailedPrecondition)
			wantCode(t, "enable what is destroyed", enable(), codes.FailedPrecondition)
			wantCode(t, "destroy what is destroyed", destroy(), codes.FailedPrecondition)
			state("for good", kmspb.CryptoKeyVersion_DESTROYED, due)
		})
	}
}
