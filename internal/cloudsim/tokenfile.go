package cloudsim

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/sigilkeys/sigil/attest/attesttest"
)

// How long the launcher waits for another try at the token file.
const (
	firstRetry = time.Minute
	lastRetry  = time.Hour
)

// keepTokenFile writes the default token to Config.TokenFile when an image is
// measured, and anew after four fifths of its life, as the launcher does; what
// fails is tried again after a minute, then after twice as long each time, up
// to an hour. Nothing reads the file but programs with Google's credential
// libraries: the workload asks the socket.
func (s *Sim) keepTokenFile() {
	var due <-chan time.Time
	for retry := firstRetry; ; {
		select {
		case <-s.ctx.Done():
			return
		case <-s.measure:
			retry = firstRetry
		case <-due:
		}
		if s.renewTokenFile() == nil {
			due, retry = s.cfg.After(attesttest.Lifetime*4/5), firstRetry
		} else {
			due, retry = s.cfg.After(retry), min(2*retry, lastRetry)
		}
	}
}

func (s *Sim) renewTokenFile() error {
	s.mu.Lock()
	workload, knobs := s.workload, s.knobs
	s.mu.Unlock()
	if _, text := withoutToken(workload, knobs, failedDefault); text != "" {
		return errors.New(text)
	}
	token, err := s.mint(knobs.apply(workload), knobs, defaultOptions())
	if err != nil {
		return err
	}
	return replaceToken(s.cfg.TokenFile, token)
}

// replaceToken writes beside the file and renames: a reader sees the old
// token or the new one. Only this user reads it, where the launcher lets every process of its container.
func replaceToken(path, token string) error {
	next := filepath.Join(filepath.Dir(path), ".token.tmp")
	if err := os.WriteFile(next, []byte(token), 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}
