package main

import (
	"encoding/hex"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/receipt"
)

func (a *app) verifyCommand() *cobra.Command {
	g := a.group("verify", "Verify what Sigil made", "Verifies receipts, offline where a bundle is at hand, attestation evidence, and images of\nthe workload.")
	var genesisFile, digest string
	c := &cobra.Command{Use: "receipt FILE|ID", Short: "Verify a receipt", Args: cobra.ExactArgs(1),
		Long: `Verifies a receipt: its path to the batch, the batch's signature, the attestation
evidence of the instance that signed it, and the owner's documents behind it.

A FILE is a bundle, as sigil sign --bundle writes it; it is verified without
a network, against the genesis document that --genesis, --genesis-digest or the
profile names. An ID is fetched first, with the secret key.`,
		Example: `  sigil verify receipt receipt.json --genesis acme/genesis.json
  sigil verify receipt 0b9d3c34-5d53-4e6f-9f43-3c1f6d0f6a55 --key-file backend.key`,
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := canon.ParseUUID(args[0]); err == nil {
				cl, err := a.client()
				if err != nil {
					return err
				}
				rc, err := cl.Receipt(c.Context(), args[0])
				if err != nil {
					return err
				}
				return a.printReceipt(rc)
			}
			return a.verifyBundle(args[0], genesisFile, digest)
		}}
	c.Flags().StringVar(&genesisFile, "genesis", "", "file with the genesis document that is trusted")
	c.Flags().StringVar(&digest, "genesis-digest", "", "digest of the genesis document that is trusted, hex")
	g.AddCommand(c, a.verifyAttestationCommand(), a.verifyImageCommand())
	return g
}

func (a *app) verifyBundle(file, genesisFile, digest string) error {
	trusted, err := a.trustedGenesis(genesisFile, digest)
	if err != nil {
		return err
	}
	data, err := read(file)
	if err != nil {
		return err
	}
	b, err := client.ParseBundle(data)
	if err != nil {
		return err
	}
	rc, err := b.Verify(trusted)
	if err != nil {
		return err
	}
	return a.printReceipt(rc)
}

// trustedGenesis finds the root of trust. The bundle's own genesis is none.
func (a *app) trustedGenesis(file, digest string) ([32]byte, error) {
	switch {
	case file != "" && digest != "":
		return [32]byte{}, usagef("use one of the two", "--genesis and --genesis-digest exclude one another")
	case digest != "":
		return hexFlag("genesis-digest", digest)
	case file != "":
		envelope, err := readEnvelope(file)
		if err != nil {
			return [32]byte{}, err
		}
		d, _, _, err := client.GenesisDigest(envelope)
		return d, err
	}
	p, err := a.loadProfile()
	if err != nil {
		return [32]byte{}, errors.Join(usagef("give --genesis FILE, --genesis-digest HEX or --profile FILE", "which genesis document to trust isn't said"), err)
	}
	return hex32(p.GenesisDigest)
}

func (a *app) printReceipt(rc *client.Receipt) error {
	l := &rc.Leaf
	decision := map[receipt.Decision]string{receipt.Allow: "allow", receipt.Deny: "deny"}[l.Decision]
	auth := map[receipt.Auth]string{receipt.AuthSignature: "signature", receipt.AuthBearer: "bearer"}[l.Auth]
	kind := map[receipt.Kind]string{receipt.KindSign: "sign", receipt.KindCreateWallet: "create wallet"}[l.Kind]
	freshness := map[receipt.Freshness]string{receipt.FreshnessNone: "none", receipt.FreshnessWitnessed: "witnessed"}[l.Freshness]
	at := time.UnixMicro(int64(l.Time)).UTC().Format(time.RFC3339Nano)
	out := map[string]any{
		"verified": true, "id": rc.ID, "kind": kind, "decision": decision, "reason": l.Reason, "auth": auth, "freshness": freshness,
		"organization_id": l.Organization.String(), "wallet_id": l.Wallet.String(), "network": l.Network, "method": l.Method,
		"request_id": l.RequestID.String(), "request_digest": digestText(l.RequestDigest), "payload_digest": digestText(l.PayloadDigest),
		"intent_digest": digestText(l.IntentDigest), "output_digest": digestText(l.OutputDigest), "grant_digest": digestText(l.Grant),
		"time": at, "batch": rc.Batch.Number, "attested": rc.Attested,
	}
	return a.print(out, table([][]string{
		{"verified", rc.ID}, {"decision", decision + " (" + l.Reason + ")"}, {"what", kind + " " + l.Network}, {"wallet", l.Wallet.String()},
		{"payload", digestText(l.PayloadDigest)}, {"output", digestText(l.OutputDigest)}, {"request", l.RequestID.String() + " by " + auth},
		{"time", at}, {"release", rc.Attested.Release}, {"hardware", rc.Attested.Hardware + " in project " + rc.Attested.ProjectID},
	}))
}

func digestText(d [32]byte) string { return hex.EncodeToString(d[:]) }

func (a *app) attestationCommand() *cobra.Command {
	return &cobra.Command{Use: "attestation", Short: "Verify the TEE's present attestation", Args: cobra.NoArgs,
		Long: `Draws a challenge, has the running workload attested for it, and verifies the
evidence against the genesis document: what it prints was so after you asked. It
may take some seconds, since a workload answers all challenges of a second at once.

With --json it prints all that docs/ATTESTATION.md has you check by hand: the
statement (base64), the token, the challenge (hex), and the path (hex) of leaf
"index" of "count" from the challenge to the statement's root.`,
		Example: "  sigil attestation --key-file backend.key",
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			t, err := cl.Attestation(c.Context())
			if err != nil {
				return err
			}
			v := &t.Attested
			path := make([]string, len(t.Proof.Path))
			for i, h := range t.Proof.Path {
				path[i] = hex.EncodeToString(h)
			}
			return a.print(map[string]any{"verified": true, "attested": v, "statement": t.Evidence.Statement, "statement_digest": t.Statement.Nonce(), "token": t.Evidence.Token, "evidence": t.Evidence,
				"challenge": digestText(t.Challenge), "index": t.Proof.Index, "count": t.Proof.Count, "path": path}, table([][]string{
				{"verified", "the running workload is one that the genesis document accepts"},
				{"release", v.Release}, {"hardware", v.Hardware}, {"project", v.ProjectID}, {"zone", v.Zone}, {"issuer", v.Issuer},
				{"instance", v.InstanceKey}, {"issued", v.Issued.Format(time.RFC3339)}, {"expires", v.Expires.Format(time.RFC3339)},
			}))
		}}
}
