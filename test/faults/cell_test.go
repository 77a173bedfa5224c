package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/sigilkeys/sigil/api"
)

// remedy is what helps after a fault.
type remedy string

const (
	retry   remedy = "retry"   // the same request again
	restart remedy = "restart" // the program anew, and then the same request
)

// operation is a deed by its name.
type operation struct {
	name string
	make maker
}

// cell is one of the table: a call that goes wrong in one way while an operation
// makes it, and what helps.
type cell struct {
	call   string
	op     operation
	fault  fault
	flaw   flaw
	remedy remedy
}

func (c *cell) String() string {
	return strings.TrimSuffix(fmt.Sprintf("%s %s %s by %s, %s", c.call, c.fault, c.flaw, c.op.name, c.remedy), " ")
}

// plant is where a cell's fault is: a store, a link, a cloud.
type plant interface {
	plan(c *cell)
	reached() <-chan struct{} // closed when a call meets the fault
	leave()                   // nobody waits for a slow call any more
	heal() (hits int)         // ends the fault, when the calls that met it are done
	restart()                 // starts the program anew whose call it is
}

// run runs a cell on a scene that is well and returns how the faulty step ended,
// and everything that isn't as it should be.
func (s *scene) run(c *cell, p plant) (code string, errs []error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	d := c.op.make(s)
	var before outcome
	if d.first {
		if before = s.told(ctx, d); !before.ok {
			return "", []error{fmt.Errorf("before the fault: %s %s", before.code, before.body)}
		}
	}
	if d.cold {
		s.Restart()
		s.up()
	}
	faulted := s.faulted(ctx, c, p, d)
	note := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if p.heal() == 0 {
		note(errors.New("no call met the fault"))
	}
	if c.fault == garbage {
		s.overlook()
	}
	faulted.judged(ctx)
	note(stable(c, &faulted))
	if !d.inside || c.fault != garbage {
		note(s.left(ctx, d, &faulted, false))
	}
	note(same("under the fault", &before, &faulted, d.unproved || d.differs))
	errs = append(errs, s.verify(ctx)...)
	if c.remedy == restart {
		p.restart()
	}
	mended := s.told(ctx, d)
	mended.judged(ctx)
	if !mended.ok {
		note(fmt.Errorf("after the remedy: %s %s", mended.code, mended.body))
	}
	note(s.left(ctx, d, &mended, true))
	for _, earlier := range []*outcome{&before, &faulted} {
		if c.fault != garbage || earlier == &before {
			note(same("after the remedy", earlier, &mended, d.differs))
		}
	}
	again := s.told(ctx, d)
	again.judged(ctx)
	note(same("once more", &mended, &again, d.differs))
	if !again.ok {
		note(fmt.Errorf("once more: %s %s", again.code, again.body))
	}
	if d.check != nil && mended.ok && !d.inside {
		body := bytes.Clone(mended.body)
		s.acked = append(s.acked, func(ctx context.Context) error { return d.check(ctx, body) })
	}
	errs = append(errs, s.verify(ctx)...)
	return faulted.code, errs
}

// overlook forgets exchanges that weren't as described: a signature, say, of
// which the database flipped a bit may have letters that none has.
func (s *scene) overlook() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.undescribed = nil
}

// told asks when the fault is over. As clients do, it asks again for as long as
// it is told that this may help, a minute at most: that no workload is connected
// passes by itself, and a slow disk may hold up any commit.
func (s *scene) told(ctx context.Context, d *deed) outcome {
	if !d.starts {
		s.up()
	}
	out := d.ask(ctx)
	for end := time.Now().Add(time.Minute); strings.HasPrefix(out.code, "503 ") && time.Now().Before(end); out = d.ask(ctx) {
		time.Sleep(50 * time.Millisecond)
	}
	return out
}

