package cloudsim

import (
	"bytes"
	"context"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/launcher"
)

// A client that leaves a hanging launcher takes its handler with it, also when
// its request had a body.
func TestHangEndsWithItsClient(t *testing.T) {
	s := start(t)
	if err := s.SetKnobs(Knobs{Socket: Fault{Mode: FaultHang}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := launcher.New(socket(t, s), 5*time.Second).PKIToken(ctx, audience, nonce); err == nil {
		t.Fatal("answers")
	}
	hanging := func() bool {
		var out bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&out, 2); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(out.String(), "(*Sim).hang")
	}
	for begun := time.Now(); hanging(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > 10*time.Second {
			t.Fatal("the handler is still there")
		}
	}
}
