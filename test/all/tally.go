package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// tally counts tests and remembers what is to be listed at the end.
type tally struct {
	out                     io.Writer
	passed, failed, skipped int
	failures, skips         []string
}

func (t *tally) section(title string) { fmt.Fprintf(t.out, "\n-- %s\n", title) }

func (t *tally) fail(what, why string) {
	t.failed++
	t.failures = append(t.failures, what)
	fmt.Fprintf(t.out, "FAIL %s: %s\n", what, why)
}

func (t *tally) skip(what, remedy string) {
	t.skipped++
	t.skips = append(t.skips, what+": "+remedy)
}

// report prints the lists and the counts, and returns the exit status.
func (t *tally) report(noSkip bool) int {
	if len(t.failures) > 0 {
		fmt.Fprintf(t.out, "\nFailed:\n  %s\n", strings.Join(t.failures, "\n  "))
	}
	if len(t.skips) > 0 {
		fmt.Fprintf(t.out, "\nSkipped, with the remedy:\n  %s\n", strings.Join(t.skips, "\n  "))
	}
	if noSkip && t.skipped > 0 {
		fmt.Fprintln(t.out, "\nSIGIL_TEST_NO_SKIP=1: a skipped test counts as a failure here")
	}
	fmt.Fprintf(t.out, "\n%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
	if t.failed > 0 || t.passed == 0 || noSkip && t.skipped > 0 {
		return 1
	}
	return 0
}

// event is a line of go test -json (go doc test2json).
type event struct {
	Action, Package, Test, Output string
	ImportPath                    string // of build output
	Elapsed                       float64
}

// goEvents counts the tests in a stream of events. Output is kept until it is
// known whether the test failed.
func (t *tally) goEvents(r io.Reader) {
	kept := map[string]*strings.Builder{}
	failedIn := map[string]bool{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		e := event{}
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintf(t.out, "%s\n", lines.Bytes())
			continue
		}
		key := e.Package + " " + e.Test
		switch e.Action {
		case "output":
			if kept[key] == nil {
				kept[key] = &strings.Builder{}
			}
			kept[key].WriteString(e.Output)
		case "build-output":
			fmt.Fprint(t.out, e.Output)
		case "pass", "fail", "skip":
			t.goResult(e, kept[key], failedIn)
			delete(kept, key)
		}
	}
	if err := lines.Err(); err != nil {
		t.fail("go test", err.Error())
	}
}

func (t *tally) goResult(e event, output *strings.Builder, failedIn map[string]bool) {
	text := ""
	if output != nil {
		text = output.String()
	}
	pkg := strings.TrimPrefix(e.Package, module)
	switch {
	case e.Test == "":
		t.goPackage(e, pkg, text, failedIn)
	case e.Action == "pass":
		t.passed++
		t.counts(text)
	case e.Action == "skip":
		t.skip(pkg+" "+e.Test, reason(text))
	default:
		failedIn[e.Package] = true
		t.fail(pkg+" "+e.Test, "\n"+text)
	}
}

// goPackage prints a package's own result. One that failed without a failed
// test didn't build, panicked or timed out.
func (t *tally) goPackage(e event, pkg, text string, failedIn map[string]bool) {
	switch {
	case e.Action == "fail" && !failedIn[e.Package]:
		t.fail(pkg, "\n"+text)
	case e.Action == "fail":
		fmt.Fprintf(t.out, "FAIL %s\n", pkg)
	case e.Action == "pass":
		fmt.Fprintf(t.out, "ok   %-32s %6.1fs\n", pkg, e.Elapsed)
	}
}

// counts passes on what a test says that it ran: a line of its log that
// begins with "ran ", as the tests over shared vectors print.
func (t *tally) counts(text string) {
	for line := range strings.SplitSeq(text, "\n") {
		if _, after, ok := strings.Cut(line, ".go:"); ok {
			if _, said, ok := strings.Cut(after, ": "); ok && strings.HasPrefix(said, "ran ") {
				fmt.Fprintf(t.out, "     %s\n", said)
			}
		}
	}
}

// reason returns what a skipped test said, without the frame around it.
func reason(text string) string {
	for line := range strings.SplitSeq(text, "\n") {
		if _, after, ok := strings.Cut(line, ".go:"); ok {
			if _, said, ok := strings.Cut(after, ": "); ok {
				return said
			}
		}
	}
	return "no remedy given"
}

var (
	nodeCount = regexp.MustCompile(`^(?:#|ℹ) (pass|fail|cancelled|skipped|todo) (\d+)$`)
	nodeSkip  = regexp.MustCompile(`^\s*(?:﹣|ok \d+ -) (.*?)(?: \([\d.]+ms\))? # (?:SKIP|TODO)\s*(.*)$`)
)

// nodeLines adds the counts at the end of node's test reporters (spec and
// TAP), and returns what it added.
func (t *tally) nodeLines(r io.Reader) (added tally) {
	named := 0
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		line := lines.Text()
		if m := nodeSkip.FindStringSubmatch(line); m != nil {
			named++
			t.skips = append(t.skips, "sdk/typescript "+m[1]+": "+m[2])
		}
		m := nodeCount.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		n, _ := strconv.Atoi(m[2])
		switch m[1] {
		case "pass":
			added.passed += n
		case "fail", "cancelled":
			added.failed += n
		default:
			added.skipped += n
		}
	}
	if added.failed > 0 {
		t.failures = append(t.failures, fmt.Sprintf("sdk/typescript: %d tests, see above", added.failed))
	}
	if added.skipped > named {
		t.skips = append(t.skips, fmt.Sprintf("sdk/typescript: %d tests, see above", added.skipped-named))
	}
	t.passed += added.passed
	t.failed += added.failed
	t.skipped += added.skipped
	return added
}
