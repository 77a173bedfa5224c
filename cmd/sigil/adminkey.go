package main

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/adminkey"
)

// adminFlags name the owner's keys.
type adminFlags struct {
	files          []string
	passphraseFile string
}

func (f *adminFlags) add(c *cobra.Command) {
	c.Flags().StringSliceVar(&f.files, "admin-key", nil, "encrypted admin key file; several for a quorum")
	c.Flags().StringVar(&f.passphraseFile, "passphrase-file", "", "file with the passphrase (default $SIGIL_ADMIN_PASSPHRASE, then the terminal)")
}

// promptTerminal asks on the controlling terminal, also when standard input
// is something else.
func promptTerminal(question string) (string, error) {
	tty := os.Stdin
	if !term.IsTerminal(int(tty.Fd())) {
		f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
		if err != nil {
			return "", usagef("set SIGIL_ADMIN_PASSPHRASE or give --passphrase-file", "a passphrase is needed and there is no terminal to ask on")
		}
		defer f.Close()
		tty = f
	}
	fmt.Fprint(os.Stderr, question)
	b, err := term.ReadPassword(int(tty.Fd()))
	fmt.Fprintln(os.Stderr)
	if err != nil {
		return "", fmt.Errorf("read passphrase: %w", err)
	}
	return string(b), nil
}

// passphrase finds the passphrase of a key file; a new one is asked twice.
func (a *app) passphrase(file, path string, fresh bool) (string, error) {
	if file != "" {
		return readSecret(file)
	}
	if p := a.getenv("SIGIL_ADMIN_PASSPHRASE"); p != "" {
		return p, nil
	}
	p, err := a.prompt(fmt.Sprintf("Passphrase of %s: ", path))
	if err != nil || !fresh {
		return p, err
	}
	again, err := a.prompt("The same again: ")
	if err != nil {
		return "", err
	}
	if p != again {
		return "", errors.New("the two passphrases differ")
	}
	return p, nil
}

// newAdminKey makes a key and its file.
func (a *app) newAdminKey(path, passphraseFile string) (ed25519.PrivateKey, error) {
	if err := absent(path); err != nil {
		return nil, err
	}
	p, err := a.passphrase(passphraseFile, path, true)
	if err != nil {
		return nil, err
	}
	key, err := adminkey.Generate(a.random)
	if err != nil {
		return nil, err
	}
	file, err := adminkey.Encrypt(key, p, adminkey.WorkFactor)
	if err != nil {
		return nil, err
	}
	return key, create(path, file)
}

func (a *app) openAdminKey(path, passphraseFile string) (ed25519.PrivateKey, error) {
	file, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, withHint(fmt.Errorf("there is no admin key at %s", path), "`sigil admin-key create` makes one")
	}
	if err != nil {
		return nil, err
	}
	p, err := a.passphrase(passphraseFile, path, false)
	if err != nil {
		return nil, err
	}
	key, err := adminkey.Decrypt(file, p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// admin opens the keys and makes the administrative client.
func (a *app) admin(f *adminFlags, address string) (*client.Admin, error) {
	if len(f.files) == 0 {
		return nil, usagef("give --admin-key FILE", "an admin key is needed")
	}
	var keys []ed25519.PrivateKey
	for _, path := range f.files {
		key, err := a.openAdminKey(path, f.passphraseFile)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return client.NewAdmin(client.AdminConfig{BaseURL: address, Keys: keys, Now: a.now, Random: a.random})
}

func (a *app) adminKeyCommand() *cobra.Command {
	g := a.group("admin-key", "Make and show the owner's keys", "An admin key signs an organisation's documents. It rests in an age file that a passphrase encrypts.")
	var passphraseFile, out string
	create := &cobra.Command{Use: "create", Short: "Make an admin key", Args: cobra.NoArgs,
		Example: "  sigil admin-key create --out admin.age",
		RunE: func(*cobra.Command, []string) error {
			if out == "" {
				return usagef("give --out FILE", "the file to write is missing")
			}
			key, err := a.newAdminKey(out, passphraseFile)
			if err != nil {
				return err
			}
			return a.printAdminKey(out, key)
		}}
	create.Flags().StringVar(&out, "out", "", "file to write")
	show := &cobra.Command{Use: "show FILE", Short: "Print an admin key's public key", Args: cobra.ExactArgs(1),
		Example: "  sigil admin-key show admin.age",
		RunE: func(_ *cobra.Command, args []string) error {
			key, err := a.openAdminKey(args[0], passphraseFile)
			if err != nil {
				return err
			}
			return a.printAdminKey(args[0], key)
		}}
	for _, c := range []*cobra.Command{create, show} {
		c.Flags().StringVar(&passphraseFile, "passphrase-file", "", "file with the passphrase (default $SIGIL_ADMIN_PASSPHRASE, then the terminal)")
	}
	g.AddCommand(create, show)
	return g
}

func (a *app) printAdminKey(path string, key ed25519.PrivateKey) error {
	public := hex.EncodeToString(key[32:])
	return a.print(map[string]string{"file": path, "public_key": public}, public)
}
