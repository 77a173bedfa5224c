package cloudsim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// restRoute is one HTTP binding of a method, out of the google.api.http
// annotations in the service definition: so the REST face has the paths that
// Google publishes, and can't differ from the gRPC face in what it does.
type restRoute struct {
	verb    string
	path    *regexp.Regexp
	fields  []string // field paths that the groups of path are for
	body    string   // "*", a field, or ""
	method  grpc.MethodDesc
	server  any
	service string
}

// restRoutes reads the bindings of the services.
func restRoutes(k *keyService, p *policyService) ([]restRoute, error) {
	var out []restRoute
	for _, svc := range []struct {
		desc   grpc.ServiceDesc
		proto  protoreflect.ServiceDescriptor
		server any
	}{
		{kmspb.KeyManagementService_ServiceDesc, kmspb.File_google_cloud_kms_v1_service_proto.Services().ByName("KeyManagementService"), k},
		{iampb.IAMPolicy_ServiceDesc, iampb.File_google_iam_v1_iam_policy_proto.Services().ByName("IAMPolicy"), p},
	} {
		for _, m := range svc.desc.Methods {
			rule, _ := proto.GetExtension(svc.proto.Methods().ByName(protoreflect.Name(m.MethodName)).Options(), annotations.E_Http).(*annotations.HttpRule)
			rules := append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...)
			if m.MethodName == "GetIamPolicy" { // Cloud KMS's own configuration makes it a GET
				rules = append(rules, &annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: "/v1/{resource=**}:getIamPolicy"}})
			}
			for _, r := range rules {
				route := restRoute{body: r.GetBody(), method: m, server: svc.server, service: svc.desc.ServiceName}
				if err := route.parse(r); err != nil {
					return nil, fmt.Errorf("cloudsim: %s: %w", m.MethodName, err)
				}
				out = append(out, route)
			}
		}
	}
	return out, nil
}

// parse reads a path template such as
// /v1/{name=projects/*/locations/*/keyRings/*/cryptoKeys/**}:encrypt.
func (r *restRoute) parse(rule *annotations.HttpRule) error {
	template := ""
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		r.verb, template = http.MethodGet, p.Get
	case *annotations.HttpRule_Post:
		r.verb, template = http.MethodPost, p.Post
	case *annotations.HttpRule_Patch:
		r.verb, template = http.MethodPatch, p.Patch
	case *annotations.HttpRule_Delete:
		r.verb, template = http.MethodDelete, p.Delete
	default:
		return fmt.Errorf("no HTTP binding that is known here")
	}
	pattern := "^"
	for template != "" {
		before, rest, variable := strings.Cut(template, "{")
		pattern += regexp.QuoteMeta(before)
		if !variable {
			break
		}
		inner, after, _ := strings.Cut(rest, "}")
		field, shape, shaped := strings.Cut(inner, "=")
		if !shaped {
			shape = "*"
		}
		shape = strings.ReplaceAll(regexp.QuoteMeta(shape), `\*\*`, `[^:]+`)
		pattern += "(" + strings.ReplaceAll(shape, `\*`, `[^/:]+`) + ")"
		r.fields = append(r.fields, field)
		template = after
	}
	var err error
	r.path, err = regexp.Compile(pattern + "$")
	return err
}

// serveREST answers one HTTP/JSON call. A request that can't be decoded goes
// through the interceptor too, with what of it could be: it needs a caller,
// and an audit entry, as any other.
func (s *Sim) serveREST(w http.ResponseWriter, r *http.Request, body []byte, unread error) {
	for _, route := range s.rest {
		if route.verb != r.Method {
			continue
		}
		groups := route.path.FindStringSubmatch(r.URL.Path)
		if groups == nil {
			continue
		}
		d := &decoded{}
		ctx := context.WithValue(context.WithValue(r.Context(), faceKey, "rest"), decodedKey, d)
		ctx = metadata.NewIncomingContext(ctx, metadata.MD{"authorization": r.Header.Values("Authorization")})
		decode := func(v any) error {
			if d.err = route.decode(v.(proto.Message), groups[1:], r.URL.Query(), body); unread != nil {
				d.err = unread
			}
			return nil // the interceptor's to answer
		}
		reply, err := route.method.Handler(route.server, ctx, decode, s.intercept)
		if err != nil {
			restError(w, err)
			return
		}
		restReply(w, reply.(proto.Message), r.URL.Query())
		return
	}
	http.NotFound(w, r)
}

