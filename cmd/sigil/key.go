package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/policy"
)

type keyFlags struct {
	adminFlags
	name     string
	networks []string
	methods  []string
	wallets  []string
	expires  string
	bearer   bool
	scope    string
	allowIPs []string
	out      string
	print    bool

	accept string

	methodsGiven bool
}

func (a *app) keyCommand() *cobra.Command {
	g := a.group("key", "Make, list and revoke secret keys", "A secret key is made here; only its public half and the owner's grant are sent.")
	f := &keyFlags{}
	c := &cobra.Command{Use: "create", Short: "Make a secret key and grant it rights", Args: cobra.NoArgs,
		Long: `Makes a secret key and the grant that says what it may do, signs the grant with
the admin key, and registers it. FILE gets the secret key, FILE.grant.json the
grant; keep the latter to revoke the key.`,
		Example: `  sigil key create --name backend --wallets '*' --networks base,solana \
      --methods signMessage --expires 90d --admin-key admin.age --out backend.key`,
		RunE: func(c *cobra.Command, _ []string) error { return a.createKey(c, f) }}
	f.add(c)
	c.Flags().StringVar(&f.name, "name", "", "name of the key")
	c.Flags().StringSliceVar(&f.wallets, "wallets", nil, "ids of wallets, or '*'")
	c.Flags().StringSliceVar(&f.networks, "networks", nil, "networks, or '*'")
	c.Flags().StringSliceVar(&f.methods, "methods", []string{policy.MethodSignMessage}, "signMessage, signTransaction, signTypedData, signAuthorization, signUserOperation, createWallet, or '*' for the first and the last")
	c.Flags().StringVar(&f.accept, "accept", "", "file with a list of what may be signed though nobody can explain it (docs/FORMATS.md)")
	c.Flags().StringVar(&f.expires, "expires", "90d", "life (90d, 12h) or end (2027-01-31, RFC 3339)")
	c.Flags().BoolVar(&f.bearer, "bearer", false, "the key itself may be presented; it then passes through the control plane in clear")
	c.Flags().StringVar(&f.scope, "scope", "full", "full, or read for a key that reads and never gets a decision")
	c.Flags().StringSliceVar(&f.allowIPs, "allow-ip", nil, "networks that the control plane takes the key's requests from, as in 192.0.2.0/24 (default any)")
	c.Flags().StringVar(&f.out, "out", "", "file for the secret key")
	c.Flags().BoolVar(&f.print, "print", false, "print the secret key")
	g.AddCommand(c, a.listKeysCommand(), a.revokeKeyCommand())
	return g
}

func (f *keyFlags) check() error {
	switch {
	case f.name == "":
		return usagef("give --name NAME", "the key needs a name")
	case f.out == "" && !f.print:
		return usagef("give --out FILE, or --print to see the key", "there is no place for the secret key")
	case f.scope == "read":
		return f.checkRead()
	case f.scope != "full":
		return usagef("give --scope full or --scope read", "--scope %q is unknown", f.scope)
	case slices.Contains(f.methods, policy.MethodCreateWallet) && len(f.methods) == 1:
		return nil
	case len(f.wallets) == 0 || len(f.networks) == 0:
		return usagef("name them, or give --wallets '*' --networks '*'", "an empty list allows nothing: --wallets and --networks are needed to sign")
	}
	return nil
}

// checkRead refuses rights that a key to read can't use.
func (f *keyFlags) checkRead() error {
	if len(f.wallets)+len(f.networks) > 0 || f.methodsGiven {
		return usagef("leave out --wallets, --networks and --methods", "a key to read signs nothing and reads all of the organisation")
	}
	f.methods = nil
	return nil
}

// addressPrefix takes an address for the network of it alone.
func addressPrefix(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()).String()
	}
	return s
}

func (a *app) createKey(c *cobra.Command, f *keyFlags) error {
	f.methodsGiven = c.Flags().Changed("methods")
	if err := f.check(); err != nil {
		return err
	}
	for i := range f.allowIPs {
		f.allowIPs[i] = addressPrefix(f.allowIPs[i])
	}
	expires, err := parseExpiry(f.expires, a.now())
	if err != nil {
		return err
	}
	accept, err := a.readAccept(f.accept)
	if err != nil {
		return err
	}
	p, admin, err := a.owner(&f.adminFlags)
	if err != nil {
		return err
	}
	state, err := hex32(p.StateKey)
	if err != nil {
		return err
	}
	grantFile := ""
	if f.out != "" {
		grantFile = f.out + ".grant.json"
		if err := absent(f.out, grantFile); err != nil {
			return err
		}
	}
	save := func(k *client.CreatedKey) error {
		if f.out == "" {
			return nil
		}
		if err := create(f.out, []byte(k.Reveal()+"\n")); err != nil {
			return err
		}
		return create(grantFile, append(k.Grant, '\n'))
	}
	k, err := admin.CreateKey(c.Context(), p.Genesis, state, client.NewKey{Name: f.name, Wallets: f.wallets, Networks: f.networks,
		Methods: f.methods, Accept: accept, Expires: expires, Bearer: f.bearer, Scope: f.scope, AllowIPs: f.allowIPs}, save)
	if err != nil {
		return err
	}
	return a.printKey(f, k, grantFile)
}

