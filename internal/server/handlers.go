package server

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/org"
	"github.com/sigilkeys/sigil/internal/signing"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/receipt"
)

func (s *Server) health(*call) (reply, error) {
	return ok(http.StatusOK, map[string]string{"status": "ok"})
}

func (s *Server) version(*call) (reply, error) {
	return ok(http.StatusOK, map[string]string{"version": s.Version})
}

func (s *Server) ready(c *call) (reply, error) {
	if err := s.notDraining(); err != nil {
		return reply{}, err
	}
	if err := s.Store.Ready(c.ctx); err != nil {
		return reply{}, refuse(api.CodeStoreUnavailable, "the database isn't ready")
	}
	if _, err := s.Fleet.Evidence(); err != nil {
		return reply{}, refuse(api.CodeTEEUnavailable, "no TEE workload is connected")
	}
	return ok(http.StatusOK, map[string]string{"status": "ready"})
}

func (s *Server) networks(*call) (reply, error) {
	list := []api.Network{}
	for _, n := range s.Networks.List() {
		list = append(list, api.Network{Slug: n.Slug, Name: n.Name, Family: n.Family, Curve: n.Curve.String(), ChainID: n.ChainID, Testnet: n.Testnet, Payloads: n.Payloads(),
			Symbol: n.Symbol, Decimals: n.Decimals, Aliases: n.Aliases, AlsoValidOn: n.AlsoValidOn, AddressOf: n.AddressOf})
	}
	return ok(http.StatusOK, map[string]any{"items": list})
}

func evidence(e *store.Evidence) api.Evidence {
	return api.Evidence{ID: hex.EncodeToString(e.ID[:]), Statement: e.Statement, Token: e.Token}
}

func (s *Server) attestation(c *call) (reply, error) {
	value, asked, err := challengeOf(c)
	if err != nil {
		return reply{}, err
	}
	if asked {
		return s.attestChallenge(c, value)
	}
	e, err := s.Fleet.Evidence()
	if err != nil {
		return reply{}, refuse(api.CodeTEEUnavailable, "no TEE workload is connected")
	}
	return ok(http.StatusOK, api.Attestation{Evidence: evidence(e), Release: e.Release, Version: e.Version})
}

// challengeOf reads the query: nothing, or one challenge.
func challengeOf(c *call) (value [32]byte, asked bool, err error) {
	err = c.take(parameters{"challenge": func(text string) error {
		raw, err := hex.DecodeString(text)
		if err != nil || len(raw) != len(value) || text != strings.ToLower(text) {
			return refuse(api.CodeInvalidArgument, "a challenge is 64 lower-case hex digits")
		}
		value, asked = [32]byte(raw), true
		return nil
	}})
	return value, asked, err
}

func (s *Server) attestChallenge(c *call, value [32]byte) (reply, error) {
	a, err := s.Challenges.Attest(c.ctx, value)
	if err != nil {
		return reply{}, err
	}
	proof := &api.ChallengeProof{Index: a.Index, Count: a.Count, Path: [][]byte{}}
	for i := range a.Path {
		proof.Path = append(proof.Path, a.Path[i][:])
	}
	return ok(http.StatusOK, api.Attestation{Evidence: evidence(a.Evidence), Release: a.Evidence.Release, Version: a.Evidence.Version, Challenge: proof})
}

func (s *Server) findEvidence(c *call, id [32]byte) (*store.Evidence, error) {
	e, err := s.Store.Evidence(c.ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, refuse(api.CodeEvidenceNotFound, "there is no evidence with this id")
	}
	if err != nil {
		return nil, refuse(api.CodeStoreUnavailable, "the database doesn't answer")
	}
	return e, nil
}

func (s *Server) archivedEvidence(c *call) (reply, error) {
	raw, err := hex.DecodeString(c.PathValue("id"))
	if err != nil || len(raw) != 32 || hex.EncodeToString(raw) != c.PathValue("id") {
		return reply{}, refuse(api.CodeInvalidArgument, "an evidence id is 64 lower-case hex digits")
	}
	e, err := s.findEvidence(c, [32]byte(raw))
	if err != nil {
		return reply{}, err
	}
	return ok(http.StatusOK, api.Attestation{Evidence: evidence(e), Release: e.Release, Version: e.Version})
}

// envelope returns the canonical bytes of an embedded envelope: the JSON
// value as it stands, which the verifiers require to be canonical.
func envelope(raw json.RawMessage) ([]byte, error) {
	if len(raw) == 0 {
		return nil, refuse(api.CodeDocumentInvalid, "the signed document is missing")
	}
	return raw, nil
}

