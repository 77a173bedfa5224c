package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/internal/signing"
	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/test/stack"
)

// accepts reports whether the control plane takes the workload, and what it
// logged.
func (m *machine) accepts(t *testing.T) (ok bool, log string) {
	t.Helper()
	db, err := sqlitestore.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var lines bytes.Buffer // written by Run alone, read after its end
	link := &signing.Link{Address: m.config.Listen, Store: db, OnBatch: func(*teelink.Batch) {}, Log: slog.New(slog.NewTextHandler(&lines, nil)), Now: time.Now,
		Accept: []authority.TEE{(&stack.Stack{Cloud: m.Sim, Digest: stack.MadeUpDigest("tee")}).TEEReference()}}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { link.Run(ctx) })
	cctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	_, err = link.Client(cctx)
	cancel()
	stop()
	running.Wait()
	return err == nil, lines.String()
}

// A host that starts the image with --config and a file of its own changes the
// command, which the launcher puts into every token: the program itself won't
// serve with one, nor will the STS, the control plane or a client take it
// (package confspace, cmd_override).
func TestConfigurationOfTheHost(t *testing.T) {
	m := newMachine(t, nil)
	evil := *m.config
	evil.TEEKey, evil.ProviderKey = m.config.ProviderKey, m.config.TEEKey
	evil.TEEAudience, evil.ProviderAudience = m.config.ProviderAudience, m.config.TEEAudience
	raw, err := json.Marshal(evil)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "evil.json")
	if err := errors.Join(os.WriteFile(file, raw, 0o600), m.SetKnobs(cloudsim.Knobs{CmdOverride: true})); err != nil {
		t.Fatal(err)
	}
	if s := m.run(t, "1", nil, "--config", file); s.served || !strings.Contains(s.out, "command or environment") {
		t.Errorf("with the command overridden: served %v: %s", s.served, s.out)
	}

	// Canary: a launcher that keeps quiet about it.
	if err := m.SetKnobs(cloudsim.Knobs{}); err != nil {
		t.Fatal(err)
	}
	for i := range 2 { // and an operator who asks no questions
		if err := m.UpdatePool(i, func(p *cloudsim.Pool) { p.Condition = "true" }); err != nil {
			t.Fatal(err)
		}
	}
	var accepted bool
	var log string
	m.also = func() { accepted, log = m.accepts(t) }
	s := m.run(t, "1", nil, "--config", file)
	if f := strings.Join(m.faults(s), "\n"); !s.served || !accepted || !strings.Contains(f, "attests another configuration") || !strings.Contains(f, "share 0 is wrapped by") {
		t.Errorf("canary: without the launcher's word, served %v, accepted %v: %s\n%s\n%s", s.served, accepted, f, s.out, log)
	}
}
