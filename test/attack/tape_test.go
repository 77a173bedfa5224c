package attack

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/stack"
)

// deed is what a signature is of.
type deed struct {
	wallet  receipt.UUID
	network string
	payload [32]byte
}

// haul is what an attacker's attempts brought.
type haul struct {
	attempts int
	same     int // the very signature that the owner got
	rekeyed  int // of a payload that the owner had signed, by a key of a wallet made anew
	fresh    int // of anything else
	wallets  int // certificates of wallet ids that the owner's session hadn't
}

// replayer has a recording of the link.
type replayer struct {
	t       *testing.T
	decides []*teelink.Decide
	objects []teelink.Object
	known   map[deed]string // signature by what it is of
	wallets map[receipt.UUID]bool
}

func newReplayer(t *testing.T, tape []tapped) *replayer {
	r := &replayer{t: t, known: map[deed]string{}, wallets: map[receipt.UUID]bool{}}
	for _, f := range tape {
		switch {
		case f.toTEE && f.Op == teelink.OpDecide:
			d, err := teelink.DecodeDecide(f.Payload)
			if err != nil {
				t.Fatal(err)
			}
			r.decides = append(r.decides, d)
		case f.toTEE && f.Op == teelink.OpPut:
			list, err := teelink.DecodePut(f.Payload)
			if err != nil {
				t.Fatal(err)
			}
			r.objects = append(r.objects, list...)
		case f.Op == teelink.OpBatch:
			_, items, err := teelink.DecodeBatch(f.Payload)
			if err != nil {
				t.Fatal(err)
			}
			for i := range items {
				leaf, d := r.read(&items[i])
				if items[i].ResultKind == teelink.ResultSignature {
					r.known[d] = string(items[i].Result)
				} else if items[i].ResultKind == teelink.ResultWallet {
					r.wallets[leaf.Wallet] = true
				}
			}
		}
	}
	return r
}

func (r *replayer) read(it *teelink.Item) (*receipt.Leaf, deed) {
	leaf, err := receipt.DecodeLeaf(it.Leaf)
	if err != nil {
		r.t.Fatal(err)
	}
	return leaf, deed{leaf.Wallet, leaf.Network, leaf.PayloadDigest}
}

// judge counts what an attempt brought, and keeps new records for later ones.
func (r *replayer) judge(h *haul, c *teelink.Client, d *teelink.Decide) {
	h.attempts++
	out, err := c.Decide(r.t.Context(), d)
	if err != nil {
		return
	}
	leaf, done := r.read(out.Item())
	switch out.Item().ResultKind {
	case teelink.ResultSignature:
		switch known, ok := r.known[done]; {
		case !ok:
			h.fresh++
		case known == string(out.Item().Result):
			h.same++
		default:
			h.rekeyed++
		}
	case teelink.ResultWallet:
		if !r.wallets[leaf.Wallet] {
			h.wallets++
		}
		o := teelink.Object{Kind: teelink.ObjectWalletRecord, Bytes: bytes.Clone(out.Item().Result)}
		if err := c.Put(r.t.Context(), []teelink.Object{o}); err != nil {
			r.t.Error(err)
		}
		if len(r.objects) < 64 {
			r.objects = append(r.objects, o)
		}
	}
}

