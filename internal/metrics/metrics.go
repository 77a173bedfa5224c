// Package metrics counts what the control plane does, for Prometheus.
//
// Labels have few values: routes of the table, statuses, scopes. No
// organisation, key or wallet is in one: metrics go to more people than logs,
// and each label value costs memory for as long as the process lives.
package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Sources are asked at each scrape; all are required and none may wait.
type Sources struct {
	Requests    func() int           // of any kind, in work
	InFlight    func() int           // that wait for the TEE, are decided or wait for their commit
	Uncommitted func() int           // decisions that wait for their commit
	Challenges  func() int           // that wait to be attested
	LinkUp      func() bool          // to any TEE
	Links       func() []Link        // to each
	LedgerLag   func() time.Duration // since all decisions were in signed ledgers
	Draining    func() bool          // the process is about to end
}

// Metrics are the control plane's.
type Metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	limited   *prometheus.CounterVec
	commits   *prometheus.CounterVec
	commit    prometheus.Histogram
	decisions prometheus.Counter
	batch     prometheus.Histogram
}

// New returns Metrics with their own registry.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sigil_http_requests_total", Help: "Answered requests by method, route and status."}, []string{"method", "route", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sigil_http_request_duration_seconds", Help: "Time to the answer by method and route.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 20}}, []string{"method", "route"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sigil_rate_limited_total", Help: "Requests refused over a budget, by whose: organization, key, address."}, []string{"scope"}),
		commits: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sigil_commits_total", Help: "Transactions that store decisions, by outcome: ok, failed."}, []string{"outcome"}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "sigil_commit_duration_seconds", Help: "Time of one transaction.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 5}}),
		decisions: prometheus.NewCounter(prometheus.CounterOpts{Name: "sigil_decisions_total", Help: "Decisions of the TEE that are stored."}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "sigil_commit_decisions", Help: "Decisions in one transaction.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 11)}),
	}
	m.registry.MustRegister(m.requests, m.durations, m.limited, m.commits, m.commit, m.decisions, m.batch,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// These exist from the start, so that a rate over them does.
	for _, scope := range []string{"organization", "key", "address"} {
		m.limited.WithLabelValues(scope)
	}
	for _, outcome := range []string{"ok", "failed"} {
		m.commits.WithLabelValues(outcome)
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "sigil_build_info", Help: "1; the label names the version.", ConstLabels: prometheus.Labels{"version": version}})
	info.Set(1)
	m.registry.MustRegister(info)
	return m
}

// Watch adds what is asked for at each scrape. Call it once.
func (m *Metrics) Watch(from Sources) {
	gauge := func(name, help string, f func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	count := func(f func() int) func() float64 { return func() float64 { return float64(f()) } }
	yes := func(f func() bool) func() float64 {
		return func() float64 {
			if f() {
				return 1
			}
			return 0
		}
	}
	gauge("sigil_http_requests_in_work", "Requests of any kind in work or being read.", count(from.Requests))
	gauge("sigil_decisions_in_flight", "Requests that wait for the TEE, are decided or wait for their commit.", count(from.InFlight))
	gauge("sigil_decisions_uncommitted", "Decisions that wait for their commit.", count(from.Uncommitted))
	gauge("sigil_challenges_waiting", "Challenges that wait to be attested.", count(from.Challenges))
	gauge("sigil_tee_link_up", "1 while at least one accepted TEE workload is connected.", yes(from.LinkUp))
	m.registry.MustRegister(&linkCollector{links: from.Links})
	gauge("sigil_draining", "1 once the process is about to end.", yes(from.Draining))
	gauge("sigil_ledger_lag_seconds", "Time since all decisions were in signed ledgers.", func() float64 { return from.LedgerLag().Seconds() })
}

// Request counts an answered request. An empty route is one that isn't in the
// table; limited names the budget that ran out, if one did.
func (m *Metrics) Request(method, route string, status int, took time.Duration, limited string) {
	if route == "" {
		method, route = "other", "other"
	}
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Inc()
	m.durations.WithLabelValues(method, route).Observe(took.Seconds())
	if limited != "" {
		m.limited.WithLabelValues(limited).Inc()
	}
}

// Commit counts a transaction of so many decisions.
func (m *Metrics) Commit(decisions int, took time.Duration, err error) {
	m.commit.Observe(took.Seconds())
	if err != nil {
		m.commits.WithLabelValues("failed").Inc()
		return
	}
	m.commits.WithLabelValues("ok").Inc()
	m.decisions.Add(float64(decisions))
	m.batch.Observe(float64(decisions))
}

// Handler serves them.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}
