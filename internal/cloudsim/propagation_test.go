package cloudsim

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// fakeClock is a clock that a test moves.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func startAt(t *testing.T, c *fakeClock, quota int) *Sim {
	t.Helper()
	dir := t.TempDir()
	if err := writeFile(filepath.Join(dir, "issuer.pem"), issuerPEM()); err != nil {
		t.Fatal(err)
	}
	s, err := Start(Config{Dir: dir, TokensPerSecond: -1, QuotaPerMinute: quota, Clock: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// A binding that is taken away holds until the change has spread, and not
// a second longer; without a delay it is gone at once.
func TestPropagation(t *testing.T) {
	clock := &fakeClock{now: time.Now()}
	s := startAt(t, clock, -1)
	if err := s.AdmitRelease(release); err != nil {
		t.Fatal(err)
	}
	p := &principal{Pool: s.current().Pools[0].name(), Subject: "w", Attributes: map[string]string{"prod_digest": release}}
	name := s.Info().TEEKey
	may := func() bool { return s.may(p, name, permDecrypt) }
	if err := s.SetKnobs(Knobs{IAMPropagation: 120_000, KeyPropagation: 60_000}); err != nil {
		t.Fatal(err)
	}
	clock.move(3 * time.Minute)
	if !may() {
		t.Fatal("the release isn't admitted after the delay")
	}
	if err := s.WithdrawRelease(release); err != nil {
		t.Fatal(err)
	}
	clock.move(119 * time.Second)
	if !may() {
		t.Error("the withdrawal is in force before it has spread")
	}
	clock.move(2 * time.Second)
	if may() {
		t.Error("the withdrawal isn't in force after it has spread")
	}
	if err := s.RotateKey(name); err != nil {
		t.Fatal(err)
	}
	primary := func() uint32 {
		k, err := s.keyInForce(name)
		if err != nil {
			t.Fatal(err)
		}
		return k.Primary
	}
	if got := primary(); got != 1 {
		t.Errorf("primary %d at once", got)
	}
	clock.move(61 * time.Second)
	if got := primary(); got != 2 {
		t.Errorf("primary %d after the delay", got)
	}
}

func TestKMSQuota(t *testing.T) {
	clock := &fakeClock{now: time.Now().Truncate(time.Minute)}
	s := startAt(t, clock, 3)
	spend := func(project string) codes.Code { return status.Code(s.spendQuota(project)) }
	for range 3 {
		if c := spend("project_number:1"); c != codes.OK {
			t.Fatal(c)
		}
	}
	if spend("project_number:1") != codes.ResourceExhausted || spend("project_number:2") != codes.OK {
		t.Error("the quota isn't each project's own")
	}
	clock.move(time.Minute)
	if spend("project_number:1") != codes.OK {
		t.Error("the quota isn't filled up after a minute")
	}
}
