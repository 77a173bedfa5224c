package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Link is the health of the link to one TEE workload. Index is its place: its
// address is in no label.
type Link struct {
	Index    int
	State    string // connecting, refused, up, slow or draining
	Failures int    // attempts to connect since the last that went well
	Asked    int    // requests in work
	Latency  time.Duration
}

// linkCollector asks for the links at each scrape: they come and go.
type linkCollector struct{ links func() []Link }

type linkDescs struct{ state, failures, asked, latency *prometheus.Desc }

func describeLinks() linkDescs {
	one := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{"link"}, labels...), nil)
	}
	return linkDescs{
		state:    one("sigil_tee_link_state", "1; the label says what the link to a TEE workload is about: connecting, refused, up, slow, draining.", "state"),
		failures: one("sigil_tee_link_failures", "Attempts to connect to the TEE workload that failed since the last that went well."),
		asked:    one("sigil_tee_link_requests_in_work", "Requests that the TEE workload is deciding."),
		latency:  one("sigil_tee_link_latency_seconds", "How long the last probe of the TEE workload took."),
	}
}

// Describe implements prometheus.Collector.
func (c *linkCollector) Describe(to chan<- *prometheus.Desc) {
	d := describeLinks()
	for _, one := range []*prometheus.Desc{d.state, d.failures, d.asked, d.latency} {
		to <- one
	}
}

// Collect implements prometheus.Collector.
func (c *linkCollector) Collect(to chan<- prometheus.Metric) {
	d := describeLinks()
	for _, l := range c.links() {
		index := strconv.Itoa(l.Index)
		gauge := func(desc *prometheus.Desc, v float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, append([]string{index}, labels...)...)
		}
		gauge(d.state, 1, l.State)
		gauge(d.failures, float64(l.Failures))
		gauge(d.asked, float64(l.Asked))
		gauge(d.latency, l.Latency.Seconds())
	}
}
