package client

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/attest"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/receipt"
)

// Receipt fetches a receipt of the organisation and verifies it. Whose
// decision it was and on what, its Leaf says.
func (c *Client) Receipt(ctx context.Context, id string) (*Receipt, error) {
	if _, err := canon.ParseUUID(id); err != nil {
		return nil, badArgument("id", "not a lower-case UUID")
	}
	root, err := c.trusted(ctx)
	if err != nil {
		return nil, err
	}
	var data json.RawMessage
	if _, err := c.t.exchange(ctx, c.key, "GET", "/v1/receipts/"+id, "", nil, &data); err != nil {
		return nil, err
	}
	return openFetched(ctx, root, id, data)
}

// openFetched verifies a receipt with the evidence that came along.
func openFetched(ctx context.Context, root *root, id string, data []byte) (*Receipt, error) {
	var reply api.Receipt
	if err := decodeData(data, &reply); err != nil {
		return nil, err
	}
	rc, err := openReceipt(ctx, root.genesis, reply.Proof, given(evidenceOf(reply.Evidence)))
	if err != nil {
		return nil, err
	}
	if rc.ID != id {
		return nil, mismatch(CodeReceiptMismatch, "id", "another receipt than was asked for")
	}
	return rc, ofOrganization(root.genesis, &rc.Leaf)
}

func given(ev attest.Evidence) evidenceSource {
	return func(context.Context, [32]byte) (attest.Evidence, error) { return ev, nil }
}

func ofOrganization(g *authority.VerifiedGenesis, l *receipt.Leaf) error {
	if l.Organization != g.OrganizationID || l.Genesis != g.Digest {
		return mismatch(CodeReceiptMismatch, "organization", "of another organisation or genesis")
	}
	return nil
}

// FormatBundle is the format of a Bundle.
const FormatBundle = "sigil.receipt-bundle.v1"

// Bundle is a receipt with all that is needed to verify it without a network,
// also years later.
type Bundle struct {
	Format   string          `json:"format"`  // FormatBundle
	Genesis  json.RawMessage `json:"genesis"` // DSSE envelope
	Grant    json.RawMessage `json:"grant"`   // DSSE envelope
	Receipt  []byte          `json:"receipt"` // proof
	Evidence attest.Evidence `json:"evidence"`
	// Certificate of the wallet and Signature are there for signatures made.
	Certificate []byte `json:"certificate,omitempty"`
	Signature   string `json:"signature,omitempty"`
}

// Bundle puts a result of Sign together for the archive.
func (c *Client) Bundle(ctx context.Context, res *SignResult) (*Bundle, error) {
	root, err := c.trusted(ctx)
	if err != nil {
		return nil, err
	}
	w, err := c.Wallets().Get(ctx, res.WalletID)
	if err != nil {
		return nil, err
	}
	return &Bundle{
		Format: FormatBundle, Genesis: root.genesis.Envelope, Grant: root.grant.Envelope,
		Receipt: res.Receipt.Proof, Evidence: res.Receipt.Evidence, Certificate: w.Certificate, Signature: res.Signature,
	}, nil
}

// ParseBundle reads a bundle strictly: unknown and duplicate members are
// refused. It verifies nothing.
func ParseBundle(data []byte) (*Bundle, error) {
	b := &Bundle{}
	if err := canon.DecodeJSONLoose(data, b); err != nil {
		return nil, broken(CodeReceiptInvalid, err, "bundle")
	}
	if b.Format != FormatBundle {
		return nil, broken(CodeReceiptInvalid, nil, "format is %.40q, want %q", b.Format, FormatBundle)
	}
	return b, nil
}

// Verify checks the bundle offline against the digest of the genesis document
// that the verifier trusts, and returns the receipt.
func (b *Bundle) Verify(genesisDigest [32]byte) (*Receipt, error) {
	g, err := openGenesis(b.Genesis)
	if err != nil {
		return nil, err
	}
	if g.Digest != genesisDigest {
		return nil, broken(CodePin, nil, "the bundle is of another organisation than is trusted")
	}
	grant, err := openGrant(b.Grant, g)
	if err != nil {
		return nil, err
	}
	rc, err := openReceipt(context.Background(), g, b.Receipt, given(b.Evidence))
	if err != nil {
		return nil, err
	}
	if err := ofOrganization(g, &rc.Leaf); err != nil {
		return nil, err
	}
	return rc, b.compare(&root{genesis: g, grant: grant}, &rc.Leaf)
}

// compare checks what the bundle holds besides against the receipt.
func (b *Bundle) compare(r *root, l *receipt.Leaf) error {
	if l.Grant != r.grant.Digest || l.Credential != r.grant.Credential {
		return mismatch(CodeReceiptMismatch, "grant", "decided under another grant")
	}
	if !inGrantsLife(r.grant, l) {
		return mismatch(CodeReceiptMismatch, "time", "decided outside the life of the grant")
	}
	if b.Certificate != nil {
		if _, err := r.checkWallet(b.Certificate, l.Wallet); err != nil {
			return err
		}
	}
	if b.Signature != "" && sha256.Sum256([]byte(b.Signature)) != l.OutputDigest {
		return mismatch(CodeReceiptMismatch, "output_digest", "the receipt is of another signature")
	}
	return nil
}

// reEncode brings an envelope that stands inside another document, maybe
// indented, into its one form. The signatures don't cover white space.
func reEncode(raw []byte) ([]byte, error) {
	var e authority.Envelope
	if err := canon.DecodeJSONLoose(raw, &e); err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	return e.Encode()
}

// openGenesis verifies a genesis document that stands inside another one.
func openGenesis(raw []byte) (*authority.VerifiedGenesis, error) {
	envelope, err := reEncode(raw)
	if err != nil {
		return nil, broken(CodeGenesis, err, "genesis document")
	}
	return verifyGenesis(envelope)
}

// openGrant verifies a grant that stands inside another document.
func openGrant(raw []byte, g *authority.VerifiedGenesis) (*authority.VerifiedGrant, error) {
	envelope, err := reEncode(raw)
	if err != nil {
		return nil, broken(CodeGrant, err, "grant")
	}
	return verifyGrant(envelope, g)
}

// CanonicalEnvelope returns the one form of a signed document's envelope that
// stands, maybe indented, in a file. It verifies nothing.
func CanonicalEnvelope(raw []byte) ([]byte, error) { return reEncode(raw) }