// decode fills a request from path, query and body. Whatever is wrong with the
// others, the request names what the path names.
func (r *restRoute) decode(m proto.Message, groups []string, query map[string][]string, body []byte) error {
	err := r.decodeBody(m, body)
	if err != nil {
		proto.Reset(m) // what was read of it doesn't count
	} else {
		err = decodeQuery(m, query)
	}
	for i, field := range r.fields {
		if had := fieldText(m.ProtoReflect(), field); had != "" && had != groups[i] && err == nil {
			err = invalidArgument("The %s in the body doesn't match the one in the URL.", field) // text not observed
		}
		if bad := setField(m.ProtoReflect(), field, groups[i]); bad != nil && err == nil {
			err = status.Error(codes.Internal, bad.Error())
		}
	}
	return err
}

func decodeQuery(m proto.Message, query map[string][]string) error {
	for name, values := range query {
		if strings.HasPrefix(name, "$") || name == "alt" || name == "prettyPrint" {
			continue // parameters of every method
		}
		for _, v := range values {
			if err := setField(m.ProtoReflect(), name, v); err != nil {
				return invalidArgument("Invalid JSON payload received. Unknown name %q: Cannot bind query parameter. %v", name, err)
			}
		}
	}
	return nil
}

func (r *restRoute) decodeBody(m proto.Message, body []byte) error {
	if r.body == "" {
		if len(bytes.TrimSpace(body)) > 0 {
			return invalidArgument("Invalid JSON payload received. The method takes no body.")
		}
		return nil
	}
	target := m
	if r.body != "*" {
		field := m.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(r.body))
		target = m.ProtoReflect().Mutable(field).Message().Interface()
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if err := protojson.Unmarshal(body, target); err != nil {
		// The library's errors begin with "proto:" and, by the build, one of two
		// kinds of space, so that nobody relies on their text.
		detail := strings.TrimLeft(strings.TrimPrefix(err.Error(), "proto:"), " \u00a0")
		return invalidArgument("Invalid JSON payload received. %s", strings.ReplaceAll(detail, "\u00a0", " "))
	}
	return nil
}

// restReply writes a reply as Google does: indented, 64-bit integers as
// strings, enums as names unless numbers are asked for.
func restReply(w http.ResponseWriter, m proto.Message, query map[string][]string) {
	options := protojson.MarshalOptions{}
	for _, name := range []string{"$alt", "alt"} {
		for _, v := range query[name] {
			options.UseEnumNumbers = options.UseEnumNumbers || strings.Contains(v, "enum-encoding=int")
		}
	}
	data, err := options.Marshal(m)
	if err != nil {
		restError(w, status.Error(codes.Internal, err.Error()))
		return
	}
	writeRawJSON(w, http.StatusOK, data)
}

// restError writes an error of Google's REST services.
func restError(w http.ResponseWriter, err error) {
	st := status.Convert(err)
	type body struct {
		Code    int               `json:"code"`
		Message string            `json:"message"`
		Status  string            `json:"status"`
		Details []json.RawMessage `json:"details,omitempty"`
	}
	b := body{httpStatus(st.Code()), st.Message(), statusName(st.Code()), nil}
	for _, d := range st.Proto().GetDetails() {
		if text, err := protojson.Marshal(d); err == nil {
			b.Details = append(b.Details, text)
		}
	}
	data, err := json.Marshal(map[string]body{"error": b})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if st.Code() == codes.ResourceExhausted {
		w.Header().Set("Retry-After", "1")
	}
	writeRawJSON(w, b.Code, data)
}

// writeRawJSON indents, which also undoes the spaces that protojson scatters.
func writeRawJSON(w http.ResponseWriter, code int, data []byte) {
	var out bytes.Buffer
	if err := json.Indent(&out, data, "", "  "); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(code)
	_, _ = io.Copy(w, &out)
}

// httpStatus is the mapping of google.rpc.Code.
func httpStatus(c codes.Code) int {
	switch c {
	case codes.OK:
		return http.StatusOK
	case codes.InvalidArgument, codes.FailedPrecondition, codes.OutOfRange:
		return http.StatusBadRequest
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.NotFound:
		return http.StatusNotFound
	case codes.AlreadyExists, codes.Aborted:
		return http.StatusConflict
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	case codes.Canceled:
		return 499
	case codes.Unimplemented:
		return http.StatusNotImplemented
	case codes.Unavailable:
		return http.StatusServiceUnavailable
	case codes.DeadlineExceeded:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}
