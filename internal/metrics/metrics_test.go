package metrics_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/metrics"
)

func TestCommits(t *testing.T) {
	m := metrics.New("v1")
	m.Commit(3, 2*time.Millisecond, nil)
	m.Commit(64, 3*time.Millisecond, nil)
	m.Commit(5, time.Second, errors.New("the disk is gone"))
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`sigil_commits_total{outcome="ok"} 2`, `sigil_commits_total{outcome="failed"} 1`, "sigil_decisions_total 67",
		`sigil_commit_decisions_bucket{le="4"} 1`, "sigil_commit_decisions_sum 67", "sigil_commit_duration_seconds_count 3",
	} {
		if !strings.Contains(w.Body.String(), "\n"+want+"\n") {
			t.Errorf("no %s", want)
		}
	}
}