// readAccept reads the acceptances of a policy; no file is none.
func (a *app) readAccept(file string) (list []policy.Acceptance, err error) {
	if file == "" {
		return nil, nil
	}
	data, err := a.readInput(file)
	if err != nil {
		return nil, err
	}
	if err := canon.DecodeJSONLoose(data, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := (&policy.Policy{Accept: list}).Check(); err != nil {
		return nil, usagef("docs/FORMATS.md says what an acceptance names", "%s: %v", file, err)
	}
	return list, nil
}

func (a *app) printKey(f *keyFlags, k *client.CreatedKey, grantFile string) error {
	out := map[string]any{"id": k.GrantID, "key_id": k.KeyID, "name": f.name, "expires_at": k.Expires.Format(time.RFC3339),
		"grant_digest": digestText(k.GrantDigest)}
	rows := [][]string{{"key", k.GrantID}, {"key id", k.KeyID}, {"grant", digestText(k.GrantDigest)}, {"expires", k.Expires.Format(time.RFC3339)}}
	if f.out != "" {
		out["secret_key_file"], out["grant_file"] = f.out, grantFile
		rows = append(rows, []string{"secret key", f.out}, []string{"grant file", grantFile})
	}
	if f.print {
		out["secret_key"] = k.Reveal()
		rows = append(rows, []string{"secret key", k.Reveal()})
	}
	return a.print(out, table(rows))
}

// owner loads the profile and opens the admin keys.
func (a *app) owner(f *adminFlags) (*profile, *client.Admin, error) {
	p, err := a.loadProfile()
	if err != nil {
		return nil, nil, err
	}
	address, err := a.address()
	if err != nil {
		return nil, nil, err
	}
	admin, err := a.admin(f, address)
	return p, admin, err
}

// parseExpiry takes a life (days, hours) or an instant.
func parseExpiry(s string, now time.Time) (time.Time, error) {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		if days, err := strconv.ParseUint(n, 10, 16); err == nil && days > 0 {
			return now.Add(time.Duration(days) * 24 * time.Hour), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(d), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil && t.After(now) {
			return t, nil
		}
	}
	return time.Time{}, usagef("as in 90d, 12h, 2027-01-31", "--expires %q is neither a life nor a time to come", s)
}

func (a *app) listKeysCommand() *cobra.Command {
	f := &adminFlags{}
	c := &cobra.Command{Use: "list", Short: "List the organisation's keys", Example: "  sigil key list --admin-key admin.age", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			p, admin, err := a.owner(f)
			if err != nil {
				return err
			}
			keys, err := admin.Keys(c.Context(), p.Genesis)
			if err != nil {
				return err
			}
			rows := [][]string{{"ID", "NAME", "KEY", "SCOPE", "FROM", "STATUS", "LAST USED", "EXPIRES"}}
			for _, k := range keys {
				used := "never"
				if k.LastUsedAt != nil {
					used = k.LastUsedAt.Format(time.RFC3339)
				}
				rows = append(rows, []string{k.ID, k.Name, k.KeyPrefix + "…", k.Scope, strings.Join(k.AllowIPs, ","), k.Status, used, k.ExpiresAt.Format(time.RFC3339)})
			}
			return a.print(map[string]any{"items": keys}, table(rows))
		}}
	f.add(c)
	return c
}

func (a *app) revokeKeyCommand() *cobra.Command {
	f := &adminFlags{}
	var grantFile, reason string
	c := &cobra.Command{Use: "revoke [ID]", Short: "Revoke a key", Args: cobra.MaximumNArgs(1),
		Long: `Revokes a key. --grant takes the grant from the file that key create wrote, and
is the safe way: with an ID alone, the service says which grant that is.`,
		Example: "  sigil key revoke --grant backend.key.grant.json --admin-key admin.age --reason leaked",
		RunE: func(c *cobra.Command, args []string) error {
			if (len(args) == 1) == (grantFile != "") {
				return usagef("`sigil key list` prints ids", "give either an ID or --grant FILE")
			}
			p, admin, err := a.owner(f)
			if err != nil {
				return err
			}
			digest, err := a.grantToRevoke(c, admin, p, args, grantFile)
			if err != nil {
				return err
			}
			if err := admin.Revoke(c.Context(), p.Genesis, digest, reason); err != nil {
				return err
			}
			return a.print(map[string]string{"grant_digest": digestText(digest), "status": "revoked"}, "revoked "+digestText(digest))
		}}
	f.add(c)
	c.Flags().StringVar(&grantFile, "grant", "", "file with the grant")
	c.Flags().StringVar(&reason, "reason", "", "why, up to 200 bytes")
	return c
}

func (a *app) grantToRevoke(c *cobra.Command, admin *client.Admin, p *profile, args []string, file string) ([32]byte, error) {
	if file != "" {
		envelope, err := readEnvelope(file)
		if err != nil {
			return [32]byte{}, err
		}
		return client.GrantDigest(envelope, p.Genesis)
	}
	keys, err := admin.Keys(c.Context(), p.Genesis)
	if err != nil {
		return [32]byte{}, err
	}
	i := slices.IndexFunc(keys, func(k api.Key) bool { return k.ID == args[0] })
	if i < 0 {
		return [32]byte{}, withHint(fmt.Errorf("there is no key %s", args[0]), "`sigil key list` prints ids")
	}
	a.note("the service says that %s is the grant %s; --grant FILE doesn't rely on its word", args[0], keys[i].GrantDigest)
	return hex32(keys[i].GrantDigest)
}
