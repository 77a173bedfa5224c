package devstack

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/adminkey"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/policy"
)

// databaseFile is sqlitestore.FileName; a test compares them. Its package
// isn't imported for a name: the database is the control plane's.
const databaseFile = "sigil.db"

// keyLife is how long the folder's key lives; a later start makes a new one
// when less than a day of it is left.
const keyLife = 365 * 24 * time.Hour

// reference returns the reference values of the workload that the stack runs.
func (s *Stack) reference() authority.TEE {
	cloud := s.cloud.Info()
	return authority.TEE{
		Kind: authority.KindConfidentialSpace, Issuer: cloud.IssuerURL, PKIRoot: cloud.PKIRootSHA256, Hardware: cloud.Hardware,
		ProjectID: cloud.ProjectID, ServiceAccount: cloud.ServiceAccount, ImageDigests: []string{s.image},
		TEEKEK: cloud.TEEKey, ProviderKEK: cloud.ProviderKey,
	}
}

// genesisReference is the reference that the organisation's owner signs: of
// the operator's hardware, what the owner accepts.
func (s *Stack) genesisReference() authority.TEE {
	r := s.reference()
	if len(s.accepted) > 0 {
		r.Hardware = s.accepted
	}
	return r
}

// startProcesses starts the workload and the control plane, and waits until
// the one has attested itself to the other.
func (s *Stack) startProcesses(ctx context.Context) error {
	s.procs = newSupervisor(s.cfg.Restart, s.cfg.Log)
	if err := s.procs.start(command{
		name: nameTEE, path: s.path("tee", nameTEE), args: []string{"--config", configFile},
		dir: s.path("tee"), env: []string{}, log: s.path("logs", nameTEE+".log"),
	}); err != nil {
		return err
	}
	accept, err := json.Marshal(s.reference())
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.path("accept.json"), accept, 0o600); err != nil {
		return err
	}
	database := [2]string{"--data", s.path("db")}
	if s.cfg.DatabaseFile != "" {
		database = [2]string{"--database-file", s.cfg.DatabaseFile}
	}
	if err := s.procs.start(command{
		name: nameServe, path: s.cfg.SigilBinary,
		args: append([]string{"serve", database[0], database[1], "--listen", address(s.state.APIPort), "--tee", address(s.state.TEEPort), "--accept", s.path("accept.json"), "--open-registration"}, s.cfg.ServeArgs...),
		dir:  s.dir, env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir}, log: s.path("logs", nameServe+".log"),
	}); err != nil {
		return err
	}
	s.info.APIBaseURL = "http://" + address(s.state.APIPort)
	return s.waitReady(ctx)
}

// waitReady asks /readyz until it says yes.
func (s *Stack) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		last := s.ready(ctx)
		if last == nil {
			return nil
		}
		select {
		case err := <-s.procs.failed:
			return err
		case <-ctx.Done():
			return fmt.Errorf("the stack isn't ready: %w", last)
		case <-tick.C:
		}
	}
}

func (s *Stack) ready(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.info.APIBaseURL+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz answers %s: %s", resp.Status, strings.TrimSpace(string(body)))
	}
	return nil
}

// provision makes what is missing of organisation, key and wallet, each
// recorded as soon as it is there, and verifies all of it against the
// workload's evidence.
func (s *Stack) provision(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, provisionTimeout)
	defer cancel()
	key, err := s.adminKey()
	if err != nil {
		return fmt.Errorf("admin key: %w", err)
	}
	admin, err := client.NewAdmin(client.AdminConfig{BaseURL: s.info.APIBaseURL, Keys: []ed25519.PrivateKey{key}, Now: s.cfg.Now, Random: s.cfg.Random})
	if err != nil {
		return err
	}
	if err := s.organization(ctx, admin, key); err != nil {
		return fmt.Errorf("organisation: %w", err)
	}
	token, err := s.secretKey(ctx, admin)
	if err != nil {
		return fmt.Errorf("secret key: %w", err)
	}
	if err := s.wallet(ctx, token); err != nil {
		return fmt.Errorf("wallet: %w", err)
	}
	return nil
}

