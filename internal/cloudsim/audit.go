package cloudsim

import "time"

// Decisions of audit entries.
const (
	DecisionAllow           = "allow"
	DecisionDeny            = "deny"            // IAM said no
	DecisionUnauthenticated = "unauthenticated" // no valid token
	// DecisionNone: the call ended before IAM was asked, by a quota, a request
	// that is none, or a service that is down; the status says by which.
	DecisionNone = "none"
)

// AuditEntry is one call of the KMS, also one that was refused.
type AuditEntry struct {
	Seq        uint64    `json:"seq"` // from 1
	Time       time.Time `json:"time"`
	Service    string    `json:"service"`
	Method     string    `json:"method"`
	Face       string    `json:"face"` // grpc or rest
	Resource   string    `json:"resource"`
	Principal  string    `json:"principal"`
	Permission string    `json:"permission"`
	Key        string    `json:"key"`
	Decision   string    `json:"decision"`
	Status     string    `json:"status"`          // OK or the error's status
	Fault      string    `json:"fault,omitempty"` // knob that was in force
}

// auditList keeps the newest entries.
type auditList struct {
	entries []AuditEntry
	next    uint64
}

const maxAudit = 1 << 16

func (l *auditList) add(e AuditEntry) {
	l.next++
	e.Seq = l.next
	if len(l.entries) >= maxAudit {
		l.entries = append(l.entries[:0], l.entries[maxAudit/2:]...)
	}
	l.entries = append(l.entries, e)
}

// Audit returns the kept entries with numbers above after, oldest first.
func (s *Sim) Audit(after uint64) []AuditEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []AuditEntry{}
	for _, e := range s.audit.entries {
		if e.Seq > after {
			out = append(out, e)
		}
	}
	return out
}