func (s *Server) createOrganization(c *call) (reply, error) {
	var body api.CreateOrganization
	if err := c.decode(&body); err != nil {
		return reply{}, err
	}
	genesis, err := envelope(body.Genesis)
	if err != nil {
		return reply{}, err
	}
	return s.once(c, genesis, func(claim org.Claim) (reply, error) {
		o, err := s.Org.Create(c.ctx, genesis, claim)
		if err != nil {
			return reply{}, err
		}
		out, err := s.organization(c, o)
		if err != nil {
			return reply{}, err
		}
		return ok(http.StatusCreated, out)
	})
}

func (s *Server) organization(c *call, o *store.Organization) (*api.Organization, error) {
	e, err := s.Org.StateEvidence(c.ctx, o)
	if err != nil {
		return nil, err
	}
	g, err := authority.VerifyGenesis(o.Genesis)
	if err != nil {
		return nil, err
	}
	return &api.Organization{ID: o.ID.String(), Name: g.Name, Genesis: o.Genesis, GenesisDigest: hex.EncodeToString(o.Digest[:]),
		StateRecord: o.State, Evidence: evidence(e), CreatedAt: o.Created}, nil
}

func (s *Server) getOrganization(c *call) (reply, error) {
	id, err := pathUUID(c, "org")
	if err != nil {
		return reply{}, err
	}
	o, err := s.Org.Get(c.ctx, id)
	if err != nil {
		return reply{}, err
	}
	out, err := s.organization(c, o)
	if err != nil {
		return reply{}, err
	}
	return ok(http.StatusOK, out)
}

func (s *Server) createKey(c *call) (reply, error) {
	var body api.CreateKey
	if err := c.decode(&body); err != nil {
		return reply{}, err
	}
	id, err := pathUUID(c, "org")
	if err != nil {
		return reply{}, err
	}
	grant, err := envelope(body.Grant)
	if err != nil {
		return reply{}, err
	}
	return s.once(c, grant, func(claim org.Claim) (reply, error) {
		g, err := s.Org.CreateKey(c.ctx, id, grant, claim)
		if err != nil {
			return reply{}, err
		}
		out, err := s.apiKey(c, g)
		if err != nil {
			return reply{}, err
		}
		return ok(http.StatusCreated, out)
	})
}

func (s *Server) apiKey(c *call, g *store.Grant) (*api.Key, error) {
	o, err := s.Org.Get(c.ctx, g.Organization)
	if err != nil {
		return nil, err
	}
	genesis, err := authority.VerifyGenesis(o.Genesis)
	if err != nil {
		return nil, err
	}
	v, err := authority.VerifyGrant(g.Envelope, genesis)
	if err != nil {
		return nil, err
	}
	k := &api.Key{ID: g.ID.String(), KeyID: g.KeyID, Name: v.Name, KeyPrefix: string(authority.SecretKey) + g.KeyID[:4], Status: "active",
		GrantDigest: hex.EncodeToString(g.Digest[:]), CreatedAt: g.Created, ExpiresAt: time.Unix(v.Expires, 0).UTC(),
		Scope: string(authority.ScopeFull), AllowIPs: []string{authority.AnyIP}}
	if v.Format == authority.FormatGrant2 {
		k.Scope, k.AllowIPs = string(v.Scope), v.AllowIPs
	}
	if !g.Used.IsZero() {
		k.LastUsedAt = &g.Used
	}
	if !s.Now().Before(k.ExpiresAt) {
		k.Status = "expired"
	}
	if !g.Revoked.IsZero() {
		k.Status, k.RevokedAt = "revoked", &g.Revoked
	}
	return k, nil
}

func (s *Server) listKeys(c *call) (reply, error) {
	id, err := pathUUID(c, "org")
	if err != nil {
		return reply{}, err
	}
	p, err := page(c, nil)
	if err != nil {
		return reply{}, err
	}
	rows, total, err := s.Store.Grants(c.ctx, id, p)
	if err != nil {
		return reply{}, refuse(api.CodeStoreUnavailable, "the database doesn't answer")
	}
	out := api.List[api.Key]{Items: []api.Key{}, Total: total, Limit: p.Limit, Offset: p.Offset}
	for i := range rows {
		k, err := s.apiKey(c, &rows[i])
		if err != nil {
			return reply{}, err
		}
		out.Items = append(out.Items, *k)
	}
	return ok(http.StatusOK, out)
}

func (s *Server) revoke(c *call) (reply, error) {
	var body api.CreateRevocation
	if err := c.decode(&body); err != nil {
		return reply{}, err
	}
	id, err := pathUUID(c, "org")
	if err != nil {
		return reply{}, err
	}
	doc, err := envelope(body.Revocation)
	if err != nil {
		return reply{}, err
	}
	return s.once(c, doc, func(claim org.Claim) (reply, error) {
		if err := s.Org.Revoke(c.ctx, id, doc, claim); err != nil {
			return reply{}, err
		}
		return ok(http.StatusCreated, map[string]string{"status": "revoked"})
	})
}

