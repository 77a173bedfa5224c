package attack

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// attempt is one request for a signature, as its caller saw it.
type attempt struct {
	began time.Time
	code  string // "" where a signature came back
}

// timeline is what was seen of a workload whose permission was taken away: a
// signature every so often, and when what happened to the workload.
type timeline struct {
	changed   time.Time // the permission was taken away
	restarted time.Time // the workload was killed and started again
	restored  time.Time // the permission was given back; zero: it wasn't
	attempts  []attempt
}

// expected is what a removal promises.
type expected struct {
	bound time.Duration // the last signature is made no later after the change
	slack time.Duration // for a slow machine
	code  string        // what refusals say while the same workload runs
}

// fewest is how many attempts a phase needs before anything is concluded from
// it.
const fewest = 3

// phase returns the attempts that began within the two times; a zero end is
// none.
func (l *timeline) phase(from, to time.Time) (out []attempt) {
	for _, a := range l.attempts {
		if !a.began.Before(from) && (to.IsZero() || a.began.Before(to)) {
			out = append(out, a)
		}
	}
	return out
}

func signed(list []attempt) (n int, last time.Time) {
	for _, a := range list {
		if a.code == "" {
			n, last = n+1, a.began
		}
	}
	return n, last
}

// faults says in what the timeline isn't that of a removal that holds. An
// attempt counts from when it began: its signature was made later, so one
// that began after the bound is certainly late.
func (l *timeline) faults(e expected) (out []string) {
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	deadline := l.changed.Add(e.bound + e.slack)
	before, grace := l.phase(time.Time{}, l.changed), l.phase(l.changed, deadline)
	late, again := l.phase(deadline, l.restarted), l.phase(l.restarted, l.restored)

	if n, _ := signed(before); n < fewest || n != len(before) {
		say("before the change %d of %d attempts were signed", n, len(before))
	}
	if n, _ := signed(grace); n == 0 {
		say("nothing was signed after the change: no delay was in force, so none was measured")
	} else if n == len(grace) {
		say("no attempt was refused within %v of the change", e.bound+e.slack)
	}
	if n, last := signed(late); n > 0 {
		say("signed %v after the change, %v is the bound", last.Sub(l.changed).Round(time.Millisecond), e.bound)
	}
	if len(late) < fewest {
		say("%d attempts after the bound are too few", len(late))
	}
	for _, a := range append(slices.Clone(grace), late...) {
		if a.code != "" && a.code != e.code {
			say("refused with %s, want %s", a.code, e.code)
			break
		}
	}
	if n, _ := signed(again); n > 0 {
		say("%d attempts were signed after a restart", n)
	}
	if len(again) < fewest {
		say("%d attempts after the restart are too few", len(again))
	}
	for _, a := range again {
		if a.code != "" && a.code != e.code && a.code != "tee_unavailable" {
			say("after the restart: refused with %s", a.code)
			break
		}
	}
	if l.restored.IsZero() {
		say("the permission wasn't given back: something else may have refused")
	} else if n, _ := signed(l.phase(l.restored, time.Time{})); n < fewest {
		say("with the permission given back, it doesn't sign: something else refused")
	}
	return out
}

// Each way in which a removal can fail to hold, or a run to show nothing, is
// seen.
func TestTimelineCheckSees(t *testing.T) {
	zero := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(s float64) time.Time { return zero.Add(time.Duration(s * float64(time.Second))) }
	e := expected{bound: 4 * time.Second, slack: time.Second, code: "kms_denied"}
	// Changed at 2, the last signature at 5, the bound with its slack at 7,
	// restarted at 9, given back at 12.
	honest := func(s float64) string {
		switch {
		case s <= 5 || s >= 13:
			return ""
		case s >= 9:
			return "tee_unavailable"
		}
		return "kms_denied"
	}
	run := func(see func(float64) string, keep func(float64) bool) *timeline {
		l := &timeline{changed: at(2), restarted: at(9), restored: at(12)}
		for s := 0.0; s < 16; s += 0.5 {
			if keep == nil || keep(s) {
				l.attempts = append(l.attempts, attempt{at(s), see(s)})
			}
		}
		return l
	}
	within := func(from, to float64, code string) func(float64) string {
		return func(s float64) string {
			if s >= from && s < to {
				return code
			}
			return honest(s)
		}
	}
	without := func(from, to float64) func(float64) bool { return func(s float64) bool { return s < from || s >= to } }
	if f := run(honest, nil).faults(e); len(f) != 0 {
		t.Fatalf("an honest run is faulted: %q", f)
	}
	unrestored := run(honest, func(s float64) bool { return s < 12 })
	unrestored.restored = time.Time{}
	for name, c := range map[string]struct {
		line *timeline
		says string
	}{
		"signs for ever":         {run(within(2, 9, ""), nil), "no attempt was refused"},
		"signs past the bound":   {run(within(2, 8, ""), nil), "signed 5.5s after the change"},
		"one late signature":     {run(within(8, 8.5, ""), nil), "signed 6s after the change"},
		"signs after a restart":  {run(within(9.5, 10, ""), nil), "signed after a restart"},
		"refused from the start": {run(within(0, 2, "kms_denied"), nil), "before the change"},
		"refused at once":        {run(within(2, 7, "kms_denied"), nil), "none was measured"},
		"another code":           {run(within(6, 6.5, "internal"), nil), "refused with internal"},
		"another code, late":     {run(within(7, 7.5, "tee_unavailable"), nil), "refused with tee_unavailable"},
		"another code, restart":  {run(within(10, 11, "internal"), nil), "refused with internal"},
		"not asked before":       {run(honest, without(0, 2)), "before the change"},
		"not asked late":         {run(honest, without(7, 9)), "too few"},
		"not asked again":        {run(honest, without(9, 12)), "too few"},
		"refused for ever":       {run(within(12, 99, "kms_denied"), nil), "something else refused"},
		"never given back":       {unrestored, "wasn't given back"},
		"nothing seen":           {&timeline{}, "before the change"},
	} {
		if f := strings.Join(c.line.faults(e), "\n"); !strings.Contains(f, c.says) {
			t.Errorf("%s: not seen: %q", name, f)
		}
	}
}
