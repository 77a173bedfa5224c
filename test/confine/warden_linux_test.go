package confine

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// A warden is the first process of a network namespace with nothing in it but
// a loopback interface, to which every address there is is routed. It carries
// the allowed connections in and out over Unix sockets, starts the workload,
// and reads each packet: what goes anywhere else has been tried.

// sentence tells a warden what to do; it has it in the environment.
type sentence struct {
	Program []string
	Output  string            // file for what the program prints
	Allowed map[string]string // addresses in the namespace: Unix sockets that lead out
	Link    string            // where the program listens
	LinkIn  string            // the Unix socket that leads to it
}

const sentenceVar = "SIGIL_CONFINE_SENTENCE"

// observed is what a warden prints in the end.
type observed struct {
	Tried map[string]int // "tcp 127.0.0.1:443": packets
	Lost  uint32         // packets that it couldn't read
	Ended string         // how the program ended, if not cleanly
}

func runWarden() error {
	var s sentence
	if err := json.Unmarshal([]byte(os.Getenv(sentenceVar)), &s); err != nil {
		return err
	}
	if err := loopbackOnly(); err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	sniff, err := newSniffer(s.Link, s.Allowed)
	if err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	go sniff.run()
	for at, out := range s.Allowed {
		l, err := net.Listen("tcp", at)
		if err != nil {
			return err
		}
		go forward(l, "unix", out)
	}
	in, err := net.Listen("unix", s.LinkIn)
	if err != nil {
		return err
	}
	go forward(in, "tcp", s.Link)
	out, err := os.Create(s.Output)
	if err != nil {
		return err
	}
	cmd := exec.Command(s.Program[0], s.Program[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil { // until the test closes it
		return err
	}
	o := observed{}
	if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil {
		o.Ended = err.Error()
	}
	if o.Tried, o.Lost, err = sniff.end(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(o)
}

// forward carries each connection to another address.
func forward(l net.Listener, network, address string) {
	for {
		a, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer a.Close()
			b, err := net.Dial(network, address)
			if err != nil {
				return
			}
			defer b.Close()
			done := make(chan struct{}, 2)
			for _, ends := range [][2]net.Conn{{a, b}, {b, a}} {
				go func() { _, _ = io.Copy(ends[0], ends[1]); done <- struct{}{} }()
			}
			<-done // the other ends with the connections
		}()
	}
}

// loopbackOnly sets lo up, and makes every IPv4 and IPv6 address one of its
// own: a packet to anywhere is sent, and seen, and goes nowhere.
func loopbackOnly() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return err
	}
	i, err := net.InterfaceByName("lo")
	if err != nil {
		return err
	}
	return errors.Join(routeAll(unix.AF_INET, i.Index), routeAll(unix.AF_INET6, i.Index))
}

// routeAll is `ip route add local default dev lo`.
func routeAll(family byte, index int) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	b := []byte{family, 0, 0, 0, unix.RT_TABLE_LOCAL, unix.RTPROT_BOOT, unix.RT_SCOPE_HOST, unix.RTN_LOCAL}
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = binary.NativeEndian.AppendUint16(b, unix.SizeofRtAttr+4)
	b = binary.NativeEndian.AppendUint16(b, unix.RTA_OIF)
	b = binary.NativeEndian.AppendUint32(b, uint32(index))
	h := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(b)))
	h = binary.NativeEndian.AppendUint16(h, unix.RTM_NEWROUTE)
	h = binary.NativeEndian.AppendUint16(h, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE)
	h = append(h, 1, 0, 0, 0, 0, 0, 0, 0) // sequence, port
	if err := unix.Sendto(fd, append(h, b...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil || n < unix.SizeofNlMsghdr+4 {
		return fmt.Errorf("route: %d bytes of answer: %w", n, err)
	}
	if code := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); code != 0 {
		return fmt.Errorf("route: %w", syscall.Errno(-code))
	}
	return nil
}

// sniffer reads all packets on lo.
type sniffer struct {
	fd      int
	allowed []netip.AddrPort
	ending  atomic.Bool
	done    chan error
	tried   map[string]int // run's, until done
}

func newSniffer(link string, allowed map[string]string) (*sniffer, error) {
	s := &sniffer{done: make(chan error, 1), tried: map[string]int{}}
	for at := range allowed {
		s.allowed = append(s.allowed, netip.MustParseAddrPort(at))
	}
	s.allowed = append(s.allowed, netip.MustParseAddrPort(link))
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	var err error
	if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(all)); err != nil {
		return nil, err
	}
	// As large as it may be; what is lost all the same is counted.
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 16<<20)
	return s, unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000})
}

func (s *sniffer) run() {
	b := make([]byte, 128)
	for {
		n, _, err := unix.Recvfrom(s.fd, b, unix.MSG_TRUNC)
		switch {
		case err == nil:
			s.packet(b[:min(n, len(b))])
		case errors.Is(err, unix.EAGAIN) && s.ending.Load():
			s.done <- nil // all was read
			return
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
			s.done <- err
			return
		}
	}
}

// packet notes a packet that begins a connection, and any that belongs to
// none of those allowed.
func (s *sniffer) packet(b []byte) {
	var from, to netip.Addr
	var protocol byte
	var rest []byte
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		from, to = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
		protocol, rest = b[9], b[min(len(b), int(b[0]&15)*4):]
	case len(b) >= 40 && b[0]>>4 == 6:
		from, to = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
		protocol, rest = b[6], b[40:]
	default:
		s.tried["no IP packet"]++
		return
	}
	if len(rest) < 14 || protocol != unix.IPPROTO_TCP {
		name := fmt.Sprintf("protocol %d %s", protocol, to)
		if protocol == unix.IPPROTO_UDP && len(rest) >= 4 {
			name = "udp " + netip.AddrPortFrom(to, binary.BigEndian.Uint16(rest[2:])).String()
		}
		s.tried[name]++
		return
	}
	src, dst := netip.AddrPortFrom(from, binary.BigEndian.Uint16(rest)), netip.AddrPortFrom(to, binary.BigEndian.Uint16(rest[2:]))
	const syn, ack = 2, 16
	if rest[13]&(syn|ack) == syn || !slices.Contains(s.allowed, src) && !slices.Contains(s.allowed, dst) {
		s.tried["tcp "+dst.String()]++
	}
}

func (s *sniffer) end() (map[string]int, uint32, error) {
	s.ending.Store(true)
	if err := <-s.done; err != nil {
		return nil, 0, err
	}
	stats, err := unix.GetsockoptTpacketStats(s.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return nil, 0, err
	}
	return s.tried, stats.Drops, unix.Close(s.fd)
}
