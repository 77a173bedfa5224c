package main

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sigilkeys/sigil/client"
)

// orgFlags are those of `org create`.
type orgFlags struct {
	name           string
	adminKey       string
	passphraseFile string
	admins         []string // further ones, NAME=PUBLIC KEY
	quorum         int
	accept         acceptFlags
	out            string
}

func (a *app) orgCommand() *cobra.Command {
	g := a.group("org", "Make an organisation", "An organisation is its genesis document: whose keys administer it and which TEE it accepts.")
	f := &orgFlags{}
	c := &cobra.Command{Use: "create", Short: "Make an organisation and have it registered", Args: cobra.NoArgs,
		Long: `Makes and signs the genesis document here, registers it, and verifies that the
organisation's state key was made by a TEE that the document accepts.

--accept names a JSON file with the reference values of the accepted TEE as
they stand in the genesis document; the --tee flags say the same one by one.
The admin key is made if its file isn't there.`,
		Example: `  sigil org create --name Acme --admin-key admin.age --accept tee.json --out acme \
      --api-url http://127.0.0.1:8420`,
		RunE: func(c *cobra.Command, _ []string) error { return a.createOrg(c, f) }}
	fl := c.Flags()
	fl.StringVar(&f.name, "name", "", "name of the organisation")
	fl.StringVar(&f.adminKey, "admin-key", "", "encrypted admin key file; made if it isn't there")
	fl.StringVar(&f.passphraseFile, "passphrase-file", "", "file with the passphrase (default $SIGIL_ADMIN_PASSPHRASE, then the terminal)")
	fl.StringArrayVar(&f.admins, "admin", nil, "further admin as NAME=PUBLIC_KEY (hex)")
	fl.IntVar(&f.quorum, "quorum", 1, "admins who must sign")
	f.accept.add(c)
	fl.StringVar(&f.accept.tee.TEEKEK, "tee-kek", "", "KMS key of the TEE shares")
	fl.StringVar(&f.accept.tee.ProviderKEK, "provider-kek", "", "KMS key of the provider shares")
	fl.StringVar(&f.out, "out", "", "folder for genesis.json, state.json and profile.json (default: the profile's folder)")
	g.AddCommand(c, a.showOrgCommand())
	return g
}

func (a *app) showOrgCommand() *cobra.Command {
	return &cobra.Command{Use: "show", Short: "Print the organisation of the profile", Example: "  sigil org show --profile acme/profile.json", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			p, err := a.loadProfile()
			if err != nil {
				return err
			}
			return a.print(p, table([][]string{{"organisation", p.Name}, {"id", p.OrganizationID}, {"genesis", p.GenesisDigest}, {"state key", p.StateKey}, {"service", p.APIURL}}))
		}}
}

// orgFiles are the paths that `org create` writes.
func (a *app) orgFiles(f *orgFlags) (folder, genesis, state, prof string, err error) {
	if f.out != "" {
		folder = f.out
		prof = filepath.Join(folder, "profile.json")
	} else {
		if prof, err = a.profileFile(); err != nil {
			return "", "", "", "", err
		}
		folder = filepath.Dir(prof)
	}
	return folder, filepath.Join(folder, "genesis.json"), filepath.Join(folder, "state.json"), prof, nil
}

func (a *app) createOrg(c *cobra.Command, f *orgFlags) error {
	if f.name == "" || f.adminKey == "" {
		return usagef("`sigil org create --help` has an example", "--name and --admin-key are needed")
	}
	tees, err := f.accept.accepted(c)
	if err != nil {
		return err
	}
	address := a.apiURL
	if address == "" {
		address = a.getenv("SIGIL_API_URL")
	}
	if address == "" {
		return usagef("give --api-url URL or set SIGIL_API_URL", "the address of the service is unknown")
	}
	folder, genesis, state, prof, err := a.orgFiles(f)
	if err != nil {
		return err
	}
	if err := absent(genesis, state, prof); err != nil {
		return err
	}
	key, err := a.adminKeyFor(f)
	if err != nil {
		return err
	}
	admin, err := client.NewAdmin(client.AdminConfig{BaseURL: address, Keys: []ed25519.PrivateKey{key}, Now: a.now, Random: a.random})
	if err != nil {
		return err
	}
	admins, err := f.allAdmins(key)
	if err != nil {
		return err
	}
	if err := makeFolder(folder); err != nil {
		return err
	}
	org, err := admin.CreateOrganization(c.Context(), client.NewOrganization{Name: f.name, Admins: admins, Quorum: f.quorum, TEEs: tees})
	if err != nil {
		return err
	}
	return a.saveOrg(org, address, genesis, state, prof)
}

// adminKeyFor opens the admin key, or makes it.
func (a *app) adminKeyFor(f *orgFlags) (ed25519.PrivateKey, error) {
	if _, err := os.Stat(f.adminKey); errors.Is(err, fs.ErrNotExist) {
		key, err := a.newAdminKey(f.adminKey, f.passphraseFile)
		if err == nil {
			a.note("made the admin key %s; back it up, and its passphrase elsewhere", f.adminKey)
		}
		return key, err
	}
	return a.openAdminKey(f.adminKey, f.passphraseFile)
}

func (a *app) saveOrg(org *client.OwnedOrganization, address, genesis, state, prof string) error {
	p := &profile{Format: formatProfile, APIURL: address, OrganizationID: org.ID, Name: org.Name,
		GenesisDigest: digestText(org.GenesisDigest), StateKey: digestText(org.StateKey), Genesis: org.Genesis}
	encoded, err := p.encode()
	if err != nil {
		return err
	}
	sealed, err := json.Marshal(map[string]any{"organization_id": org.ID, "state_record": org.StateRecord})
	if err != nil {
		return err
	}
	for _, w := range []struct {
		path    string
		content []byte
	}{{genesis, org.Genesis}, {state, append(sealed, '\n')}, {prof, encoded}} {
		if err := create(w.path, w.content); err != nil {
			return err
		}
	}
	a.note("verified: the state key was made by release %s on %s in project %s", org.Attested.Release, org.Attested.Hardware, org.Attested.ProjectID)
	return a.print(map[string]any{"organization_id": org.ID, "name": org.Name, "genesis_digest": p.GenesisDigest, "state_key": p.StateKey,
		"profile": prof, "attested": org.Attested},
		table([][]string{{"organisation", org.ID}, {"genesis", p.GenesisDigest}, {"state key", p.StateKey}, {"profile", prof}}))
}

func wrap(err error, name string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// allAdmins lists the own key first.
func (f *orgFlags) allAdmins(key ed25519.PrivateKey) ([]client.AdminKey, error) {
	list := []client.AdminKey{{Name: "root", PublicKey: hex.EncodeToString(key[32:])}}
	for _, s := range f.admins {
		name, public, ok := strings.Cut(s, "=")
		if _, err := hex32(public); !ok || name == "" || err != nil {
			return nil, usagef("as in --admin alice=<64 hex digits>; `sigil admin-key show` prints the key", "--admin %q isn't NAME=PUBLIC_KEY", s)
		}
		list = append(list, client.AdminKey{Name: name, PublicKey: public})
	}
	return list, nil
}
