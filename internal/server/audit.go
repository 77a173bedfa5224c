package server

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
)

// eventTypes are the names of the kinds on the wire.
func eventTypes() map[store.EventKind]string {
	return map[store.EventKind]string{
		store.EventSigned: "message.signed", store.EventTransactionSigned: "transaction.signed", store.EventTypedDataSigned: "typed_data.signed",
		store.EventAuthorizationSigned: "authorization.signed", store.EventUserOperationSigned: "user_operation.signed", store.EventWalletCreated: "wallet.created", store.EventKeyCreated: "api_key.created",
		store.EventKeyRevoked: "api_key.revoked", store.EventOrganizationCreated: "org.created",
	}
}

// audit lists what happened in an organisation. It is the control plane's own
// book: what proves a decision is its receipt, and what proves a key its grant.
func (s *Server) audit(c *call) (reply, error) {
	id, err := pathUUID(c, "org")
	if err != nil {
		return reply{}, err
	}
	f := store.EventFilter{}
	p, err := page(c, parameters{
		"event_type": func(v string) error {
			for kind, name := range eventTypes() {
				if name == v {
					f.Kind = kind
					return nil
				}
			}
			return refuse(api.CodeInvalidArgument, "there is no event type %.40q", v)
		},
		"success": func(v string) error {
			yes := v == "true"
			f.Success = &yes
			if v != "true" && v != "false" {
				return refuse(api.CodeInvalidArgument, "success must be true or false")
			}
			return nil
		},
		"wallet_id": uuidInto(&f.Wallet),
		"key_id": func(v string) error {
			raw, err := hex.DecodeString(v)
			if err != nil || len(raw) != 16 || hex.EncodeToString(raw) != v {
				return refuse(api.CodeInvalidArgument, "key_id must be 32 lower-case hex digits, as keys are listed")
			}
			f.KeyID = v
			return nil
		},
		"since": timeInto(&f.Since),
		"until": timeInto(&f.Until),
	})
	if err != nil {
		return reply{}, err
	}
	rows, total, err := s.Store.Events(c.ctx, id, f, p)
	if err != nil {
		return reply{}, refuse(api.CodeStoreUnavailable, "the database doesn't answer")
	}
	out := api.List[api.AuditEvent]{Items: []api.AuditEvent{}, Total: total, Limit: p.Limit, Offset: p.Offset}
	for i := range rows {
		out.Items = append(out.Items, auditEvent(&rows[i]))
	}
	return ok(http.StatusOK, out)
}

func auditEvent(e *store.Event) api.AuditEvent {
	out := api.AuditEvent{ID: eventID(e).String(), Timestamp: e.At, OrganizationID: e.Organization.String(), EventType: eventTypes()[e.Kind],
		Success: e.Success, ErrorCode: e.Code, ActorType: "admin", KeyID: e.KeyID, Network: e.Network}
	switch e.Kind {
	case store.EventSigned, store.EventTransactionSigned, store.EventTypedDataSigned, store.EventAuthorizationSigned, store.EventUserOperationSigned, store.EventWalletCreated:
		out.ActorType, out.ActorID, out.ReceiptID = "api_key", e.KeyID, e.ID.String()
	case store.EventKeyCreated, store.EventKeyRevoked:
		out.GrantID = e.ID.String()
	}
	if !e.Wallet.IsZero() {
		out.WalletID = e.Wallet.String()
	}
	return out
}

// eventID is a version 8 UUID of the event's own: one grant is created and
// revoked.
func eventID(e *store.Event) canon.UUID {
	h := sha256.Sum256(append([]byte("sigil/audit-id/v1\n"), append([]byte{byte(e.Kind)}, e.ID[:]...)...))
	u := canon.UUID(h[:16])
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return u
}
