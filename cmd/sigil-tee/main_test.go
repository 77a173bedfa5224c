package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/internal/teeconfig"
	"github.com/sigilkeys/sigil/test/secrets"
	"github.com/sigilkeys/sigil/test/stack"
)

// TestMain lets the test binary stand in for the program: serving hardens the
// process that does it.
func TestMain(m *testing.M) {
	switch os.Getenv("SIGIL_TEE_PROGRAM") {
	case "":
		os.Exit(m.Run())
	case "gullible":
		if err := gullible(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		main()
	}
}

// start runs the program with a configuration for the cloud until it ends or
// says that it serves.
func start(t *testing.T, sim *cloudsim.Sim, edit func(*teeconfig.Config)) (stdout, stderr string, err error) {
	t.Helper()
	c, _ := stack.Config(t, sim, true)
	c.Listen = "127.0.0.1:0"
	edit(c)
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "tee.json")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "--config", file)
	cmd.Env = append(os.Environ(), "SIGIL_TEE_PROGRAM=1")
	out := &untilServing{stop: cmd}
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &errs
	err = cmd.Run()
	// However it ended, it has said no token that it held.
	if found, err := (&secrets.Set{}).Log(append(out.buf.Bytes(), errs.Bytes()...)); err != nil || len(found) > 0 {
		t.Errorf("it said %v (%v)", found, err)
	}
	return out.buf.String(), errs.String(), err
}

// untilServing asks the program to end as soon as it serves. The buffer isn't
// embedded: its ReadFrom would take Write's place.
type untilServing struct {
	buf  bytes.Buffer
	stop *exec.Cmd
}

func (u *untilServing) Write(p []byte) (int, error) {
	n, err := u.buf.Write(p)
	if strings.Contains(u.buf.String(), `"msg":"serving"`) {
		_ = u.stop.Process.Signal(syscall.SIGTERM) // gone already is as good
	}
	return n, err
}

// In a healthy cloud it serves and ends cleanly; this is what the refusals
// below are refusals of.
func TestServesAndStops(t *testing.T) {
	sim := stack.NewCloud(t, stack.MadeUpDigest("tee"))
	stdout, stderr, err := start(t, sim, func(*teeconfig.Config) {})
	if err != nil || stderr != "" || !strings.Contains(stdout, `"release":"`+stack.MadeUpDigest("tee")) {
		t.Fatalf("%v\n%s\n%s", err, stdout, stderr)
	}
}

// Where it can't prove what it is, it exits non-zero with one line.
func TestRefusesToServe(t *testing.T) {
	for name, c := range map[string]struct {
		knobs cloudsim.Knobs
		edit  func(*teeconfig.Config)
		says  string
	}{
		"no launcher":       {edit: func(c *teeconfig.Config) { c.LauncherSocket = "nowhere.sock" }, says: "no attestation"},
		"launcher is down":  {knobs: cloudsim.Knobs{Launcher: "down"}, says: "no attestation"},
		"launcher babbles":  {knobs: cloudsim.Knobs{Launcher: "garbage"}, says: "no attestation"},
		"debug image":       {knobs: cloudsim.Knobs{Debug: true}, says: "debug image"},
		"debug, supported":  {knobs: cloudsim.Knobs{DebugUsable: true}, says: "debug image"},
		"image not STABLE":  {knobs: cloudsim.Knobs{NoStable: true}, says: "not STABLE"},
		"plain VM":          {knobs: cloudsim.Knobs{PlainVM: true}, says: "not Confidential Space"},
		"command set":       {knobs: cloudsim.Knobs{CmdOverride: true}, says: "command or environment"},
		"no secure boot":    {knobs: cloudsim.Knobs{SecureBootOff: true}, says: "secure boot"},
		"other project":     {knobs: cloudsim.Knobs{ProjectID: "somewhere-else"}, says: "project"},
		"wrong digest":      {knobs: cloudsim.Knobs{ImageDigest: stack.MadeUpDigest("other")}, says: "attribute condition"},
		"environment set":   {knobs: cloudsim.Knobs{EnvOverride: true}, says: "command or environment"},
		"foreign issuer":    {knobs: cloudsim.Knobs{ForeignIssuer: true}, says: "issuer"},
		"expired token":     {knobs: cloudsim.Knobs{Expired: true}, says: "stale"},
		"key of no project": {edit: func(c *teeconfig.Config) { c.TEEKey = "projects/x/locations/l/keyRings/r/cryptoKeys/k" }, says: "KMS"},
		"unknown member":    {edit: func(c *teeconfig.Config) { c.Format = "sigil.tee-config.v9" }, says: "format"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim := stack.NewCloud(t, stack.MadeUpDigest("tee"))
			if err := sim.SetKnobs(c.knobs); err != nil {
				t.Fatal(err)
			}
			if c.edit == nil {
				c.edit = func(*teeconfig.Config) {}
			}
			stdout, stderr, err := start(t, sim, c.edit)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || strings.Contains(stdout, "serving") {
				t.Fatalf("it served or ended otherwise: %v\n%s%s", err, stdout, stderr)
			}
			if strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "sigil-tee: ") || !strings.Contains(stderr, c.says) {
				t.Errorf("not one clear line with %q:\n%s", c.says, stderr)
			}
			t.Log(strings.TrimSpace(stderr))
		})
	}
}
