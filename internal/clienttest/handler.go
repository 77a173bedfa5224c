package clienttest

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/attest"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/receipt"
)

// SignBody is the body of a sign request.
type SignBody struct {
	WalletID string `json:"wallet_id"`
	Network  string `json:"network"`
	chain.Payload
}

// refusal is an error reply.
type refusal struct {
	code    api.Code
	details any
}

func (r *refusal) Error() string { return string(r.code) }

// RequestID is the id of each reply.
const RequestID = "00000000-0000-4000-8000-0000000000aa"

// ServeHTTP answers as the control plane does.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	body, err := io.ReadAll(r.Body)
	var data any
	if err == nil {
		data, err = s.route(r, body)
	}
	var no *refusal
	var auth *authority.Error
	switch {
	case err == nil && r.Method == http.MethodPost && r.URL.Path != "/v1/s2s/sign":
		reply(w, http.StatusCreated, data, nil)
	case err == nil:
		reply(w, http.StatusOK, data, nil)
	case errors.As(err, &no):
		e := &api.Error{Code: no.code, Message: "refused"}
		if no.details != nil {
			e.Details, _ = json.Marshal(no.details)
		}
		reply(w, status(no.code), nil, e)
	case errors.As(err, &auth):
		reply(w, status(api.Code(auth.Code)), nil, &api.Error{Code: api.Code(auth.Code), Message: auth.Message})
	default:
		reply(w, http.StatusInternalServerError, nil, &api.Error{Code: api.CodeInternal, Message: err.Error()})
	}
}

func status(code api.Code) int {
	for _, s := range api.Specs() {
		if s.Code == code {
			return s.Status
		}
	}
	return http.StatusInternalServerError
}

func reply(w http.ResponseWriter, status int, data any, e *api.Error) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Sigil-Request-Id", RequestID)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"data": data, "error": e})
}

// attestChallenge answers a challenge as the second of two.
func (s *Service) attestChallenge(text string) (any, error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 32 {
		return nil, &refusal{api.CodeInvalidArgument, nil}
	}
	value, first := [32]byte(raw), [32]byte{1}
	proof := &api.ChallengeProof{Index: 1, Count: 2}
	if s.Attack.Challenge != nil {
		s.Attack.Challenge(&value, proof)
	}
	tree := receipt.NewTree([][]byte{first[:], value[:]})
	if proof.Path == nil {
		sibling := tree.Path(1)[0]
		proof.Path = [][]byte{sibling[:]}
	}
	ev, err := s.attestNow(tree.Root())
	return api.Attestation{Evidence: s.show(ev), Release: Release, Challenge: proof}, err
}

func (s *Service) route(r *http.Request, body []byte) (any, error) {
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	switch {
	case path == "attestation" && r.URL.RawQuery != "":
		return s.attestChallenge(r.URL.Query().Get("challenge"))
	case path == "attestation":
		ev, err := s.current()
		return api.Attestation{Evidence: s.show(ev), Release: Release}, err
	case strings.HasPrefix(path, "attestation/"):
		d, err := hex.DecodeString(path[len("attestation/"):])
		if err != nil || len(d) != 32 {
			return nil, &refusal{api.CodeEvidenceNotFound, nil}
		}
		return api.Attestation{Evidence: s.show(s.evidence[[32]byte(d)]), Release: Release}, nil
	case path == "orgs" && r.Method == "POST":
		return s.createOrg(body)
	}
	o, g, req, err := s.authenticate(r, body)
	if err != nil {
		return nil, err
	}
	if g == nil {
		return s.admin(o, r.Method, path, body)
	}
	switch {
	case path == "s2s/credential":
		return api.Credential{Organization: s.describe(o), KeyID: req.KeyID, Grant: g.Envelope}, nil
	case path == "s2s/sign":
		return s.sign(o, g, req)
	case path == "s2s/wallets" && r.Method == "POST":
		return s.createWallet(o, g, req)
	case path == "s2s/wallets":
		list := api.List[api.Wallet]{Items: []api.Wallet{}, Total: len(o.order), Limit: 50}
		for _, id := range o.order {
			list.Items = append(list.Items, s.showWallet(o.wallets[id]))
		}
		return list, nil
	case strings.HasPrefix(path, "s2s/wallets/"):
		w, err := o.find(path[len("s2s/wallets/"):])
		if err != nil {
			return nil, err
		}
		return s.showWallet(w), nil
	case strings.HasPrefix(path, "receipts/"):
		return s.receipt(path[len("receipts/"):])
	}
	return nil, &refusal{api.CodeNotFound, nil}
}

