package cloudsim

import (
	"context"
	"crypto/tls"
	"net/http"
	"testing"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials/externalaccount"
	"cloud.google.com/go/iam/apiv1/iampb"
	kmsapi "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// googleCredentials are Google's own: external account, from the launcher's
// token file.
func googleCredentials(t *testing.T, s *Sim, key int) *auth.Credentials {
	t.Helper()
	i := s.Info()
	awaitToken(t, i.TokenFile)
	c, err := externalaccount.NewCredentials(&externalaccount.Options{
		Audience: []string{i.TEEAudience, i.ProviderAudience}[key], SubjectTokenType: jwtType, TokenURL: i.STSURL,
		CredentialSource: &externalaccount.CredentialSource{File: i.TokenFile},
		Scopes:           []string{"https://www.googleapis.com/auth/cloud-platform"}, Client: httpsClient(t, s),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func awaitToken(t *testing.T, path string) {
	t.Helper()
	for range 500 {
		if exists(path) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the launcher wrote no token file")
}

// googleClients are Google's two KMS clients, unchanged.
func googleClients(t *testing.T, s *Sim, creds *auth.Credentials) map[string]*kmsapi.KeyManagementClient {
	t.Helper()
	tlsConfig := &tls.Config{RootCAs: roots(t, s), MinVersion: tls.VersionTLS13}
	overGRPC, err := kmsapi.NewKeyManagementClient(t.Context(), option.WithEndpoint(hostOf(s.Info().KMSURL)), option.WithAuthCredentials(creds),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(credentials.NewTLS(tlsConfig))))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: tlsConfig}
	authorised := &http.Client{Transport: bearerTransport{transport, creds}}
	overREST, err := kmsapi.NewKeyManagementRESTClient(t.Context(), option.WithEndpoint(s.Info().KMSURL), option.WithHTTPClient(authorised))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		overGRPC.Close()
		overREST.Close()
		transport.CloseIdleConnections()
	})
	return map[string]*kmsapi.KeyManagementClient{"grpc": overGRPC, "rest": overREST}
}

// bearerTransport adds the credentials' token: a client that is given, for
// the emulator's root, must bring its own.
type bearerTransport struct {
	next  http.RoundTripper
	creds *auth.Credentials
}

func (b bearerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := b.creds.Token(r.Context())
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token.Value)
	return b.next.RoundTrip(r)
}

// Google's credentials and both of its KMS clients take the emulator for the
// real cloud.
func TestGoogleClients(t *testing.T) {
	s := start(t)
	name := s.Info().TEEKey
	for face, c := range googleClients(t, s, googleCredentials(t, s, 0)) {
		t.Run(face, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			secret := []byte("0123456789abcdef0123456789abcdef")
			e, err := c.Encrypt(ctx, &kmspb.EncryptRequest{Name: name, Plaintext: secret, AdditionalAuthenticatedData: []byte(keyAAD),
				PlaintextCrc32C: checksum(secret), AdditionalAuthenticatedDataCrc32C: checksum([]byte(keyAAD))})
			if err != nil || !e.GetVerifiedPlaintextCrc32C() || !e.GetVerifiedAdditionalAuthenticatedDataCrc32C() ||
				e.GetName() != name+"/cryptoKeyVersions/1" || e.GetCiphertextCrc32C().GetValue() != checksum(e.GetCiphertext()).GetValue() {
				t.Fatal(e, err)
			}
			decrypt := func(key, aad string, sum *wrapperspb.Int64Value) (*kmspb.DecryptResponse, error) {
				return c.Decrypt(ctx, &kmspb.DecryptRequest{Name: key, Ciphertext: e.GetCiphertext(), AdditionalAuthenticatedData: []byte(aad), CiphertextCrc32C: sum})
			}
			d, err := decrypt(name, keyAAD, checksum(e.GetCiphertext()))
			if err != nil || string(d.GetPlaintext()) != string(secret) || !d.GetUsedPrimary() || d.GetPlaintextCrc32C().GetValue() != checksum(secret).GetValue() {
				t.Fatal(d, err)
			}
			for what, try := range map[string]struct {
				key, aad string
				sum      *wrapperspb.Int64Value
				want     codes.Code
			}{
				"wrong AAD":      {name, "other", nil, codes.InvalidArgument},
				"wrong checksum": {name, keyAAD, wrapperspb.Int64(1), codes.InvalidArgument},
				"provider's key": {s.Info().ProviderKey, keyAAD, nil, codes.PermissionDenied},
				"no such key":    {name + "x", keyAAD, nil, codes.PermissionDenied},
			} {
				if _, err := decrypt(try.key, try.aad, try.sum); status.Code(err) != try.want {
					t.Errorf("%s: %v, want %v", what, err, try.want)
				}
			}
			if got := s.Audit(0); got[len(got)-1].Face != face || got[len(got)-1].Method != "Decrypt" {
				t.Errorf("audit %+v", got[len(got)-1])
			}
		})
	}
}

