package server

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/sigilkeys/sigil/api"
)

// admitAddress refuses a caller outside the networks that the key's grant
// lists. It is the host's word: the workload sees no addresses.
func (s *Server) admitAddress(c *call) error {
	a, ok := s.callerAddress(c)
	if !ok || !c.key.AllowsIP(a) {
		return refuse(api.CodeAddressNotAllowed, "the key's grant doesn't list the network of %s", a)
	}
	return nil
}

// admitDecision refuses early what the workload would refuse, too.
func (s *Server) admitDecision(c *call) error {
	if err := s.admitAddress(c); err != nil {
		return err
	}
	return mayWrite(c)
}

func mayWrite(c *call) error {
	if !c.key.MayDecide() {
		return refuse(api.CodeKeyReadOnly, "the key's scope is to read; have the owner create one of scope full")
	}
	return nil
}

// callerAddress is the address of the connection or, through trusted proxies,
// the last one in X-Forwarded-For that isn't of such a proxy: what stands
// before it, the caller may have written.
func (s *Server) callerAddress(c *call) (netip.Addr, bool) {
	peer, err := netip.ParseAddrPort(c.RemoteAddr)
	if err != nil {
		return netip.Addr{}, false
	}
	a := peer.Addr().Unmap().WithZone("")
	hops := strings.Split(strings.Join(c.Header.Values("X-Forwarded-For"), ","), ",")
	for s.trusted(a) && len(hops) > 0 {
		last := strings.TrimSpace(hops[len(hops)-1])
		hops = hops[:len(hops)-1]
		if last == "" {
			continue
		}
		next, err := netip.ParseAddr(last)
		if err != nil {
			return netip.Addr{}, false
		}
		a = next.Unmap().WithZone("")
	}
	return a, true
}

func (s *Server) trusted(a netip.Addr) bool {
	return slices.ContainsFunc(s.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}
