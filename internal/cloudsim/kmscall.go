package cloudsim

import (
	"context"
	"fmt"
	"strings"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// need is what a method asks IAM for.
type need struct {
	permission string // "" for methods that answer everybody
	resource   string
	crypto     bool // counts against the quota of cryptographic requests
}

// needs returns the permission and resource of a request; false: the method
// isn't served here.
func needs(req any) (need, bool) {
	const keys, versions = "cloudkms.cryptoKeys.", "cloudkms.cryptoKeyVersions."
	switch q := req.(type) {
	case *kmspb.EncryptRequest:
		return need{permEncrypt, q.GetName(), true}, true
	case *kmspb.DecryptRequest:
		return need{permDecrypt, q.GetName(), true}, true
	case *kmspb.GetCryptoKeyRequest:
		return need{keys + "get", q.GetName(), false}, true
	case *kmspb.UpdateCryptoKeyPrimaryVersionRequest:
		return need{keys + "update", q.GetName(), false}, true
	case *kmspb.GetCryptoKeyVersionRequest:
		return need{versions + "get", q.GetName(), false}, true
	case *kmspb.ListCryptoKeyVersionsRequest:
		return need{versions + "list", q.GetParent(), false}, true
	case *kmspb.CreateCryptoKeyVersionRequest:
		return need{versions + "create", q.GetParent(), false}, true
	case *kmspb.UpdateCryptoKeyVersionRequest:
		return need{versions + "update", q.GetCryptoKeyVersion().GetName(), false}, true
	case *kmspb.DestroyCryptoKeyVersionRequest:
		return need{versions + "destroy", q.GetName(), false}, true
	case *kmspb.RestoreCryptoKeyVersionRequest:
		return need{versions + "restore", q.GetName(), false}, true
	case *iampb.GetIamPolicyRequest:
		return need{keys + "getIamPolicy", q.GetResource(), false}, true
	case *iampb.SetIamPolicyRequest:
		return need{keys + "setIamPolicy", q.GetResource(), false}, true
	case *iampb.TestIamPermissionsRequest:
		return need{"", q.GetResource(), false}, true
	}
	return need{}, false
}

type callKey uint8

const (
	faultKey     callKey = iota // mode of the fault, string
	principalKey                // *principal
	faceKey                     // "grpc" or "rest"
	decodedKey                  // *decoded, of the REST face
)

// decoded is what became of a REST request's body, query and path. The error
// is answered behind the authentication, as the caller isn't known before.
type decoded struct{ err error }

func faultOf(ctx context.Context) string {
	mode, _ := ctx.Value(faultKey).(string)
	return mode
}

func principalOf(ctx context.Context) *principal {
	p, _ := ctx.Value(principalKey).(*principal)
	return p
}

// intercept stands before every method of both faces: it finds out who calls,
// counts the call against the quota, asks IAM, and writes the audit entry
// whatever came of it.
func (s *Sim) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	n, served := needs(req)
	key, _ := splitVersion(n.resource)
	face, _ := ctx.Value(faceKey).(string)
	entry := AuditEntry{
		Time: s.cfg.Clock(), Permission: n.permission, Key: key, Resource: n.resource, Fault: faultOf(ctx),
		Decision: DecisionNone, Service: "cloudkms.googleapis.com", Face: face,
		Method: info.FullMethod[strings.LastIndex(info.FullMethod, "/")+1:],
	}
	reply, err := s.admitted(ctx, req, n, served, &entry, handler)
	entry.Status = statusName(status.Code(err))
	s.mu.Lock()
	s.audit.add(entry)
	s.mu.Unlock()
	return reply, err
}

// admitted asks in this order, and notes in the entry how far the call came:
// is the service there, who calls, is that a request, may he call so often,
// may he do that.
func (s *Sim) admitted(ctx context.Context, req any, n need, served bool, entry *AuditEntry, handler grpc.UnaryHandler) (any, error) {
	fault := faultOf(ctx)
	switch fault {
	case FaultUnavailable:
		return nil, status.Error(codes.Unavailable, "The service is currently unavailable.")
	case FaultExpired:
		if err := s.RevokeTokens(); err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
	}
	p := s.openToken(bearer(ctx))
	if p == nil {
		entry.Decision = DecisionUnauthenticated
		return nil, status.Error(codes.Unauthenticated, "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.")
	}
	entry.Principal = p.String()
	if d, ok := ctx.Value(decodedKey).(*decoded); ok && d.err != nil {
		return nil, d.err
	}
	if !served {
		return nil, status.Error(codes.Unimplemented, "Operation is not implemented, or supported, or enabled.")
	}
	switch project := p.consumer(n.resource); {
	case fault == FaultRate:
		return nil, quotaExceeded(project, s.cfg.QuotaPerMinute)
	case n.crypto:
		if err := s.spendQuota(project); err != nil {
			return nil, err
		}
	}
	if n.permission != "" && (fault == FaultDeny || !s.may(p, n.resource, n.permission)) {
		entry.Decision = DecisionDeny
		return nil, permissionDenied(n)
	}
	entry.Decision = DecisionAllow
	return handler(context.WithValue(ctx, principalKey, p), req)
}

// may asks IAM as its policies have spread so far.
func (s *Sim) may(p *principal, resource, permission string) bool {
	name, _ := splitVersion(resource)
	st := s.iamInForce()
	key := st.key(name)
	return key != nil && st.allowed(p, key, permission)
}

func permissionDenied(n need) error {
	resource, _ := splitVersion(n.resource)
	return withInfo(codes.PermissionDenied,
		fmt.Sprintf("Permission '%s' denied on resource '%s' (or it may not exist).", n.permission, resource),
		&errdetails.ErrorInfo{Reason: "IAM_PERMISSION_DENIED", Domain: "cloudkms.googleapis.com",
			Metadata: map[string]string{"permission": n.permission, "resource": resource}})
}

// withInfo makes an error with the detail that Google's services add for
// programs. Texts of details were not observed; clients of ours read none.
func withInfo(code codes.Code, text string, info *errdetails.ErrorInfo) error {
	st, err := status.New(code, text).WithDetails(info)
	if err != nil {
		return status.Error(code, text)
	}
	return st.Err()
}

// bearer returns the token of a call's one Authorization header, RFC 6750; the
// scheme's letter case doesn't matter (RFC 9110). "" is no token.
func bearer(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get("authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// statusName spells a code as JSON errors and logs do: PERMISSION_DENIED.
func statusName(c codes.Code) string {
	names := [...]string{"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
		"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
		"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"}
	if int(c) < len(names) {
		return names[c]
	}
	return "UNKNOWN"
}