// play replays everything to a workload, and every recombination of two
// requests and of a request with any record.
func (r *replayer) play(address string, now time.Time) haul {
	c, err := teelink.Dial(r.t.Context(), teelink.ClientConfig{Address: address})
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	for _, o := range r.objects { // what is refused changes nothing
		_ = c.Put(r.t.Context(), []teelink.Object{o})
	}
	var h haul
	for _, d := range r.decides {
		r.judge(&h, c, d)
		for _, o := range r.objects {
			x := *d
			x.Record = receipt.Digest(o.Bytes)
			r.judge(&h, c, &x)
		}
		for _, edit := range []func(x *teelink.Decide){
			func(x *teelink.Decide) { x.Created = now.Unix() },
			func(x *teelink.Decide) { x.Auth = teelink.AuthBearer },
			func(x *teelink.Decide) { x.IdempotencyKey = "mine" },
			func(x *teelink.Decide) { x.Query = "x" },
			func(x *teelink.Decide) { x.Body = append([]byte(" "), x.Body...) },
			func(x *teelink.Decide) { x.Body = bytes.Replace(x.Body, []byte("order"), []byte("bribe"), 1) },
		} {
			x := *d
			edit(&x)
			r.judge(&h, c, &x)
		}
		for _, o := range r.decides {
			for _, part := range []func(x *teelink.Decide){
				func(x *teelink.Decide) { x.Body = o.Body },
				func(x *teelink.Decide) { x.Body, x.Record = o.Body, o.Record },
				func(x *teelink.Decide) { x.Path, x.Record = o.Path, o.Record },
				func(x *teelink.Decide) { x.Path, x.Record, x.Body = o.Path, o.Record, o.Body },
				func(x *teelink.Decide) { x.Proof = o.Proof },
				func(x *teelink.Decide) { x.RequestID = o.RequestID },
				func(x *teelink.Decide) { x.Created, x.Proof = o.Created, o.Proof },
				func(x *teelink.Decide) { x.Grant, x.Genesis = o.Grant, o.Genesis },
			} {
				x := *d
				part(&x)
				r.judge(&h, c, &x)
			}
		}
	}
	return h
}

