package confspace_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/attest/confspace"
)

// summary is one letter for each step: passed, refused, or not reached.
func summary(results []confspace.Result) string {
	var b strings.Builder
	for i, r := range results {
		if r.Step != confspace.StepShape+confspace.Step(i) || (r.Outcome == confspace.Refused) != (r.Refusal != nil) {
			return "out of order"
		}
		b.WriteByte("-pR"[r.Outcome])
	}
	return b.String()
}

func TestChecklistPasses(t *testing.T) {
	for _, tok := range []string{must(t)(issuers()[0].PKI(payload(t, workload()))), oidc(t, issuers()[0])} {
		claims, results, err := confspace.Checklist(tok, trust(t), expectation(), start)
		if err != nil || claims == nil || summary(results) != "pppppppp" {
			t.Errorf("%s, %v", summary(results), err)
		}
		// The zero expectation and the zero trust.
		claims, results, err = confspace.Checklist(tok, trust(t), confspace.Expectation{}, start)
		wantReason(t, err, confspace.ReasonExpectation)
		if claims != nil || summary(results) != "pppRpRRR" {
			t.Errorf("%s", summary(results))
		}
		claims, results, err = confspace.Checklist(tok, confspace.Trust{}, expectation(), start)
		wantReason(t, err, confspace.ReasonUntrusted)
		if claims != nil || summary(results) != "ppR-----" {
			t.Errorf("%s", summary(results))
		}
		_, results, err = confspace.Checklist(tok, trust(t), expectation(), time.Time{})
		if err == nil || strings.Contains(summary(results), "pppppppp") {
			t.Errorf("without a time: %s, %v", summary(results), err)
		}
	}
}

// The checklist refuses what Verify and Validate refuse, for the same reason,
// at the step of the reason, and goes on to say what else is wrong.
func TestChecklistRefuses(t *testing.T) {
	good := string(payload(t, workload()))
	for name, c := range badClaims() {
		tok := must(t)(issuers()[0].PKI([]byte(strings.Replace(good, c.old, c.new, 1))))
		claims, results, err := confspace.Checklist(tok, trust(t), expectation(), start)
		wantReason(t, err, c.want)
		want := []byte("pppppppp")
		want[c.want.Step()-confspace.StepShape] = 'R'
		if c.want == confspace.ReasonMalformed {
			want = []byte("R-------")
		}
		if claims != nil || summary(results) != string(want) {
			t.Errorf("%s: %s, want %s", name, summary(results), want)
		}
	}
	for name, c := range forgeries(t) {
		claims, results, err := confspace.Checklist(c.token, trust(t), expectation(), start)
		wantReason(t, err, c.want)
		n := int(c.want.Step() - confspace.StepShape)
		if want := strings.Repeat("p", n) + "R" + strings.Repeat("-", 7-n); claims != nil || summary(results) != want {
			t.Errorf("%s: %s, want %s", name, summary(results), want)
		}
	}
	bad := good
	for _, name := range []string{"debug", "project", "audience", "other nonce"} {
		bad = strings.Replace(bad, badClaims()[name].old, badClaims()[name].new, 1)
	}
	_, results, err := confspace.Checklist(must(t)(issuers()[0].PKI([]byte(bad))), trust(t), expectation(), start.AddDate(1, 0, 0))
	wantReason(t, err, confspace.ReasonAudience)
	if summary(results) != "pppRRRRR" {
		t.Errorf("%s", summary(results))
	}
}

// Each reason belongs to a step, so that none is refused without a place on
// the list.
func TestEveryReasonHasAStep(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "refusal.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		lit, ok := v.Values[0].(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		found++
		if r := confspace.Reason(text); r.Step() == 0 && r != confspace.ReasonExpectation {
			t.Errorf("%s has no step", r)
		}
		return true
	})
	if found < 28 {
		t.Fatalf("%d reasons found", found)
	}
}
