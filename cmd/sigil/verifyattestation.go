package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/sigilkeys/sigil/attest/confspace"
	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/receipt"
)

// attestationFlags are those of verify attestation.
type attestationFlags struct {
	genesis, digest  string
	accept           acceptFlags
	audience         string
	nonce, challenge string
	jwks, keySet     string
	fetch            bool
	keyHosts         []string
	at               string
	archive          string
}

func (a *app) verifyAttestationCommand() *cobra.Command {
	f := &attestationFlags{}
	c := &cobra.Command{Use: "attestation [FILE|-]", Short: "Verify attestation evidence, step by step", Args: cobra.MaximumNArgs(1),
		Long: `Verifies attestation evidence without a network and prints what each step of the
checklist in docs/ATTESTATION.md found. Steps that need more than the evidence are
listed as not checked, with the command that does them.

FILE, or standard input, has evidence in any of the forms in which it is at hand:
a token; {"statement","token"}; the answer of GET /v1/attestation; the output of
'sigil attestation --json'; a receipt's bundle; an archive.

What the evidence must say comes from the genesis document in --genesis or in the
profile (--genesis-digest pins it besides), or from --accept or the --tee flags. The
nonce is the statement's digest; a token alone needs --nonce.

A PKI token is verified by the root that is pinned there. An OIDC token needs the
issuer's keys: --jwks FILE has them, --fetch-keys gets them from the issuer, at a host
that --jwks-host names (default: Google's). An archive has keys of its own, which
are believed when --jwks has the same ones or --key-set their digest.

--at verifies for an earlier instant, such as that of a receipt's batch; an archive is
verified for its own. --archive writes one of what was verified.

The list is printed also where a step refuses. Exit code 3 says that one did.`,
		Example: `  sigil attestation --json | sigil verify attestation
  sigil verify attestation evidence.json --genesis acme/genesis.json --at 2026-11-25T12:00:00Z
  sigil verify attestation token.jwt --accept accept.json --nonce 2f1d… --jwks keys.json --archive 2026.json
  sigil verify attestation 2026.json --genesis acme/genesis.json --key-set 9b1c…`,
		RunE: func(c *cobra.Command, args []string) error { return a.verifyAttestation(c, f, append(args, "-")[0]) }}
	fl := c.Flags()
	fl.StringVar(&f.genesis, "genesis", "", "file with the genesis document that is trusted (default: the profile's)")
	fl.StringVar(&f.digest, "genesis-digest", "", "digest that the genesis document must have, hex")
	f.accept.add(c)
	fl.StringVar(&f.audience, "audience", receipt.EvidenceAudience, "audience of the token")
	fl.StringVar(&f.nonce, "nonce", "", "the token's one nonce (default: the statement's digest)")
	fl.StringVar(&f.challenge, "challenge", "", "challenge that the evidence must have been made for, 64 hex digits")
	fl.StringVar(&f.jwks, "jwks", "", "file with the issuer's keys (JWKS), for OIDC tokens")
	fl.BoolVar(&f.fetch, "fetch-keys", false, "get the issuer's keys from the issuer, for OIDC tokens")
	fl.StringSliceVar(&f.keyHosts, "jwks-host", nil, "host at which the issuer's keys may be (default for Google's issuer: "+confspace.GoogleKeyHost+")")
	fl.StringVar(&f.keySet, "key-set", "", "digest of the key set that an archive must have, hex")
	fl.StringVar(&f.at, "at", "", "instant to verify for, RFC 3339 (default: now; an archive's own)")
	fl.StringVar(&f.archive, "archive", "", "file to write an archive of the verified evidence to")
	return c
}

func (a *app) verifyAttestation(c *cobra.Command, f *attestationFlags, path string) error {
	tees, err := a.acceptedTEEs(c, f)
	if err != nil {
		return err
	}
	if err := absent(f.archive); err != nil {
		return err
	}
	in, err := a.readEvidence(path)
	if err != nil {
		return err
	}
	v := &attestationCheck{in: in, nonce: f.nonce, audience: f.audience}
	if v.at, err = f.instant(a.now, in); err != nil {
		return err
	}
	if err := v.setNonce(); err != nil {
		return err
	}
	if f.challenge != "" {
		d, err := hexFlag("challenge", f.challenge)
		if err != nil {
			return err
		}
		v.challenge = &d
	}
	keys, err := f.keySource(c.Context(), a.now, in)
	if err != nil {
		return err
	}
	for i := range tees {
		v.try(&tees[i], keys)
	}
	return a.report(v, f.archive)
}

