package server

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/sigilkeys/sigil/api"
)

// admitAddress refuses a caller outside the networks that the key's grant
// lists. It is the host's word: the workload sees no addresses. One whose
// address isn't known is in no network, the proxy's neither.
func (s *Server) admitAddress(c *call) error {
	a, ok := s.callerAddress(c)
	if !ok && !c.key.AllowsIP(netip.Addr{}) {
		return refuse(api.CodeAddressNotAllowed, "the key's grant lists networks, and the caller's address isn't known: a trusted proxy must write X-Forwarded-For")
	}
	if ok && !c.key.AllowsIP(a) {
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

// callerAddress is clientAddress for a call.
func (s *Server) callerAddress(c *call) (netip.Addr, bool) {
	return clientAddress(c.Request, s.TrustedProxies)
}

// clientAddress is the address of the connection or, through trusted proxies,
// the last one in X-Forwarded-For that isn't of such a proxy: what stands
// before it, the client may have written. It isn't ok where the connection has
// none or a proxy wrote none; what is returned then is the last that is known.
func clientAddress(r *http.Request, proxies []netip.Prefix) (a netip.Addr, ok bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, false
	}
	a = peer.Addr().Unmap().WithZone("")
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	ok = !trusted(proxies, a)
	for trusted(proxies, a) && len(hops) > 0 {
		last := strings.TrimSpace(hops[len(hops)-1])
		hops = hops[:len(hops)-1]
		if last == "" {
			continue
		}
		next, err := netip.ParseAddr(last)
		if err != nil {
			return a, false
		}
		a, ok = next.Unmap().WithZone(""), true
	}
	return a, ok
}

func trusted(proxies []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}
