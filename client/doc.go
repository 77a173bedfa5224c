// Package client is Sigil's Go SDK: it has a wallet sign, and believes nothing
// that the control plane says without proof.
//
//	c, err := client.New(client.Config{BaseURL: "http://127.0.0.1:8420", SecretKey: os.Getenv("SIGIL_SECRET_KEY")})
//	res, err := c.Sign(ctx, client.SignRequest{WalletID: id, Network: "base", Message: "audit-log-2026-06"})
//
// The secret key never leaves the process. It holds the seed of the key that
// signs requests and the pin, the start of the digest of the organisation's
// genesis document. From the pin follows everything that is checked, by
// default and for every call:
//
//	pin → genesis, signed by the owner's admins
//	    → grant of this very key, signed by the same admins; names the state key
//	    → state certificate: an attested workload of an accepted release made
//	      the state key
//	    → wallet certificate, signed by the state key
//	    → signature, verified over locally encoded bytes under the certified key
//	    → receipt: what the workload decided is what was asked
//	    → batch signature → attestation evidence of the instance that made it
//
// A control plane that answers with anything else causes a *VerificationError,
// whose Code says which link broke. *APIError is a refusal by the service;
// a denial by policy carries its verified receipt.
//
// What isn't proved here: that a reply arrives at all, that a list of wallets
// is complete, and labels and creation times, which are the control plane's own.
package client
