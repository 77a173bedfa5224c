package cloudsim

import (
	"fmt"
	"slices"
	"strings"
)

// Permissions, in the form of allow policies.
const (
	permPrefix  = "cloudkms."
	permEncrypt = permPrefix + "cryptoKeyVersions.useToEncrypt"
	permDecrypt = permPrefix + "cryptoKeyVersions.useToDecrypt"

	viaDelegation = "ViaDelegation" // use by another service of Google's, for its caller
)

// Roles.
const (
	roleUse     = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
	roleEncrypt = "roles/cloudkms.cryptoKeyEncrypter"
	roleDecrypt = "roles/cloudkms.cryptoKeyDecrypter"
	roleAdmin   = "roles/cloudkms.admin"
	roleViewer  = "roles/cloudkms.viewer"
	roleOwner   = "roles/owner"

	everyone = "principalSet://goog/public:all"
)

// Binding gives members a role on a key, or on the project above it: the two
// aren't told apart here.
type Binding struct {
	Role    string   `json:"role"`
	Members []string `json:"members"`
}

// DenyRule is a rule of a deny policy (IAM v2) attached above a key.
type DenyRule struct {
	Key                 string   `json:"key"` // "" is every key
	DeniedPrincipals    []string `json:"denied_principals"`
	ExceptionPrincipals []string `json:"exception_principals"`
	DeniedPermissions   []string `json:"denied_permissions"` // cloudkms.googleapis.com/… form
}

// defaultDeny is the deny policy above a key. Using the key is for the pool's
// workloads, using it through other services for nobody, and what could open
// the way again (policies, destruction, the pool's provider) for the release
// identity: the owner of the project and whoever may set its policies are
// held by this alone. Permissions of IAM and of projects stand there because
// the policy would be void without them; no service asks for them here.
func defaultDeny(key, pool, release string) []DenyRule {
	const kms, iam = "cloudkms.googleapis.com/", "iam.googleapis.com/workloadIdentityPoolProviders."
	return []DenyRule{{
		Key: key, DeniedPrincipals: []string{everyone},
		ExceptionPrincipals: []string{"principalSet://iam.googleapis.com/" + pool + "/*"},
		DeniedPermissions:   []string{denyForm(permDecrypt), denyForm(permEncrypt)},
	}, {
		Key: key, DeniedPrincipals: []string{everyone},
		DeniedPermissions: []string{denyForm(permDecrypt + viaDelegation), denyForm(permEncrypt + viaDelegation)},
	}, {
		Key: key, DeniedPrincipals: []string{everyone},
		ExceptionPrincipals: []string{release},
		DeniedPermissions: []string{
			kms + "cryptoKeys.setIamPolicy", kms + "keyRings.setIamPolicy", kms + "cryptoKeyVersions.destroy",
			iam + "create", iam + "update", iam + "delete", "cloudresourcemanager.googleapis.com/projects.setIamPolicy",
		},
	}}
}

// check refuses a rule that would deny nobody or nothing, and exceptions that
// IAM doesn't take.
func (r *DenyRule) check() error {
	if len(r.DeniedPrincipals) == 0 || len(r.DeniedPermissions) == 0 {
		return fmt.Errorf("cloudsim: a deny rule needs principals and permissions")
	}
	if slices.Contains(r.ExceptionPrincipals, everyone) {
		return fmt.Errorf("cloudsim: %s is no exception principal", everyone)
	}
	for _, p := range r.DeniedPermissions {
		if !deniable(p) {
			return fmt.Errorf("cloudsim: %q is not a permission as deny policies spell them", p)
		}
	}
	return nil
}

// deniable reports whether a permission is spelled as deny policies do, and
// is of a service whose permissions matter here.
func deniable(permission string) bool {
	service, name, ok := strings.Cut(permission, "/")
	return ok && strings.Contains(name, ".") &&
		slices.Contains([]string{"cloudkms.googleapis.com", "iam.googleapis.com", "cloudresourcemanager.googleapis.com"}, service)
}

func knownRole(role string) bool {
	return slices.Contains([]string{roleUse, roleEncrypt, roleDecrypt, roleAdmin, roleViewer, roleOwner}, role)
}

// grants are the permissions of roles, as far as they matter here. The owner
// of a project can use its keys; an administrator of KMS can't, but through
// other services, and can give himself the role that can.
func grants(role, permission string) bool {
	use := permission == permEncrypt || permission == permDecrypt
	switch role {
	case roleOwner:
		return true
	case roleAdmin:
		return !use
	case roleViewer:
		return strings.HasSuffix(permission, ".get") || strings.HasSuffix(permission, ".list")
	case roleUse:
		return use
	case roleEncrypt:
		return permission == permEncrypt
	case roleDecrypt:
		return permission == permDecrypt
	}
	return false
}

// denyForm spells a permission as deny policies do.
func denyForm(permission string) string {
	return "cloudkms.googleapis.com/" + strings.TrimPrefix(permission, permPrefix)
}

// allowed decides on a use of a key: deny rules first, then bindings.
func (st *state) allowed(p *principal, key *Key, permission string) bool {
	for _, r := range st.Deny {
		if (r.Key == "" || r.Key == key.Name) && slices.Contains(r.DeniedPermissions, denyForm(permission)) &&
			slices.ContainsFunc(r.DeniedPrincipals, p.is) && !slices.ContainsFunc(r.ExceptionPrincipals, p.is) {
			return false
		}
	}
	for _, b := range key.Bindings {
		if grants(b.Role, permission) && slices.ContainsFunc(b.Members, p.is) {
			return true
		}
	}
	return false
}
