package client

import (
	"context"
	"fmt"
	"io"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/receipt"
)

// LedgerHead is a verified head of the organisation's ledger.
type LedgerHead struct {
	Size uint64
	Root [32]byte
	Note string // to keep, and to compare later ones with
}

// LedgerHead returns the newest head of the ledger. It is signed by the
// organisation's state key; that it extends an earlier one, Extends proves.
func (c *Client) LedgerHead(ctx context.Context) (*LedgerHead, error) {
	root, err := c.trusted(ctx)
	if err != nil {
		return nil, err
	}
	var reply api.Checkpoint
	if err := c.get(ctx, "/v1/log/checkpoint", "", &reply); err != nil {
		return nil, err
	}
	h, err := openHead(root, reply.Note)
	if err != nil {
		return nil, err
	}
	if h.Size != reply.Size {
		return nil, mismatch(CodeResponseMismatch, "size", "the note is of another size")
	}
	return h, nil
}

// get fetches and decodes; nothing of it is verified.
func (c *Client) get(ctx context.Context, path, query string, out any) error {
	_, err := c.t.exchange(ctx, c.key, "GET", path, query, nil, out)
	return err
}

func openHead(r *root, note string) (*LedgerHead, error) {
	head, err := receipt.OpenCheckpoint(note, receipt.LedgerOrigin(r.genesis.OrganizationID), r.grant.StateKey)
	if err != nil {
		return nil, broken(CodeLedger, err, "checkpoint")
	}
	return &LedgerHead{Size: head.Size, Root: head.Root, Note: note}, nil
}

// Extends proves that the head extends an earlier note of the ledger.
func (c *Client) Extends(ctx context.Context, h *LedgerHead, earlier string) error {
	root, err := c.trusted(ctx)
	if err != nil {
		return err
	}
	old, err := openHead(root, earlier)
	if err != nil {
		return err
	}
	var reply api.Consistency
	if old.Size < h.Size {
		if err := c.get(ctx, "/v1/log/consistency", fmt.Sprintf("from=%d&to=%d", old.Size, h.Size), &reply); err != nil {
			return err
		}
	}
	path, err := hashes(reply.Path)
	if err != nil {
		return broken(CodeResponse, err, "path")
	}
	if err := receipt.VerifyConsistency(old.Size, h.Size, path, old.Root, h.Root); err != nil {
		return broken(CodeLedger, err, "the ledger doesn't extend the earlier checkpoint")
	}
	return nil
}

func hashes(list [][]byte) ([][32]byte, error) {
	out := make([][32]byte, len(list))
	for i, b := range list {
		if len(b) != 32 {
			return nil, fmt.Errorf("hash %d has %d bytes", i, len(b))
		}
		out[i] = [32]byte(b)
	}
	return out, nil
}

// Included proves that a receipt's decision is in the ledger under the head,
// and returns its index. A fresh decision takes about a second to get there.
func (c *Client) Included(ctx context.Context, h *LedgerHead, rc *Receipt) (index uint64, err error) {
	proof, err := receipt.DecodeReceipt(rc.Proof)
	if err != nil {
		return 0, broken(CodeReceiptInvalid, err, "receipt")
	}
	var reply api.Inclusion
	if err := c.get(ctx, "/v1/log/inclusion", fmt.Sprintf("receipt=%s&size=%d", rc.ID, h.Size), &reply); err != nil {
		return 0, err
	}
	path, err := hashes(reply.Path)
	if err != nil {
		return 0, broken(CodeResponse, err, "path")
	}
	if err := receipt.VerifyInclusion(receipt.LeafHash(proof.Leaf), reply.Index, h.Size, path, h.Root); err != nil {
		return 0, broken(CodeLedger, err, "the ledger doesn't hold the receipt")
	}
	return reply.Index, nil
}

// ExportLedger writes the whole ledger in FormatLedger, verifying each line as
// it goes, and returns the audit's report. progress may be nil.
func (c *Client) ExportLedger(ctx context.Context, w io.Writer, progress func(done, total uint64)) (*AuditReport, error) {
	root, err := c.trusted(ctx)
	if err != nil {
		return nil, err
	}
	head, err := c.LedgerHead(ctx)
	if err != nil {
		return nil, err
	}
	e := &exporter{w: w, audit: NewAudit(root.genesis.Digest), grants: map[string]bool{}, evidence: map[string]bool{}}
	if err := e.line(ledgerLine{Format: FormatLedger, Genesis: root.genesis.Envelope, Note: head.Note}); err != nil {
		return nil, err
	}
	for done := uint64(0); done < head.Size; {
		var page api.Entries
		if err := c.get(ctx, "/v1/log/entries", fmt.Sprintf("from=%d&limit=%d", done, min(100, head.Size-done)), &page); err != nil {
			return nil, err
		}
		if len(page.Items) == 0 {
			return nil, broken(CodeLedger, nil, "the service ends after %d of %d entries", done, head.Size)
		}
		for i := range page.Items {
			if err := e.entry(&page, &page.Items[i]); err != nil {
				return nil, err
			}
		}
		if done += uint64(len(page.Items)); progress != nil {
			progress(done, head.Size)
		}
	}
	return e.audit.Finish()
}

type exporter struct {
	w                io.Writer
	audit            *Audit
	grants, evidence map[string]bool // written already
}

func (e *exporter) line(l ledgerLine) error {
	data, err := canon.EncodeJSON(l)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if err := e.audit.Line(data); err != nil {
		return err
	}
	_, err = e.w.Write(append(data, '\n'))
	return err
}

func (e *exporter) entry(page *api.Entries, item *api.Entry) error {
	if !e.grants[item.Grant] {
		e.grants[item.Grant] = true
		if err := e.line(ledgerLine{Grant: page.Grants[item.Grant]}); err != nil {
			return err
		}
	}
	if !e.evidence[item.Evidence] {
		e.evidence[item.Evidence] = true
		ev := evidenceOf(page.Evidence[item.Evidence])
		if err := e.line(ledgerLine{Evidence: &ev}); err != nil {
			return err
		}
	}
	return e.line(ledgerLine{Entry: &ledgerEntry{Index: item.Index, Receipt: item.Proof}})
}