func (o *org) find(id string) (*wallet, error) {
	u, err := canon.ParseUUID(id)
	if w, ok := o.wallets[u]; ok && err == nil {
		return w, nil
	}
	return nil, &refusal{api.CodeWalletNotFound, nil}
}

func (s *Service) show(ev attest.Evidence) api.Evidence {
	if s.Attack.Evidence != nil {
		s.Attack.Evidence(&ev)
	}
	d := ev.ID()
	return api.Evidence{ID: hex.EncodeToString(d[:]), Statement: ev.Statement, Token: ev.Token}
}

func (s *Service) describe(o *org) api.Organization {
	state, _ := receipt.DecodeStateRecord(o.record)
	cert, _, _, _ := receipt.DecodeStateCertificate(state.Certificate)
	return api.Organization{ID: o.genesis.OrganizationID.String(), Name: o.genesis.Name, Genesis: o.genesis.Envelope,
		GenesisDigest: hex.EncodeToString(o.genesis.Digest[:]), StateRecord: o.record, Evidence: s.show(s.evidence[cert.Statement]), CreatedAt: s.Now()}
}

func (s *Service) createOrg(body []byte) (any, error) {
	var in api.CreateOrganization
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	g, err := authority.VerifyGenesis(in.Genesis)
	if err != nil {
		return nil, err
	}
	if s.orgs[g.OrganizationID] != nil {
		return nil, &refusal{api.CodeOrganizationExists, nil}
	}
	o, err := s.provision(g)
	if err != nil {
		return nil, err
	}
	return s.describe(o), nil
}

func (s *Service) admin(o *org, method, path string, body []byte) (any, error) {
	_, sub, _ := strings.Cut(strings.TrimPrefix(path, "orgs/"), "/")
	switch method + " " + sub {
	case "GET ":
		return s.describe(o), nil
	case "POST api-keys":
		var in api.CreateKey
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		g, err := authority.VerifyGrant(in.Grant, o.genesis)
		if err != nil {
			return nil, err
		}
		o.grants[authority.KeyID(g.Credential)] = g
		return s.showKey(o, g), nil
	case "GET api-keys":
		list := api.List[api.Key]{Items: []api.Key{}, Total: len(o.grants), Limit: 200}
		for _, g := range o.grants {
			list.Items = append(list.Items, s.showKey(o, g))
		}
		return list, nil
	case "POST revocations":
		var in api.CreateRevocation
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		v, err := authority.VerifyRevocation(in.Revocation, o.genesis)
		if err != nil {
			return nil, err
		}
		o.revoked[v.Grant] = true
		return map[string]string{"status": "revoked"}, nil
	}
	return nil, &refusal{api.CodeNotFound, nil}
}

func (s *Service) showKey(o *org, g *authority.VerifiedGrant) api.Key {
	k := api.Key{ID: g.GrantID.String(), KeyID: authority.KeyID(g.Credential), Name: g.Name, Status: "active",
		GrantDigest: hex.EncodeToString(g.Digest[:]), CreatedAt: s.Now(), ExpiresAt: time.Unix(g.Expires, 0)}
	k.KeyPrefix = "sk_live_" + k.KeyID[:4]
	k.Scope, k.AllowIPs = string(authority.ScopeFull), []string{authority.AnyIP}
	if g.Format == authority.FormatGrant2 {
		k.Scope, k.AllowIPs = string(g.Scope), g.AllowIPs
	}
	if o.revoked[g.Digest] {
		k.Status = "revoked"
	}
	return k
}