func (s *Server) credential(c *call) (reply, error) {
	o, err := s.Org.Get(c.ctx, c.key.OrganizationID)
	if err != nil {
		return reply{}, err
	}
	out, err := s.organization(c, o)
	if err != nil {
		return reply{}, err
	}
	return ok(http.StatusOK, api.Credential{Organization: *out, KeyID: c.key.KeyID, Grant: c.key.Envelope})
}

// createWalletBody mirrors the workload's: decoded here for precise errors.
type createWalletBody struct {
	Label string `json:"label"`
}

func (s *Server) createWallet(c *call) (reply, error) {
	out, err := s.create(c.ctx, c.decision(), c.body)
	if err != nil {
		return reply{}, err
	}
	return ok(http.StatusCreated, out)
}

// create has a wallet made as a body, or an item of one, says.
func (s *Server) create(ctx context.Context, call *signing.Call, raw []byte) (*api.Wallet, error) {
	var body createWalletBody
	if err := decodeObject(raw, &body); err != nil {
		return nil, err
	}
	call.Label = body.Label
	o, err := s.allowed(ctx, call)
	if err != nil {
		return nil, err
	}
	out := wallet(o.Wallet)
	ref := receiptRef(o)
	out.Receipt = &ref
	return out, nil
}

func receiptRef(o *signing.Outcome) api.ReceiptRef {
	return api.ReceiptRef{ID: o.Decision.ID.String(), Proof: o.Receipt, Evidence: hex.EncodeToString(o.Evidence[:])}
}

// allowed has a call decided; a denial is an error with its receipt.
func (s *Server) allowed(ctx context.Context, call *signing.Call) (*signing.Outcome, error) {
	o, err := s.Signing.Decide(ctx, call)
	if err != nil || o.Leaf.Decision == receipt.Allow {
		return o, err
	}
	return nil, &denied{code: api.Code(o.Leaf.Reason), message: o.Decision.Explanation, receipt: receiptRef(o)}
}

func (s *Server) getReceipt(c *call) (reply, error) {
	id, err := pathUUID(c, "id")
	if err != nil {
		return reply{}, err
	}
	d, err := s.Store.Decision(c.ctx, c.key.OrganizationID, id)
	if errors.Is(err, store.ErrNotFound) {
		return reply{}, refuse(api.CodeReceiptNotFound, "there is no receipt %s in this organisation", id)
	}
	if err != nil {
		return reply{}, refuse(api.CodeStoreUnavailable, "the database doesn't answer")
	}
	proof, err := s.Signing.Receipt(c.ctx, d)
	if err != nil {
		return reply{}, err
	}
	return s.showReceipt(c, d, proof)
}

func (s *Server) showReceipt(c *call, d *store.Decision, proof *receipt.Receipt) (reply, error) {
	leaf, batch, err := proof.Open()
	if err != nil {
		return reply{}, signing.Damaged(d)
	}
	e, err := s.findEvidence(c, batch.Statement)
	if err != nil {
		return reply{}, err
	}
	view, err := json.Marshal(leafView(leaf))
	if err != nil {
		return reply{}, err
	}
	return ok(http.StatusOK, api.Receipt{ID: d.ID.String(), Proof: proof.Encode(), Evidence: evidence(e), Leaf: view})
}

// leafView is a leaf for people; verifiers read the proof.
func leafView(l *receipt.Leaf) map[string]any {
	return map[string]any{
		"kind":     map[receipt.Kind]string{receipt.KindSign: "sign", receipt.KindCreateWallet: "create_wallet"}[l.Kind],
		"decision": map[receipt.Decision]string{receipt.Allow: "allow", receipt.Deny: "deny"}[l.Decision], "reason": l.Reason,
		"auth":      map[receipt.Auth]string{receipt.AuthSignature: "signature", receipt.AuthBearer: "bearer"}[l.Auth],
		"freshness": map[receipt.Freshness]string{receipt.FreshnessNone: "none", receipt.FreshnessWitnessed: "witnessed"}[l.Freshness],
		"method":    l.Method, "network": l.Network, "wallet_id": l.Wallet.String(), "request_id": l.RequestID.String(),
		"grant": hexed(l.Grant), "payload_digest": hexed(l.PayloadDigest), "intent_digest": hexed(l.IntentDigest),
		"output_digest": hexed(l.OutputDigest), "release": l.Release, "time": time.UnixMicro(int64(l.Time)).UTC(),
	}
}