// Everything that crosses the control plane, on its HTTP face and on its end
// of the link, is recorded in clear. Nothing secret is in it, and whoever has
// it gets no signature of anything that the owner hadn't had signed already.
//
// Within the 60 s of a request, the TEE decides it again when asked past the
// control plane: it keeps no request ids. A message gets the same bytes again.
// The making of a wallet gets other keys under the same id, and recorded
// messages can then be signed with those too: they are counted apart. They are
// of no use: nobody was shown these keys, and SDKs that know the wallet refuse
// them (TestWalletMadeAnew).
func TestTapeOfTheLink(t *testing.T) {
	var offset atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	rec, link, dir := &recorder{}, &tap{t: t}, t.TempDir()
	s := newScene(t, stack.Options{WrapHandler: rec.wrap, WrapLink: link.open, Now: now, DataDir: dir})
	for i := range 4 {
		for _, wallet := range []string{s.one.ID, s.two.ID} {
			network := []string{"base", "solana"}[i%2]
			if _, err := s.client.Sign(t.Context(), client.SignRequest{WalletID: wallet, Network: network, Message: fmt.Sprint("order ", i)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := s.client.Wallets().Create(t.Context(), client.NewWallet{Label: "third", IdempotencyKey: "w-3"}); err != nil {
		t.Fatal(err)
	}
	tape := link.tape()
	rec.mu.Lock()
	requests, everything := slices.Clone(rec.requests), bytes.Clone(rec.bytes.Bytes())
	rec.mu.Unlock()
	for _, f := range tape {
		everything = append(everything, f.Payload...)
	}
	noSecrets(t, s, everything)
	x := secretsOf(t, s)
	if found := x.find(everything); len(found) > 0 {
		t.Error("in the recording:", found)
	}
	t.Logf("%d requests and %d frames, %d bytes, searched for %d secrets", len(requests), len(tape), len(everything), len(x))

	rows := decided(t, dir)
	a := &attacker{t: t, s: s, seen: map[[32]byte]bool{}}
	for _, o := range outputs(t, everything, s) {
		a.seen[o] = true
	}
	r := newReplayer(t, tape)
	if len(r.known) != 8 || len(r.wallets) != 3 {
		t.Fatalf("the tape has %d signatures and %d wallets", len(r.known), len(r.wallets))
	}
	verbatim := func() {
		for _, q := range requests {
			a.send(q)
		}
	}
	fresh := func() string {
		other := stack.Start(t, stack.Options{Cloud: s.Cloud, Now: now})
		return other.Link.Address
	}
	verbatim()
	r.report("the same workload, at once", link.target, now, true)
	r.report("a fresh workload, at once", fresh(), now, true)
	offset.Store(int64(61 * time.Second))
	verbatim()
	r.report("the same workload, 61 s later", link.target, now, false)
	r.report("a fresh workload, 61 s later", fresh(), now, false)
	if a.fresh > 0 || a.old == 0 {
		t.Errorf("through the API: %d new signatures, %d old answers", a.fresh, a.old)
	}
	if after := decided(t, dir); after != rows {
		t.Errorf("replaying changed what is decided: %s became %s", rows, after)
	}
	canary(t, s, r, link.target)
}

// decided counts the rows that stand for decisions. Batches may come: what a
// repeat made the TEE sign is kept, though its answer is the first one's.
func decided(t *testing.T, dir string) string {
	t.Helper()
	db := editData(t, dir)
	var out []string
	for _, table := range []string{"organizations", "grants", "revocations", "wallets", "decisions"} {
		var n int
		if err := db.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%d %s", n, table))
	}
	return strings.Join(out, ", ")
}

// A wallet's making, replayed straight at the TEE, gives a second record under
// the same id. Whoever puts it in place of the first gains a refusal: the SDK
// compares with the certificate that it was given at the making.
func TestWalletMadeAnew(t *testing.T) {
	link := &tap{t: t}
	s := newScene(t, stack.Options{WrapLink: link.open})
	created, err := s.client.Wallets().Create(t.Context(), client.NewWallet{})
	if err != nil {
		t.Fatal(err)
	}
	var making *teelink.Decide
	for _, f := range link.tape() {
		if f.toTEE && f.Op == teelink.OpDecide {
			if making, err = teelink.DecodeDecide(f.Payload); err != nil {
				t.Fatal(err)
			}
		}
	}
	c, err := s.Link.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.Decide(t.Context(), making)
	if err != nil {
		t.Fatal(err)
	}
	second := receipt.Digest(out.Item().Result)
	objects := teelink.EncodePut([]teelink.Object{{Kind: teelink.ObjectWalletRecord, Bytes: out.Item().Result}})
	link.set(func(toTEE bool, f *teelink.Frame) {
		switch {
		case toTEE && f.Op == teelink.OpPut:
			f.Payload = objects
		case toTEE && f.Op == teelink.OpDecide:
			d, err := teelink.DecodeDecide(f.Payload)
			if err != nil {
				t.Error(err)
				return
			}
			d.Record = second
			if f.Payload, err = d.Encode(); err != nil {
				t.Error(err)
			}
		}
	})
	if err := c.Put(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	res, err := s.client.Sign(t.Context(), client.SignRequest{WalletID: created.ID, Network: "base", Message: "pay"})
	if res != nil || code(err) != string(client.CodeSignature) {
		t.Errorf("%v, want %s", err, client.CodeSignature)
	}
}

// report plays the tape. Within the 60 s of a request, the TEE answers it
// again with the same signature; later, with nothing.
func (r *replayer) report(name, address string, now func() time.Time, soon bool) {
	h := r.play(address, now())
	r.t.Logf("%s: %d attempts, %d signatures that the owner has, %d of the same payloads by a wallet made anew, %d new", name, h.attempts, h.same, h.rekeyed, h.fresh)
	if h.fresh > 0 || h.wallets > 0 {
		r.t.Errorf("%s: %d new signatures, %d new wallets", name, h.fresh, h.wallets)
	}
	if got := h.same + h.rekeyed; (got > 0) != soon {
		r.t.Errorf("%s: %d signatures", name, got)
	}
}

// canary: a token that leaked makes a signature that counts as new.
func canary(t *testing.T, s *scene, r *replayer, address string) {
	c, err := teelink.Dial(t.Context(), teelink.ClientConfig{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d := s.decide(t, signBody(s.one.ID, "base", "bribe"))
	d.Genesis, d.Grant, d.Record = r.decides[0].Genesis, r.decides[0].Grant, digestOf(s.row(t, s.one.ID).Encode())
	var h haul
	if r.judge(&h, c, d); h.fresh != 1 {
		t.Error("canary: a new signature isn't counted")
	}
}
