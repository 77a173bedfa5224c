package cloudsim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sigilkeys/sigil/internal/canon"
)

const stateFormat = "sigil.cloudsim.v1"

// state is what cloud.json holds.
type state struct {
	Format   string         `json:"format"`
	Ports    map[string]int `json:"ports"`
	TokenKey []byte         `json:"token_key"` // seals access tokens
	Releases []string       `json:"releases"`
	Pools    []Pool         `json:"pools"` // [0] admits to the TEE key, [1] to the provider key
	Keys     []Key          `json:"keys"`  // [0] TEE share, [1] provider share
	Deny     []DenyRule     `json:"deny"`
}

// Pool is a workload identity pool with its one provider.
type Pool struct {
	Number           string            `json:"project_number"`
	ID               string            `json:"pool_id"`
	Disabled         bool              `json:"disabled"` // ends tokens that were issued before
	Provider         string            `json:"provider_id"`
	ProviderDisabled bool              `json:"provider_disabled"` // doesn't
	Audiences        []string          `json:"allowed_audiences"`
	Mapping          map[string]string `json:"attribute_mapping"`
	// Condition is the attribute condition; empty: the recommended one for
	// the admitted releases.
	Condition string `json:"attribute_condition"`
}

func (p *Pool) name() string {
	return "projects/" + p.Number + "/locations/global/workloadIdentityPools/" + p.ID
}

func (p *Pool) audience() string {
	return "//iam.googleapis.com/" + p.name() + "/providers/" + p.Provider
}

// member is the principal set of the pool's tokens with a production digest.
func (p *Pool) member(digest string) string {
	return "principalSet://iam.googleapis.com/" + p.name() + "/attribute.prod_digest/" + digest
}

// The mapping that Google documents, and an attribute that only production
// images have: a debug image of an admitted digest matches no binding.
func defaultMapping() map[string]string {
	return map[string]string{
		"google.subject": `"gcpcs::"+assertion.submods.container.image_digest+"::"+` +
			`assertion.submods.gce.project_number+"::"+assertion.submods.gce.instance_id`,
		"attribute.image_digest": `assertion.submods.container.image_digest`,
		"attribute.prod_digest": `assertion.dbgstat == 'disabled-since-boot' ? ` +
			`assertion.submods.container.image_digest : 'debug'`,
	}
}

func newState(random io.Reader) (*state, error) {
	st := &state{Format: stateFormat, Ports: map[string]int{}, TokenKey: make([]byte, 32), Releases: []string{}}
	if _, err := io.ReadFull(random, st.TokenKey); err != nil {
		return nil, err
	}
	for i, name := range []string{"tee", "provider"} {
		pool := Pool{
			Number: fmt.Sprintf("10000000000%d", i+1), ID: "sigil-" + name, Provider: "confidential-space",
			Audiences: []string{"https://sts.googleapis.com"}, Mapping: defaultMapping(),
		}
		st.Pools = append(st.Pools, pool)
		key := Key{Name: "projects/sigil-" + name + "/locations/us-central1/keyRings/sigil/cryptoKeys/" + name + "-share"}
		if err := key.rotate(random); err != nil {
			return nil, err
		}
		// Whoever owns the project can use its keys unless it is denied.
		key.Bindings = []Binding{
			{Role: roleUse, Members: []string{}},
			{Role: roleOwner, Members: []string{"user:owner@sigil-" + name + ".test"}},
			{Role: roleAdmin, Members: []string{"user:release@sigil-" + name + ".test"}},
		}
		st.Keys = append(st.Keys, key)
		st.Deny = append(st.Deny, defaultDeny(key.Name, pool.name(), "user:release@sigil-"+name+".test")...)
	}
	return st, nil
}

func loadState(dir string, random io.Reader) (*state, error) {
	path := filepath.Join(dir, "cloud.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		st, err := newState(random)
		if err != nil {
			return nil, fmt.Errorf("cloudsim: %w", err)
		}
		return st, st.save(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("cloudsim: %w", err)
	}
	st := &state{}
	if err := canon.DecodeJSONLoose(data, st); err != nil {
		return nil, fmt.Errorf("cloudsim: %s: %w", path, err)
	}
	if st.Format != stateFormat || len(st.TokenKey) != 32 || len(st.Pools) != 2 || len(st.Keys) != 2 || st.Ports == nil {
		return nil, fmt.Errorf("cloudsim: %s is not a cloud of this version", path)
	}
	return st, nil
}

func (st *state) save(dir string) error {
	data, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, "cloud.json"), data); err != nil {
		return fmt.Errorf("cloudsim: %w", err)
	}
	return nil
}

func (st *state) clone() (*state, error) {
	data, err := json.Marshal(st)
	if err != nil {
		return nil, err
	}
	out := &state{}
	return out, json.Unmarshal(data, out)
}

func (st *state) admit(digest string) {
	st.withdraw(digest)
	st.Releases = append(st.Releases, digest)
	for i := range st.Keys {
		b := st.Keys[i].binding(roleUse)
		b.Members = append(b.Members, st.Pools[i].member(digest))
	}
}

func (st *state) withdraw(digest string) {
	st.Releases = slices.DeleteFunc(st.Releases, func(d string) bool { return d == digest })
	for i := range st.Keys {
		b := st.Keys[i].binding(roleUse)
		b.Members = slices.DeleteFunc(b.Members, func(m string) bool { return m == st.Pools[i].member(digest) })
	}
}

func (st *state) key(name string) *Key {
	for i := range st.Keys {
		if st.Keys[i].Name == name {
			return &st.Keys[i]
		}
	}
	return nil
}

func (st *state) pool(audience string) *Pool {
	for i := range st.Pools {
		if st.Pools[i].audience() == audience {
			return &st.Pools[i]
		}
	}
	return nil
}

// condition is the pool's attribute condition: the recommended one admits
// production Confidential Space workloads of the releases, on that hardware, in the workload's
// project, as its service account, without overrides.
func (st *state) condition(p *Pool, hardware []string) string {
	if p.Condition != "" {
		return p.Condition
	}
	w := defaultWorkload("")
	return strings.Join([]string{
		`assertion.swname == 'CONFIDENTIAL_SPACE'`,
		`'STABLE' in assertion.submods.confidential_space.support_attributes`,
		`assertion.dbgstat == 'disabled-since-boot'`,
		`assertion.secboot == true`,
		`assertion.hwmodel in ` + celList(hardware),
		`assertion.submods.container.image_digest in ` + celList(st.Releases),
		`assertion.submods.gce.project_id == '` + w.ProjectID + `'`,
		`'` + w.ServiceAccount + `' in assertion.google_service_accounts`,
		`!has(assertion.submods.container.cmd_override)`,
		`!has(assertion.submods.container.env_override)`,
	}, " && ")
}

// celList writes strings that need no escapes as a CEL list.
func celList(items []string) string {
	var out []string
	for _, s := range items {
		out = append(out, "'"+s+"'")
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// UpdatePool changes the TEE pool (0) or the provider pool (1).
func (s *Sim) UpdatePool(i int, change func(*Pool)) error {
	return s.update(func(st *state) error {
		if i < 0 || i >= len(st.Pools) {
			return fmt.Errorf("cloudsim: no pool %d", i)
		}
		change(&st.Pools[i])
		return nil
	})
}

// SetDenyRules replaces the deny policy.
func (s *Sim) SetDenyRules(rules ...DenyRule) error {
	for i := range rules {
		if err := rules[i].check(); err != nil {
			return err
		}
	}
	return s.update(func(st *state) error { st.Deny = rules; return nil })
}
