package cloudsim

import (
	"context"
	"errors"
	"hash/crc32"
	"strings"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Limits of software keys.
const (
	maxPlaintext  = 64 << 10
	maxAAD        = 64 << 10
	maxCiphertext = 2 * maxPlaintext
)

// keyService is Cloud KMS's KeyManagementService, as Google's service
// definition has it; both faces, gRPC and REST, call its methods. What isn't
// written here answers UNIMPLEMENTED. Who calls was authenticated, authorised
// and counted before (intercept).
type keyService struct {
	kmspb.UnimplementedKeyManagementServiceServer
	s *Sim
}

func invalidArgument(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// splitVersion returns the key of a key or version name, and the version's
// number in decimal or "".
func splitVersion(name string) (key, version string) {
	key, version, _ = strings.Cut(name, "/cryptoKeyVersions/")
	return key, version
}

func (k *keyService) Encrypt(ctx context.Context, q *kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
	fault := faultOf(ctx)
	key, err := k.s.keyInForce(q.GetName())
	if err != nil {
		return nil, err
	}
	number := key.Primary
	if _, version := splitVersion(q.GetName()); version != "" {
		if number, err = key.parseVersion(version); err != nil {
			return nil, err
		}
	}
	switch {
	case fault == FaultDisabled:
		return nil, precondition(&stateError{key.versionName(number), StateDisabled})
	case len(q.GetPlaintext()) == 0:
		return nil, invalidArgument("The plaintext is missing.")
	case len(q.GetPlaintext()) > maxPlaintext || len(q.GetAdditionalAuthenticatedData()) > maxAAD:
		return nil, invalidArgument("The plaintext or additional authenticated data is too long.")
	}
	if err := errors.Join(matches(q.GetPlaintextCrc32C(), q.GetPlaintext(), "plaintext"),
		matches(q.GetAdditionalAuthenticatedDataCrc32C(), q.GetAdditionalAuthenticatedData(), "additional_authenticated_data")); err != nil {
		return nil, invalidArgument("%v", err)
	}
	ct, err := key.encrypt(number, q.GetPlaintext(), q.GetAdditionalAuthenticatedData(), k.s.cfg.Random, k.s.cfg.Clock())
	if err != nil {
		return nil, keyError(err)
	}
	switch fault {
	case FaultWrongSize:
		ct = make([]byte, 600)
	case FaultInClear:
		ct = append(ct, q.GetPlaintext()...)
	}
	out := &kmspb.EncryptResponse{
		Name: key.versionName(number), Ciphertext: ct, CiphertextCrc32C: checksum(ct), ProtectionLevel: kmspb.ProtectionLevel_SOFTWARE,
		VerifiedPlaintextCrc32C:                   q.GetPlaintextCrc32C() != nil,
		VerifiedAdditionalAuthenticatedDataCrc32C: q.GetAdditionalAuthenticatedDataCrc32C() != nil,
	}
	switch fault {
	case FaultWrongCRC:
		out.CiphertextCrc32C.Value ^= 1
	case FaultNotVerified:
		out.VerifiedPlaintextCrc32C = false
	case FaultAADNotVerified:
		out.VerifiedAdditionalAuthenticatedDataCrc32C = false
	case FaultOtherKey:
		out.Name = key.Name + "-other/cryptoKeyVersions/1"
	}
	return out, nil
}

func (k *keyService) Decrypt(ctx context.Context, q *kmspb.DecryptRequest) (*kmspb.DecryptResponse, error) {
	fault := faultOf(ctx)
	key, err := k.s.keyInForce(q.GetName())
	if err != nil {
		return nil, err
	}
	_, version := splitVersion(q.GetName())
	switch {
	case version != "":
		return nil, invalidArgument("Decrypt takes a CryptoKey, not a CryptoKeyVersion.") // text not observed
	case fault == FaultDisabled:
		return nil, precondition(&stateError{key.versionName(key.Primary), StateDisabled})
	case len(q.GetCiphertext()) > maxCiphertext || len(q.GetAdditionalAuthenticatedData()) > maxAAD:
		return nil, invalidArgument("The ciphertext or additional authenticated data is too long.")
	}
	if err := errors.Join(matches(q.GetCiphertextCrc32C(), q.GetCiphertext(), "ciphertext"),
		matches(q.GetAdditionalAuthenticatedDataCrc32C(), q.GetAdditionalAuthenticatedData(), "additional_authenticated_data")); err != nil {
		return nil, invalidArgument("%v", err)
	}
	plaintext, number, err := key.decrypt(q.GetCiphertext(), q.GetAdditionalAuthenticatedData(), k.s.cfg.Clock())
	if err != nil {
		return nil, keyError(err)
	}
	if fault == FaultWrongSize {
		plaintext = plaintext[:len(plaintext)-1]
	}
	out := &kmspb.DecryptResponse{
		Plaintext: plaintext, PlaintextCrc32C: checksum(plaintext),
		UsedPrimary: number == key.Primary, ProtectionLevel: kmspb.ProtectionLevel_SOFTWARE,
	}
	if fault == FaultWrongCRC {
		out.PlaintextCrc32C.Value ^= 1
	}
	return out, nil
}

func precondition(err error) error { return status.Error(codes.FailedPrecondition, err.Error()) }

// keyError gives an error of a key the status that it has on the wire.
func keyError(err error) error {
	var state *stateError
	switch {
	case errors.As(err, &state):
		return precondition(err)
	case errors.Is(err, errCiphertext), errors.Is(err, errOtherKey):
		return invalidArgument("%v", err)
	case errors.Is(err, errNoVersion):
		return status.Error(codes.NotFound, err.Error())
	}
	return status.Error(codes.Internal, err.Error())
}

func matches(sum *wrapperspb.Int64Value, data []byte, field string) error {
	if sum != nil && sum.GetValue() != checksum(data).GetValue() {
		return refusedText("The checksum in field " + field + "_crc32c did not match the data in field " + field + ".")
	}
	return nil
}

func checksum(b []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))))
}
