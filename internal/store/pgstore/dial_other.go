//go:build !linux

package pgstore

import (
	"syscall"
	"time"
)

// limitUnanswered is left to the kernel's own limit.
func limitUnanswered(syscall.RawConn, time.Duration) error { return nil }
