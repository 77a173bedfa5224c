package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// memory is where Linux has a file system without a disk. The programs refuse
// to run a database that doesn't flush, and measuring is no reason to let them:
// with its files there, they do what they do elsewhere, and the flush costs
// nothing.
const memory = "/dev/shm"

// settle is for what a run left to be done after its replies, the fold into
// ledgers above all: the next run is somebody else's.
const settle = 700 * time.Millisecond

// scene is the four installations that are measured in turns, and what they
// stand on.
type scene struct {
	program
	all []*installation // on the disk: SQLite, PostgreSQL; in memory: the same
}

// kept requires that files of dir are on a disk, and those of ram aren't.
func kept(dir, ram string) error {
	lost, err := inMemory(dir)
	if err != nil {
		return err
	}
	volatile, err := inMemory(ram)
	switch {
	case err != nil:
		return err
	case lost:
		return fmt.Errorf("%s is in memory: set TMPDIR to a folder on a disk", dir)
	case !volatile:
		return fmt.Errorf("%s is on a disk: a RAM disk is needed there", ram)
	}
	return nil
}

// newScene starts SQLite and PostgreSQL, each with its files in dir and in ram.
func newScene(ctx context.Context, bin, dir, ram string) (s *scene, err error) {
	s = &scene{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.end())
		}
	}()
	if ram, err = folder(ram); err != nil {
		return nil, err
	}
	s.Cleanup(func() { _ = os.RemoveAll(ram) })
	files := filepath.Join(ram, "sqlite")
	if err := os.Mkdir(files, 0o700); err != nil {
		return nil, err
	}
	if err := s.add(ctx, bin, dir, "disk", dir, ""); err != nil {
		return nil, err
	}
	return s, s.add(ctx, bin, dir, "memory", ram, files)
}

// add starts both engines, PostgreSQL with its files somewhere in its folder,
// SQLite with them in files or, if that is "", its own.
func (s *scene) add(ctx context.Context, bin, dir, name, folder, files string) error {
	folder = filepath.Join(folder, "pg")
	if err := os.Mkdir(folder, 0o711); err != nil {
		return err
	}
	server, err := s.server(folder)
	if err != nil {
		return err
	}
	lite, err := s.install(ctx, bin, dir, "sqlite-"+name, files, nil)
	if err != nil {
		return err
	}
	pg, err := s.install(ctx, bin, dir, "postgres-"+name, "", server)
	if err != nil {
		return err
	}
	for _, in := range []*installation{lite, pg} {
		if err := in.up(ctx); err != nil {
			return err
		}
		s.all = append(s.all, in)
	}
	return nil
}

func (s *scene) end() error {
	var errs []error
	for _, in := range s.all {
		errs = append(errs, in.down())
	}
	s.program.end()
	return errors.Join(errs...)
}

// signatures measures all four in turns, so that what else the machine does
// meets each, and returns the medians.
func (r *report) signatures(ctx context.Context, dir string, o options) (err error) {
	s, err := newScene(ctx, o.bin, dir, o.ram)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	base, err := startBaseline(ctx)
	if err != nil {
		return err
	}
	defer base.stop()
	for _, clients := range []int{1, 64} {
		n := o.requests
		if clients == 1 {
			n /= 4
		}
		list := make([][]measurement, len(s.all))
		for round := range o.rounds {
			o.say("signatures: %d clients, round %d of %d", clients, round+1, o.rounds)
			if err := s.round(ctx, base, clients, n, list); err != nil {
				return err
			}
		}
		for _, m := range list {
			r.Runs = append(r.Runs, middle(m))
		}
	}
	if r.Server, err = s.settings(s.all[1].server, "fsync", "synchronous_commit", "wal_level", "shared_buffers"); err != nil {
		return err
	}
	o.say("stages")
	if r.Stages, err = stages(); err != nil {
		return err
	}
	if r.Busy, err = busyStages(); err != nil {
		return err
	}
	return r.measureParts(ctx, s, o.bin, dir)
}

func (s *scene) round(ctx context.Context, base *baselineProcess, clients, n int, list [][]measurement) error {
	baseline, err := base.measure(ctx, clients, n)
	if err != nil {
		return err
	}
	for i, in := range s.all {
		m, err := measure(ctx, in, clients, n)
		if err != nil {
			return fmt.Errorf("%s: %w", in.engine, err)
		}
		m.Baseline, m.Flushed = baseline, i < 2
		list[i] = append(list[i], *m)
		time.Sleep(settle)
	}
	return nil
}

// measureParts measures stages at the size of the batches of the runs with 64
// clients, on empty databases.
func (r *report) measureParts(ctx context.Context, s *scene, bin, dir string) error {
	link, err := linkCost(ctx)
	if err != nil {
		return err
	}
	r.Parts = map[string]parts{}
	for _, in := range s.all[:2] {
		empty, err := s.install(ctx, bin, dir, "empty-"+in.engine, "", in.server)
		if err != nil {
			return err
		}
		p := parts{Link: link}
		if p.Commit, p.Database, err = commitCost(ctx, empty, max(1, int(r.run(in.engine, true, 64).Flushes+0.5))); err != nil {
			return err
		}
		r.Parts[in.engine] = p
	}
	return nil
}
