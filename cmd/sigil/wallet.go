package main

import (
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sigilkeys/sigil/client"
)

func (a *app) walletCommand() *cobra.Command {
	g := a.group("wallet", "Make, list, show, label and archive wallets", "A wallet has one key per curve, made in the TEE. Its certificate is verified before an address is printed.")
	g.AddCommand(a.createWalletCommand(), a.listWalletsCommand(), a.getWalletCommand(), a.labelWalletCommand(), a.archiveWalletCommand())
	return g
}

func (a *app) createWalletCommand() *cobra.Command {
	var n client.NewWallet
	count := 1
	c := &cobra.Command{Use: "create", Short: "Make a wallet, or many", Args: cobra.NoArgs,
		Example: `  sigil wallet create --label treasury --key-file backend.key
  sigil wallet create --count 500 --label deposit --key-file backend.key`,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			if c.Flags().Changed("count") {
				return a.createWallets(c, cl, n, count)
			}
			w, err := cl.Wallets().Create(c.Context(), n)
			if err != nil {
				return err
			}
			a.noteVerified(&w.Verified, w.Receipt.ID)
			return a.print(map[string]any{"wallet": w.Wallet, "verified": w.Verified, "receipt_id": w.Receipt.ID}, walletText(&w.Wallet))
		}}
	c.Flags().StringVar(&n.Label, "label", "", "label, up to 100 bytes; with --count, -1, -2 and so on follow it")
	c.Flags().IntVar(&count, "count", 1, "how many, up to 1,000")
	c.Flags().StringVar(&n.IdempotencyKey, "idempotency-key", "", "the same key makes the same wallet")
	return c
}

func (a *app) listWalletsCommand() *cobra.Command {
	var limit, offset int
	var f client.WalletFilter
	var after, before string
	c := &cobra.Command{Use: "list", Short: "List wallets", Args: cobra.NoArgs,
		Example: "  sigil wallet list --limit 20 --key-file backend.key",
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			if f.After, err = parseInstant("created-after", after); err != nil {
				return err
			}
			if f.Before, err = parseInstant("created-before", before); err != nil {
				return err
			}
			page, err := cl.Wallets().Find(c.Context(), f, limit, offset)
			if err != nil {
				return err
			}
			rows := [][]string{{"ID", "ETHEREUM", "SOLANA", "LABEL"}}
			for _, w := range page.Items {
				rows = append(rows, []string{w.ID, w.Addresses["ethereum"], w.Addresses["solana"], w.Label})
			}
			a.noteRest(page.Total, page.Offset+len(page.Items))
			return a.print(page, table(rows))
		}}
	c.Flags().IntVar(&limit, "limit", 0, "at most so many, up to 200 (default 50)")
	c.Flags().IntVar(&offset, "offset", 0, "skip so many")
	c.Flags().StringVar(&f.LabelPrefix, "label-prefix", "", "those whose label begins so")
	c.Flags().StringVar(&f.Address, "address", "", "those with this address, on any network")
	c.Flags().StringVar(&after, "created-after", "", "those made later (2026-01-31, RFC 3339)")
	c.Flags().StringVar(&before, "created-before", "", "those made earlier")
	c.Flags().StringVar(&f.Archived, "archived", "", "false, true or all (default false)")
	return c
}

func (a *app) getWalletCommand() *cobra.Command {
	return &cobra.Command{Use: "get ID", Short: "Show a wallet", Args: cobra.ExactArgs(1),
		Example: "  sigil wallet get 7f0c1c52-0a53-4b0e-8c49-6d6f3f7e0a11 --key-file backend.key",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			w, err := cl.Wallets().Get(c.Context(), args[0])
			if err != nil {
				return err
			}
			return a.print(w, walletText(w))
		}}
}

func walletText(w *client.Wallet) string {
	rows := [][]string{{"wallet", w.ID}}
	if w.Label != "" {
		rows = append(rows, []string{"label", strconv.Quote(w.Label)})
	}
	if w.Status == "archived" {
		rows = append(rows, []string{"status", w.Status})
	}
	for _, n := range slices.Sorted(maps.Keys(w.Addresses)) {
		rows = append(rows, []string{n, w.Addresses[n]})
	}
	return table(rows)
}

// noteVerified says what was proved.
func (a *app) noteVerified(v *client.Verified, receiptID string) {
	a.note("verified: genesis %s… → state key %s… → wallet; release %s on %s", v.GenesisDigest[:12], v.StateKey[:12], v.Attested.Release, v.Attested.Hardware)
	a.note("receipt:  %s", receiptID)
	if v.Replayed {
		a.note("this is the answer of an earlier request with the same Idempotency-Key")
	}
}
