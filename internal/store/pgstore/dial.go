package pgstore

import (
	"net"
	"syscall"
	"time"
)

// lost is when a silent network counts as gone. Without it, a statement whose
// server vanished waits for as long as the kernel sends again: a quarter of an
// hour.
const lost = 20 * time.Second

// dialer notices a peer that is gone both while the connection is idle and
// while data is on its way.
func dialer() *net.Dialer {
	return &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: lost / 2, Interval: lost / 10, Count: 4},
		Control: func(network, _ string, c syscall.RawConn) error {
			if network != "tcp4" && network != "tcp6" {
				return nil
			}
			return limitUnanswered(c, lost)
		},
	}
}
