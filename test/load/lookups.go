package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
)

// lookup is one question to a database with few and to one with many wallets:
// the median times, the CPU of everybody, and the medians of the rounds' ratios.
type lookup struct {
	Name     string  `json:"name"`
	Expected bool    `json:"expected"` // to take the same within 10 %
	Few      float64 `json:"few_us"`
	Many     float64 `json:"many_us"`
	Ratio    float64 `json:"ratio"`
	FewCPU   float64 `json:"few_cpu_us"`
	ManyCPU  float64 `json:"many_cpu_us"`
	Failed   string  `json:"failed,omitempty"` // why there are no figures
}

// question is a lookup to be made.
type question struct {
	name     string
	expected bool
	rounds   int
	calls    int // of a round; as many come before, to warm up
	ask      func(s *side, k int) error
}

// compare asks both sides in turns, first the one and then the other first.
func compare(q *question, sides [2]*side, cpu func(*side) (time.Duration, error)) (*lookup, error) {
	var times [2][]float64
	var used [2]time.Duration
	var ratios []float64
	for round := range q.rounds + 1 {
		var p50 [2]float64
		for turn := range sides {
			i := (turn + round) % 2
			before, err := cpu(sides[i])
			if err != nil {
				return nil, err
			}
			took := make([]float64, q.calls)
			for k := range took {
				began := time.Now()
				if err := q.ask(sides[i], round*q.calls+k); err != nil {
					return nil, fmt.Errorf("%s of %d wallets: %w", q.name, sides[i].many, err)
				}
				took[k] = float64(time.Since(began).Nanoseconds()) / 1e3
			}
			after, err := cpu(sides[i])
			if err != nil {
				return nil, err
			}
			p50[i] = median(took)
			if round > 0 {
				times[i], used[i] = append(times[i], took...), used[i]+after-before
			}
		}
		if round > 0 {
			ratios = append(ratios, p50[1]/p50[0])
		}
	}
	n := float64(q.rounds*q.calls) * 1e3
	return &lookup{Name: q.name, Expected: q.expected, Few: median(times[0]), Many: median(times[1]), Ratio: median(ratios),
		FewCPU: float64(used[0].Nanoseconds()) / n, ManyCPU: float64(used[1].Nanoseconds()) / n}, nil
}

// pageSize is the API's, unless it is asked for another.
const pageSize = 50

// page asks for a page that must have so many of so many.
func (s *side) page(ctx context.Context, org canon.UUID, f store.WalletFilter, items, total int) error {
	list, n, err := s.store.Wallets(ctx, org, f, store.Page{Limit: pageSize})
	if err == nil && (len(list) != items || n != total) {
		err = fmt.Errorf("%d of %d wallets, not %d of %d", len(list), n, items, total)
	}
	return err
}

func (s *side) get(ctx context.Context, org canon.UUID, list []clone, k int) error {
	w, err := s.store.Wallet(ctx, org, list[k%len(list)].id)
	if err == nil && w.Label != list[k%len(list)].label() {
		err = fmt.Errorf("%s instead of %s", w.Label, list[k%len(list)].label())
	}
	return err
}

// created is when the organisation's k-th wallet was.
func (p *population) created(k int) time.Time { return time.UnixMicro(p.origin + 1000*p.place(k)) }

