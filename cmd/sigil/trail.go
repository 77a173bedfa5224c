package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/client"
)

type auditFlags struct {
	adminFlags
	client.AuditFilter
	success, since, until string
	limit, offset         int
}

func (a *app) trailCommand() *cobra.Command {
	f := &auditFlags{}
	c := &cobra.Command{Use: "list", Short: "List events, newest first", Args: cobra.NoArgs,
		Long: `Lists events, newest first: decisions on signatures and wallets, allowed or denied,
keys that were created or revoked. Asks with the secret key (one of scope read will
do), or with --admin-key as the owner. With --until, pages stay as they are. The list
is the service's word, for finding things: what proves a decision is its receipt.`,
		Example: `  sigil audit list --success false --since 2026-06-01 --key-file audit.key
  sigil audit list --event-type api_key.created --admin-key admin.age`,
		RunE: func(c *cobra.Command, _ []string) error { return a.listAudit(c, f) }}
	f.add(c)
	fl := c.Flags()
	fl.StringVar(&f.EventType, "event-type", "", "message.signed, transaction.signed, typed_data.signed, authorization.signed, user_operation.signed, wallet.created, api_key.created, api_key.revoked or org.created")
	fl.StringVar(&f.success, "success", "", "true or false")
	fl.StringVar(&f.WalletID, "wallet", "", "id of a wallet")
	fl.StringVar(&f.KeyID, "key-id", "", "key id, as `sigil key list` --json prints it")
	fl.StringVar(&f.since, "since", "", "from then on (2026-01-31, RFC 3339)")
	fl.StringVar(&f.until, "until", "", "before then")
	fl.IntVar(&f.limit, "limit", 0, "at most so many, up to 200 (default 50)")
	fl.IntVar(&f.offset, "offset", 0, "skip so many")
	return c
}

func (a *app) listAudit(c *cobra.Command, f *auditFlags) error {
	var err error
	if f.success != "" {
		yes, err := strconv.ParseBool(f.success)
		if err != nil {
			return usagef("give true or false", "--success %q is neither", f.success)
		}
		f.Success = &yes
	}
	if f.Since, err = parseInstant("since", f.since); err != nil {
		return err
	}
	if f.Until, err = parseInstant("until", f.until); err != nil {
		return err
	}
	page, err := a.auditPage(c, f)
	if err != nil {
		return err
	}
	rows := [][]string{{"TIME", "EVENT", "OUTCOME", "KEY", "WALLET", "RECEIPT"}}
	for _, e := range page.Items {
		outcome := "done"
		if !e.Success {
			outcome = "denied: " + e.ErrorCode
		}
		rows = append(rows, []string{e.Timestamp.Format(time.RFC3339), e.EventType, outcome, e.KeyID, e.WalletID, e.ReceiptID})
	}
	a.noteRest(page.Total, page.Offset+len(page.Items))
	return a.print(page, table(rows))
}

func (a *app) auditPage(c *cobra.Command, f *auditFlags) (*api.List[api.AuditEvent], error) {
	if len(f.files) > 0 {
		p, admin, err := a.owner(&f.adminFlags)
		if err != nil {
			return nil, err
		}
		return admin.Audit(c.Context(), p.Genesis, f.AuditFilter, f.limit, f.offset)
	}
	cl, err := a.client()
	if err != nil {
		return nil, err
	}
	return cl.Audit(c.Context(), f.AuditFilter, f.limit, f.offset)
}
