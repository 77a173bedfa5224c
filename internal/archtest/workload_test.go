package archtest

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// reach lists what touches the world outside the process, by package, and
// which of the workload's packages may use it. What isn't in a list, no code
// that sigil-tee links uses: it opens one file, for reading, listens in one
// place, and dials the launcher, the STS and the KMS.
func reach() map[string]map[string][]string {
	nobody := []string{}
	return map[string]map[string][]string{
		"os": {
			"ReadFile": {"cmd/sigil-tee"}, "Open": nobody, "OpenFile": nobody, "Create": nobody, "CreateTemp": nobody, "WriteFile": nobody,
			"Mkdir": nobody, "MkdirAll": nobody, "MkdirTemp": nobody, "Rename": nobody, "Remove": nobody, "RemoveAll": nobody, "Truncate": nobody,
			"Symlink": nobody, "Link": nobody, "Chmod": nobody, "StartProcess": nobody, "Getenv": nobody, "LookupEnv": nobody, "Environ": nobody,
		},
		"exec": {"Command": nobody, "CommandContext": nobody},
		"net": {
			// teelink's dialer is the control plane's end of the link.
			"Dial": nobody, "DialTimeout": nobody, "Dialer": {"internal/launcher", "internal/kms/federation", "internal/kms/gcpkms", "internal/teelink"},
			"Listen": nobody, "ListenConfig": {"internal/workload"}, "ListenPacket": nobody, "LookupHost": nobody,
		},
		"http": {"Get": nobody, "Post": nobody, "DefaultClient": nobody, "DefaultTransport": nobody, "ListenAndServe": nobody,
			"Client": {"internal/launcher", "internal/kms/federation"}, "Transport": {"internal/launcher", "internal/kms/federation"}},
		"syscall": {"Open": nobody, "Exec": nobody, "ForkExec": nobody},
		"unix":    {"Open": nobody, "Openat": nobody, "Exec": nobody},
	}
}

// The environment isn't read either: it belongs to whoever starts the VM.
func TestWorkloadReachesOnlyWhatItMust(t *testing.T) {
	linked := goList(t, "-deps", "./cmd/sigil-tee")
	allowed := reach()
	used := 0
	for _, s := range sources(t) {
		if s.test || !slices.Contains(linked, module+"/"+s.dir) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := sel.X.(*ast.Ident)
			if !ok || pkg.Obj != nil { // a local of that name
				return true
			}
			by, listed := allowed[pkg.Name][sel.Sel.Name]
			if !listed || !importsPackage(s, pkg.Name) {
				return true
			}
			used++
			if !slices.Contains(by, s.dir) {
				t.Errorf("%s uses %s.%s", s.pos(sel), pkg.Name, sel.Sel.Name)
			}
			return true
		})
	}
	if used < 5 {
		t.Errorf("found %d uses: this test looks in the wrong place", used)
	}
}

func importsPackage(s *source, name string) bool {
	for _, spec := range s.file.Imports {
		p := strings.Trim(spec.Path.Value, `"`)
		if p == name || strings.HasSuffix(p, "/"+name) {
			return true
		}
	}
	return false
}