// adminKey opens the folder's admin key, or makes it.
func (s *Stack) adminKey() (ed25519.PrivateKey, error) {
	passFile, keyFile := s.path("admin-key.passphrase"), s.path("admin-key.age")
	file, err := os.ReadFile(keyFile)
	if err == nil {
		pass, err := os.ReadFile(passFile)
		if err != nil {
			return nil, err
		}
		return adminkey.Decrypt(file, strings.TrimSpace(string(pass)))
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var random [16]byte
	if _, err := io.ReadFull(s.cfg.Random, random[:]); err != nil {
		return nil, err
	}
	pass := hex.EncodeToString(random[:])
	key, err := adminkey.Generate(s.cfg.Random)
	if err != nil {
		return nil, err
	}
	// A cheap work factor: the passphrase is random and lies beside the file.
	if file, err = adminkey.Encrypt(key, pass, 12); err != nil {
		return nil, err
	}
	if err := writeFile(passFile, []byte(pass+"\n"), 0o600); err != nil {
		return nil, err
	}
	return key, writeFile(keyFile, file, 0o600)
}

func (s *Stack) organization(ctx context.Context, admin *client.Admin, key ed25519.PrivateKey) error {
	var org *client.OwnedOrganization
	var err error
	if len(s.state.Genesis) > 0 {
		if org, err = admin.LoadOrganization(ctx, s.state.Genesis); err != nil {
			return err
		}
		if hex.EncodeToString(org.StateKey[:]) != s.state.StateKey {
			return errors.New("the control plane shows another state key than on the first start")
		}
	} else {
		public := key.Public().(ed25519.PublicKey)
		org, err = admin.CreateOrganization(ctx, client.NewOrganization{
			Name: "Development", Quorum: 1,
			Admins: []client.AdminKey{{Name: "developer", PublicKey: hex.EncodeToString(public)}},
			TEEs:   []client.TEE{s.genesisReference()},
		})
		if err != nil {
			return err
		}
		s.state.Genesis, s.state.StateKey = org.Genesis, hex.EncodeToString(org.StateKey[:])
		if err := s.state.save(s.path("stack.json")); err != nil {
			return err
		}
	}
	s.info.OrganizationID = org.ID
	return nil
}

// secretKey returns the folder's secret token; it makes a key where there is
// none that was registered, or where it ends soon.
func (s *Stack) secretKey(ctx context.Context, admin *client.Admin) (string, error) {
	path := s.path("secret-key")
	if s.state.KeyID != "" && s.cfg.Now().Add(24*time.Hour).Before(time.Unix(s.state.KeyExpires, 0)) {
		data, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		return strings.TrimSpace(string(data)), nil
	}
	stateKey, err := hex.DecodeString(s.state.StateKey)
	if err != nil || len(stateKey) != 32 {
		return "", errors.New("stack.json is damaged: give a new folder")
	}
	all := []string{"*"}
	key, err := admin.CreateKey(ctx, s.state.Genesis, [32]byte(stateKey), client.NewKey{
		Name: "Development key", Methods: []string{policy.MethodSignMessage, policy.MethodSignTransaction, policy.MethodCreateWallet}, Wallets: all, Networks: all, Expires: s.cfg.Now().Add(keyLife),
	}, func(k *client.CreatedKey) error {
		return writeFile(path, []byte(k.Reveal()+"\n"), 0o600)
	})
	if err != nil {
		return "", err
	}
	s.state.KeyID, s.state.KeyExpires = key.KeyID, key.Expires.Unix()
	return key.Reveal(), s.state.save(s.path("stack.json"))
}

func (s *Stack) wallet(ctx context.Context, token string) error {
	c, err := client.New(client.Config{BaseURL: s.info.APIBaseURL, SecretKey: token, Now: s.cfg.Now, Random: s.cfg.Random})
	if err != nil {
		return err
	}
	if s.state.WalletID != "" {
		w, err := c.Wallets().Get(ctx, s.state.WalletID)
		if err != nil {
			return err
		}
		s.info.WalletID, s.info.Addresses = w.ID, w.Addresses
		return nil
	}
	w, err := c.Wallets().Create(ctx, client.NewWallet{Label: "Development wallet"})
	if err != nil {
		return err
	}
	s.info.WalletID, s.info.Addresses = w.ID, w.Addresses
	s.state.WalletID = w.ID
	return s.state.save(s.path("stack.json"))
}
