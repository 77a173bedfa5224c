package faults

import (
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/test/stack"
)

// reachedBy lists the operations that make each call of the store.
func reachedBy() map[string][]operation {
	sign, coldSign, createWallet := operation{"sign", sign}, operation{"sign, cold", coldSign}, operation{"create wallet", createWallet}
	batch, bulk := operation{"sign batch", signBatch}, operation{"create wallets", createWallets}
	signKeyed, createKeyed := operation{"sign, keyed", signKeyed}, operation{"create wallet, keyed", createKeyed}
	late, createAgain := operation{"sign, repeated late", late}, operation{"create wallet, keyed, again", createKeyedAgain}
	org, key, revoke := operation{"create organisation", createOrganization}, operation{"create key", createKey}, operation{"revoke", revoke}
	credential, head, included, export := operation{"credential", credential}, operation{"head", head}, operation{"inclusion", included}, operation{"export", export}
	receipt, fold, reconnect := operation{"receipt", getReceipt}, operation{"fold", folded}, operation{"reconnect", reconnected}
	return map[string][]operation{
		"CreateOrganization":    {org},
		"Organization":          {org, key, revoke, coldSign, credential, fold},
		"CreateGrant":           {key},
		"GrantByKeyID":          {coldSign, credential},
		"Grants":                {{"list keys", listKeys}},
		"PutUses":               {{"note uses", used}},
		"Revoke":                {revoke},
		"Revocations":           {reconnect, {"follow", followed}},
		"CountRevocations":      {{"follow", followed}},
		"ClaimAnswer":           {{"create key, keyed", createKeyUnder}, {"create key, keyed, again", createKeyAgain}},
		"PutAnswer":             {{"create key, keyed", createKeyUnder}},
		"Wallet":                {coldSign, createWallet, {"get wallet", getWallet}},
		"Wallets":               {{"list wallets", listWallets}},
		"SetWallet":             {{"change wallet", changeWallet}},
		"Unaddressed":           {{"list addresses", addressed}},
		"PutAddresses":          {{"list addresses", addressed}},
		"Commit":                {sign, createWallet, batch, bulk, signKeyed, createKeyed},
		"DecisionByRequest":     {late},
		"DecisionByIdempotency": {createKeyed, createAgain, signKeyed},
		"Decision":              {receipt},
		"Batch":                 {receipt, late, createAgain, export},
		"Unfolded":              {fold},
		"DecisionsOf":           {fold},
		"Fold":                  {fold},
		"Ledger":                {fold, head, included},
		"Unnoted":               {fold},
		"PutNote":               {fold},
		"Tile":                  {fold, head, included},
		"Entries":               {export},
		"EntryOf":               {included},
		"Events":                {{"audit trail", trail}},
		"AuditOlder":            {{"audit older", older}},
		"PutEvidence":           {{"new instance", renewed}, reconnect},
		"Evidence":              {{"evidence", archived}, org, receipt},
		"Ready":                 {{"ready", ready}},
	}
}

// unreached are the calls that have no cell, and why.
func unreached() map[string]string {
	return map[string]string{
		"DropAnswer": "it frees the Idempotency-Key of a document that was refused; where that fails, the key is taken for a day",
		"Close":      "it ends the process, which answers nobody any more; that nothing hangs on it, test/chaos shows, which kills",
	}
}

// A new method of the store needs operations here and a way to fail.
func TestEveryCallHasCells(t *testing.T) {
	methods, wrapped := reflect.TypeFor[store.Store](), reflect.TypeFor[*faulty]()
	ops := reachedBy()
	for i := range methods.NumMethod() {
		name := methods.Method(i).Name
		_, excused := unreached()[name]
		if (len(ops[name]) > 0) == excused {
			t.Errorf("%s: operations %d, excused %v", name, len(ops[name]), excused)
		}
		delete(ops, name)
		if m, _ := wrapped.MethodByName(name); excused == declares(wrapped, m) {
			t.Errorf("%s: the wrapper has it: %v", name, !excused)
		}
	}
	for name := range ops {
		t.Errorf("%s is no method of the store", name)
	}
}

