package cloudsim

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/kms/federation"
)

// Each way in which a workload isn't the admitted one ends without a token.
func TestKnobsRefusedBySTS(t *testing.T) {
	s := start(t)
	for name, c := range map[string]struct {
		knobs Knobs
		code  string
	}{
		"wrong digest":    {Knobs{ImageDigest: imposter}, "unauthorized_client"},
		"debug":           {Knobs{Debug: true}, "unauthorized_client"},
		"debug usable":    {Knobs{DebugUsable: true}, "unauthorized_client"},
		"no STABLE":       {Knobs{NoStable: true}, "unauthorized_client"},
		"secure boot":     {Knobs{SecureBootOff: true}, "unauthorized_client"},
		"hardware":        {Knobs{Hardware: "GCP_SHIELDED_VM"}, "unauthorized_client"},
		"project":         {Knobs{ProjectID: "evil"}, "unauthorized_client"},
		"service account": {Knobs{ServiceAccount: "evil@evil.iam.gserviceaccount.com"}, "unauthorized_client"},
		"env override":    {Knobs{EnvOverride: true}, "unauthorized_client"},
		"cmd override":    {Knobs{CmdOverride: true}, "unauthorized_client"},
		"plain VM":        {Knobs{PlainVM: true}, "invalid_grant"}, // the mapping needs a container
		"expired":         {Knobs{Expired: true}, "invalid_grant"},
		"future":          {Knobs{Future: true}, "invalid_grant"},
		"foreign issuer":  {Knobs{ForeignIssuer: true}, "invalid_grant"},
		"foreign key":     {Knobs{ForeignKey: true}, "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.SetKnobs(c.knobs); err != nil {
				t.Fatal(err)
			}
			_, err := tokens(t, s, 0).Token(t.Context())
			var e *federation.Error
			if !errors.Is(err, federation.ErrDenied) || !errors.As(err, &e) || e.Status != 400 || e.Code != c.code {
				t.Fatalf("%v", err)
			}
			if c.code == "unauthorized_client" && e.Description != rejected {
				t.Fatalf("%q", e.Description)
			}
			// Canary: nothing but the knob made the difference.
			if err := s.SetKnobs(Knobs{}); err != nil {
				t.Fatal(err)
			}
			if _, err := tokens(t, s, 0).Token(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Each clause of the recommended condition refuses by itself: a workload that
// breaks it alone gets no token, and does where the clause is left out.
func TestClauses(t *testing.T) {
	s := start(t)
	recommended := strings.Split(s.current().condition(&s.current().Pools[0], s.Info().Hardware), " && ")
	cases := map[string]Knobs{ // by the beginning of the clause
		`assertion.swname == `:                              {Software: "GCE"},
		`'STABLE' in `:                                      {NoStable: true},
		`assertion.dbgstat == `:                             {DebugStable: true},
		`assertion.secboot == `:                             {SecureBootOff: true},
		`assertion.hwmodel in `:                             {Hardware: "GCP_SHIELDED_VM"},
		`assertion.submods.container.image_digest in `:      {ImageDigest: imposter},
		`assertion.submods.gce.project_id == `:              {ProjectID: "evil"},
		`'sigil-workload@sigil-tee.iam.gserviceaccount.com`: {ServiceAccount: "evil@evil.iam.gserviceaccount.com"},
		`!has(assertion.submods.container.cmd_override`:     {CmdOverride: true},
		`!has(assertion.submods.container.env_override`:     {EnvOverride: true},
	}
	if len(recommended) != len(cases) {
		t.Errorf("%d clauses, and %d cases", len(recommended), len(cases))
	}
	for clause, knobs := range cases {
		t.Run(clause, func(t *testing.T) {
			without := slices.DeleteFunc(slices.Clone(recommended), func(c string) bool { return strings.HasPrefix(c, clause) })
			if len(without) != len(recommended)-1 {
				t.Fatalf("the clause is there %d times", len(recommended)-len(without))
			}
			want := func(condition string, k Knobs, refusal string) {
				t.Helper()
				must(t, s.UpdatePool(0, func(p *Pool) { p.Condition = condition }))
				must(t, s.SetKnobs(k))
				if _, got := exchange(t, s); got != refusal {
					t.Errorf("%q, want %q", got, refusal)
				}
			}
			want("", knobs, "unauthorized_client")
			want(strings.Join(without, " && "), knobs, "") // canary: the clause planted out
			want("", Knobs{}, "")
		})
	}
}

// What a debug image claims beside its debug status doesn't matter.
func TestDebugImages(t *testing.T) {
	s := start(t)
	stable := func(k Knobs) string {
		t.Helper()
		must(t, s.UpdatePool(0, func(p *Pool) {
			p.Condition = `'STABLE' in assertion.submods.confidential_space.support_attributes && assertion.dbgstat == 'enabled'`
		}))
		must(t, s.SetKnobs(k))
		_, refusal := exchange(t, s)
		must(t, s.UpdatePool(0, func(p *Pool) { p.Condition = "" }))
		return refusal
	}
	for name, k := range map[string]Knobs{"plain": {Debug: true}, "usable": {DebugUsable: true}, "stable": {DebugStable: true}, "both": {DebugUsable: true, DebugStable: true}} {
		if claims := stable(k) == ""; claims != k.DebugStable {
			t.Errorf("%s: claims STABLE: %v", name, claims)
		}
		if _, refusal := exchange(t, s); refusal != "unauthorized_client" {
			t.Errorf("%s: %q", name, refusal)
		}
	}
}

// What Google attests today is accepted; SEV-SNP, which it doesn't, where the
// cloud is set to it.
func TestAcceptedHardware(t *testing.T) {
	s := start(t)
	for hw, want := range map[string]string{
		"GCP_AMD_SEV_SNP": "unauthorized_client", "GCP_AMD_SEV": "", "GCP_INTEL_TDX": "",
		"GCP_AMD_SEV_ES": "unauthorized_client", "GCP_SHIELDED_VM": "unauthorized_client", "INTEL_TDX": "unauthorized_client", "gcp_amd_sev": "unauthorized_client",
	} {
		must(t, s.SetKnobs(Knobs{Hardware: hw}))
		if _, got := exchange(t, s); got != want {
			t.Errorf("%s: %q", hw, got)
		}
		if accepted := slices.Contains(s.Info().Hardware, hw); accepted != (want == "") {
			t.Errorf("%s: accepted, says Info: %v", hw, accepted)
		}
	}
	if list := acceptedHardware("GCP_AMD_SEV_SNP"); !slices.Contains(list, "GCP_AMD_SEV_SNP") || len(list) != 3 || len(acceptedHardware("GCP_INTEL_TDX")) != 2 {
		t.Error(list)
	}
}

// Conditions that fail to evaluate reject, whatever they meant to say.
func TestConditions(t *testing.T) {
	s := start(t)
	for cond, ok := range map[string]bool{
		`true`: true,
		`assertion.submods.container.image_digest == '` + release + `'`:                      true,
		`attribute.prod_digest == '` + release + `' && google.subject.startsWith('gcpcs::')`: true,
		`assertion.submods.confidential_space.support_attributes.stable == true`:             false,
		`size(assertion.submods.container.env_override) == 0`:                                false,
		`!has(assertion.submods.container.env_override)`:                                     true,
		`assertion.google.compute_engine.project_id == 'sigil-tee'`:                          false,
		`'yes'`: false, `assertion.secboot`: true, `syntax error(`: false, `false`: false,
		`[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, [1,2,3,4,5,6,7,8,9,10].all(e, [1,2,3,4,5,6,7,8,9,10].all(f, a+b+c+d+e+f > 0))))))`: false,
	} {
		if err := s.UpdatePool(0, func(p *Pool) { p.Condition = cond }); err != nil {
			t.Fatal(err)
		}
		if _, err := tokens(t, s, 0).Token(t.Context()); (err == nil) != ok {
			t.Errorf("%.80s: %v", cond, err)
		}
	}
}
