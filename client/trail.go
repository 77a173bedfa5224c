package client

import (
	"context"
	"crypto/ed25519"
	"strconv"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
)

// AuditFilter selects events; what is zero leaves all.
type AuditFilter struct {
	EventType    string // as in api.AuditEvent
	Success      *bool
	WalletID     string
	KeyID        string
	Since, Until time.Time // from Since on, before Until
}

func (f *AuditFilter) query(limit, offset int) (string, error) {
	success := ""
	if f.Success != nil {
		success = strconv.FormatBool(*f.Success)
	}
	return pageQuery(limit, offset, map[string]string{"event_type": f.EventType, "success": success, "wallet_id": f.WalletID, "key_id": f.KeyID,
		"since": timeParameter(f.Since), "until": timeParameter(f.Until)})
}

func (t *transport) audit(ctx context.Context, key ed25519.PrivateKey, g *authority.VerifiedGenesis, f AuditFilter, limit, offset int) (*api.List[api.AuditEvent], error) {
	query, err := f.query(limit, offset)
	if err != nil {
		return nil, err
	}
	out := &api.List[api.AuditEvent]{}
	_, err = t.exchange(ctx, key, "GET", orgPath(g)+"/audit", query, nil, out)
	return out, err
}

// Audit returns a page of the organisation's audit trail, newest first; with
// Until the pages stay as they are. It is the service's word: what proves a
// decision is its receipt, which Receipt fetches and verifies.
func (c *Client) Audit(ctx context.Context, f AuditFilter, limit, offset int) (*api.List[api.AuditEvent], error) {
	root, err := c.trusted(ctx)
	if err != nil {
		return nil, err
	}
	return c.t.audit(ctx, c.key, root.genesis, f, limit, offset)
}

// Audit is Client.Audit for an owner.
func (a *Admin) Audit(ctx context.Context, genesis []byte, f AuditFilter, limit, offset int) (*api.List[api.AuditEvent], error) {
	g, err := verifyGenesis(genesis)
	if err != nil {
		return nil, err
	}
	return a.t.audit(ctx, a.keys[0], g, f, limit, offset)
}