// declares tells a method of the wrapper's own from one of the embedded store:
// a store that isn't there can't be called.
func declares(wrapped reflect.Type, m reflect.Method) (own bool) {
	defer func() { own = recover() == nil }()
	f := &faulty{met: make(chan struct{}), gone: make(chan struct{})}
	f.plan(m.Name, fails, "", 1)
	args := []reflect.Value{reflect.ValueOf(f)}
	for i := 1; i < m.Type.NumIn(); i++ {
		args = append(args, reflect.Zero(m.Type.In(i)))
	}
	m.Func.Call(args)
	return true
}

// storePlant is the faulty store of a scene.
type storePlant struct {
	*faulty
	s *scene
}

func (p storePlant) plan(c *cell) { p.faulty.plan(c.call, c.fault, c.flaw, 1) }

func (p storePlant) restart() { p.s.Restart() }

// draw returns where cells are drawn from, and how often.
func draw(t *testing.T) (random *rand.Rand, rounds int) {
	t.Helper()
	rounds = stack.Number(t, "SIGIL_TEST_ROUNDS", 1)
	seed := 1
	if rounds > 1 {
		seed = int(time.Now().UnixNano() % 1e6)
	}
	seed = stack.Number(t, "SIGIL_TEST_SEED", seed)
	t.Logf("SIGIL_TEST_SEED=%d SIGIL_TEST_ROUNDS=%d", seed, rounds)
	return rand.New(rand.NewPCG(uint64(seed), 1)), rounds
}

// TestFaults runs the tables side by side, since most of their time is waiting,
// however few processors there are.
func TestFaults(t *testing.T) {
	engines := []engine{sqlite(t), postgres(t)}
	var running sync.WaitGroup
	for _, e := range engines {
		for name, cells := range map[string]func(*testing.T, engine){"store": storeCells, "link": linkCells, "cloud": cloudCells, "client": clientCells} {
			running.Go(func() { t.Run(e.name+"/"+name, func(t *testing.T) { cells(t, e) }) })
		}
	}
	running.Wait()
}

// storeCells runs each call's cells, those of a call on one database.
func storeCells(t *testing.T, e engine) {
	random, rounds := draw(t)
	began, results := time.Now(), &table{name: e.name}
	ops, c := reachedBy(), &clock{}
	first := newScene(t, e, stack.Options{}, c)
	methods := reflect.TypeFor[store.Store]()
	for i := range methods.NumMethod() {
		call := methods.Method(i).Name
		if len(ops[call]) == 0 {
			continue
		}
		t.Run(call, func(t *testing.T) {
			opt := stack.Options{Cloud: first.Cloud, TEE: first.Link.Address}
			if call == "PutEvidence" {
				opt.TEE = "" // one of its own, which may be ended
			}
			s := newScene(t, e, opt, c)
			s.each(drawn(random, call, ops[call], rounds), storePlant{s.f, s}, results)
		})
	}
	results.report(t, time.Since(began))
}

// drawn are the cells of a call: each fault with each remedy once in a round,
// while an operation makes it that is one of those that do. Garbage is another
// in each round.
func drawn(random *rand.Rand, call string, ops []operation, rounds int) []cell {
	var out []cell
	at := random.IntN(6)
	for range rounds {
		var round []cell
		for _, as := range []fault{fails, doneThenFail, slow, garbage} {
			for _, r := range []remedy{retry, restart} {
				at++
				c := cell{call: call, op: ops[at%len(ops)], fault: as, remedy: r}
				if as == garbage {
					c.flaw = []flaw{flipped, cut, foreign}[random.IntN(3)]
				}
				round = append(round, c)
			}
		}
		random.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
		out = append(out, round...)
		at += random.IntN(2)
	}
	return out
}

// each runs cells one after the other. After one that left something wrong the
// scene is of no use.
func (s *scene) each(cells []cell, p plant, results *table) {
	for _, c := range cells {
		code, errs := s.run(&c, p)
		results.note(&c, code, errs)
		for _, err := range errs {
			s.t.Errorf("%s (%s): %v", &c, code, err)
		}
		if len(errs) > 0 {
			return
		}
	}
	s.end()
}
