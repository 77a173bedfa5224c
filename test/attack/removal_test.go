package attack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/internal/image"
	"github.com/sigilkeys/sigil/test/ports"
	"github.com/sigilkeys/sigil/test/stack"
)

// The lives that a removal waits for, in seconds instead of Google's minutes
// and hours: docs/ATTESTATION.md has both. All are configuration of the cloud,
// but the cache's, which is the workload's.
const (
	spread    = time.Second     // of IAM's changes, and of keys'
	tokenLife = 4 * time.Second // of access tokens
	cacheLife = 2 * time.Second // of DEKs
	slack     = 2 * time.Second
	every     = 100 * time.Millisecond
	phase     = (fewest + 2) * every

	// wallets are first used a phase apart, so that their DEKs leave the cache
	// at different times, one of them soon after the token was last renewed.
	wallets = 4
)

// process is the workload as a process of its own, at one address.
type process struct {
	program, config string
	done            chan struct{}
	kill            context.CancelFunc
	out             *output
}

// output keeps what a process says, and notices when it serves.
type output struct {
	mu      sync.Mutex // guards the fields below
	text    bytes.Buffer
	serving chan struct{}
	said    bool
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	if !o.said && strings.Contains(o.text.String(), `"msg":"serving"`) {
		o.said = true
		close(o.serving)
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start starts the workload, and reports whether it serves: if not, it ended.
func (p *process) start() (serves bool, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	p.kill, p.done = cancel, make(chan struct{})
	p.out = &output{serving: make(chan struct{})}
	cmd := exec.CommandContext(ctx, p.program, "--config", p.config)
	cmd.Stdout, cmd.Stderr = p.out, p.out
	if err := cmd.Start(); err != nil {
		return false, err
	}
	done := p.done
	go func() { _ = cmd.Wait(); close(done) }()
	select {
	case <-p.out.serving:
		return true, nil
	case <-p.done:
		return false, nil
	case <-time.After(30 * time.Second):
		return false, fmt.Errorf("neither serves nor ends: %s", p.out)
	}
}

func (p *process) stop() {
	if p.kill != nil {
		p.kill()
		<-p.done
	}
}

// buildWorkload builds the program as it is deployed.
func buildWorkload(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "sigil-tee")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", program, "../../cmd/sigil-tee")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if runtime.GOOS == "linux" {
		cmd.Env = append(cmd.Env, "GOEXPERIMENT=runtimesecret")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// removal is one way to take an image's permission away.
type removal struct {
	name string
	do   func(*cloudsim.Sim, string) error
	undo func(*cloudsim.Sim, string) error
	expected

	// Defences taken away, for canaries.
	cache  time.Duration // other than cacheLife
	tokens time.Duration // other than tokenLife
	lasts  bool          // canary: it doesn't hold, and must be seen not to
}

// removalRun is one removal on a cloud of its own, with a workload's process.
type removalRun struct {
	removal
	*stack.Stack
	tee       process
	requests  []func() *http.Request // one for each wallet
	began     time.Time              // of the first request
	admitted  time.Time
	client    *http.Client
	line      timeline
	restarted bool // it served again, though its permission was gone
	err       error
}

func newRemovalRun(t *testing.T, program string, r removal) *removalRun {
	t.Helper()
	run := &removalRun{removal: r, client: &http.Client{Timeout: 10 * time.Second}}
	if run.cache == 0 {
		run.cache = cacheLife
	}
	if run.tokens == 0 {
		run.tokens = tokenLife
	}
	sim := stack.NewCloud(t, stack.MadeUpDigest("none yet"))
	c, _ := stack.Config(t, sim, true)
	c.DEKCacheSeconds = int(run.cache / time.Second)
	c.Listen = ports.Reserve(t)
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	bin, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	i, err := image.New(bin, raw, runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	run.tee = process{program: program, config: filepath.Join(t.TempDir(), "tee.json")}
	if err := errors.Join(os.WriteFile(run.tee.config, raw, 0o600), sim.SetImageDigest(i.Digest), sim.AdmitRelease(i.Digest),
		sim.SetKnobs(cloudsim.Knobs{AccessTokenSeconds: int(run.tokens / time.Second)})); err != nil {
		t.Fatal(err)
	}
	run.admitted = time.Now()
	t.Cleanup(run.tee.stop)
	if serves, err := run.tee.start(); err != nil || !serves {
		t.Fatalf("the workload doesn't serve: %v\n%s", err, run.tee.out)
	}
	run.Stack = stack.Start(t, stack.Options{Cloud: sim, Digest: i.Digest, TEE: c.Listen})
	token := run.NewKey(run.NewOwner(), nil)
	for range wallets {
		var w api.Wallet
		run.Do(run.Request(token, "POST", "/v1/s2s/wallets", `{}`), 201, &w)
		body := signBody(w.ID, "base", "pay")
		run.requests = append(run.requests, func() *http.Request { return run.Request(token, "POST", "/v1/s2s/sign", body) })
	}
	return run
}

// attempt asks for one signature; its code is "" where one came.
func (r *removalRun) attempt(n int) attempt {
	a := attempt{began: time.Now()}
	used := min(1+int(a.began.Sub(r.began)/phase), wallets)
	res, err := r.client.Do(r.requests[n%used]())
	if err != nil {
		a.code = "no answer"
		return a
	}
	defer res.Body.Close()
	var reply struct {
		Data  *api.Signature `json:"data"`
		Error *api.Error     `json:"error"`
	}
	body, err := io.ReadAll(res.Body)
	switch {
	case err != nil || json.Unmarshal(body, &reply) != nil:
		a.code = "no JSON"
	case reply.Data != nil && reply.Data.Signature != "":
	case reply.Error != nil && reply.Error.Code != "":
		a.code = string(reply.Error.Code)
	default:
		a.code = "neither signature nor error"
	}
	return a
}

// watch asks for signatures one after the other until the time.
func (r *removalRun) watch(until time.Time) {
	for time.Now().Before(until) {
		r.line.attempts = append(r.line.attempts, r.attempt(len(r.line.attempts)))
		time.Sleep(every)
	}
}

// together asks for one signature of each wallet at once: without a workload,
// each waits a while for one.
func (r *removalRun) together() {
	var list [wallets]attempt
	var all sync.WaitGroup
	for i := range list {
		all.Go(func() { list[i] = r.attempt(i) })
	}
	all.Wait()
	r.line.attempts = append(r.line.attempts, list[:]...)
}

// play takes the permission away, restarts the workload, and gives the
// permission back, asking for signatures all the while.
func (r *removalRun) play() error {
	time.Sleep(time.Until(r.admitted.Add(spread))) // what was admitted has spread, also by the delay that comes now
	knobs := cloudsim.Knobs{AccessTokenSeconds: int(r.tokens / time.Second), IAMPropagation: int(spread / time.Millisecond), KeyPropagation: int(spread / time.Millisecond)}
	if err := r.Cloud.SetKnobs(knobs); err != nil {
		return err
	}
	r.began = time.Now()
	r.watch(r.began.Add((wallets + 1) * phase))
	if err := r.do(r.Cloud, r.Digest); err != nil {
		return err
	}
	r.line.changed = time.Now()
	deadline := r.line.changed.Add(r.bound + slack)
	r.watch(deadline.Add(2 * phase))
	for len(r.line.phase(deadline, time.Time{})) < fewest { // on a slow machine
		r.watch(time.Now().Add(every))
	}
	r.tee.stop()
	r.line.restarted = time.Now()
	var err error
	if r.restarted, err = r.tee.start(); err != nil {
		return err
	}
	r.together()
	if r.lasts {
		return nil
	}
	if r.restarted {
		return errors.New("a workload without permission serves")
	}
	if !strings.Contains(r.tee.out.String(), "the KMS doesn't serve this image") {
		return fmt.Errorf("it ended otherwise: %s", r.tee.out)
	}
	return r.giveBack()
}

func (r *removalRun) giveBack() error {
	if err := r.undo(r.Cloud, r.Digest); err != nil {
		return err
	}
	time.Sleep(spread + 50*time.Millisecond)
	r.line.restored = time.Now()
	if serves, err := r.tee.start(); err != nil || !serves {
		return fmt.Errorf("with the permission given back it doesn't serve: %v\n%s", err, r.tee.out)
	}
	for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); {
		r.together()
		if n, _ := signed(r.line.phase(r.line.restored, time.Time{})); n >= fewest {
			break
		}
	}
	return nil
}

// ownPool changes one pool, and back: to what the cloud recommends.
func ownPool(i int, change func(*cloudsim.Pool)) (do, undo func(*cloudsim.Sim, string) error) {
	return func(s *cloudsim.Sim, _ string) error { return s.UpdatePool(i, change) },
		func(s *cloudsim.Sim, _ string) error {
			return s.UpdatePool(i, func(p *cloudsim.Pool) { p.Disabled, p.ProviderDisabled, p.Condition = false, false, "" })
		}
}

func keyState(key func(cloudsim.Info) string, to string) func(*cloudsim.Sim, string) error {
	return func(s *cloudsim.Sim, _ string) error { return s.SetVersionState(key(s.Info()), 1, to) }
}

// removals are the ways that docs/ATTESTATION.md lists, each by one party.
func removals() []removal {
	var list []removal
	add := func(name string, bound time.Duration, do, undo func(*cloudsim.Sim, string) error) {
		list = append(list, removal{name: name, do: do, undo: undo, expected: expected{bound: bound, slack: slack, code: "kms_denied"}})
	}
	pool := func(name string, bound time.Duration, i int, change func(*cloudsim.Pool)) {
		do, undo := ownPool(i, change)
		add(name, bound, do, undo)
	}
	add("release withdrawn", spread+cacheLife, (*cloudsim.Sim).WithdrawRelease, (*cloudsim.Sim).AdmitRelease)
	add("binding of the provider's key removed", spread+cacheLife, unbind, bind)
	pool("condition tightened", spread+tokenLife+cacheLife, 0, func(p *cloudsim.Pool) { p.Condition = "assertion.hwmodel == 'GCP_INTEL_TDX'" })
	pool("provider disabled", spread+tokenLife+cacheLife, 1, func(p *cloudsim.Pool) { p.ProviderDisabled = true })
	pool("pool disabled", spread+cacheLife, 0, func(p *cloudsim.Pool) { p.Disabled = true })
	provider := func(i cloudsim.Info) string { return i.ProviderKey }
	add("key version disabled", spread+cacheLife, keyState(provider, cloudsim.StateDisabled), keyState(provider, cloudsim.StateEnabled))
	return list
}

// endless are the same removals where a life has no end, or where nothing was
// removed: the check has to see each.
func endless() []removal {
	nothing := func(*cloudsim.Sim, string) error { return nil }
	var list []removal
	for _, r := range removals() {
		r.lasts = true
		switch r.name {
		case "release withdrawn":
			cached, still := r, r
			cached.name, cached.cache = "a cache without an end", time.Hour
			still.name, still.do = "nothing removed", nothing
			list = append(list, cached, still)
		case "condition tightened":
			r.name, r.tokens = "a token without an end", time.Hour
			list = append(list, r)
		}
	}
	return list
}

// After an image's permission is taken away, its workload signs no longer than
// the change needs to spread, an access token that it has lives, and a DEK in
// its cache; and not at all once it has been restarted.
func TestRemovedPermissionEndsSigning(t *testing.T) {
	program := buildWorkload(t)
	var runs []*removalRun
	for _, r := range append(removals(), endless()...) {
		runs = append(runs, newRemovalRun(t, program, r))
	}
	var all sync.WaitGroup
	for _, r := range runs {
		all.Go(func() { r.err = r.play() })
	}
	all.Wait()
	for _, r := range runs {
		t.Run(strings.ReplaceAll(r.name, " ", "_"), func(t *testing.T) {
			if r.err != nil {
				t.Fatal(r.err)
			}
			faults := r.line.faults(r.expected)
			_, last := signed(r.line.phase(r.line.changed, r.line.restarted))
			t.Logf("the last signature %v after the change, bound %v, %d attempts", last.Sub(r.line.changed).Round(time.Millisecond), r.bound, len(r.line.attempts))
			if !r.lasts {
				for _, f := range faults {
					t.Error(f)
				}
				return
			}
			if !slices.ContainsFunc(faults, func(f string) bool { return strings.HasPrefix(f, "signed ") }) {
				t.Errorf("canary: a signature after the bound isn't seen: %q", faults)
			}
			if after := slices.ContainsFunc(faults, func(f string) bool { return strings.HasSuffix(f, "after a restart") }); after != r.restarted {
				t.Errorf("canary: restarted %v, signatures after it seen %v: %q", r.restarted, after, faults)
			}
		})
	}
}
