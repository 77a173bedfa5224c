package attack

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/internal/launcher"
	"github.com/sigilkeys/sigil/internal/signing"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/stack"
)

// lie is how an answer to challenges differs from an honest one.
type lie struct {
	says   func(*receipt.Statement)  // attested like any other
	knobs  cloudsim.Knobs            // in force while the token is made
	reply  func(*teelink.HelloReply) // changes what was attested
	honest bool
}

// liar is a workload with the real one's link key and the platform's tokens for
// whatever statement it likes. It introduces itself as the real one does, so
// that the control plane connects. Nothing but introductions and challenges is
// asked of it.
type liar struct {
	teelink.Handler // nil
	t               *testing.T
	real            *teelink.Client
	cloud           *cloudsim.Sim
	platform        *launcher.Client

	mu  sync.Mutex // guards lie
	lie lie
}

func (l *liar) set(to lie) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lie = to
}

func (l *liar) Hello(ctx context.Context) (teelink.HelloReply, error) { return l.real.Hello(ctx) }

// Attest lies. A lie that it can't tell is the test's failure, and not a refusal.
func (l *liar) Attest(ctx context.Context, root [32]byte) (teelink.HelloReply, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h, err := l.tell(ctx, root)
	if err != nil {
		l.t.Error(err)
	}
	return h, err
}

// tell is called with mu held.
func (l *liar) tell(ctx context.Context, root [32]byte) (teelink.HelloReply, error) {
	h, err := l.real.Hello(ctx)
	if err != nil {
		return h, err
	}
	st, err := receipt.DecodeStatement(h.Statement)
	if err != nil {
		return h, err
	}
	st.Challenges, st.Issued = root, uint64(time.Now().UnixMicro())
	if l.lie.says != nil {
		l.lie.says(st)
	}
	if err := l.cloud.SetKnobs(l.lie.knobs); err != nil {
		return h, err
	}
	token, err := l.platform.PKIToken(ctx, receipt.EvidenceAudience, st.Nonce())
	if err != nil {
		return h, err
	}
	h.Statement, h.Token = st.Encode(), []byte(token)
	if l.lie.reply != nil {
		l.lie.reply(&h)
	}
	return h, l.cloud.SetKnobs(cloudsim.Knobs{})
}

// serve takes the real workload's place on the link; it is
// stack.Options.WrapLink.
func (l *liar) serve(target string, certificate tls.Certificate) string {
	t := l.t
	var err error
	if l.real, err = teelink.Dial(context.Background(), teelink.ClientConfig{Address: target}); err != nil {
		t.Fatal(err)
	}
	srv, err := teelink.NewServer(teelink.ServerConfig{Handler: l, Certificate: certificate})
	if err != nil {
		t.Fatal(err)
	}
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := srv.Serve(ctx, at); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); running.Wait(); l.real.Close() })
	return at.Addr().String()
}

// The control plane hands on no evidence for challenges that is about another
// root or another instance than the one that it is connected to, or that
// doesn't meet its reference values: callers who check less than they should
// aren't lied to through an honest control plane. The canaries are honest
// answers, by the same liar.
func TestControlPlaneRefusesFalseChallengeEvidence(t *testing.T) {
	digest := stack.MadeUpDigest("sigil-tee")
	cloud := stack.NewCloud(t, digest)
	config, _ := stack.Config(t, cloud, false)
	l := &liar{t: t, cloud: cloud, platform: launcher.New(config.LauncherSocket, 30*time.Second)}
	s := stack.Start(t, stack.Options{Cloud: cloud, Digest: digest, WrapLink: l.serve})
	first, err := s.Link.Evidence()
	if err != nil {
		t.Fatal(err)
	}
	other := stack.MadeUpDigest("another image")
	for name, c := range map[string]lie{
		"honest":                {honest: true},
		"another root":          {says: func(st *receipt.Statement) { st.Challenges[31] ^= 1 }},
		"no root":               {says: func(st *receipt.Statement) { st.Challenges = [32]byte{} }},
		"another link key":      {says: func(st *receipt.Statement) { st.LinkKey[0] ^= 1 }},
		"another instance key":  {says: func(st *receipt.Statement) { st.InstanceKey[0] ^= 1 }},
		"another configuration": {says: func(st *receipt.Statement) { st.Config[0] ^= 1 }},
		"another start":         {says: func(st *receipt.Statement) { st.Started++ }},
		"debug image":           {knobs: cloudsim.Knobs{Debug: true}},
		"debug image, STABLE":   {knobs: cloudsim.Knobs{DebugStable: true}},
		"not STABLE":            {knobs: cloudsim.Knobs{NoStable: true}},
		"another image":         {knobs: cloudsim.Knobs{ImageDigest: other}, reply: func(h *teelink.HelloReply) { h.Release = other }},
		"another image hidden":  {knobs: cloudsim.Knobs{ImageDigest: other}},
		"another release said":  {reply: func(h *teelink.HelloReply) { h.Release = other }},
		"another project":       {knobs: cloudsim.Knobs{ProjectID: "evil"}},
		"another's key":         {knobs: cloudsim.Knobs{ForeignKey: true}},
		"expired token":         {knobs: cloudsim.Knobs{Expired: true}},
		"token of another":      {reply: func(h *teelink.HelloReply) { h.Token = bytes.Clone([]byte(first.Token)) }},
		"the introduction":      {reply: func(h *teelink.HelloReply) { h.Statement, h.Token = first.Statement, []byte(first.Token) }},
		"no statement":          {reply: func(h *teelink.HelloReply) { h.Statement = nil }},
		"no token":              {reply: func(h *teelink.HelloReply) { h.Token = nil }},
	} {
		l.set(c)
		// Challenges of its own, as those of one are asked once a second.
		a, err := signing.NewChallenges(s.Fleet).Attest(t.Context(), [32]byte{1, 2, 3})
		if (err == nil) != c.honest || (a != nil) != c.honest {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
	l.set(lie{})
	if a, err := askChallenge(s.API.Client(), s.API.URL); err != nil || a == nil {
		t.Error("canary: an honest answer after the false ones:", err)
	}
	l.set(lie{knobs: cloudsim.Knobs{Debug: true}})
	if a, err := askChallenge(s.API.Client(), s.API.URL); err == nil || a != nil {
		t.Errorf("through the API: %+v", a)
	} else {
		t.Log(err)
	}
}
