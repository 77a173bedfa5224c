package archtest

import (
	"slices"
	"strings"
	"testing"
)

// ranks orders the packages: code imports only packages of a lower rank, so
// there is one direction to read the system in and no cycle of ideas. Tests
// may import what they like. A package without a rank fails: give it the
// lowest that its imports allow, and say in docs/ARCHITECTURE.md what it holds.
func ranks() map[string]int {
	return map[string]int{
		// Bytes and words; no package of the module below them.
		"api":             0,
		"internal/abi":    0,
		"internal/base58": 0,
		"attest":          0,
		"internal/canon":  0,
		"internal/secret": 0,

		"internal/ratelimit":  0,
		"internal/servercert": 0,
		"internal/metrics":    0,
		"internal/tracing":    0,

		"internal/keys/vartime": 0, // arithmetic on public inputs

		// What the TEE is made of.
		"internal/keys":           10,
		"internal/policy":         10,
		"internal/typeddata":      10,
		"internal/teeconfig":      10,
		"internal/image":          10,
		"internal/adminkey":       10,
		"internal/launcher":       10,
		"internal/kms/federation": 10,
		"attest/confspace":        10,
		"receipt":                 20,
		"internal/sealed":         20,
		"internal/chain":          20,
		"internal/authority":      20,
		"internal/teelink":        20,
		"attest/attesttest":       20,
		"internal/kms":            30,
		"internal/chain/evm":      30,
		"internal/chain/bitcoin":  30,
		"internal/chain/solana":   30,
		"internal/kms/gcpkms":     40,
		"internal/kms/kmstest":    40,
		"internal/networks":       40,
		"internal/workload":       50,

		// The control plane.
		"internal/store":             60,
		"internal/store/sqlrows":     65,
		"internal/store/sqlitestore": 70,
		"internal/store/pgstore":     70,
		"internal/store/pgtest":      70,
		"internal/store/storetest":   70,
		"internal/signing":           70,
		"internal/ledger":            70,
		"internal/org":               80,
		"internal/backup":            80,
		"internal/server":            90,

		"internal/controlplane": 100,

		// The client side.
		"client":   50,
		"unsigned": 50,

		// The local cloud and the development stack.
		"internal/cloudsim": 50,
		"internal/devstack": 100,

		// Programs.
		"cmd/sigil":           110,
		"cmd/sigil-tee":       110,
		"cmd/sigil-dev":       110,
		"internal/vectorgen":  110,
		"internal/imagegen":   110,
		"internal/clienttest": 110,
		"internal/archtest":   110,
	}
}

func TestImportsGoDownTheRanks(t *testing.T) {
	table := ranks()
	used := map[string]bool{}
	for _, s := range sources(t) {
		used[s.dir] = true
		mine, ok := table[s.dir]
		if !ok && !strings.HasPrefix(s.dir, "test/") {
			t.Errorf("%s: package %s has no rank: add it to the table in this test", s.path, s.dir)
			continue
		}
		if s.test || strings.HasPrefix(s.dir, "test/") {
			continue
		}
		for _, dir := range s.imports() {
			theirs, ok := table[dir]
			if !ok {
				t.Errorf("%s imports %s, which has no rank or is for tests", s.path, dir)
			} else if theirs >= mine {
				t.Errorf("%s (rank %d) imports %s (rank %d)", s.path, mine, dir, theirs)
			}
		}
	}
	for dir := range table {
		if !used[dir] {
			t.Errorf("package %s has a rank but no files", dir)
		}
	}
}

// onlyFrom says which packages, tests aside, may import what must not reach a
// production program.
func onlyFrom() map[string][]string {
	return map[string][]string{
		"internal/cloudsim":    {"internal/devstack", "cmd/sigil-dev"},
		"internal/devstack":    {"cmd/sigil-dev"},
		"attest/attesttest":    {"internal/cloudsim"},
		"internal/clienttest":  {},
		"internal/kms/kmstest": {},
		"internal/workload":    {"cmd/sigil-tee"},
		"internal/kms/gcpkms":  {"cmd/sigil-tee"},
	}
}

