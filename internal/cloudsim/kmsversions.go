package cloudsim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// destroyDelay is how long a version stays restorable: Google's default.
const destroyDelay = 30 * 24 * time.Hour

func notFound(name string) error {
	return status.Errorf(codes.NotFound, "%s not found.", name) // text not observed
}

func (k *keyService) GetCryptoKey(_ context.Context, q *kmspb.GetCryptoKeyRequest) (*kmspb.CryptoKey, error) {
	key, err := k.s.keyInForce(q.GetName())
	if err != nil {
		return nil, err
	}
	return key.describe(k.s.cfg.Clock()), nil
}

func (k *keyService) GetCryptoKeyVersion(_ context.Context, q *kmspb.GetCryptoKeyVersionRequest) (*kmspb.CryptoKeyVersion, error) {
	return k.version(q.GetName())
}

// version describes a version as it stands, however much of it has spread.
func (k *keyService) version(name string) (*kmspb.CryptoKeyVersion, error) {
	keyName, number := splitVersion(name)
	key := k.s.current().key(keyName)
	if key == nil {
		return nil, notFound(name)
	}
	n, err := key.parseVersion(number)
	if err != nil {
		return nil, err
	}
	v := key.find(n)
	if v == nil {
		return nil, notFound(name)
	}
	return key.describeVersion(v, k.s.cfg.Clock()), nil
}

func (k *keyService) ListCryptoKeyVersions(_ context.Context, q *kmspb.ListCryptoKeyVersionsRequest) (*kmspb.ListCryptoKeyVersionsResponse, error) {
	key := k.s.current().key(q.GetParent())
	if key == nil {
		return nil, notFound(q.GetParent())
	}
	if q.GetFilter() != "" || q.GetOrderBy() != "" || q.GetPageToken() != "" {
		return nil, invalidArgument("The local cloud takes no filter, order or page.")
	}
	out := &kmspb.ListCryptoKeyVersionsResponse{TotalSize: int32(len(key.Versions))}
	for i := range key.Versions {
		out.CryptoKeyVersions = append(out.CryptoKeyVersions, key.describeVersion(&key.Versions[i], k.s.cfg.Clock()))
	}
	return out, nil
}

// CreateCryptoKeyVersion makes a version; it becomes primary only by
// UpdateCryptoKeyPrimaryVersion.
func (k *keyService) CreateCryptoKeyVersion(_ context.Context, q *kmspb.CreateCryptoKeyVersionRequest) (*kmspb.CryptoKeyVersion, error) {
	if q.GetCryptoKeyVersion().GetState() != kmspb.CryptoKeyVersion_CRYPTO_KEY_VERSION_STATE_UNSPECIFIED {
		return nil, invalidArgument("The state of a new version can't be chosen here.")
	}
	var made string
	err := k.s.updateKey(q.GetParent(), func(key *Key) error {
		n, err := key.addVersion(k.s.cfg.Random)
		made = key.versionName(n)
		return err
	})
	if err != nil {
		return nil, err
	}
	return k.version(made)
}

func (k *keyService) UpdateCryptoKeyPrimaryVersion(_ context.Context, q *kmspb.UpdateCryptoKeyPrimaryVersionRequest) (*kmspb.CryptoKey, error) {
	var out *kmspb.CryptoKey
	err := k.s.updateKey(q.GetName(), func(key *Key) error {
		n, err := key.parseVersion(q.GetCryptoKeyVersionId())
		if err != nil {
			return err
		}
		if _, err := key.usable(n, k.s.cfg.Clock()); err != nil {
			return keyError(err)
		}
		key.Primary = n
		out = key.describe(k.s.cfg.Clock())
		return nil
	})
	return out, err
}

// UpdateCryptoKeyVersion enables or disables a version: the only change that
// the API allows.
func (k *keyService) UpdateCryptoKeyVersion(_ context.Context, q *kmspb.UpdateCryptoKeyVersionRequest) (*kmspb.CryptoKeyVersion, error) {
	want := q.GetCryptoKeyVersion()
	if !slices.Equal(q.GetUpdateMask().GetPaths(), []string{"state"}) {
		return nil, invalidArgument("The update mask must name the field state alone.")
	}
	if want.GetState() != kmspb.CryptoKeyVersion_ENABLED && want.GetState() != kmspb.CryptoKeyVersion_DISABLED {
		return nil, invalidArgument("A version can be set to ENABLED or DISABLED only.")
	}
	return k.move(want.GetName(), func(v *Version, state string) error {
		if state != StateEnabled && state != StateDisabled {
			return &stateError{want.GetName(), state}
		}
		v.State = want.GetState().String()
		return nil
	})
}

