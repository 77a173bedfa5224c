package main

import (
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/canon"
)

// batchItem is one message, transaction or document of a --batch file.
type batchItem struct {
	WalletID      string `json:"wallet_id"`
	Network       string `json:"network"`
	Message       string `json:"message,omitzero"`
	Transaction   string `json:"transaction,omitzero"`
	MessageFormat string `json:"message_format,omitzero"`

	TypedData     jsontext.Value `json:"typed_data,omitzero"`
	Authorization jsontext.Value `json:"authorization,omitzero"`
	UserOperation jsontext.Value `json:"user_operation,omitzero"`
}

func (a *app) signBatch(c *cobra.Command, f *signFlags) error {
	for _, name := range append(payloadFlags(), "wallet", "network", "bundle", "format", "application-domain", "required-signatory", "content-format") {
		if c.Flags().Changed(name) {
			return usagef("say it in the file", "--%s doesn't go with --batch", name)
		}
	}
	data, err := a.readInput(f.batch)
	if err != nil {
		return err
	}
	var items []batchItem
	if err := canon.DecodeJSONLoose(data, &items); err != nil {
		return fmt.Errorf("%s: %w", f.batch, err)
	}
	requests := make([]client.SignRequest, len(items))
	for i, it := range items {
		requests[i] = client.SignRequest{WalletID: it.WalletID, Network: it.Network, Message: it.Message, Transaction: it.Transaction, Format: it.MessageFormat,
			TypedData: it.TypedData, Authorization: it.Authorization, UserOperation: it.UserOperation}
	}
	cl, err := a.client()
	if err != nil {
		return err
	}
	out, err := cl.SignBatch(c.Context(), requests, f.IdempotencyKey)
	if err != nil {
		return err
	}
	return a.printBatch(out)
}

func (a *app) printBatch(out []client.SignOutcome) error {
	var rows [][]string
	var list []map[string]any
	var failed error
	failures := 0
	for i, o := range out {
		if o.Err != nil {
			failures, failed = failures+1, o.Err
			list = append(list, map[string]any{"index": i, "error": o.Err.Error()})
			rows = append(rows, []string{fmt.Sprint(i), "failed: " + o.Err.Error()})
			continue
		}
		r := o.Result
		list = append(list, map[string]any{"index": i, "signature": r.Signature, "wallet_id": r.WalletID, "network": r.Network, "address": r.Address, "receipt_id": r.Receipt.ID, "verified": r.Verified})
		text := r.Signature
		if r.SignedTransaction != "" {
			text = r.SignedTransaction
			list[i]["signed_transaction"], list[i]["transaction_hash"] = r.SignedTransaction, r.TransactionHash
		}
		rows = append(rows, []string{fmt.Sprint(i), text})
	}
	if err := a.print(map[string]any{"items": list}, table(rows)); err != nil {
		return err
	}
	if failures > 0 {
		return fmt.Errorf("%d of %d weren't signed: %w", failures, len(out), failed)
	}
	a.note("verified: %d signatures, each with its receipt", len(out))
	return nil
}
