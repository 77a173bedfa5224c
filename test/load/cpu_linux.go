package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cpuTime returns the CPU time that a process has used, from the scheduler's
// nanosecond accounting of each of its threads. A thread that ended takes its
// time along; Go programs keep theirs.
func cpuTime(pid int) (time.Duration, error) {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	var total time.Duration
	for _, t := range tasks {
		b, err := os.ReadFile(dir + "/" + t.Name() + "/schedstat")
		if err != nil {
			return 0, err
		}
		ran, _, _ := strings.Cut(string(b), " ")
		ns, err := strconv.ParseInt(ran, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("schedstat of %s: %w", t.Name(), err)
		}
		total += time.Duration(ns)
	}
	return total, nil
}

// familyTime returns the CPU time of a process and its children, and of those
// children that have ended: all of a PostgreSQL server, seen from its postmaster.
func familyTime(pid int) (time.Duration, error) {
	total, err := cpuTime(pid)
	if err != nil {
		return 0, err
	}
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, err
	}
	for field := range strings.FieldsSeq(string(list)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			return 0, err
		}
		d, err := cpuTime(child)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it ended just now, and counts among those
		}
		if err != nil {
			return 0, err
		}
		total += d
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// After the name in brackets come 13 fields, then the two of the children,
	// in ticks of which Linux tells programs that a second has 100.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return 0, fmt.Errorf("stat of process %d has %d fields", pid, len(fields))
	}
	for _, f := range fields[13:15] {
		ticks, err := strconv.Atoi(f)
		if err != nil {
			return 0, err
		}
		total += time.Duration(ticks) * 10 * time.Millisecond
	}
	return total, nil
}

// inMemory reports whether a folder is on a file system that has no disk.
func inMemory(dir string) (bool, error) {
	const tmpfs = 0x01021994
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return false, fmt.Errorf("file system of %s: %w", dir, err)
	}
	return s.Type == tmpfs, nil
}

func machine() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :")) + fmt.Sprintf(", %d processors", strings.Count(string(b), "\nprocessor")+1)
		}
	}
	return "unknown"
}