func (k *keyService) DestroyCryptoKeyVersion(_ context.Context, q *kmspb.DestroyCryptoKeyVersionRequest) (*kmspb.CryptoKeyVersion, error) {
	return k.move(q.GetName(), func(v *Version, state string) error {
		if state != StateEnabled && state != StateDisabled {
			return &stateError{q.GetName(), state}
		}
		v.State, v.DestroyAt = StateDestroyScheduled, k.s.cfg.Clock().Add(destroyDelay).UTC()
		return nil
	})
}

// RestoreCryptoKeyVersion takes a version back from its scheduled end. It
// comes back disabled.
func (k *keyService) RestoreCryptoKeyVersion(_ context.Context, q *kmspb.RestoreCryptoKeyVersionRequest) (*kmspb.CryptoKeyVersion, error) {
	return k.move(q.GetName(), func(v *Version, state string) error {
		if state != StateDestroyScheduled {
			return &stateError{q.GetName(), state}
		}
		v.State, v.DestroyAt = StateDisabled, time.Time{}
		return nil
	})
}

// move changes one version's state; change is told the state at present.
func (k *keyService) move(name string, change func(v *Version, state string) error) (*kmspb.CryptoKeyVersion, error) {
	keyName, number := splitVersion(name)
	err := k.s.updateKey(keyName, func(key *Key) error {
		n, err := key.parseVersion(number)
		if err != nil {
			return err
		}
		v := key.find(n)
		if v == nil {
			return notFound(name)
		}
		if err := change(v, v.stateAt(k.s.cfg.Clock())); err != nil {
			return precondition(err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return k.version(name)
}

// changeKey changes a key for good.
func (s *Sim) changeKey(name string, change func(*Key) error) error {
	return s.update(func(st *state) error {
		key := st.key(name)
		if key == nil {
			return fmt.Errorf("cloudsim: no key %s", name)
		}
		return change(key)
	})
}

// updateKey is changeKey for the API: its errors have a status.
func (s *Sim) updateKey(name string, change func(*Key) error) error {
	if s.current().key(name) == nil {
		return notFound(name)
	}
	err := s.changeKey(name, change)
	if _, ok := status.FromError(err); !ok {
		return status.Error(codes.Internal, err.Error())
	}
	return err
}

func (k *Key) describe(now time.Time) *kmspb.CryptoKey {
	out := &kmspb.CryptoKey{
		Name: k.Name, Purpose: kmspb.CryptoKey_ENCRYPT_DECRYPT,
		VersionTemplate: &kmspb.CryptoKeyVersionTemplate{
			ProtectionLevel: kmspb.ProtectionLevel_SOFTWARE, Algorithm: kmspb.CryptoKeyVersion_GOOGLE_SYMMETRIC_ENCRYPTION,
		},
		DestroyScheduledDuration: durationpb.New(destroyDelay),
	}
	if v := k.find(k.Primary); v != nil {
		out.Primary = k.describeVersion(v, now)
	}
	return out
}

func (k *Key) describeVersion(v *Version, now time.Time) *kmspb.CryptoKeyVersion {
	out := &kmspb.CryptoKeyVersion{
		Name: k.versionName(v.Number), ProtectionLevel: kmspb.ProtectionLevel_SOFTWARE,
		Algorithm: kmspb.CryptoKeyVersion_GOOGLE_SYMMETRIC_ENCRYPTION,
	}
	state := v.stateAt(now)
	out.State = kmspb.CryptoKeyVersion_CryptoKeyVersionState(kmspb.CryptoKeyVersion_CryptoKeyVersionState_value[state])
	switch {
	case v.DestroyAt.IsZero():
	case state == StateDestroyed:
		out.DestroyEventTime = timestamppb.New(v.DestroyAt)
	default:
		out.DestroyTime = timestamppb.New(v.DestroyAt)
	}
	return out
}

// RotateKey gives a key a new primary version; older ones still decrypt.
func (s *Sim) RotateKey(name string) error {
	return s.changeKey(name, func(k *Key) error { return k.rotate(s.cfg.Random) })
}

// SetVersionState moves a key version to a state whatever the API would say.
// StateDestroyed erases its material for good.
func (s *Sim) SetVersionState(name string, version uint32, to string) error {
	return s.changeKey(name, func(k *Key) error {
		v := k.find(version)
		switch {
		case v == nil:
			return fmt.Errorf("cloudsim: key %s has no version %d", name, version)
		case v.stateAt(s.cfg.Clock()) == StateDestroyed:
			return fmt.Errorf("cloudsim: version %d is destroyed", version)
		case to == StateDestroyScheduled:
			v.DestroyAt = s.cfg.Clock().Add(destroyDelay).UTC()
		case to == StateDestroyed:
			v.Material, v.DestroyAt = nil, s.cfg.Clock().UTC()
		case to != StateEnabled && to != StateDisabled:
			return fmt.Errorf("cloudsim: no state %q", to)
		default:
			v.DestroyAt = time.Time{}
		}
		v.State = to
		return nil
	})
}
