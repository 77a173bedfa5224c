package cloudsim

import (
	"context"
	"slices"
	"testing"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/iam/apiv1/iampb"
	kmsapi "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// clientsOf are Google's clients of a person, by face.
func clientsOf(t *testing.T, s *Sim, user string) map[string]*kmsapi.KeyManagementClient {
	t.Helper()
	return googleClients(t, s, auth.NewCredentials(&auth.CredentialsOptions{TokenProvider: staticToken(userToken(t, s, user))}))
}

// patient bounds the calls of a test.
func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func wantCode(t *testing.T, what string, err error, want codes.Code) {
	t.Helper()
	if googleCode(err) != want {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func tryEncrypt(ctx context.Context, c *kmsapi.KeyManagementClient, name string) ([]byte, error) {
	r, err := c.Encrypt(ctx, &kmspb.EncryptRequest{Name: name, Plaintext: []byte("x")})
	return r.GetCiphertext(), err
}

func tryDecrypt(ctx context.Context, c *kmsapi.KeyManagementClient, name string, ciphertext []byte) error {
	_, err := c.Decrypt(ctx, &kmspb.DecryptRequest{Name: name, Ciphertext: ciphertext})
	return err
}

// bindings writes a policy down: role and member, sorted.
func bindings(p *iampb.Policy) (out []string) {
	for _, b := range p.GetBindings() {
		for _, m := range b.GetMembers() {
			out = append(out, b.GetRole()+" "+m)
		}
	}
	slices.Sort(out)
	return out
}

// A policy that is set is the one that is read back, and the one that calls
// obey: who was given a role has it, who was left out has lost it.
func TestSetIamPolicy(t *testing.T) {
	s := start(t)
	must(t, s.SetDenyRules())
	name := s.Info().TEEKey
	const alice, owner = "user:alice@x.test", "user:owner@sigil-tee.test"
	asAlice, asOwner := clientsOf(t, s, "alice@x.test"), clientsOf(t, s, "owner@sigil-tee.test")
	for _, face := range faces() {
		t.Run(face, func(t *testing.T) {
			ctx := patient(t)
			_, err := tryEncrypt(ctx, asAlice[face], name)
			wantCode(t, "before", err, codes.PermissionDenied)
			set := func(bound ...*iampb.Binding) {
				t.Helper()
				want := bindings(&iampb.Policy{Bindings: bound})
				read, err := asOwner[face].GetIamPolicy(ctx, &iampb.GetIamPolicyRequest{Resource: name})
				must(t, err)
				got, err := asOwner[face].SetIamPolicy(ctx, &iampb.SetIamPolicyRequest{Resource: name, Policy: &iampb.Policy{Etag: read.GetEtag(), Bindings: bound}})
				if err != nil || !slices.Equal(bindings(got), want) {
					t.Fatal(got, err)
				}
				again, err := asOwner[face].GetIamPolicy(ctx, &iampb.GetIamPolicyRequest{Resource: name})
				if err != nil || !slices.Equal(bindings(again), want) || !slices.Equal(again.GetEtag(), got.GetEtag()) || slices.Equal(again.GetEtag(), read.GetEtag()) {
					t.Fatal(again, err)
				}
			}
			owns := &iampb.Binding{Role: roleOwner, Members: []string{owner}}
			set(owns, &iampb.Binding{Role: roleEncrypt, Members: []string{alice}})
			ct, err := tryEncrypt(ctx, asAlice[face], name)
			wantCode(t, "encrypter encrypts", err, codes.OK)
			wantCode(t, "encrypter decrypts", tryDecrypt(ctx, asAlice[face], name, ct), codes.PermissionDenied)
			set(owns, &iampb.Binding{Role: roleDecrypt, Members: []string{alice}})
			wantCode(t, "decrypter decrypts", tryDecrypt(ctx, asAlice[face], name, ct), codes.OK)
			_, err = tryEncrypt(ctx, asAlice[face], name)
			wantCode(t, "decrypter encrypts", err, codes.PermissionDenied)
			_, err = tryEncrypt(ctx, asAlice[face], s.Info().ProviderKey)
			wantCode(t, "on another key", err, codes.PermissionDenied)
			set(owns, &iampb.Binding{Role: roleUse, Members: []string{"user:bob@x.test", alice}})
			wantCode(t, "user decrypts", tryDecrypt(ctx, asAlice[face], name, ct), codes.OK)
			set(owns)
			wantCode(t, "left out", tryDecrypt(ctx, asAlice[face], name, ct), codes.PermissionDenied)
			for what, b := range map[string]*iampb.Binding{
				"unknown role":   {Role: "roles/nothing", Members: []string{alice}},
				"unknown member": {Role: roleUse, Members: []string{"alice"}},
				"everyone":       {Role: roleUse, Members: []string{"allUsers"}},
			} {
				_, err := asOwner[face].SetIamPolicy(ctx, &iampb.SetIamPolicyRequest{Resource: name, Policy: &iampb.Policy{Bindings: []*iampb.Binding{owns, b}}})
				wantCode(t, what, err, codes.InvalidArgument)
			}
			_, err = asAlice[face].SetIamPolicy(ctx, &iampb.SetIamPolicyRequest{Resource: name, Policy: &iampb.Policy{Bindings: []*iampb.Binding{{Role: roleOwner, Members: []string{alice}}}}})
			wantCode(t, "a stranger sets the policy", err, codes.PermissionDenied)
		})
	}
}

// Each caller is told of the permissions that he has himself, after deny rules.
func TestTestIamPermissions(t *testing.T) {
	s := start(t)
	name := s.Info().TEEKey
	const get, set, destroy, list = "cloudkms.cryptoKeys.get", "cloudkms.cryptoKeys.setIamPolicy", "cloudkms.cryptoKeyVersions.destroy", "cloudkms.cryptoKeyVersions.list"
	asked := []string{permEncrypt, permDecrypt, permEncrypt + viaDelegation, permDecrypt + viaDelegation, get, list, set, destroy}
	must(t, s.changeKey(name, func(k *Key) error {
		k.Bindings = append(k.Bindings, Binding{roleViewer, []string{"user:viewer@x.test"}}, Binding{roleDecrypt, []string{"user:decrypter@x.test"}},
			Binding{roleAdmin, []string{"user:admin@x.test"}})
		return nil
	}))
	callers := map[string]map[string]*kmsapi.KeyManagementClient{"workload": googleClients(t, s, googleCredentials(t, s, 0))}
	for _, user := range []string{"owner@sigil-tee.test", "release@sigil-tee.test", "owner@sigil-provider.test", "viewer@x.test", "decrypter@x.test", "admin@x.test", "nobody@x.test"} {
		callers[user] = clientsOf(t, s, user)
	}
	check := func(rules string, want map[string][]string) {
		t.Helper()
		for caller, clients := range callers {
			for face, c := range clients {
				r, err := c.TestIamPermissions(patient(t), &iampb.TestIamPermissionsRequest{Resource: name, Permissions: asked})
				if err != nil || !slices.Equal(r.GetPermissions(), want[caller]) {
					t.Errorf("%s, %s, %s: %v %v, want %v", rules, caller, face, r.GetPermissions(), err, want[caller])
				}
			}
		}
	}
	use := []string{permEncrypt, permDecrypt}
	check("deny rules", map[string][]string{
		"workload": use, "owner@sigil-tee.test": {get, list}, "release@sigil-tee.test": {get, list, set, destroy},
		"viewer@x.test": {get, list}, "admin@x.test": {get, list},
	})
	must(t, s.SetDenyRules())
	admin := asked[2:]
	check("no deny rules", map[string][]string{
		"workload": use, "owner@sigil-tee.test": asked, "release@sigil-tee.test": admin, "viewer@x.test": {get, list},
		"admin@x.test": admin, "decrypter@x.test": {permDecrypt},
	})
}

// An administrator of KMS administers keys, and can't use them.
func TestAdminMayNotUse(t *testing.T) {
	s := start(t)
	must(t, s.SetDenyRules()) // nothing but the role holds him
	name := s.Info().TEEKey
	ct, err := tryEncrypt(patient(t), clientsOf(t, s, "owner@sigil-tee.test")["grpc"], name)
	must(t, err)
	for face, c := range clientsOf(t, s, "release@sigil-tee.test") {
		ctx := patient(t)
		_, err := tryEncrypt(ctx, c, name)
		wantCode(t, face+": encrypts", err, codes.PermissionDenied)
		_, err = tryEncrypt(ctx, c, name+"/cryptoKeyVersions/1")
		wantCode(t, face+": encrypts with a version", err, codes.PermissionDenied)
		wantCode(t, face+": decrypts", tryDecrypt(ctx, c, name, ct), codes.PermissionDenied)
		_, err = c.GetCryptoKey(ctx, &kmspb.GetCryptoKeyRequest{Name: name})
		wantCode(t, face+": reads the key", err, codes.OK)
		_, err = c.CreateCryptoKeyVersion(ctx, &kmspb.CreateCryptoKeyVersionRequest{Parent: name})
		wantCode(t, face+": makes a version", err, codes.OK)
		_, err = c.GetIamPolicy(ctx, &iampb.GetIamPolicyRequest{Resource: name})
		wantCode(t, face+": reads the policy", err, codes.OK)
	}
}

// The deny policy holds the owner from the key and from what would open a way
// to it, and the release identity from the key alone.
func TestDenyPolicy(t *testing.T) {
	s := start(t)
	name := s.Info().TEEKey
	type step struct {
		name    string
		do      func(ctx context.Context, c *kmsapi.KeyManagementClient) error
		release codes.Code
	}
	steps := []step{
		{"encrypt", func(ctx context.Context, c *kmsapi.KeyManagementClient) error {
			_, err := tryEncrypt(ctx, c, name)
			return err
		}, codes.PermissionDenied},
		{"decrypt", func(ctx context.Context, c *kmsapi.KeyManagementClient) error {
			return tryDecrypt(ctx, c, name, []byte("x"))
		}, codes.PermissionDenied},
		{"set the policy", func(ctx context.Context, c *kmsapi.KeyManagementClient) error {
			policy, err := c.GetIamPolicy(ctx, &iampb.GetIamPolicyRequest{Resource: name})
			if err != nil {
				return err
			}
			_, err = c.SetIamPolicy(ctx, &iampb.SetIamPolicyRequest{Resource: name, Policy: policy})
			return err
		}, codes.OK},
		{"destroy", func(ctx context.Context, c *kmsapi.KeyManagementClient) error {
			v, err := c.CreateCryptoKeyVersion(ctx, &kmspb.CreateCryptoKeyVersionRequest{Parent: name})
			if err != nil {
				return err
			}
			_, err = c.DestroyCryptoKeyVersion(ctx, &kmspb.DestroyCryptoKeyVersionRequest{Name: v.GetName()})
			return err
		}, codes.OK},
	}
	owner, release := clientsOf(t, s, "owner@sigil-tee.test"), clientsOf(t, s, "release@sigil-tee.test")
	for _, face := range faces() {
		for _, c := range steps {
			wantCode(t, face+": owner: "+c.name, c.do(patient(t), owner[face]), codes.PermissionDenied)
			wantCode(t, face+": release: "+c.name, c.do(patient(t), release[face]), c.release)
		}
	}
	must(t, s.SetDenyRules())
	for _, c := range steps {
		if err := c.do(patient(t), owner["grpc"]); status.Code(err) == codes.PermissionDenied {
			t.Errorf("canary: without the deny policy the owner gets through: %s: %v", c.name, err)
		}
	}
}

// The policy is written as IAM would take it, with all that facts ask for.
func TestDenyRules(t *testing.T) {
	rules := defaultDeny("k", "projects/1/locations/global/workloadIdentityPools/p", "user:r@x.test")
	denied := map[string][]string{}
	for i := range rules {
		must(t, rules[i].check())
		for _, p := range rules[i].DeniedPermissions {
			denied[p] = rules[i].ExceptionPrincipals
		}
	}
	pool, release := "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/*", "user:r@x.test"
	for permission, exception := range map[string]string{
		"cloudkms.googleapis.com/cryptoKeyVersions.useToDecrypt": pool, "cloudkms.googleapis.com/cryptoKeyVersions.useToEncrypt": pool,
		"cloudkms.googleapis.com/cryptoKeyVersions.useToDecryptViaDelegation": "", "cloudkms.googleapis.com/cryptoKeyVersions.useToEncryptViaDelegation": "",
		"cloudkms.googleapis.com/cryptoKeys.setIamPolicy": release, "cloudkms.googleapis.com/keyRings.setIamPolicy": release,
		"cloudkms.googleapis.com/cryptoKeyVersions.destroy": release, "cloudresourcemanager.googleapis.com/projects.setIamPolicy": release,
		"iam.googleapis.com/workloadIdentityPoolProviders.create": release, "iam.googleapis.com/workloadIdentityPoolProviders.update": release,
		"iam.googleapis.com/workloadIdentityPoolProviders.delete": release,
	} {
		got, ok := denied[permission]
		if want := slices.DeleteFunc([]string{exception}, func(e string) bool { return e == "" }); !ok || !slices.Equal(got, want) {
			t.Errorf("%s: denied %v, but for %v, want %v", permission, ok, got, want)
		}
	}
	for _, bad := range []string{"cloudkms.cryptoKeys.get", "compute.googleapis.com/instances.get", "cloudkms.googleapis.com/", ""} {
		r := DenyRule{DeniedPrincipals: []string{everyone}, DeniedPermissions: []string{bad}}
		if r.check() == nil {
			t.Errorf("%q is taken for a permission", bad)
		}
	}
}