// The release identity's administration by both clients: versions, and the
// policy of a key; the workload may do neither.
func TestGoogleAdministration(t *testing.T) {
	s := start(t)
	name := s.Info().TEEKey
	workload := googleClients(t, s, googleCredentials(t, s, 0))
	for face, c := range clientsOf(t, s, "release@sigil-tee.test") {
		t.Run(face, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			v, err := c.CreateCryptoKeyVersion(ctx, &kmspb.CreateCryptoKeyVersionRequest{Parent: name})
			if err != nil || v.GetState() != kmspb.CryptoKeyVersion_ENABLED {
				t.Fatal(v, err)
			}
			state := func(want kmspb.CryptoKeyVersion_CryptoKeyVersionState, got *kmspb.CryptoKeyVersion, err error) {
				t.Helper()
				if err != nil || got.GetState() != want {
					t.Fatal(want, got, err)
				}
			}
			got, err := c.UpdateCryptoKeyVersion(ctx, &kmspb.UpdateCryptoKeyVersionRequest{
				CryptoKeyVersion: &kmspb.CryptoKeyVersion{Name: v.GetName(), State: kmspb.CryptoKeyVersion_DISABLED},
				UpdateMask:       &fieldmaskpb.FieldMask{Paths: []string{"state"}}})
			state(kmspb.CryptoKeyVersion_DISABLED, got, err)
			got, err = c.DestroyCryptoKeyVersion(ctx, &kmspb.DestroyCryptoKeyVersionRequest{Name: v.GetName()})
			state(kmspb.CryptoKeyVersion_DESTROY_SCHEDULED, got, err)
			if got.GetDestroyTime() == nil {
				t.Error("no time of destruction")
			}
			got, err = c.RestoreCryptoKeyVersion(ctx, &kmspb.RestoreCryptoKeyVersionRequest{Name: v.GetName()})
			state(kmspb.CryptoKeyVersion_DISABLED, got, err)
			if _, err := workload[face].CreateCryptoKeyVersion(ctx, &kmspb.CreateCryptoKeyVersionRequest{Parent: name}); status.Code(err) != codes.PermissionDenied {
				t.Errorf("the workload makes versions: %v", err)
			}
			if _, err := c.Encrypt(ctx, &kmspb.EncryptRequest{Name: name, Plaintext: []byte("x")}); status.Code(err) != codes.PermissionDenied {
				t.Errorf("it may use the key: %v", err)
			}
			policy, err := c.GetIamPolicy(ctx, &iampb.GetIamPolicyRequest{Resource: name})
			if err != nil || len(policy.GetBindings()) == 0 {
				t.Fatal(policy, err)
			}
			if _, err := c.SetIamPolicy(ctx, &iampb.SetIamPolicyRequest{Resource: name, Policy: policy}); err != nil {
				t.Error(err)
			}
			policy.Etag = []byte("stale")
			if _, err := c.SetIamPolicy(ctx, &iampb.SetIamPolicyRequest{Resource: name, Policy: policy}); err == nil {
				t.Error("a stale etag is accepted")
			}
		})
	}
}

type staticToken string

func (s staticToken) Token(context.Context) (*auth.Token, error) {
	return &auth.Token{Value: string(s), Type: "Bearer", Expiry: time.Now().Add(time.Hour)}, nil
}
