package signing

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// useInterval is between two writes of when keys were used last: the most that
// a list may lag, and each key is written once in it at most.
const useInterval = time.Minute

// uses remembers when keys were used since the last write. It is written apart
// from the commits of decisions, which wait for nothing of it.
type uses struct {
	mu   sync.Mutex // guards last
	last map[string]time.Time
}

// Used notes that a key was used now. The caller must have proved itself.
func (s *Service) Used(keyID string) {
	now := s.fleet.Now()
	s.uses.mu.Lock()
	s.uses.last[keyID] = now
	s.uses.mu.Unlock()
}

// FlushUses writes what was noted since the last time.
func (s *Service) FlushUses(ctx context.Context) error {
	s.uses.mu.Lock()
	last := s.uses.last
	s.uses.last = map[string]time.Time{}
	s.uses.mu.Unlock()
	if len(last) == 0 {
		return nil
	}
	err := s.store.PutUses(ctx, last)
	if err == nil {
		return nil
	}
	s.uses.mu.Lock()
	defer s.uses.mu.Unlock()
	for k, t := range last { // for the next time
		if _, newer := s.uses.last[k]; !newer && len(s.uses.last) < maxCached {
			s.uses.last[k] = t
		}
	}
	return err
}

// KeepUses writes now and then until ctx ends, and once more then.
func (s *Service) KeepUses(ctx context.Context, log *slog.Logger) {
	t := time.NewTicker(useInterval)
	defer t.Stop()
	for {
		var ended bool
		select {
		case <-ctx.Done():
			ended = true
		case <-t.C:
		}
		fctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		if err := s.FlushUses(fctx); err != nil {
			log.Warn("when keys were used isn't written", "error", err)
		}
		cancel()
		if ended {
			return
		}
	}
}
