package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"strconv"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/receipt"
)

const pathWallets = "/v1/s2s/wallets"

// Wallet is a wallet whose certificate was verified. Addresses and public
// keys are computed from it, and ID is the certified one; Label, Status and
// CreatedAt are the service's word.
type Wallet struct {
	ID          string            `json:"id"`
	Label       string            `json:"label"`
	Status      string            `json:"status"`      // active, archived
	Addresses   map[string]string `json:"addresses"`   // by network
	PublicKeys  map[string]string `json:"public_keys"` // by curve, hex
	Certificate []byte            `json:"certificate"` // signed wallet certificate
	CreatedAt   time.Time         `json:"created_at"`
}

// NewWallet asks for a wallet.
type NewWallet struct {
	Label          string // up to 100 bytes
	IdempotencyKey string // as in SignRequest
}

// CreatedWallet is a new wallet with the receipt of its making.
type CreatedWallet struct {
	Wallet
	Receipt  *Receipt `json:"-"`
	Verified Verified `json:"verified"`
}

// WalletPage is one page of a list. That it is complete, nothing proves.
type WalletPage struct {
	Items  []Wallet `json:"items"`
	Total  int      `json:"total"`
	Limit  int      `json:"limit"`
	Offset int      `json:"offset"`
}

// Wallets gives access to the organisation's wallets.
type Wallets struct{ c *Client }

// Wallets gives access to the organisation's wallets.
func (c *Client) Wallets() Wallets { return Wallets{c} }

type createBody struct {
	Label string `json:"label,omitzero"`
}

// Create has the workload make a wallet with one key per curve.
func (w Wallets) Create(ctx context.Context, n NewWallet) (*CreatedWallet, error) {
	c := w.c
	root, err := c.trusted(ctx)
	if err != nil {
		return nil, err
	}
	body, err := canon.EncodeJSON(createBody{n.Label})
	if err != nil {
		return nil, badArgument("Label", "%v", err)
	}
	call, err := c.t.prepare(c.key, "POST", pathWallets, "", body, n.IdempotencyKey)
	if err != nil {
		return nil, err
	}
	x := expectCreated(root, call)
	var reply api.Wallet
	if err := c.t.send(ctx, call, &reply); err != nil {
		return nil, c.createDenied(ctx, x, err)
	}
	return c.acceptCreated(ctx, x, &reply)
}

// expectCreated is what a request for a wallet implies for its receipt.
func expectCreated(root *root, call *call) *expected {
	return &expected{kind: receipt.KindCreateWallet, decision: receipt.Allow, reason: receipt.ReasonAllowed,
		root: root, call: call, method: policy.MethodCreateWallet, payload: sha256.Sum256(call.decided())}
}

// acceptCreated verifies the reply to the making of a wallet.
func (c *Client) acceptCreated(ctx context.Context, x *expected, reply *api.Wallet) (*CreatedWallet, error) {
	wallet, cert, err := c.openWallet(x.root, reply)
	if err != nil {
		return nil, err
	}
	if reply.Receipt == nil {
		return nil, broken(CodeReceiptInvalid, nil, "the reply has no receipt")
	}
	x.wallet, x.output = cert.Wallet, sha256.Sum256(reply.Certificate)
	rc, replayed, err := c.checkCreated(ctx, x, *reply.Receipt)
	if err != nil {
		return nil, err
	}
	c.certs.put(cert.Wallet, cert)
	return &CreatedWallet{Wallet: *wallet, Receipt: rc, Verified: x.root.summary(rc, replayed)}, nil
}

func (c *Client) checkCreated(ctx context.Context, x *expected, r api.ReceiptRef) (*Receipt, bool, error) {
	rc, err := openReceipt(ctx, x.root.genesis, r.Proof, c.evidence.get)
	if err != nil {
		return nil, false, err
	}
	if rc.ID != r.ID {
		return nil, false, mismatch(CodeReceiptMismatch, "id", "the reply names another receipt")
	}
	if x.decision == receipt.Deny { // the id of a wallet that wasn't made
		x.wallet = rc.Leaf.Wallet
	}
	replayed, err := x.check(&rc.Leaf, c.t.now())
	return rc, replayed, err
}

func (c *Client) createDenied(ctx context.Context, x *expected, err error) error {
	var e *APIError
	if !errors.As(err, &e) || e.Status != 403 {
		return err
	}
	r, ok, err := decodeDenial(e)
	if err != nil {
		return err
	}
	if !ok {
		return e
	}
	x.decision, x.reason = receipt.Deny, string(e.Code)
	if e.Receipt, _, err = c.checkCreated(ctx, x, r); err != nil {
		return err
	}
	return e
}

// WalletFilter selects wallets of a list; what is zero leaves all but those
// that are archived.
type WalletFilter struct {
	LabelPrefix   string
	Address       string // of any network
	After, Before time.Time
	Archived      string // "" and "false": those that aren't; "true", "all"
}

// List returns a page of wallets that aren't archived; limit 0 is the service's
// usual 50.
func (w Wallets) List(ctx context.Context, limit, offset int) (*WalletPage, error) {
	return w.Find(ctx, WalletFilter{}, limit, offset)
}