// forTests reports whether a package exists for tests only, by its name.
func forTests(dir string) bool {
	return strings.HasPrefix(dir, "test/") || strings.HasSuffix(dir, "test")
}

func TestOnlyTheLocalStackImportsTheEmulator(t *testing.T) {
	rules := onlyFrom()
	for _, s := range sources(t) {
		if s.test || forTests(s.dir) {
			continue
		}
		for _, dir := range s.imports() {
			for target, from := range rules {
				if dir != target && !strings.HasPrefix(dir, target+"/") {
					continue
				}
				if s.dir != target && !strings.HasPrefix(s.dir, target+"/") && !slices.Contains(from, s.dir) {
					t.Errorf("%s imports %s: allowed for %v only", s.path, dir, from)
				}
			}
		}
	}
}

// The control plane is never trusted with a share or a key, so it links none
// of the code that opens or joins them.
func TestControlPlaneTouchesNoKeys(t *testing.T) {
	for _, pkg := range goList(t, "-deps", "./internal/server", "./internal/signing", "./internal/org") {
		switch strings.TrimPrefix(pkg, module+"/") {
		case "internal/sealed", "internal/workload", "internal/secret", "internal/kms", "internal/kms/gcpkms", "internal/launcher":
			t.Errorf("the control plane links %s", pkg)
		}
	}
}

// Anyone who audits receipts or calls the SDK gets what he reads, without a
// database, an emulator or the TEE's code.
func TestPublicPackagesStaySmall(t *testing.T) {
	for _, pkg := range goList(t, "-deps", "./client", "./unsigned", "./receipt", "./attest/confspace", "./api") {
		switch rest := strings.TrimPrefix(pkg, module+"/"); {
		case strings.HasPrefix(rest, "internal/store"), strings.HasPrefix(rest, "internal/cloudsim"),
			strings.HasPrefix(rest, "internal/kms"), strings.HasPrefix(rest, "modernc.org/"), strings.Contains(pkg, "pgx"),
			rest == "internal/workload", rest == "internal/sealed", rest == "internal/server", rest == "internal/signing":
			t.Errorf("a public package links %s", pkg)
		}
	}
}

// The API's description is checked in tests: no program validates a
// request against it.
func TestNoProgramValidatesSchemas(t *testing.T) {
	for _, pkg := range goList(t, "-deps", "./cmd/...", "./client") {
		if strings.HasPrefix(pkg, module+"/test/") || strings.Contains(pkg, "jsonschema") {
			t.Errorf("a program links %s", pkg)
		}
	}
}

const maxModules = 12

func TestWorkloadLinksLittle(t *testing.T) {
	for _, pkg := range goList(t, "-deps", "./cmd/sigil-tee") {
		switch rest := strings.TrimPrefix(pkg, module+"/"); {
		case pkg == "database/sql", strings.Contains(pkg, "sqlite"), strings.Contains(pkg, "pgx"), strings.HasPrefix(pkg, "modernc.org/"):
			t.Errorf("sigil-tee links a database driver: %s", pkg)
		case rest == pkg:
		case strings.HasPrefix(rest, "internal/store"), strings.HasPrefix(rest, "internal/cloudsim"), strings.HasSuffix(rest, "test"),
			slices.Contains([]string{"internal/server", "internal/signing", "internal/org", "internal/devstack", "client", "api"}, rest):
			t.Errorf("sigil-tee links %s", pkg)
		}
	}
	mods := goList(t, "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}@{{.Version}}{{end}}{{end}}", "./cmd/sigil-tee")
	t.Logf("sigil-tee links %d third-party modules (at most %d):\n  %s", len(mods), maxModules, strings.Join(mods, "\n  "))
	if len(mods) > maxModules {
		t.Errorf("sigil-tee links %d third-party modules, more than %d", len(mods), maxModules)
	}
}
