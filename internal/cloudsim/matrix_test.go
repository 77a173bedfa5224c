package cloudsim

import (
	"errors"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/kms/federation"
	"github.com/sigilkeys/sigil/internal/launcher"
)

// However the STS and the launcher fail, the workload has no token, knows the
// class of the failure, and recovers.
func TestSTSFaults(t *testing.T) {
	s := start(t)
	for name, c := range map[string]struct {
		knobs Knobs
		code  string
	}{
		"hang":           {Knobs{STS: Fault{Mode: FaultHang}}, "kms_unavailable"},
		"garbage":        {Knobs{STS: Fault{Mode: FaultGarbage}}, "kms_unavailable"},
		"done then fail": {Knobs{STS: Fault{Mode: FaultDoneThenCut}}, "kms_unavailable"},
		"429":            {Knobs{STS: Fault{Mode: FaultRate}}, "kms_unavailable"},
		"503":            {Knobs{STS: Fault{Mode: FaultUnavailable}}, "kms_unavailable"},
		"too slow":       {Knobs{STS: Fault{Mode: FaultSlow, Delay: 60_000}}, "kms_unavailable"},
		"launcher down":  {Knobs{Launcher: "down"}, "attestation_unavailable"},
		"SNP refused":    {Knobs{Launcher: "snp"}, "attestation_unavailable"},
		"debug":          {Knobs{Debug: true}, "kms_denied"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.SetKnobs(c.knobs); err != nil {
				t.Fatal(err)
			}
			i := s.Info()
			src, err := federation.New(federation.Config{
				TokenURL: i.STSURL, Audience: i.TEEAudience, Roots: roots(t, s), Now: time.Now,
				Subject: launcher.New(socket(t, s), time.Second), Timeout: 500 * time.Millisecond,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			var coded interface{ Code() string }
			if token, err := src.Token(t.Context()); token != "" || !errors.As(err, &coded) || coded.Code() != c.code {
				t.Fatalf("%q, %v", token, err)
			}
		})
	}
	if err := s.SetKnobs(Knobs{STS: Fault{Mode: FaultSlow, Delay: 20}, KMS: Fault{Mode: FaultSlow, Delay: 20}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := newClient(t, s, 0).Wrap(t.Context(), &[32]byte{}, []byte(keyAAD)); err != nil {
		t.Fatalf("slow: %v", err)
	}
}
