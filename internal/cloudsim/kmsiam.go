package cloudsim

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"

	"cloud.google.com/go/iam/apiv1/iampb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// policyService is google.iam.v1.IAMPolicy over KMS keys: their allow
// policies. Deny policies are another service of Google's, iam.googleapis.com
// v2; here they are set by SetDenyRules.
type policyService struct {
	iampb.UnimplementedIAMPolicyServer
	s *Sim
}

func (k *Key) policy() *iampb.Policy {
	out := &iampb.Policy{Version: 1, Etag: k.etag()}
	for _, b := range k.Bindings {
		if len(b.Members) > 0 {
			out.Bindings = append(out.Bindings, &iampb.Binding{Role: b.Role, Members: slices.Clone(b.Members)})
		}
	}
	return out
}

// etag names the bindings as they stand.
func (k *Key) etag() []byte {
	data, err := json.Marshal(k.Bindings)
	if err != nil {
		return nil // strings always marshal
	}
	sum := sha256.Sum256(data)
	return sum[:8]
}

func (p *policyService) GetIamPolicy(_ context.Context, q *iampb.GetIamPolicyRequest) (*iampb.Policy, error) {
	key := p.s.current().key(q.GetResource())
	if key == nil {
		return nil, notFound(q.GetResource())
	}
	return key.policy(), nil
}

func (p *policyService) SetIamPolicy(_ context.Context, q *iampb.SetIamPolicyRequest) (*iampb.Policy, error) {
	var out *iampb.Policy
	err := p.s.updateKey(q.GetResource(), func(key *Key) error {
		if etag := q.GetPolicy().GetEtag(); len(etag) > 0 && !slices.Equal(etag, key.etag()) {
			return status.Error(codes.Aborted, "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.")
		}
		var bindings []Binding
		for _, b := range q.GetPolicy().GetBindings() {
			if b.GetCondition() != nil {
				return invalidArgument("The local cloud takes no conditions in bindings.")
			}
			if !knownRole(b.GetRole()) {
				return invalidArgument("Role (%s) does not exist in the resource's hierarchy.", b.GetRole())
			}
			for _, m := range b.GetMembers() {
				if err := checkMember(m); err != nil {
					return err
				}
			}
			bindings = append(bindings, Binding{b.GetRole(), append([]string{}, b.GetMembers()...)})
		}
		key.Bindings = bindings
		out = key.policy()
		return nil
	})
	return out, err
}

// TestIamPermissions returns those of the asked permissions that the caller
// has; who has none gets an empty list, not an error.
func (p *policyService) TestIamPermissions(ctx context.Context, q *iampb.TestIamPermissionsRequest) (*iampb.TestIamPermissionsResponse, error) {
	out := &iampb.TestIamPermissionsResponse{}
	caller := principalOf(ctx)
	for _, permission := range q.GetPermissions() {
		if !strings.HasPrefix(permission, permPrefix) {
			return nil, invalidArgument("Permission %s is not valid for this resource.", permission)
		}
		if p.s.may(caller, q.GetResource(), permission) {
			out.Permissions = append(out.Permissions, permission)
		}
	}
	return out, nil
}

// checkMember refuses members of a kind that the local cloud doesn't tell
// apart: a policy that would be ignored is an error at once.
func checkMember(m string) error {
	for _, prefix := range []string{"user:", "serviceAccount:", "principal://iam.googleapis.com/", "principalSet://iam.googleapis.com/"} {
		if rest, ok := strings.CutPrefix(m, prefix); ok && rest != "" {
			return nil
		}
	}
	return invalidArgument("Member %s is of unknown type.", m)
}
