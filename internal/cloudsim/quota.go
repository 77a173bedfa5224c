package cloudsim

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
)

// defaultQuota is Google's default of cryptographic requests a minute and
// calling project (release note of 2019).
const defaultQuota = 60_000

// minute counts a project's calls in one minute of the clock.
type minute struct {
	start time.Time
	calls int
}

// consumer is the project whose quota a call counts against: for federated
// callers that of their pool, for people that of the resource.
func (p *principal) consumer(resource string) string {
	name := p.Pool
	if name == "" {
		name = resource
	}
	rest, _ := strings.CutPrefix(name, "projects/")
	project, _, _ := strings.Cut(rest, "/")
	if _, err := strconv.ParseUint(project, 10, 64); err == nil {
		return "project_number:" + project
	}
	return "project:" + project
}

// spendQuota counts one call, or refuses it.
func (s *Sim) spendQuota(project string) error {
	if s.cfg.QuotaPerMinute < 0 {
		return nil
	}
	now := s.cfg.Clock().Truncate(time.Minute)
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.spent[project]
	if !m.start.Equal(now) {
		m = minute{start: now}
	}
	if m.calls >= s.cfg.QuotaPerMinute {
		return quotaExceeded(project, s.cfg.QuotaPerMinute)
	}
	m.calls++
	s.spent[project] = m
	return nil
}

func quotaExceeded(project string, limit int) error {
	const metric, name = "cloudkms.googleapis.com/crypto_requests", "CryptoRequestsPerMinutePerProject"
	return withInfo(codes.ResourceExhausted,
		fmt.Sprintf("Quota exceeded for quota metric 'Cryptographic requests' and limit 'Cryptographic requests per minute' of service 'cloudkms.googleapis.com' for consumer '%s'.", project),
		&errdetails.ErrorInfo{Reason: "RATE_LIMIT_EXCEEDED", Domain: "googleapis.com", Metadata: map[string]string{
			"service": "cloudkms.googleapis.com", "consumer": strings.Replace(project, "project_number:", "projects/", 1),
			"quota_metric": metric, "quota_limit": name, "quota_limit_value": strconv.Itoa(limit),
		}})
}
