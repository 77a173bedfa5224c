package cloudsim

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/attest/attesttest"
	"github.com/sigilkeys/sigil/attest/confspace"
)

// fakeTimers are timers that a test lets run out, and that say for how long
// they were set.
type fakeTimers struct {
	set  chan time.Duration
	fire chan time.Time
}

func newFakeTimers() *fakeTimers {
	return &fakeTimers{make(chan time.Duration, 16), make(chan time.Time)}
}

func (f *fakeTimers) After(d time.Duration) <-chan time.Time {
	f.set <- d
	return f.fire
}

// wait returns what the next timer was set to.
func (f *fakeTimers) wait(t *testing.T) time.Duration {
	t.Helper()
	select {
	case d := <-f.set:
		return d
	case <-time.After(10 * time.Second):
		t.Fatal("no timer is set")
		return 0
	}
}

// keeper is a cloud whose token file waits for these timers, and on whose
// clock no time passes but by the test.
func keeper(t *testing.T, dir string) (*Sim, *fakeClock, *fakeTimers) {
	t.Helper()
	clock, timers := &fakeClock{now: time.Now()}, newFakeTimers()
	if path := filepath.Join(dir, "issuer.pem"); !exists(path) {
		must(t, writeFile(path, issuerPEM()))
	}
	s, err := Start(Config{Dir: dir, TokensPerSecond: -1, Clock: clock.Now, After: timers.After})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	must(t, s.AdmitRelease(release))
	return s, clock, timers
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

// The launcher renews its token file while the token in it still lives, and
// whoever reads the file can exchange what he finds.
func TestTokenFileIsRenewed(t *testing.T) {
	s, clock, timers := keeper(t, t.TempDir())
	path := s.Info().TokenFile
	must(t, s.SetImageDigest(release))
	last := ""
	for range 3 {
		d := timers.wait(t)
		if life := attesttest.Lifetime; d < life*7/10 || d > life*9/10 {
			t.Fatalf("the next token after %v", d)
		}
		token := readFile(t, path)
		if token == last {
			t.Fatal("the token isn't renewed")
		}
		last = token
		set, err := s.issuer.JWKS()
		must(t, err)
		keys, err := confspace.ParseKeySet(set)
		must(t, err)
		claims, err := confspace.Verify(token, confspace.Trust{Keys: keys}, clock.Now())
		if err != nil || claims.Audience != stsAudience || claims.IssuedAt.Unix() != clock.Now().Unix() || claims.ImageDigest != release {
			t.Fatal(claims, err)
		}
		if r, refusal, text := trade(t, s, token); refusal != "" || r.ExpiresIn != 3600 {
			t.Fatal(refusal, text)
		}
		entries, err := os.ReadDir(filepath.Dir(path))
		must(t, err)
		for _, e := range entries {
			if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 || e.Name() == ".token.tmp" {
				t.Errorf("%s is left, or has mode %v: %v", e.Name(), info.Mode(), err)
			}
		}
		clock.move(d)
		timers.fire <- clock.Now()
	}
	// Another image is measured: the file has its token without a wait.
	timers.wait(t)
	must(t, s.SetImageDigest(imposter))
	timers.wait(t)
	if _, refusal, text := trade(t, s, readFile(t, path)); refusal != "unauthorized_client" {
		t.Error("the file is of the old image:", refusal, text)
	}
}

// A launcher that has no token to give leaves the file as it is, and tries
// again less and less often.
func TestTokenFileOfAFailingLauncher(t *testing.T) {
	for _, mode := range []string{"down", "snp", "garbage"} {
		t.Run(mode, func(t *testing.T) {
			s, clock, timers := keeper(t, t.TempDir())
			path := s.Info().TokenFile
			must(t, s.SetKnobs(Knobs{Launcher: mode}))
			must(t, s.SetImageDigest(release))
			for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
				if got := timers.wait(t); got != want*time.Minute {
					t.Fatalf("try %d: the next one after %v", i+1, got)
				}
				if exists(path) {
					t.Fatal("there is a token file")
				}
				if i == 7 {
					must(t, s.SetKnobs(Knobs{}))
				}
				timers.fire <- clock.Now()
			}
			timers.wait(t)
			first := readFile(t, path)

			must(t, s.SetKnobs(Knobs{Launcher: mode}))
			clock.move(48 * time.Minute)
			timers.fire <- clock.Now()
			if got := timers.wait(t); got != time.Minute {
				t.Errorf("after a success it waits %v", got)
			}
			must(t, s.SetImageDigest(imposter))
			timers.wait(t)
			if readFile(t, path) != first {
				t.Error("the file has changed")
			}
			must(t, s.SetKnobs(Knobs{}))
			timers.fire <- clock.Now()
			timers.wait(t)
			if readFile(t, path) == first {
				t.Error("doesn't recover")
			}
		})
	}
}

// A launcher that starts anew has measured nothing, and vouches for nothing.
func TestTokenFileOfAnEarlierRun(t *testing.T) {
	dir := t.TempDir()
	s, _, timers := keeper(t, dir)
	must(t, s.SetImageDigest(release))
	timers.wait(t)
	if !exists(s.Info().TokenFile) {
		t.Fatal("canary: no token file")
	}
	must(t, s.Close())
	again, _, timers := keeper(t, dir)
	if _, err := os.Stat(again.Info().TokenFile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the token file is still there: %v", err)
	}
	must(t, again.SetImageDigest(release))
	timers.wait(t)
	if !exists(again.Info().TokenFile) {
		t.Error("no token file")
	}
}