// questions are those to the store.
func questions(ctx context.Context, o options) []question {
	live := store.WalletFilter{Archived: store.Live}
	with := func(set func(*store.WalletFilter)) store.WalletFilter {
		f := live
		set(&f)
		return f
	}
	return []question{
		{"get, one of a thousand", true, o.lookups, 200, func(s *side, k int) error { return s.get(ctx, s.org, s.wallets, k) }},
		{"get, one of all", false, o.lookups, 200, func(s *side, k int) error { return s.get(ctx, s.org, s.any, k) }},
		{"first page", true, o.lookups, 40, func(s *side, _ int) error { return s.page(ctx, s.org, live, pageSize, s.many) }},
		{"page after a time, 100 left", false, o.lookups, 20, func(s *side, _ int) error {
			return s.page(ctx, s.org, with(func(f *store.WalletFilter) { f.After = s.created(s.many - 100) }), pageSize, 100)
		}},
		{"page after a time, half left", false, min(3, o.lookups), 1, func(s *side, _ int) error {
			return s.page(ctx, s.org, with(func(f *store.WalletFilter) { f.After = s.created(s.many / 2) }), pageSize, s.many-s.many/2)
		}},
		{"by label, whole", false, o.lookups, 40, func(s *side, k int) error {
			w := s.wallets[k%len(s.wallets)]
			return s.page(ctx, s.org, with(func(f *store.WalletFilter) { f.LabelPrefix = w.label() }), 1, 1)
		}},
		{"by address", false, o.lookups, 40, func(s *side, k int) error {
			w := s.wallets[k%len(s.wallets)]
			return s.page(ctx, s.org, with(func(f *store.WalletFilter) { f.Address = w.address() }), 1, 1)
		}},
		{"get, of 1,000 among others' many", true, o.lookups, 200, func(s *side, k int) error { return s.get(ctx, s.guestOrg(), s.guests, k) }},
		{"first page of 1,000 among them", true, o.lookups, 40, func(s *side, _ int) error { return s.page(ctx, s.guestOrg(), live, pageSize, handful) }},
	}
}

// guestOrg is who has a thousand wallets: the organisation alone, or the guest
// among others.
func (s *side) guestOrg() canon.UUID {
	if s.few == 0 {
		return s.org
	}
	return s.guest
}

// inStore asks the store's own methods.
func (f *walletFigures) inStore(ctx context.Context, sides [2]*side, o options) (err error) {
	for _, s := range sides {
		if s.store, err = s.open(ctx); err != nil {
			return err
		}
		defer s.store.Close()
	}
	for _, q := range questions(ctx, o) {
		o.say("%s: %s", f.Engine, q.name)
		l, err := compare(&q, sides, func(s *side) (time.Duration, error) {
			mine, err := cpuTime(os.Getpid())
			if err != nil || s.server == nil {
				return mine, err
			}
			theirs, err := familyTime(s.server.PID())
			return mine + theirs, err
		})
		if err != nil && !q.expected && ctx.Err() == nil {
			l, err = &lookup{Name: q.name, Failed: err.Error()}, nil // the rest is worth having
		}
		if err != nil {
			return err
		}
		f.Lookups = append(f.Lookups, *l)
	}
	return nil
}

// overHTTP asks control planes.
func (f *walletFigures) overHTTP(ctx context.Context, sides [2]*side, o options) error {
	for _, s := range sides {
		if err := s.again(ctx); err != nil {
			return err
		}
	}
	client := &http.Client{Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	ask := func(s *side, target string) ([]byte, error) {
		r, err := prepareOne(s.key, "GET", target, nil)
		if err != nil {
			return nil, err
		}
		return exchange(ctx, client, s.stack.Info().APIBaseURL, &r)
	}
	for _, s := range sides {
		body, err := ask(s, "/v1/s2s/wallets")
		if err != nil {
			return err
		}
		if err := firstPage(body, &s.population); err != nil {
			return err
		}
	}
	for _, q := range []question{
		{"get over HTTP", true, o.lookups, 40, func(s *side, k int) error {
			_, err := ask(s, "/v1/s2s/wallets/"+s.real[k%len(s.real)].String())
			return err
		}},
		{"first page over HTTP", true, o.lookups, 10, func(s *side, _ int) error {
			_, err := ask(s, "/v1/s2s/wallets")
			return err
		}},
	} {
		o.say("%s: %s", f.Engine, q.name)
		l, err := compare(&q, sides, func(s *side) (time.Duration, error) {
			u, err := s.usage()
			return u.server + u.database, err
		})
		if err != nil {
			return err
		}
		f.Lookups = append(f.Lookups, *l)
	}
	return nil
}

// firstPage requires a reply that shows the first wallets and counts them all.
func firstPage(body []byte, p *population) error {
	var reply struct {
		Data struct {
			Total int
			Items []struct{ ID string }
		}
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return err
	}
	var got, want []string
	for _, w := range reply.Data.Items {
		got = append(got, w.ID)
	}
	for _, id := range p.real[:front] {
		want = append(want, id.String())
	}
	if reply.Data.Total != p.many || !slices.Equal(got, want) {
		return fmt.Errorf("the first page has %d of %d wallets, not the first %d of %d", len(got), reply.Data.Total, front, p.many)
	}
	return nil
}
