package cloudsim

import (
	"os"
	"path/filepath"
	"time"

	"github.com/sigilkeys/sigil/attest/attesttest"
)

// keepTokenFile writes the default token to Config.TokenFile when an image is
// measured, and anew after four fifths of its life, as the launcher does.
// Nothing reads the file but programs with Google's credential libraries: the
// workload asks the socket.
func (s *Sim) keepTokenFile() {
	timer := time.NewTimer(attesttest.Lifetime)
	defer timer.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.measure:
		case <-timer.C:
		}
		s.mu.Lock()
		workload, knobs := s.workload, s.knobs
		s.mu.Unlock()
		next := attesttest.Lifetime * 4 / 5
		token, err := s.mint(knobs.apply(workload), knobs, tokenOptions{Audience: stsAudience, TokenType: "OIDC"})
		if err == nil {
			err = replaceToken(s.cfg.TokenFile, token)
		}
		if err != nil {
			next = time.Minute
		}
		timer.Reset(next)
	}
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