// Find returns a page of the wallets that the service selects, in order of
// creation. That it is complete, nothing proves.
func (w Wallets) Find(ctx context.Context, f WalletFilter, limit, offset int) (*WalletPage, error) {
	root, err := w.c.trusted(ctx)
	if err != nil {
		return nil, err
	}
	query, err := pageQuery(limit, offset, map[string]string{"label_prefix": f.LabelPrefix, "address": f.Address, "archived": f.Archived,
		"created_after": timeParameter(f.After), "created_before": timeParameter(f.Before)})
	if err != nil {
		return nil, err
	}
	var reply api.List[api.Wallet]
	if _, err := w.c.t.exchange(ctx, w.c.key, "GET", pathWallets, query, nil, &reply); err != nil {
		return nil, err
	}
	page := &WalletPage{Items: []Wallet{}, Total: reply.Total, Limit: reply.Limit, Offset: reply.Offset}
	for i := range reply.Items {
		wallet, cert, err := w.c.openWallet(root, &reply.Items[i])
		if err != nil {
			return nil, err
		}
		w.c.certs.put(cert.Wallet, cert)
		page.Items = append(page.Items, *wallet)
	}
	return page, nil
}

// pageQuery is the query for a page: limit and offset, and of the parameters
// those that aren't empty.
func pageQuery(limit, offset int, parameters map[string]string) (string, error) {
	switch {
	case limit < 0 || limit > 200:
		return "", badArgument("limit", "want 0 to 200")
	case offset < 0:
		return "", badArgument("offset", "want 0 or more")
	}
	v := url.Values{}
	if limit > 0 {
		v.Set("limit", strconv.Itoa(limit))
	}
	if offset > 0 {
		v.Set("offset", strconv.Itoa(offset))
	}
	for name, value := range parameters {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v.Encode(), nil
}

func timeParameter(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// Label gives a wallet another label.
func (w Wallets) Label(ctx context.Context, id, label string) (*Wallet, error) {
	return w.one(ctx, "PATCH", id, api.ChangeWallet{Label: &label})
}

// Archive puts a wallet away, or takes it back. The control plane then refuses
// to sign with it; the TEE doesn't know, so that what ends the use of a wallet
// is revoking grants.
func (w Wallets) Archive(ctx context.Context, id string, archived bool) (*Wallet, error) {
	return w.one(ctx, "PATCH", id, api.ChangeWallet{Archived: &archived})
}

// Get returns one wallet.
func (w Wallets) Get(ctx context.Context, id string) (*Wallet, error) {
	return w.one(ctx, "GET", id, nil)
}

// one makes a request about one wallet, which is answered with it, and keeps
// its certificate.
func (w Wallets) one(ctx context.Context, method, id string, body any) (*Wallet, error) {
	wallet, err := canon.ParseUUID(id)
	if err != nil {
		return nil, badArgument("id", "not a lower-case UUID")
	}
	out, cert, err := w.c.exchangeWallet(ctx, method, wallet, body)
	if err != nil {
		return nil, err
	}
	w.c.certs.put(wallet, cert)
	return out, nil
}

func (c *Client) loadCertificate(ctx context.Context, wallet receipt.UUID) (*receipt.WalletCertificate, error) {
	_, cert, err := c.exchangeWallet(ctx, "GET", wallet, nil)
	return cert, err
}

func (c *Client) exchangeWallet(ctx context.Context, method string, wallet receipt.UUID, body any) (*Wallet, *receipt.WalletCertificate, error) {
	root, err := c.trusted(ctx)
	if err != nil {
		return nil, nil, err
	}
	var reply api.Wallet
	if _, err := c.t.exchange(ctx, c.key, method, pathWallets+"/"+wallet.String(), "", body, &reply); err != nil {
		return nil, nil, err
	}
	out, cert, err := c.openWallet(root, &reply)
	if err != nil {
		return nil, nil, err
	}
	if cert.Wallet != wallet {
		return nil, nil, mismatch(CodeCertificate, "wallet", "of wallet %s instead of %s", cert.Wallet, wallet)
	}
	return out, cert, nil
}

// openWallet verifies a wallet's certificate, computes what follows from it,
// and requires that the reply says the same.
func (c *Client) openWallet(root *root, reply *api.Wallet) (*Wallet, *receipt.WalletCertificate, error) {
	id, err := canon.ParseUUID(reply.ID)
	if err != nil {
		return nil, nil, mismatch(CodeResponseMismatch, "id", "not a lower-case UUID")
	}
	cert, err := root.checkWallet(reply.Certificate, id)
	if err != nil {
		return nil, nil, err
	}
	w := &Wallet{ID: reply.ID, Label: reply.Label, Status: reply.Status, PublicKeys: map[string]string{},
		Certificate: reply.Certificate, CreatedAt: reply.CreatedAt}
	for _, k := range cert.Keys {
		w.PublicKeys[k.Curve.String()] = hex.EncodeToString(k.PublicKey)
	}
	w.Addresses, err = c.networks.Addresses(func(curve keys.Curve) ([]byte, bool) {
		k, ok := cert.Key(curve)
		if !ok {
			return nil, false
		}
		return k.PublicKey, true
	})
	if err != nil {
		return nil, nil, broken(CodeCertificate, err, "certified key")
	}
	return w, cert, sameAsCertified(w, reply)
}

// sameAsCertified refuses a reply that shows another address or key than the
// certificate has. Networks and curves unknown here are left out.
func sameAsCertified(w *Wallet, reply *api.Wallet) error {
	for network, address := range reply.Addresses {
		if want, ok := w.Addresses[network]; ok && want != address {
			return mismatch(CodeResponseMismatch, "address", "%s shows %.80q, certified is %s", network, address, want)
		}
	}
	for curve, public := range reply.PublicKeys {
		if _, err := keys.ParseCurve(curve); err == nil && w.PublicKeys[curve] != public {
			return mismatch(CodeResponseMismatch, "public_key", "the %s key isn't the certified one", curve)
		}
	}
	return nil
}
