package workload

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/sealed"
	"github.com/sigilkeys/sigil/internal/secret"
)

// approval is the permission to sign the parts of one payload once. Two make one: decide,
// after the request, the documents and the policy have passed, and certifier
// for what a state key says. The zero value permits nothing, and it never
// leaves the process.
type approval struct {
	granted bool
	used    atomic.Bool
	key     *walletKey
	parts   []chain.Part // what is signed
}

var errNotApproved = errors.New("signing without an unused approval")

// sign joins the approved key's shares, signs, and wipes, inside one
// secret.Do; then it verifies the signature against the certified public key.
// Only a verified signature is returned: a wrong join, a fault or a planted
// share ends here.
func (s *Service) sign(ctx context.Context, a *approval) ([]byte, error) {
	if a == nil || !a.granted || a.used.Swap(true) {
		return nil, errNotApproved
	}
	size := 0
	for _, p := range a.parts {
		size += p.Scheme.SignatureSize(a.key.curve)
	}
	sig := make([]byte, size)
	err := s.withKey(ctx, a.key, func(priv *[32]byte) error {
		return s.signParts(a, priv, sig)
	})
	if err != nil {
		return nil, err
	}
	verifier, err := a.key.verifier()
	if err != nil || !chain.VerifyParts(verifier, a.parts, sig) {
		clear(sig)
		return nil, remote("self_verify_failed", "the joined key isn't that of the wallet's certificate; nothing was released")
	}
	return sig, nil
}

// signParts writes the signature of each part behind the one before.
func (s *Service) signParts(a *approval, priv *[32]byte, sig []byte) error {
	for _, p := range a.parts {
		n := p.Scheme.SignatureSize(a.key.curve)
		if err := keys.SignScheme(a.key.curve, p.Scheme, priv, a.key.public, p.Bytes, sig[:n], s.args.Random); err != nil {
			return err
		}
		sig = sig[n:]
	}
	return nil
}

// certifier signs with a state key, for wallet certificates and ledger heads:
// both are of this program's making, and begin so that neither is the other.
func (s *Service) certifier(ctx context.Context, state *stateKey) func(payload, sig []byte) error {
	return func(payload, sig []byte) error {
		raw, err := s.sign(ctx, &approval{granted: true, key: state.key, parts: []chain.Part{{Bytes: payload}}})
		copy(sig, raw)
		return err
	}
}

// withKey joins a key and lends it to f, all inside secret.Do. Errors that
// come out hold no secrets: they're made by sealed, kms and keys, which say
// so.
func (s *Service) withKey(ctx context.Context, k *walletKey, f func(priv *[32]byte) error) error {
	var err error
	secret.Do(func() {
		var tee, provider, priv [32]byte
		defer func() {
			clear(tee[:])
			clear(provider[:])
			clear(priv[:])
		}()
		if err = s.tee.Open(ctx, k.teePlace, k.tee, &tee); err != nil {
			return
		}
		if err = s.provider.Open(ctx, k.providerPlace, k.provider, &provider); err != nil {
			return
		}
		sealed.Combine(&tee, &provider, &priv)
		err = f(&priv)
	})
	s.args.Nudger.Touch()
	return describe(err)
}

// describe maps a join's errors to what the client may know, in memory that
// secret.Do didn't allocate.
func describe(err error) error {
	var known interface{ Code() string }
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sealed.ErrOpen):
		return remote("share_open_failed", "a sealed share doesn't belong to this wallet or was altered: %v", err)
	case errors.As(err, &known):
		return remote(known.Code(), "%v", err)
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		return remote("kms_unavailable", "the KMS didn't answer in time; try again")
	}
	return fmt.Errorf("join: %w", err)
}

// newKey makes a key, splits it and seals both shares for the place. Nothing
// of it is in clear when it returns. public is filled in, also in place.
func (s *Service) newKey(ctx context.Context, place *sealed.AAD, public []byte) (tee, provider []byte, err error) {
	// Encoded records are copied out of Do, as its heap memory is erased.
	var out [2][2048]byte
	var n [2]int
	secret.Do(func() {
		var priv, one, two [32]byte
		defer func() {
			clear(priv[:])
			clear(one[:])
			clear(two[:])
		}()
		if err = keys.Generate(place.Curve, s.args.Random, &priv, public); err != nil {
			return
		}
		if err = sealed.Split(&priv, s.args.Random, &one, &two); err != nil {
			return
		}
		place.PublicKey = public
		for i, share := range []*[32]byte{&one, &two} {
			kek := []sealed.KEK{s.args.TEE, s.args.Provider}[i]
			place.Role = []sealed.Role{sealed.RoleTEE, sealed.RoleProvider}[i]
			var sh *sealed.Share
			if sh, err = sealed.Seal(ctx, kek, place, share, s.args.Random); err != nil {
				return
			}
			n[i] = copy(out[i][:], sh.Encode())
		}
	})
	s.args.Nudger.Touch()
	if err != nil {
		return nil, nil, describe(err)
	}
	return append([]byte(nil), out[0][:n[0]]...), append([]byte(nil), out[1][:n[1]]...), nil
}

// stateKey is the opened layout of an organisation's state record.
func stateKeyOf(genesis [32]byte, org [16]byte, public []byte, tee, provider []byte) (*walletKey, error) {
	k := newWalletKey(keys.Ed25519, public)
	var err error
	if k.tee, err = sealed.DecodeShare(tee); err != nil {
		return nil, err
	}
	if k.provider, err = sealed.DecodeShare(provider); err != nil {
		return nil, err
	}
	aad := stateAAD(genesis, org)
	aad.PublicKey, aad.Epoch = public, k.tee.Epoch
	aad.Role = sealed.RoleTEE
	k.teePlace = sealed.NewPlace(aad)
	aad.Role = sealed.RoleProvider
	k.providerPlace = sealed.NewPlace(aad)
	return &k, nil
}

func stateAAD(genesis [32]byte, org [16]byte) *sealed.AAD {
	return &sealed.AAD{Genesis: genesis, Organization: org, Curve: keys.Ed25519, Kind: sealed.KindState, Epoch: 1}
}
