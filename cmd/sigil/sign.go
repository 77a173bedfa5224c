package main

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sigilkeys/sigil/client"
)

type signFlags struct {
	client.SignRequest
	files  map[string]*string // of payloads, by flag
	bundle string
	batch  string
}

func (a *app) signCommand() *cobra.Command {
	f := &signFlags{files: map[string]*string{}}
	c := &cobra.Command{Use: "sign", Short: "Sign a message, a transaction or a document", Args: cobra.NoArgs,
		Long: `Has a wallet sign a message, a transaction or a document, and verifies the signature,
the wallet's certificate, the receipt and the TEE's attestation before it prints anything.
A transaction is complete and unsigned, in the chain's own text form (on Bitcoin a PSBT);
what is printed is the signed one, to be sent to a node, or the PSBT where others have
still to sign. Documents are JSON: typed data (EIP-712), an authorisation (EIP-7702), a
user operation (ERC-4337). The TEE decodes it, and refuses what it doesn't understand
unless the key's policy names it; the key needs the method: signMessage, signTransaction,
signTypedData, signAuthorization or signUserOperation.
--batch takes up to 100 from a file instead, as
[{"wallet_id":"…","network":"base","message":"…"}, …], by one signed request; each is
decided and verified for itself.`,
		Example: `  sigil sign --wallet 7f0c1c52-0a53-4b0e-8c49-6d6f3f7e0a11 --network base \
      --message audit-log-2026-06 --key-file backend.key
  sigil sign --wallet 7f0c1c52-0a53-4b0e-8c49-6d6f3f7e0a11 --network base \
      --transaction 0x02f0… --key-file backend.key`,
		RunE: func(c *cobra.Command, _ []string) error { return a.sign(c, f) }}
	fl := c.Flags()
	fl.StringVar(&f.WalletID, "wallet", "", "id of the wallet")
	fl.StringVar(&f.Network, "network", "", "network, as in base or solana")
	f.addPayload(fl)
	fl.StringVar(&f.Format, "format", "", "format of what is signed, as in solana-offchain-v0 or bip322-p2tr")
	fl.StringVar(&f.ApplicationDomain, "application-domain", "", "of a Solana off-chain message, base58")
	fl.StringSliceVar(&f.RequiredSignatories, "required-signatory", nil, "of a Solana off-chain message, base58")
	fl.StringVar(&f.ContentFormat, "content-format", "", "of a Solana off-chain message: ascii, utf8, utf8-long")
	fl.StringVar(&f.IdempotencyKey, "idempotency-key", "", "several calls with one key are one operation")
	fl.StringVar(&f.batch, "batch", "", "file with a list of messages to sign by one request; - is standard input")
	fl.StringVar(&f.bundle, "bundle", "", "file for the receipt with all that verifies it offline")
	return c
}

func (a *app) sign(c *cobra.Command, f *signFlags) error {
	if f.batch != "" {
		return a.signBatch(c, f)
	}
	if f.WalletID == "" || f.Network == "" {
		return usagef("`sigil sign --help` has an example", "--wallet and --network are needed")
	}
	if err := a.readPayload(c, f); err != nil {
		return err
	}
	if f.bundle != "" {
		if err := absent(f.bundle); err != nil {
			return err
		}
	}
	cl, err := a.client()
	if err != nil {
		return err
	}
	res, err := cl.Sign(c.Context(), f.SignRequest)
	if err != nil {
		return err
	}
	if f.bundle != "" {
		if err := saveBundle(c, cl, res, f.bundle); err != nil {
			return err
		}
	}
	a.noteVerified(&res.Verified, res.Receipt.ID)
	out := map[string]any{"signature": res.Signature, "wallet_id": res.WalletID, "network": res.Network, "address": res.Address,
		"public_key": res.PublicKey, "receipt_id": res.Receipt.ID, "verified": res.Verified}
	if res.Intent != nil {
		out["intent"] = json.RawMessage(res.Intent)
	}
	if res.SignedPSBT != "" {
		out["signed_psbt"] = res.SignedPSBT
	}
	if res.SignedTransaction == "" {
		return a.print(out, res.Signature)
	}
	out["signed_transaction"], out["transaction_hash"] = res.SignedTransaction, res.TransactionHash
	return a.print(out, res.SignedTransaction)
}

// addPayload adds the flags that say what to sign.
func (f *signFlags) addPayload(fl *pflag.FlagSet) {
	fl.StringVar(&f.Message, "message", "", "text to sign")
	fl.StringVar(&f.Transaction, "transaction", "", "transaction to sign: 0x and hex on EVM networks, base64 on Solana, a PSBT in base64 on Bitcoin")
	for name, usage := range map[string]string{
		"message-file": "file with the bytes to sign; - is standard input", "transaction-file": "file with its text; - is standard input",
		"typed-data-file": "file with typed data to sign (EIP-712, JSON)", "authorization-file": "file with an authorisation to sign (EIP-7702, JSON)",
		"user-operation-file": "file with a user operation to sign (ERC-4337, JSON)",
	} {
		f.files[name] = fl.String(name, "", usage)
	}
}

// payloadFlags say what to sign; one of them is given.
func payloadFlags() []string {
	return []string{"message", "message-file", "transaction", "transaction-file", "typed-data-file", "authorization-file", "user-operation-file"}
}

// readPayload takes the one flag that says what to sign.
func (a *app) readPayload(c *cobra.Command, f *signFlags) error {
	given := ""
	for _, name := range payloadFlags() {
		switch {
		case c.Flags().Changed(name) && given != "":
			return usagef("`"+c.CommandPath()+" --help` has an example", "give one of --%s and --%s", given, name)
		case c.Flags().Changed(name):
			given = name
		}
	}
	if given == "" {
		return usagef("`"+c.CommandPath()+" --help` has an example", "give one of --%s", strings.Join(payloadFlags(), ", --"))
	}
	if name, ok := f.files[given]; ok {
		content, err := a.readInput(*name)
		if err != nil {
			return err
		}
		f.take(given, content)
	}
	if given != "message" && given != "message-file" && f.Transaction == "" && len(f.TypedData)+len(f.Authorization)+len(f.UserOperation) == 0 {
		return usagef("`sigil sign --help` has an example", "--%s: it is empty", given)
	}
	return nil
}

// take makes a file's content the payload.
func (f *signFlags) take(flag string, content []byte) {
	text := bytes.TrimSpace(content)
	switch flag {
	case "message-file":
		f.MessageBytes = append([]byte{}, content...)
	case "transaction-file":
		f.Transaction = string(text)
	case "typed-data-file":
		f.TypedData = text
	case "authorization-file":
		f.Authorization = text
	case "user-operation-file":
		f.UserOperation = text
	}
}

func saveBundle(c *cobra.Command, cl *client.Client, res *client.SignResult, path string) error {
	b, err := cl.Bundle(c.Context(), res)
	if err != nil {
		return err
	}
	out, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	return create(path, append(out, '\n'))
}
