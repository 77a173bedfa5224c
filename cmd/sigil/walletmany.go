package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sigilkeys/sigil/client"
)

// createWallets makes many by one request, and shows what became of each.
func (a *app) createWallets(c *cobra.Command, cl *client.Client, n client.NewWallet, count int) error {
	if count < 1 || count > client.MaxWallets {
		return usagef("call it several times for more", "--count is 1 to %d", client.MaxWallets)
	}
	list := make([]client.NewWallet, count)
	for i := range list {
		if n.Label != "" {
			list[i].Label = n.Label + "-" + strconv.Itoa(i+1)
		}
	}
	made, err := cl.Wallets().CreateMany(c.Context(), list, n.IdempotencyKey)
	if err != nil {
		return err
	}
	rows := [][]string{{"ID", "ETHEREUM", "SOLANA", "LABEL"}}
	var items []map[string]any
	var failed error
	failures := 0
	for i, o := range made {
		if o.Err != nil {
			failures, failed = failures+1, o.Err
			items = append(items, map[string]any{"index": i, "error": o.Err.Error()})
			rows = append(rows, []string{"failed: " + o.Err.Error(), "", "", list[i].Label})
			continue
		}
		w := o.Wallet
		items = append(items, map[string]any{"index": i, "wallet": w.Wallet, "verified": w.Verified, "receipt_id": w.Receipt.ID})
		rows = append(rows, []string{w.ID, w.Addresses["ethereum"], w.Addresses["solana"], w.Label})
	}
	if err := a.print(map[string]any{"items": items}, table(rows)); err != nil {
		return err
	}
	if failures > 0 {
		return fmt.Errorf("%d of %d weren't made: %w", failures, count, failed)
	}
	a.note("verified: %d wallets, each with its certificate and its receipt", count)
	return nil
}

func (a *app) labelWalletCommand() *cobra.Command {
	return &cobra.Command{Use: "label ID LABEL", Short: "Give a wallet another label", Args: cobra.ExactArgs(2),
		Example: "  sigil wallet label 7f0c1c52-0a53-4b0e-8c49-6d6f3f7e0a11 treasury --key-file backend.key",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			w, err := cl.Wallets().Label(c.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			return a.print(w, walletText(w))
		}}
}

func (a *app) archiveWalletCommand() *cobra.Command {
	var undo bool
	c := &cobra.Command{Use: "archive ID", Short: "Put a wallet away, or take it back", Args: cobra.ExactArgs(1),
		Long: `Puts a wallet away: lists leave it out, and the control plane refuses to sign with
it. That guards against mistakes. The TEE knows nothing of it: to end the use of a
wallet, revoke the keys that may sign with it.`,
		Example: "  sigil wallet archive 7f0c1c52-0a53-4b0e-8c49-6d6f3f7e0a11 --key-file backend.key",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			w, err := cl.Wallets().Archive(c.Context(), args[0], !undo)
			if err != nil {
				return err
			}
			return a.print(w, walletText(w))
		}}
	c.Flags().BoolVar(&undo, "undo", false, "take it back")
	return c
}

// parseInstant reads a flag's day or instant; "" is none.
func parseInstant(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("as in 2026-01-31 or 2026-01-31T12:00:00Z", "--%s %q is no time", flag, s)
}
