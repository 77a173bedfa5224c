package signing

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/store"
)

// Challenges that were handed to the workload, or handed back by it because it
// is busy, are still open: they count for the limit until they are answered.
func TestOpenChallengesAreBounded(t *testing.T) {
	asked, answers := make(chan struct{}), make(chan error)
	var clock time.Time // read by one goroutine at a time
	c := &Challenges{
		ask: func([32]byte) (*store.Evidence, error) { asked <- struct{}{}; return &store.Evidence{}, <-answers },
		now: func() time.Time { clock = clock.Add(time.Hour); return clock },
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	code := func() api.Code {
		t.Helper()
		_, err := c.Attest(gone, [32]byte{1})
		var e *Error
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		return e.Code
	}
	code()
	<-asked // a first one is with the workload
	for range maxChallenges - 1 {
		if got := code(); got != api.CodeDeadlineExceeded {
			t.Fatal(got)
		}
	}
	if got := code(); got != api.CodeOverloaded {
		t.Error("with the round under way:", got)
	}
	answers <- &Error{Code: api.CodeAttestationBusy}
	<-asked // all of them now, the first for the second time
	if got := code(); got != api.CodeOverloaded {
		t.Error("with a round that was handed back:", got)
	}
	answers <- nil
	for { // answered a moment later
		c.mu.Lock()
		open := c.open
		c.mu.Unlock()
		if open == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if got := code(); got != api.CodeDeadlineExceeded {
		t.Error("after all were answered:", got)
	}
	<-asked
	answers <- nil
}
