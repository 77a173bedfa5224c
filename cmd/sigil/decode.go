package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sigilkeys/sigil/internal/base58"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/chain/solana"
	"github.com/sigilkeys/sigil/internal/networks"
)

func (a *app) decodeCommand() *cobra.Command {
	f := &signFlags{files: map[string]*string{}}
	public := ""
	c := &cobra.Command{Use: "decode", Short: "Say what a transaction or document does, without signing it", Args: cobra.NoArgs,
		Long: `Decodes a transaction, a document or a message as the TEE does, and says in words what it
does, what about it deserves a second look, and what a key's policy must accept to have it
signed. Nothing is sent: it needs no server and no key. Whether a contract is what it seems
to be the bytes don't say.
What is the wallet's own is known with --public-key (hex, on Solana the address), or with
--wallet, which asks the service for the wallet's certificate and verifies it. Solana and
Bitcoin need one of them. A network by configuration is read from the file that
SIGIL_NETWORKS names.`,
		Example: `  sigil decode --network base --transaction 0x02ef…
  sigil decode --network ethereum --typed-data-file permit.json --json`,
		RunE: func(c *cobra.Command, _ []string) error { return a.decode(c, f, public) }}
	c.Flags().StringVar(&f.Network, "network", "", "network, as in base or solana")
	c.Flags().StringVar(&public, "public-key", "", "the wallet's public key in hex, or its Solana address")
	c.Flags().StringVar(&f.WalletID, "wallet", "", "id of the wallet, whose certified key is taken")
	f.addPayload(c.Flags())
	return c
}

func (a *app) decode(c *cobra.Command, f *signFlags, public string) error {
	if f.Network == "" {
		return usagef("`sigil decode --help` has an example", "--network is needed")
	}
	if err := a.readPayload(c, f); err != nil {
		return err
	}
	if f.WalletID != "" && public != "" {
		return usagef("`sigil decode --help` has an example", "give --wallet or --public-key, not both")
	}
	configured, err := readNetworks(a.getenv("SIGIL_NETWORKS"))
	if err != nil {
		return err
	}
	registry, err := networks.New(configured...)
	if err != nil {
		return err
	}
	n, ok := registry.Named(f.Network)
	if !ok {
		return usagef("docs/NETWORKS.md lists them", "there is no network %.40q", f.Network)
	}
	if f.WalletID != "" {
		f.Network = n.Slug
		cl, err := a.client()
		if err != nil {
			return err
		}
		x, err := cl.Decode(c.Context(), f.SignRequest)
		if err != nil {
			return err
		}
		return a.printDecoded(n.Name, x)
	}
	pub, err := publicKey(n, public)
	if err != nil {
		return err
	}
	p := f.payload()
	prepared, err := p.Prepare(n, pub)
	if err != nil {
		return err
	}
	x, err := prepared.Explain(n)
	if err != nil {
		return err
	}
	return a.printDecoded(n.Name, x)
}

func (a *app) printDecoded(network string, x *chain.Explanation) error {
	var intent struct{ Kind, Format string }
	if err := json.Unmarshal(x.Intent, &intent); err != nil {
		return err
	}
	return a.print(x, fmt.Sprintf("%s on %s (%s)\n\n%s", intent.Kind, network, intent.Format, readable(x)))
}

// payload is what the flags say.
func (f *signFlags) payload() *chain.Payload {
	p := &chain.Payload{TypedData: f.TypedData, Authorization: f.Authorization, UserOperation: f.UserOperation}
	switch {
	case f.Transaction != "":
		p.Transaction = &f.Transaction
	case f.MessageBytes != nil:
		text := base64.StdEncoding.EncodeToString(f.MessageBytes)
		p.Text, p.Encoding = &text, "base64"
	case p.TypedData == nil && p.Authorization == nil && p.UserOperation == nil:
		p.Text = &f.Message
	}
	return p
}

// publicKey reads the wallet's public key. Without one, EVM payloads are
// decoded as those of a key that nobody has a use for.
func publicKey(n *chain.Network, text string) ([]byte, error) {
	switch {
	case text == "" && n.Family == evm.Family:
		text = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798" // the generator
	case text == "":
		return nil, usagef("`sigil wallet get` prints it", "--public-key or --wallet is needed on %s: it says what is the wallet's own", n.Slug)
	}
	if b, err := hex.DecodeString(text); err == nil && len(b) == n.Curve.PublicKeySize() {
		return b, nil
	}
	if b, err := base58.Decode(text, n.Curve.PublicKeySize()); err == nil && n.Family == solana.Family {
		return b, nil
	}
	return nil, usagef("`sigil wallet get` prints it", "--public-key is no %v key", n.Curve)
}

// readable is the explanation for a terminal.
func readable(x *chain.Explanation) string {
	var b strings.Builder
	for _, s := range x.Summary {
		fmt.Fprintf(&b, "  - %s\n", s)
	}
	if len(x.Flags) > 0 {
		fmt.Fprint(&b, "\nLook twice:\n")
	}
	for _, f := range x.Flags {
		fmt.Fprintf(&b, "  ! %s (%s)\n", f.Says, f.Flag)
	}
	if len(x.Accept) > 0 {
		fmt.Fprint(&b, "\nNobody here can explain all of it: it is signed only with a key whose policy accepts\n")
	}
	for i := range x.Accept {
		line, err := canon.EncodeJSON(&x.Accept[i])
		if err != nil {
			line = []byte(err.Error())
		}
		fmt.Fprintf(&b, "  %s\n", line)
	}
	for _, s := range x.Refused {
		fmt.Fprintf(&b, "\nIt is never signed: %s\n", s)
	}
	fmt.Fprintf(&b, "\nintent digest %s", x.IntentDigest)
	return b.String()
}
