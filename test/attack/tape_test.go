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

func newReplayer(t *testing.T, tape []stack.Tapped) *replayer {
	r := &replayer{t: t, known: map[deed]string{}, wallets: map[receipt.UUID]bool{}}
	for _, f := range tape {
		switch {
		case f.ToTEE && f.Op == teelink.OpDecide:
			d, err := teelink.DecodeDecide(f.Payload)
			if err != nil {
				t.Fatal(err)
			}
			r.decides = append(r.decides, d)
		case f.ToTEE && f.Op == teelink.OpPut:
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
		if !slices.ContainsFunc(r.objects, func(old teelink.Object) bool { return bytes.Equal(old.Bytes, o.Bytes) }) {
			r.objects = append(r.objects, o)
		}
	}
}

// play replays everything to a workload, and every recombination of two
// requests and of a request with any record.
func (r *replayer) play(address string, now time.Time) haul {
	c := dial(r.t, address)
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
// control plane. A message gets the same bytes again, and the making of a
// wallet the same wallet. Another instance, which remembers nothing, makes
// other keys under the same id, and recorded messages can then be signed with
// those too: they are counted apart. They are of no use: nobody was shown
// these keys, and SDKs that know the wallet refuse them (TestWalletMadeAnew).
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
	tape := link.Frames()
	rec.mu.Lock()
	requests, everything := slices.Clone(rec.requests), bytes.Clone(rec.bytes.Bytes())
	rec.mu.Unlock()
	for _, f := range tape {
		everything = append(everything, f.Payload...)
	}
	noSecrets(t, s, everything)
	x := secretsOf(t, s)
	if found, err := x.Find(everything); err != nil || len(found) > 0 {
		t.Error("in the recording:", found, err)
	}
	t.Logf("%d requests and %d frames, %d bytes, searched for %d secrets", len(requests), len(tape), len(everything), x.Len())

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
	if h := r.report("the same workload, at once", link.Target(), now); h.same == 0 || h.rekeyed > 0 {
		t.Errorf("%+v", h)
	}
	if h := r.report("a fresh workload, at once", fresh(), now); h.same == 0 || h.rekeyed == 0 {
		t.Errorf("the recording wasn't used to the full: %+v", h)
	}
	offset.Store(int64(61 * time.Second))
	verbatim()
	for name, address := range map[string]string{"the same workload, 61 s later": link.Target(), "a fresh workload, 61 s later": fresh()} {
		if h := r.report(name, address, now); h.same+h.rekeyed > 0 {
			t.Errorf("%s: %+v", name, h)
		}
	}
	if a.fresh > 0 || a.old == 0 {
		t.Errorf("through the API: %d new signatures, %d old answers", a.fresh, a.old)
	}
	if after := decided(t, dir); after != rows {
		t.Errorf("replaying changed what is decided: %s became %s", rows, after)
	}
	canary(t, s, r, link.Target())
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

// A wallet's making, replayed to another instance, gives a second record under
// the same id. Whoever puts it in place of the first gains a refusal: the SDK
// compares with the certificate that it was given at the making.
func TestWalletMadeAnew(t *testing.T) {
	link := &tap{t: t}
	s := newScene(t, stack.Options{WrapLink: link.open})
	created, err := s.client.Wallets().Create(t.Context(), client.NewWallet{})
	if err != nil {
		t.Fatal(err)
	}
	r := newReplayer(t, link.Frames())
	c := dial(t, stack.Start(t, stack.Options{Cloud: s.Cloud}).Link.Address)
	for _, o := range r.objects {
		_ = c.Put(t.Context(), []teelink.Object{o}) // wallets needn't verify here
	}
	out, err := c.Decide(t.Context(), r.decides[len(r.decides)-1])
	if err != nil {
		t.Fatal(err)
	}
	anew := teelink.Object{Kind: teelink.ObjectWalletRecord, Bytes: out.Item().Result}
	if err := dial(t, link.Target()).Put(t.Context(), []teelink.Object{anew}); err != nil {
		t.Fatal(err)
	}
	link.set(func(toTEE bool, f *teelink.Frame) {
		if !toTEE || f.Op != teelink.OpDecide {
			return
		}
		d, err := teelink.DecodeDecide(f.Payload)
		if err != nil {
			t.Error(err)
			return
		}
		d.Record = receipt.Digest(anew.Bytes)
		if f.Payload, err = d.Encode(); err != nil {
			t.Error(err)
		}
	})
	res, err := s.client.Sign(t.Context(), client.SignRequest{WalletID: created.ID, Network: "base", Message: "pay"})
	if res != nil || code(err) != string(client.CodeSignature) {
		t.Errorf("%v, want %s", err, client.CodeSignature)
	}
}

// report plays the tape to a workload.
func (r *replayer) report(name, address string, now func() time.Time) haul {
	h := r.play(address, now())
	r.t.Logf("%s: %d attempts, %d signatures that the owner has, %d of the same payloads by a wallet made anew, %d new", name, h.attempts, h.same, h.rekeyed, h.fresh)
	if h.fresh > 0 || h.wallets > 0 {
		r.t.Errorf("%s: %d new signatures, %d new wallets", name, h.fresh, h.wallets)
	}
	return h
}

// canary: a token that leaked makes a signature that counts as new.
func canary(t *testing.T, s *scene, r *replayer, address string) {
	c := dial(t, address)
	d := s.decide(t, signBody(s.one.ID, "base", "bribe"))
	d.Genesis, d.Grant, d.Record = r.decides[0].Genesis, r.decides[0].Grant, digestOf(s.row(t, s.one.ID).Encode())
	var h haul
	if r.judge(&h, c, d); h.fresh != 1 {
		t.Error("canary: a new signature isn't counted")
	}
}

// dial connects to a workload as anybody can who reaches its port.
func dial(t *testing.T, address string) *teelink.Client {
	t.Helper()
	c, err := teelink.Dial(t.Context(), teelink.ClientConfig{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
