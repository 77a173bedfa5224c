package teeconfig

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/sigilkeys/sigil/internal/canon"
)

// Member is one of a configuration's, for a person to read.
type Member struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"` // JSON in ASCII; not of tls_roots

	// Decides says how the member decides who gets the keys, "" where it
	// doesn't.
	Decides string `json:"decides,omitempty"`

	Certificates []Certificate `json:"certificates,omitempty"` // of tls_roots
}

// Members lists the configuration's members in the order of the file.
func (c *Config) Members() []Member {
	text := func(name, value, decides string) Member {
		return Member{Name: name, Value: strconv.QuoteToASCII(value), Decides: decides}
	}
	number := func(name string, n int) Member { return Member{Name: name, Value: strconv.Itoa(n)} }
	roots, _ := certificates(c.TLSRoots) // Parse has read them
	const provider = "this identity provider says which programs and people may use the key"
	return []Member{
		text("format", c.Format, ""),
		text("listen", c.Listen, ""),
		text("launcher_socket", c.LauncherSocket, "attestation tokens, and so the proof of what runs, come from here"),
		text("sts_url", c.STSURL, "the workload's tokens for the keys go here"),
		text("kms_url", c.KMSURL, "this address gets both DEKs to wrap and unwrap"),
		{Name: "tls_roots", Certificates: roots, Decides: "whoever has one of these roots and the network can pass for the STS and the KMS, and gets both DEKs"},
		text("tee_key", c.TEEKey, "whoever administers this key can open the TEE shares"),
		text("tee_audience", c.TEEAudience, provider),
		text("provider_key", c.ProviderKey, "whoever administers this key can open the provider shares"),
		text("provider_audience", c.ProviderAudience, provider),
		text("project_id", c.ProjectID, ""),
		number("dek_cache_entries", c.DEKCacheEntries),
		number("dek_cache_seconds", c.DEKCacheSeconds),
		number("workers", c.Workers),
		{Name: "development", Value: strconv.FormatBool(c.Development), Decides: "it lifts the rule of two parties and the protection of memory"},
		{Name: "evm_networks", Value: c.networks(), Decides: "the chain id that is signed for under each name"},
	}
}

// networks is the list in JSON, "" for none.
func (c *Config) networks() string {
	if len(c.EVMNetworks) == 0 {
		return ""
	}
	b, err := canon.EncodeJSON(c.EVMNetworks)
	if err != nil {
		return err.Error()
	}
	return strconv.QuoteToASCII(string(b))
}

// Spelling is the name of a difference between files that say the same.
const Spelling = "spelling"

// Difference is a member that a configuration has otherwise than expected.
type Difference struct {
	Name     string `json:"name"` // of the member, or Spelling
	Expected string `json:"expected,omitempty"`
	Found    string `json:"found,omitempty"`
	Decides  string `json:"decides,omitempty"` // as Member's

	// Roots that are found beyond those expected, and those that aren't.
	Added   []Certificate `json:"added,omitempty"`
	Removed []Certificate `json:"removed,omitempty"`
}

// Diff compares two files that Parse takes. It is empty for equal bytes only:
// files that differ in spaces, in the order of members or in how they write
// the same roots have one difference, of Spelling.
func Diff(expected, found []byte) ([]Difference, error) {
	want, _, err := Parse(expected)
	if err != nil {
		return nil, err
	}
	got, _, err := Parse(found)
	if err != nil {
		return nil, err
	}
	var out []Difference
	others := got.Members()
	for n, w := range want.Members() {
		g := others[n]
		d := Difference{Name: w.Name, Expected: w.Value, Found: g.Value, Decides: w.Decides,
			Added: without(g.Certificates, w.Certificates), Removed: without(w.Certificates, g.Certificates)}
		if d.Expected != d.Found || len(d.Added) > 0 || len(d.Removed) > 0 {
			out = append(out, d)
		}
	}
	if len(out) == 0 && !bytes.Equal(expected, found) {
		out = []Difference{{Name: Spelling}}
	}
	return out, nil
}

func without(list, but []Certificate) []Certificate {
	return slices.DeleteFunc(slices.Clone(list), func(c Certificate) bool { return slices.Contains(but, c) })
}