func (s *Service) showWallet(w *wallet) api.Wallet {
	out := api.Wallet{ID: w.cert.Wallet.String(), Label: w.label, Status: "active", Addresses: map[string]string{}, PublicKeys: map[string]string{},
		Certificate: w.signed, CreatedAt: s.Now()}
	if s.Attack.Certificate != nil {
		out.Certificate = s.Attack.Certificate(w.signed)
	}
	for _, n := range s.networks.List() {
		k, _ := w.cert.Key(n.Curve)
		out.Addresses[n.Slug], _ = n.Codec.Address(k.PublicKey)
		out.PublicKeys[k.Curve.String()] = hex.EncodeToString(k.PublicKey)
	}
	return out
}

func (s *Service) leaf(g *authority.VerifiedGrant, o *org, req *authority.Request) *receipt.Leaf {
	l := &receipt.Leaf{Auth: receipt.AuthSignature, Freshness: receipt.FreshnessNone, Organization: o.genesis.OrganizationID,
		Genesis: o.genesis.Digest, Grant: g.Digest, Credential: g.Credential, RequestID: req.ID, RequestDigest: req.Digest(),
		Release: Release, Time: micros(s.Now())}
	if req.IdempotencyKey != "" {
		l.IdempotencyDigest = sha256.Sum256([]byte(req.IdempotencyKey))
	}
	return l
}

func (s *Service) ref(l *receipt.Leaf) (api.ReceiptRef, error) {
	rc, ev, err := s.prove(l)
	if err != nil {
		return api.ReceiptRef{}, err
	}
	return api.ReceiptRef{ID: l.ID.String(), Proof: rc.Encode(), Evidence: hex.EncodeToString(ev[:])}, nil
}

func (s *Service) deny(l *receipt.Leaf, reason string) error {
	l.Decision, l.Reason, l.OutputDigest = receipt.Deny, reason, [32]byte{}
	ref, err := s.ref(l)
	if err != nil {
		return err
	}
	return &refusal{api.Code(reason), map[string]any{"receipt": ref}}
}

func (s *Service) createWallet(o *org, g *authority.VerifiedGrant, req *authority.Request) (any, error) {
	l := s.leaf(g, o, req)
	l.Kind, l.Method, l.PayloadDigest = receipt.KindCreateWallet, policy.MethodCreateWallet, sha256.Sum256(req.Body)
	if d := policy.Evaluate(&g.Policy, policy.Request{Method: l.Method}); d.Outcome != policy.Allow {
		l.Wallet = canon.UUID{9}
		return nil, s.deny(l, d.Reason)
	}
	var body struct {
		Label string `json:"label"`
	}
	if err := json.Unmarshal(req.Body, &body); err != nil {
		return nil, err
	}
	w, err := s.newWallet(o, body.Label)
	if err != nil {
		return nil, err
	}
	l.Decision, l.Reason, l.Wallet, l.OutputDigest = receipt.Allow, receipt.ReasonAllowed, w.cert.Wallet, sha256.Sum256(w.signed)
	ref, err := s.ref(l)
	out := s.showWallet(w)
	out.Receipt = &ref
	return out, err
}