// faulted asks while the fault is there. Nobody waits for a slow call.
func (s *scene) faulted(ctx context.Context, c *cell, p plant, d *deed) outcome {
	p.plan(c)
	if c.fault != slow {
		return d.ask(ctx)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	over := make(chan struct{})
	go func() {
		defer close(over)
		select {
		case <-p.reached():
			stop()
		case <-ctx.Done():
		}
	}()
	out := d.ask(ctx)
	stop()
	<-over
	p.leave()
	return out
}

// left checks what a step has left in the store, and its answer against that.
func (s *scene) left(ctx context.Context, d *deed, out *outcome, all bool) error {
	if d.there != nil {
		n, err := d.there(ctx)
		if err != nil {
			return fmt.Errorf("look what is stored: %w", err)
		}
		if (all || out.ok) && n != d.want || n > d.want {
			return fmt.Errorf("%s: %d of %d rows are stored", out.code, n, d.want)
		}
	}
	if out.ok && d.check != nil {
		if err := d.check(ctx, out.body); err != nil {
			return fmt.Errorf("acknowledged, %s: %w", out.code, err)
		}
	}
	return nil
}

// same requires that two answers that went well are one.
func same(when string, a, b *outcome, mayDiffer bool) error {
	if a.ok && b.ok && !mayDiffer && !bytes.Equal(a.body, b.body) {
		at := 0
		for at < min(len(a.body), len(b.body)) && a.body[at] == b.body[at] {
			at++
		}
		at = max(0, at-200)
		return fmt.Errorf("%s: another answer, near byte %d:\n%.400s\n%.400s", when, at, a.body[at:], b.body[at:])
	}
	return nil
}

// stable requires an outcome that callers can act on: the fault of a store or
// a link is said to be one that passes, and only garbage may be a defect.
func stable(c *cell, out *outcome) error {
	if out.ok || slices.Contains([]string{"gone", "cut", "not done"}, out.code) || strings.HasPrefix(out.code, "SDK ") {
		return nil
	}
	passes := []string{"503 ", "504 "}
	for _, s := range api.Specs() {
		if out.code != fmt.Sprintf("%d %s", s.Status, s.Code) {
			continue
		}
		if c.fault == garbage || slices.ContainsFunc(passes, func(p string) bool { return strings.HasPrefix(out.code, p) }) {
			return nil
		}
		return fmt.Errorf("a fault that passes is told as %s", out.code)
	}
	return fmt.Errorf("no stable code: %q %s", out.code, out.body)
}

// table is what became of the cells, by call and way.
type table struct {
	name  string
	calls []string
	codes map[string]map[string][]string // by call, by way
	cells int
	wrong int
}

func (b *table) note(c *cell, code string, errs []error) {
	if b.codes == nil {
		b.codes = map[string]map[string][]string{}
	}
	if b.codes[c.call] == nil {
		b.calls, b.codes[c.call] = append(b.calls, c.call), map[string][]string{}
	}
	way := string(c.fault)
	if code = strings.TrimPrefix(code, "503 "); !slices.Contains(b.codes[c.call][way], code) {
		b.codes[c.call][way] = append(b.codes[c.call][way], code)
	}
	b.codes[c.call]["n"] = append(b.codes[c.call]["n"], "")
	b.cells++
	if len(errs) > 0 {
		b.wrong++
	}
}

func (b *table) report(t *testing.T, took time.Duration) {
	t.Helper()
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(w, "%s\tcells\tfail\tdone-then-fail\tslow\tgarbage\n", b.name)
	for _, call := range b.calls {
		_, _ = fmt.Fprintf(w, "%s\t%d", call, len(b.codes[call]["n"]))
		for _, way := range []fault{fails, doneThenFail, slow, garbage} {
			_, _ = fmt.Fprintf(w, "\t%s", strings.Join(b.codes[call][string(way)], ", "))
		}
		_, _ = fmt.Fprintln(w)
	}
	_ = w.Flush()
	t.Logf("how the faulty step ended; then the same request went well in each cell\n%s%d cells, %d with faults, %v", out.String(), b.cells, b.wrong, took.Round(time.Second))
}
