package server

import (
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/internal/signing"
	"github.com/sigilkeys/sigil/internal/store"
)

func wallet(w *signing.Wallet) *api.Wallet {
	out := &api.Wallet{ID: w.ID.String(), Label: w.Label, Status: "active", Addresses: w.Addresses, PublicKeys: w.PublicKeys, Certificate: w.Signed, CreatedAt: w.Created}
	if !w.Archived.IsZero() {
		at := w.Archived
		out.Status, out.ArchivedAt = "archived", &at
	}
	return out
}

func (s *Server) listWallets(c *call) (reply, error) {
	f := store.WalletFilter{Archived: store.Live}
	p, err := page(c, parameters{
		"label_prefix":   func(v string) error { f.LabelPrefix = v; return checkLabel(v) },
		"address":        func(v string) error { f.Address = signing.AddressKey(v); return checkWord(v, 128) },
		"created_after":  timeInto(&f.After),
		"created_before": timeInto(&f.Before),
		"archived": func(v string) error {
			state, ok := map[string]store.ArchiveState{"false": store.Live, "true": store.Archived, "all": store.AnyState}[v]
			f.Archived = state
			if !ok {
				return refuse(api.CodeInvalidArgument, "archived must be false, true or all")
			}
			return nil
		},
	})
	if err != nil {
		return reply{}, err
	}
	rows, total, err := s.Store.Wallets(c.ctx, c.key.OrganizationID, f, p)
	if err != nil {
		return reply{}, refuse(api.CodeStoreUnavailable, "the database doesn't answer")
	}
	out := api.List[api.Wallet]{Items: []api.Wallet{}, Total: total, Limit: p.Limit, Offset: p.Offset}
	for i := range rows {
		w, err := signing.OpenWallet(&rows[i], s.Networks)
		if err != nil {
			return reply{}, refuse(api.CodeCertificateInvalid, "the stored record of wallet %s doesn't verify", rows[i].ID)
		}
		out.Items = append(out.Items, *wallet(w))
	}
	return ok(http.StatusOK, out)
}

func (s *Server) getWallet(c *call) (reply, error) {
	id, err := pathUUID(c, "id")
	if err != nil {
		return reply{}, err
	}
	w, err := s.Signing.FreshWallet(c.ctx, c.key.OrganizationID, id)
	if err != nil {
		return reply{}, err
	}
	return ok(http.StatusOK, wallet(w))
}

// changeWallet changes label and archive: what people see. The TEE knows
// neither, so an archived wallet is safe from mistakes alone; what ends the
// use of a wallet is revoking grants.
func (s *Server) changeWallet(c *call) (reply, error) {
	var body api.ChangeWallet
	if err := c.decode(&body); err != nil {
		return reply{}, err
	}
	id, err := pathUUID(c, "id")
	if err != nil {
		return reply{}, err
	}
	if _, err := s.Signing.Wallet(c.ctx, c.key.OrganizationID, id); err != nil {
		return reply{}, err
	}
	change, err := s.change(&body)
	if err != nil {
		return reply{}, err
	}
	if allowed := c.key.Policy.Wallets; !slices.Contains(allowed, policy.Any) && !slices.Contains(allowed, id.String()) {
		return reply{}, refuse(api.CodePolicyWallet, "the grant's policy doesn't allow the wallet %s", id)
	}
	w, err := s.Signing.ChangeWallet(c.ctx, c.key.OrganizationID, id, change)
	if err != nil {
		return reply{}, err
	}
	return ok(http.StatusOK, wallet(w))
}

func (s *Server) change(body *api.ChangeWallet) (store.WalletChange, error) {
	c := store.WalletChange{Label: body.Label}
	if body.Label == nil && body.Archived == nil {
		return c, refuse(api.CodeInvalidArgument, "give label, archived or both")
	}
	if body.Archived != nil {
		at := time.Time{}
		if *body.Archived {
			at = s.Now().UTC().Truncate(time.Microsecond)
		}
		c.Archived = &at
	}
	if body.Label != nil {
		return c, checkLabel(*body.Label)
	}
	return c, nil
}

// checkLabel is the workload's rule for labels.
func checkLabel(s string) error {
	if len(s) > 100 || strings.ContainsFunc(s, unicode.IsControl) {
		return refuse(api.CodeInvalidArgument, "a label has at most 100 bytes and no control characters")
	}
	return nil
}
