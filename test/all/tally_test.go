package main

import (
	"bytes"
	"strings"
	"testing"
)

const goStream = `{"Action":"start","Package":"p"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:9: ran 12 vectors\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    a_test.go:12: no browser: npm install it\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p","Elapsed":0.1}
{"Action":"skip","Package":"empty"}
`

func TestGoStream(t *testing.T) {
	for _, c := range []struct {
		name, stream string
		noSkip       bool
		status       int
		last, has    string
	}{
		{"pass and skip", goStream, false, 0, "1 passed, 0 failed, 1 skipped", "p TestB: no browser: npm install it"},
		{"what a test says it ran", goStream, false, 0, "1 passed, 0 failed, 1 skipped", "     ran 12 vectors"},
		{"no skip allowed", goStream, true, 1, "1 passed, 0 failed, 1 skipped", "counts as a failure"},
		{"failed test", `{"Action":"output","Package":"p","Test":"T","Output":"why\n"}
{"Action":"fail","Package":"p","Test":"T"}
{"Action":"fail","Package":"p"}`, false, 1, "0 passed, 1 failed, 0 skipped", "why"},
		{"package that doesn't build", `{"Action":"build-output","ImportPath":"p","Output":"syntax error\n"}
{"Action":"fail","Package":"p"}`, false, 1, "0 passed, 1 failed, 0 skipped", "syntax error"},
		{"nothing ran", `{"Action":"skip","Package":"p"}`, false, 1, "0 passed, 0 failed, 0 skipped", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			all := &tally{out: &out}
			all.goEvents(strings.NewReader(c.stream))
			if got := all.report(c.noSkip); got != c.status {
				t.Errorf("exit status %d, want %d", got, c.status)
			}
			text := strings.TrimSpace(out.String())
			if last := text[strings.LastIndexByte(text, '\n')+1:]; last != c.last {
				t.Errorf("last line %q, want %q", last, c.last)
			}
			if !strings.Contains(out.String(), c.has) {
				t.Errorf("no %q in:\n%s", c.has, out.String())
			}
		})
	}
}

func TestNodeReporters(t *testing.T) {
	for name, text := range map[string]string{
		"spec": "✔ signs (1.2ms)\n﹣ in a browser (0.1ms) # no chromium: npm install it\n﹣ b (0.1ms) # SKIP needs x\nℹ tests 3\nℹ pass 1\nℹ fail 1\nℹ cancelled 0\nℹ skipped 2\nℹ todo 0\n",
		"tap":  "ok 1 - signs\nok 2 - b # SKIP needs x\nok 3 - c # SKIP\n# pass 1\n# fail 1\n# cancelled 0\n# skipped 2\n# todo 0\n",
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			all := &tally{out: &out}
			all.nodeLines(strings.NewReader(text))
			if all.passed != 1 || all.failed != 1 || all.skipped != 2 {
				t.Errorf("counted %d, %d, %d", all.passed, all.failed, all.skipped)
			}
			if len(all.skips) != 2 || !strings.Contains(strings.Join(all.skips, "\n"), "b: needs x") {
				t.Errorf("skips: %q", all.skips)
			}
		})
	}
}
