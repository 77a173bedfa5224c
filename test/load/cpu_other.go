//go:build !linux

package main

import (
	"errors"
	"runtime"
	"time"
)

func cpuTime(int) (time.Duration, error) {
	return 0, errors.New("process accounting needs Linux")
}

func machine() string { return runtime.GOOS }
