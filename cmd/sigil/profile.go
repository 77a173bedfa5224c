package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/canon"
)

const formatProfile = "sigil.profile.v1"

// profile is what this machine knows of an organisation. It holds no secret,
// but who alters it alters which state key the owner's grants name.
type profile struct {
	Format         string          `json:"format"`
	APIURL         string          `json:"api_url"`
	OrganizationID string          `json:"organization_id"`
	Name           string          `json:"name"`
	GenesisDigest  string          `json:"genesis_digest"` // hex
	StateKey       string          `json:"state_key"`      // hex
	Genesis        json.RawMessage `json:"genesis"`        // DSSE envelope
}

// profileFile returns the path of the profile. Without a home it must be
// given.
func (a *app) profileFile() (string, error) {
	if a.profilePath != "" {
		return a.profilePath, nil
	}
	if p := a.getenv("SIGIL_PROFILE"); p != "" {
		return p, nil
	}
	base := a.getenv("XDG_CONFIG_HOME")
	if base == "" {
		home := a.getenv("HOME")
		if home == "" {
			return "", usagef("give --profile FILE", "there is no home directory to look for a profile in")
		}
		base = filepath.Join(home, ".config")
	}
	return filepath.Join(base, "sigil", "profile.json"), nil
}

// loadProfile reads the profile and checks that it fits together.
func (a *app) loadProfile() (*profile, error) {
	path, err := a.profileFile()
	if err != nil {
		return nil, err
	}
	data, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, withHint(fmt.Errorf("there is no profile at %s", path), "`sigil org create` writes one; --profile names another")
	}
	if err != nil {
		return nil, err
	}
	p := &profile{}
	if err := canon.DecodeJSONLoose(data, p); err != nil {
		return nil, fmt.Errorf("profile %s: %w", path, err)
	}
	if p.Format != formatProfile {
		return nil, fmt.Errorf("profile %s: format is %q, want %q", path, p.Format, formatProfile)
	}
	// White space of the file isn't the envelope's.
	if p.Genesis, err = client.CanonicalEnvelope(p.Genesis); err != nil {
		return nil, fmt.Errorf("profile %s: %w", path, err)
	}
	digest, id, name, err := client.GenesisDigest(p.Genesis)
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", path, err)
	}
	if digestText(digest) != p.GenesisDigest || id != p.OrganizationID || name != p.Name {
		return nil, fmt.Errorf("profile %s was altered: its genesis document has another digest or name", path)
	}
	if _, err := hex32(p.StateKey); err != nil {
		return nil, fmt.Errorf("profile %s: state_key: %w", path, err)
	}
	return p, nil
}

func (p *profile) encode() ([]byte, error) {
	b, err := json.MarshalIndent(p, "", "  ")
	return append(b, '\n'), err
}

// address finds the service: flag, environment, profile.
func (a *app) address() (string, error) {
	if a.apiURL != "" {
		return a.apiURL, nil
	}
	if u := a.getenv("SIGIL_API_URL"); u != "" {
		return u, nil
	}
	if p, err := a.loadProfile(); err == nil && p.APIURL != "" {
		return p.APIURL, nil
	}
	return "", usagef("give --api-url URL, set SIGIL_API_URL, or use a profile", "the address of the service is unknown")
}

// client makes a client for the secret key.
func (a *app) client() (*client.Client, error) {
	secret, err := a.secretKey()
	if err != nil {
		return nil, err
	}
	address, err := a.address()
	if err != nil {
		return nil, err
	}
	networks, err := readNetworks(a.getenv("SIGIL_NETWORKS"))
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{BaseURL: address, SecretKey: secret, Networks: networks, Now: a.now, Random: a.random})
}

func (a *app) secretKey() (string, error) {
	if a.keyFile != "" {
		return readSecret(a.keyFile)
	}
	if s := a.getenv("SIGIL_SECRET_KEY"); s != "" {
		return s, nil
	}
	return "", usagef("give --key-file FILE or set SIGIL_SECRET_KEY; `sigil key create` makes one", "a secret key is needed")
}

func hex32(s string) (d [32]byte, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 32 {
		return d, errors.New("want 64 hex digits")
	}
	return [32]byte(b), nil
}

// hexFlag reads a flag's digest or challenge.
func hexFlag(flag, s string) ([32]byte, error) {
	d, err := hex32(s)
	if err != nil {
		return d, usagef("64 hex digits", "--%s: %v", flag, err)
	}
	return d, nil
}

// makeFolder makes a folder for the owner alone, unless it is there.
func makeFolder(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	return nil
}
