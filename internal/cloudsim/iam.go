package cloudsim

import "slices"

// Permissions, in the form of allow policies.
const (
	permEncrypt = "cloudkms.cryptoKeyVersions.useToEncrypt"
	permDecrypt = "cloudkms.cryptoKeyVersions.useToDecrypt"
)

const (
	roleUse  = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
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

// grants are the permissions of roles, as far as they matter here. The owner
// of a project can use its keys; an administrator of KMS can't.
func grants(role, permission string) bool {
	switch role {
	case roleUse, "roles/owner":
		return permission == permEncrypt || permission == permDecrypt
	case "roles/cloudkms.cryptoKeyEncrypter":
		return permission == permEncrypt
	case "roles/cloudkms.cryptoKeyDecrypter":
		return permission == permDecrypt
	}
	return false
}

// denyForm spells a permission as deny policies do.
func denyForm(permission string) string {
	return "cloudkms.googleapis.com/" + permission[len("cloudkms."):]
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