func (s *Service) sign(o *org, g *authority.VerifiedGrant, req *authority.Request) (any, error) {
	var body SignBody
	if err := canon.DecodeJSONLoose(req.Body, &body); err != nil {
		return nil, &refusal{api.CodeMalformedJSON, nil}
	}
	if s.Attack.Body != nil {
		s.Attack.Body(&body)
	}
	w, err := o.find(body.WalletID)
	if err != nil {
		return nil, err
	}
	n, ok := s.networks.Lookup(body.Network)
	if !ok {
		return nil, &refusal{api.CodeUnknownNetwork, nil}
	}
	l := s.leaf(g, o, req)
	l.Kind, l.Method, l.Network, l.Wallet = receipt.KindSign, policy.MethodSignMessage, n.Slug, w.cert.Wallet
	if kind, err := body.Kind(); err == nil {
		l.Method = chain.Method(kind)
	}
	k, _ := w.cert.Key(n.Curve)
	p, err := body.Prepare(n, k.PublicKey)
	var no *chain.RefusedError
	if errors.As(err, &no) {
		l.PayloadDigest = sha256.Sum256(req.Body)
		return nil, s.deny(l, no.Code)
	}
	l.PayloadDigest = sha256.Sum256(p.SignBytes)
	if l.IntentDigest, err = p.Intent.Digest(); err != nil {
		return nil, err
	}
	q := p.Request(n)
	q.Wallet = l.Wallet
	if d := policy.Evaluate(&g.Policy, q); d.Outcome != policy.Allow {
		return nil, s.deny(l, d.Reason)
	}
	var raw []byte
	for _, part := range p.Signatures() {
		sig := make([]byte, part.Scheme.SignatureSize(n.Curve))
		if err := keys.SignScheme(n.Curve, part.Scheme, w.priv[n.Curve], k.PublicKey, part.Bytes, sig, rand.Reader); err != nil {
			return nil, err
		}
		raw = append(raw, sig...)
	}
	text, err := n.EncodeSignature(p, raw)
	if err != nil {
		return nil, err
	}
	l.Decision, l.Reason, l.OutputDigest = receipt.Allow, receipt.ReasonAllowed, sha256.Sum256([]byte(text))
	ref, err := s.ref(l)
	address, _ := n.Codec.Address(k.PublicKey)
	out := api.Signature{Signature: text, WalletID: w.cert.Wallet.String(), Network: n.Slug, Address: address,
		PublicKey: hex.EncodeToString(k.PublicKey), Receipt: ref}
	if err == nil && p.Intent.Kind != chain.KindMessage {
		out.Intent, err = p.Intent.Encode()
	}
	if err == nil && p.Assemble != nil {
		var signed *chain.Signed
		if signed, err = p.Assemble(raw); err == nil {
			out.SignedTransaction, out.TransactionHash, out.SignedPSBT = signed.Text, signed.ID, signed.PSBT
		}
	}
	return out, err
}

func (s *Service) receipt(id string) (any, error) {
	u, err := canon.ParseUUID(id)
	rc, ok := s.receipts[u]
	if err != nil || !ok {
		return nil, &refusal{api.CodeReceiptNotFound, nil}
	}
	b, err := receipt.OpenBatch(rc.Batch)
	if err != nil {
		return nil, err
	}
	l, _, err := rc.Open()
	if err != nil {
		return nil, err
	}
	view, err := json.Marshal(leafView(l))
	return api.Receipt{ID: id, Proof: rc.Encode(), Evidence: s.show(s.evidence[b.Statement]), Leaf: view}, err
}

// leafView is for people; clients read the proof.
func leafView(l *receipt.Leaf) map[string]any {
	return map[string]any{
		"kind":     map[receipt.Kind]string{receipt.KindSign: "sign", receipt.KindCreateWallet: "create_wallet"}[l.Kind],
		"decision": map[receipt.Decision]string{receipt.Allow: "allow", receipt.Deny: "deny"}[l.Decision], "reason": l.Reason,
		"auth": "signature", "freshness": "none", "method": l.Method, "network": l.Network,
		"wallet_id": l.Wallet.String(), "request_id": l.RequestID.String(), "grant": hex.EncodeToString(l.Grant[:]),
		"payload_digest": hex.EncodeToString(l.PayloadDigest[:]), "intent_digest": hex.EncodeToString(l.IntentDigest[:]),
		"output_digest": hex.EncodeToString(l.OutputDigest[:]), "release": l.Release, "time": time.UnixMicro(int64(l.Time)).UTC(),
	}
}

// Rewrite puts an attacker between a client and any handler, a real one too:
// alter gets the path and the data of each successful reply and changes it.
func Rewrite(next http.Handler, alter func(path string, data map[string]any)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		var e struct {
			Data  map[string]any `json:"data"`
			Error any            `json:"error"`
		}
		if rec.Code < 300 && json.Unmarshal(body, &e) == nil && e.Data != nil {
			alter(r.URL.Path, e.Data)
			var out bytes.Buffer
			if err := json.NewEncoder(&out).Encode(e); err != nil {
				panic(fmt.Sprintf("clienttest: %v", err))
			}
			body = out.Bytes()
		}
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.Header().Del("Content-Length")
		w.WriteHeader(rec.Code)
		_, _ = w.Write(body)
	})
}