// acceptedTEEs finds the reference values. What comes with the evidence is
// none.
func (a *app) acceptedTEEs(c *cobra.Command, f *attestationFlags) ([]client.TEE, error) {
	if f.accept.file != "" || f.accept.byFlag(c) {
		if f.genesis != "" || f.digest != "" {
			return nil, usagef("use one of the two", "--genesis excludes --accept and the --tee flags")
		}
		return f.accept.accepted(c)
	}
	var envelope []byte
	var err error
	if f.genesis != "" {
		if envelope, err = readEnvelope(f.genesis); err != nil {
			return nil, err
		}
	} else {
		p, err := a.loadProfile()
		if err != nil {
			return nil, errors.Join(usagef("give --genesis FILE, --profile FILE, --accept FILE or the --tee flags", "what the evidence must say isn't said"), err)
		}
		envelope = p.Genesis
	}
	digest, tees, err := client.GenesisTEEs(envelope)
	if err != nil {
		return nil, err
	}
	if f.digest != "" {
		want, err := hexFlag("genesis-digest", f.digest)
		if err != nil {
			return nil, err
		}
		if want != digest {
			return nil, &client.VerificationError{Code: client.CodePin, Detail: "the genesis document has the digest " + digestText(digest)}
		}
	}
	return tees, nil
}

func (a *app) readEvidence(path string) (*evidenceInput, error) {
	data, err := a.readInput(path)
	if err != nil {
		return nil, err
	}
	in, err := parseEvidence(data)
	if err != nil {
		err = &client.VerificationError{Code: client.CodeEvidenceInvalid, Detail: path, Err: err}
		return nil, withHint(err, "`sigil verify attestation --help` lists the forms that are read")
	}
	return in, nil
}

func (f *attestationFlags) instant(now func() time.Time, in *evidenceInput) (time.Time, error) {
	switch {
	case f.at != "" && in.archive != nil:
		return time.Time{}, usagef("leave --at out", "an archive is verified for the instant that it names, %s", in.archive.Verified.Format(time.RFC3339))
	case f.at != "":
		at, err := time.Parse(time.RFC3339, f.at)
		if err != nil {
			return at, usagef("as in 2026-11-25T12:00:00Z", "--at: %q is no RFC 3339 time", f.at)
		}
		return at, nil
	case in.archive != nil:
		return in.archive.Verified, nil
	}
	return now(), nil
}

// trustSource finds the anchors for a token by what is pinned of its issuer.
type trustSource func(issuer string, root [32]byte, token string) (confspace.Trust, error)

// keySource makes of the flags what finds the keys of OIDC tokens.
func (f *attestationFlags) keySource(ctx context.Context, now func() time.Time, in *evidenceInput) (trustSource, error) {
	var given *confspace.KeySet
	pins := confspace.Pins{}
	switch {
	case f.jwks != "" && f.fetch, f.keySet != "" && f.jwks != "", f.keySet != "" && f.fetch:
		return nil, usagef("use one of the three", "--jwks, --fetch-keys and --key-set exclude one another")
	case f.keySet != "" && in.archive == nil, f.fetch && in.archive != nil:
		return nil, usagef("--key-set is for archives, --fetch-keys for anything else", "there are no keys to compare with that digest, or none to fetch")
	case f.keySet != "":
		d, err := hexFlag("key-set", f.keySet)
		if err != nil {
			return nil, err
		}
		pins.KeySet = d
	case f.jwks != "":
		data, err := read(f.jwks)
		if err != nil {
			return nil, err
		}
		if given, err = confspace.ParseKeySet(data); err != nil {
			return nil, fmt.Errorf("%s: %w", f.jwks, err)
		}
		pins.KeySet = given.Digest()
	}
	return func(issuer string, root [32]byte, token string) (confspace.Trust, error) {
		switch {
		case in.archive != nil:
			pins.PKIRoot = root
			return in.archive.Trust(pins)
		case !f.fetch:
			return confspace.Trust{PKIRoot: root, Keys: given}, nil
		}
		source, err := confspace.NewKeySource(confspace.KeySourceConfig{Issuer: issuer, KeyHosts: f.keyHosts, Client: &http.Client{}, Now: now})
		if err != nil {
			return confspace.Trust{}, &confspace.Refusal{Reason: confspace.ReasonKeysUnavailable, Err: err}
		}
		keys, err := source.KeysFor(ctx, token)
		return confspace.Trust{PKIRoot: root, Keys: keys}, err
	}, nil
}

// setNonce requires that the expected nonce is known.
func (v *attestationCheck) setNonce() error {
	if len(v.in.Statement) == 0 {
		if v.nonce == "" {
			return usagef("give --nonce TEXT: without it the token may be of any time and any instance", "a token without its statement doesn't say which nonce it must have")
		}
		return nil
	}
	id := v.in.ID()
	v.given, v.nonce = v.nonce, digestText(id)
	return nil
}
