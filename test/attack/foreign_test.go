package attack

import (
	"errors"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/internal/kms"
	"github.com/sigilkeys/sigil/internal/sealed"
	"github.com/sigilkeys/sigil/internal/workload"
	"github.com/sigilkeys/sigil/test/stack"
)

// boot starts a workload on the cloud as it is, up to its self-test.
func boot(t *testing.T, s *stack.Stack) error {
	t.Helper()
	w, err := workload.New(t.Context(), stack.WorkloadArgs(t, s.Cloud, false, s.Now, [32]byte{}, s.Networks))
	if err != nil {
		return err
	}
	return w.SelfTest(t.Context())
}

// laxen is a careless operator: the STS lets every attested workload in.
func laxen(t *testing.T, sim *cloudsim.Sim) {
	t.Helper()
	for i := range 2 {
		if err := sim.UpdatePool(i, func(p *cloudsim.Pool) { p.Condition = "true" }); err != nil {
			t.Fatal(err)
		}
	}
}

// unwrapAll tries each DEK of a stolen wallet record with whatever the cloud
// gives the image that runs now, and returns how many opened, and one error.
func unwrapAll(t *testing.T, s *scene) (opened int, last error) {
	t.Helper()
	args := stack.WorkloadArgs(t, s.Cloud, false, s.Now, [32]byte{}, s.Networks)
	for i, record := range s.row(t, s.one.ID).Shares {
		share, err := sealed.DecodeShare(record)
		if err != nil {
			t.Fatal(err)
		}
		aad := &sealed.AAD{Organization: s.owner.Genesis.OrganizationID, Wallet: uuidOf(t, s.one.ID), Role: share.Role}
		var dek [32]byte
		if err := []sealed.KEK{args.TEE, args.Provider}[i%2].Unwrap(t.Context(), share.WrappedDEK, aad.KMSAAD(), &dek); err != nil {
			last = err
		}
		if dek != [32]byte{} {
			opened++
		}
	}
	return opened, last
}

// The database and all bindings of the cloud in the hands of another image:
// the STS gives it nothing; where its condition was laxed, the KMS does.
func TestDatabaseUnderAnotherImage(t *testing.T) {
	s := newScene(t, stack.Options{})
	if n, err := unwrapAll(t, s); n != 4 {
		t.Fatal("canary: the owner's image unwraps", n, "of 4:", err)
	}
	if err := s.Cloud.SetImageDigest(stack.MadeUpDigest("another image")); err != nil {
		t.Fatal(err)
	}
	n, err := unwrapAll(t, s)
	if n != 0 || err == nil || !strings.Contains(err.Error(), "attribute condition") {
		t.Errorf("strict condition: %d unwrapped, %v", n, err)
	}
	if err := boot(t, s.Stack); err == nil || !strings.Contains(err.Error(), "attribute condition") {
		t.Errorf("strict condition: %v", err)
	}
	laxen(t, s.Cloud)
	before := lastAudit(s)
	n, err = unwrapAll(t, s)
	var k *kms.Error
	if n != 0 || !errors.As(err, &k) || k.Kind != kms.Denied {
		t.Errorf("laxed condition: %d unwrapped, %v", n, err)
	}
	denied := 0
	for _, e := range s.Cloud.Audit(before) {
		if e.Decision != cloudsim.DecisionDeny || e.Status != "PERMISSION_DENIED" {
			t.Errorf("laxed condition: the KMS decided %s (%s)", e.Decision, e.Status)
		}
		denied++
	}
	if denied < 4 {
		t.Errorf("the KMS was asked %d times: the STS kept the image out, so that the KMS wasn't tested", denied)
	}
	if err := boot(t, s.Stack); !errors.As(err, &k) || k.Kind != kms.Denied {
		t.Errorf("laxed condition: %v", err)
	}
}

func lastAudit(s *scene) (seq uint64) {
	for _, e := range s.Cloud.Audit(0) {
		seq = e.Seq
	}
	return seq
}

// Even where the cloud's owner admits the other image, the organisation's
// owner doesn't: through the API nothing is signed, and every reply says why.
func TestAdmittedButNotAccepted(t *testing.T) {
	cloud := stack.NewCloud(t, stack.MadeUpDigest("sigil-tee"))
	dir := t.TempDir()
	kept := session(t, cloud, dir)
	other := stack.MadeUpDigest("another release")
	if err := errors.Join(cloud.SetImageDigest(other), cloud.AdmitRelease(other)); err != nil {
		t.Fatal(err)
	}
	second := stack.Start(t, stack.Options{Cloud: cloud, Digest: other, DataDir: copyData(t, dir)})
	for path, body := range map[string]string{"/v1/s2s/sign": signBody(kept.one, "base", "pay"), "/v1/s2s/wallets": `{}`} {
		status, reply, e := answer(t, second.Request(kept.token, "POST", path, body))
		if status != 422 || e == nil || e.Code != "release_not_accepted" {
			t.Errorf("%s: %d %.200s", path, status, reply)
		}
	}
}

// Each way for the platform to be wrong ends the start, with one line.
func TestPlatformLies(t *testing.T) {
	s := newScene(t, stack.Options{})
	for name, k := range map[string]cloudsim.Knobs{
		"wrong digest": {ImageDigest: stack.MadeUpDigest("x")}, "debug image": {Debug: true}, "debug image, LATEST": {DebugUsable: true},
		"not STABLE": {NoStable: true}, "secure boot off": {SecureBootOff: true}, "plain VM": {PlainVM: true},
		"other hardware": {Hardware: "GCP_SHIELDED_VM"}, "other project": {ProjectID: "evil"}, "other service account": {ServiceAccount: "evil@evil.iam.gserviceaccount.com"},
		"environment overridden": {EnvOverride: true}, "command overridden": {CmdOverride: true},
		"expired token": {Expired: true}, "token of the future": {Future: true}, "foreign issuer": {ForeignIssuer: true}, "foreign key": {ForeignKey: true},
		"launcher down": {Launcher: "down"}, "hardware refused": {Launcher: "snp"}, "launcher babbles": {Launcher: "garbage"},
		"KMS denies": {KMS: cloudsim.Fault{Mode: cloudsim.FaultDeny}}, "provider's KMS denies": {KMS: cloudsim.Fault{Mode: cloudsim.FaultDeny, Key: s.Cloud.Info().ProviderKey}},
		"STS babbles": {STS: cloudsim.Fault{Mode: cloudsim.FaultGarbage}}, "KMS babbles": {KMS: cloudsim.Fault{Mode: cloudsim.FaultGarbage}},
	} {
		if err := s.Cloud.SetKnobs(k); err != nil {
			t.Fatal(err)
		}
		err := boot(t, s.Stack)
		if err == nil {
			t.Errorf("%s: the workload serves", name)
			continue
		}
		if line := err.Error(); strings.Contains(line, "\n") || len(line) > 700 || strings.Contains(line, "eyJ") {
			t.Errorf("%s: not one clear line: %q", name, line)
		}
		t.Logf("%s: %v", name, err)
	}
	if err := s.Cloud.SetKnobs(cloudsim.Knobs{}); err != nil {
		t.Fatal(err)
	}
	if err := boot(t, s.Stack); err != nil {
		t.Error("canary: the honest platform is refused:", err)
	}
}
