package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/sigilkeys/sigil/internal/adminkey"
	"github.com/sigilkeys/sigil/internal/clienttest"
	"github.com/sigilkeys/sigil/test/spec"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sigil": main})
}

// service starts a fake service, one for all scripts: its issuer takes a
// second to make.
var service = sync.OnceValues(func() (*clienttest.Service, error) {
	issuer, err := clienttest.NewIssuer(time.Now())
	if err != nil {
		return nil, err
	}
	return clienttest.New(issuer, time.Now)
})

func TestScripts(t *testing.T) {
	s, err := service()
	if err != nil {
		t.Fatal(err)
	}
	described, err := spec.Load()
	if err != nil {
		t.Fatal(err)
	}
	honest := httptest.NewServer(described.Watch(s, t.Errorf))
	t.Cleanup(honest.Close)
	hostile := httptest.NewServer(clienttest.Rewrite(s, func(path string, data map[string]any) {
		if path == "/v1/s2s/sign" {
			data["signature"] = "0x" + strings.Repeat("00", 65)
		}
	}))
	t.Cleanup(hostile.Close)
	tee, err := json.Marshal(s.TEE())
	if err != nil {
		t.Fatal(err)
	}
	key, err := adminkey.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	// An admin key whose file opens fast; the scripts make one slow one.
	fast, err := adminkey.Encrypt(key, "correct horse battery", 8)
	if err != nil {
		t.Fatal(err)
	}
	files := attestationFiles(t, s, honest.URL)
	files["tee.json"], files["fast.age"] = tee, fast
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("API", honest.URL)
			e.Setenv("HOSTILE", hostile.URL)
			e.Setenv("HOME", "")
			e.Setenv("XDG_CONFIG_HOME", "")
			for name, content := range files {
				if err := os.WriteFile(filepath.Join(e.WorkDir, name), content, 0o600); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// mode FILE OCTAL requires a file's permissions.
			"mode": func(ts *testscript.TestScript, neg bool, args []string) {
				info, err := os.Stat(ts.MkAbs(args[0]))
				ts.Check(err)
				if got := info.Mode().Perm().String(); (got == args[1]) == neg {
					ts.Fatalf("%s has mode %s", args[0], got)
				}
			},
			// field NAME sets $NAME to a member of the last JSON output.
			"field": func(ts *testscript.TestScript, _ bool, args []string) {
				var v any
				ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
				for _, name := range strings.Split(args[1], ".") {
					m, ok := v.(map[string]any)
					if !ok || m[name] == nil {
						ts.Fatalf("no member %s", args[1])
					}
					v = m[name]
				}
				ts.Setenv(args[0], v.(string))
			},
			// load NAME FILE sets $NAME to a file's content.
			"load": func(ts *testscript.TestScript, _ bool, args []string) { ts.Setenv(args[0], ts.ReadFile(args[1])) },
			// alter FROM TO OLD NEW copies a file with one replacement.
			"alter": func(ts *testscript.TestScript, _ bool, args []string) {
				text := ts.ReadFile(args[0])
				if !strings.Contains(text, args[2]) {
					ts.Fatalf("%s has no %s", args[0], args[2])
				}
				ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Replace(text, args[2], args[3], 1)), 0o600))
			},
			// byhand does with the last JSON output what docs/ATTESTATION.md has
			// a customer do.
			"byhand": func(ts *testscript.TestScript, neg bool, _ []string) {
				if err := attestedByHand([]byte(ts.ReadFile("stdout"))); (err == nil) == neg {
					ts.Fatalf("by hand: %v", err)
				}
			},
			// leak FILE requires that neither output holds the secret in FILE.
			"leak": func(ts *testscript.TestScript, neg bool, args []string) {
				secret := strings.TrimSpace(ts.ReadFile(args[0]))[10:60]
				if strings.Contains(ts.ReadFile("stdout")+ts.ReadFile("stderr"), secret) == neg {
					ts.Fatalf("the secret was printed: %v", neg)
				}
			},
		},
	})
}

// testApp is a run with the given environment and no terminal.
func testApp(env map[string]string) (a *app, out, errOut *bytes.Buffer) {
	out, errOut = &bytes.Buffer{}, &bytes.Buffer{}
	return &app{in: strings.NewReader(""), out: out, errOut: errOut, getenv: func(k string) string { return env[k] }, now: time.Now,
		random: rand.Reader, prompt: func(string) (string, error) { return "", usagef("", "no terminal") }, version: "test"}, out, errOut
}

// Every command has a summary and, unless it only has subcommands, an example.
func TestHelp(t *testing.T) {
	a, _, _ := testApp(nil)
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Short == "" {
			t.Errorf("%s has no summary", c.CommandPath())
		}
		if !c.HasSubCommands() && c.Example == "" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for _, s := range c.Commands() {
			walk(s)
		}
		b, out, errOut := testApp(nil)
		args := append(strings.Fields(c.CommandPath())[1:], "--help")
		if code := run(context.Background(), b, args); code != exitOK || !strings.Contains(out.String(), "Usage:") || errOut.Len() > 0 {
			t.Errorf("%v: exit %d: %s", args, code, errOut)
		}
	}
	walk(a.rootCommand())
}

func TestUsageErrors(t *testing.T) {
	for _, line := range []string{
		"", "org", "bogus", "org bogus", "sign --bogus", "wallet get", "wallet get a b", "version extra", "sign", "wallet list --limit many",
		"sign --wallet x --network base", "sign --wallet x --network base --message m --message-file f", "sign --wallet x --network base --message m --transaction 0x02",
		"sign --wallet x --network base --transaction-file f --transaction 0x02", "sign --wallet x --network base --transaction=",
		"key create", "key create --name x --out f", "key create --name x --print --wallets * --networks * --expires yesterday",
		"org create", "org create --name x --admin-key f --accept a --tee-project p", "key revoke", "serve", "serve --tee a:1 --accept f", "serve --tee a:1 --accept f --data d --database-file f",
		"serve --tee a:1 --accept f --data d --max-in-flight 0", "serve --tee a:1 --accept f --data d --drain -5s", "database", "database migrate",
		"wallet list", "attestation", "verify receipt", "org show", "backup --data d --out -",
		"proxy --listen 0.0.0.0:1", "proxy --listen example.com:1", "proxy --listen [::]:1",
		"verify attestation", "verify attestation a b", "verify attestation f --accept a --genesis g", "verify attestation f --accept a --tee-project p",
	} {
		a, out, errOut := testApp(nil)
		if code := run(context.Background(), a, strings.Fields(line)); code != exitUsage {
			t.Errorf("%q: exit %d, %s", line, code, errOut)
		}
		if out.Len() > 0 || !strings.HasPrefix(errOut.String(), "sigil: ") {
			t.Errorf("%q: out %q, err %q", line, out, errOut)
		}
		a, _, errOut = testApp(nil)
		if code := run(context.Background(), a, append([]string{"--json"}, strings.Fields(line)...)); code != exitUsage || !strings.Contains(errOut.String(), `"code":"usage"`) {
			t.Errorf("%q as JSON: exit %d, %s", line, code, errOut)
		}
	}
}
