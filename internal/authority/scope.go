package authority

import (
	"crypto/ed25519"
	"net/netip"
	"slices"
)

// Scope says what kind of requests a grant's credential may make.
type Scope string

// Scopes. Absent, as in a grant of version 1, means full.
const (
	ScopeFull Scope = "full"
	ScopeRead Scope = "read" // reads, and never gets a decision
)

// AnyIP is the one member of AllowIPs that means every address; it stands
// alone.
const AnyIP = "*"

// maxAllowIPs bounds AllowIPs.
const maxAllowIPs = 64

// openGrant reads a grant of either version. The envelope's type, the format
// and the members that are there must be of one version.
func openGrant(envelope []byte, v *Grant) (*opened, error) {
	o, err := openEnvelope(envelope, v, TypeGrant, TypeGrant2)
	if err != nil {
		return nil, err
	}
	format := FormatGrant
	if o.envelope.PayloadType == TypeGrant2 {
		format = FormatGrant2
	}
	if v.Format != format {
		return nil, refuse(CodeDocument, "format is %q, want %q", v.Format, format)
	}
	return o, nil
}

func typeOfGrant(format string) string {
	if format == FormatGrant2 {
		return TypeGrant2
	}
	return TypeGrant
}

// checkScope requires the members of the grant's version and no others. A
// grant to read carries an empty policy: whatever reads it as one to sign
// would find nothing allowed.
func (v *Grant) checkScope() error {
	p := &v.Policy
	switch {
	case v.Format == FormatGrant && (v.Scope != "" || v.AllowIPs != nil):
		return refuse(CodeDocument, "scope and allow_ips belong to %s", FormatGrant2)
	case v.Format == FormatGrant:
		return nil
	case v.Scope != ScopeFull && v.Scope != ScopeRead:
		return refuse(CodeDocument, "the scope %.40q is unknown, want %s or %s", string(v.Scope), ScopeFull, ScopeRead)
	case v.Scope == ScopeRead && len(p.Wallets)+len(p.Networks)+len(p.Methods) > 0:
		return refuse(CodeDocument, "a grant to read has an empty policy")
	}
	return v.checkAllowIPs()
}

func (v *Grant) checkAllowIPs() error {
	if len(v.AllowIPs) == 0 || len(v.AllowIPs) > maxAllowIPs {
		return refuse(CodeDocument, `allow_ips has %d members, 1 to %d allowed; "*" alone is any address`, len(v.AllowIPs), maxAllowIPs)
	}
	if len(v.AllowIPs) == 1 && v.AllowIPs[0] == AnyIP {
		return nil
	}
	for i, s := range v.AllowIPs {
		p, err := netip.ParsePrefix(s)
		if err != nil || p.Masked().String() != s || p.Addr().Is4In6() {
			return refuse(CodeDocument, "%.50q is no network in CIDR notation, as in 192.0.2.0/24 or 2001:db8::/32, without host bits", s)
		}
		if slices.Contains(v.AllowIPs[:i], s) {
			return refuse(CodeDocument, "%s stands twice", s)
		}
	}
	return nil
}

// MayDecide reports whether the credential may ask for decisions at all.
func (v *Grant) MayDecide() bool { return v.Scope == "" || v.Scope == ScopeFull }

// AllowsIP reports whether requests may come from the address. Whoever asks
// must know the address: the workload doesn't, and doesn't ask.
func (v *Grant) AllowsIP(a netip.Addr) bool {
	if v.Format == FormatGrant || slices.Equal(v.AllowIPs, []string{AnyIP}) {
		return true
	}
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(v.AllowIPs, func(s string) bool {
		p, err := netip.ParsePrefix(s)
		return err == nil && p.Contains(a)
	})
}

// SignGrant makes an envelope of the lowest version that can say what the
// document does, which sets its format: parts of an older release take it.
func SignGrant(v Grant, signers ...ed25519.PrivateKey) ([]byte, error) {
	v.Format = FormatGrant
	if v.Scope != "" && v.Scope != ScopeFull || len(v.AllowIPs) > 0 && !slices.Equal(v.AllowIPs, []string{AnyIP}) {
		v.Format = FormatGrant2
		if v.Scope == "" {
			v.Scope = ScopeFull
		}
		if len(v.AllowIPs) == 0 {
			v.AllowIPs = []string{AnyIP}
		}
	} else {
		v.Scope, v.AllowIPs = "", nil
	}
	return SignEnvelope(typeOfGrant(v.Format), v, signers...)
}
