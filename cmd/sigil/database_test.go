package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/store/pgtest"
)

// From an empty database to one that the control plane takes, as README says.
func TestDatabase(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	name := server.NewDatabase()
	env := map[string]string{databaseEnv: server.DSN("sigil_owner", name)}
	a, out, errOut := testApp(nil)
	if code := run(context.Background(), a, []string{"database", "roles"}); code != exitOK {
		t.Fatal(errOut)
	}
	server.Exec(name, out.String())
	for range 2 { // again is no error
		a, out, errOut := testApp(env)
		if code := run(context.Background(), a, []string{"database", "migrate"}); code != exitOK || !strings.Contains(out.String(), "has version ") {
			t.Fatal(code, out, errOut)
		}
	}
	// The owner may change rows, so the control plane doesn't run as it.
	accept := filepath.Join(t.TempDir(), "accept.json")
	const tee = `{"kind":"confidential-space","issuer":"https://issuer.test","pki_root_sha256":"1111111111111111111111111111111111111111111111111111111111111111","hardware":["GCP_AMD_SEV"],"project_id":"project","service_account":"tee@project.iam","image_digests":["sha256:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"],"tee_kek":"kms/tee","provider_kek":"kms/provider"}`
	if err := os.WriteFile(accept, []byte(tee), 0o600); err != nil {
		t.Fatal(err)
	}
	a, _, errOut = testApp(env)
	if code := run(context.Background(), a, []string{"serve", "--tee", "127.0.0.1:1", "--accept", accept}); code != exitFailure || !strings.Contains(errOut.String(), "sigil_app") {
		t.Fatal(code, errOut)
	}
}

// A DSN is as secret as the password in it.
func TestDSNIsKept(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		file, env, want string
	}{
		"readable file": {write("open", "postgres://u:hunter2@localhost/x", 0o644), "", "can be read by others"},
		"malformed":     {write("bad", "postgres://u:hunter2@localhost:port/x", 0o600), "", "DSN"},
		"remote, plain": {"", "postgres://u:hunter2@db.test/x", "sslmode=verify-full"},
		"keywords":      {"", "host=db.test password=hunter2 sslmode=require", "sslmode=verify-full"},
		"empty file":    {write("empty", "\n", 0o600), "", "empty"},
	} {
		a, out, errOut := testApp(map[string]string{databaseEnv: c.env})
		args := []string{"database", "migrate"}
		if c.file != "" {
			args = append(args, "--database-file", c.file)
		}
		code := run(context.Background(), a, args)
		if code != exitFailure || !strings.Contains(errOut.String(), c.want) {
			t.Errorf("%s: exit %d: %s", name, code, errOut)
		}
		if strings.Contains(errOut.String()+out.String(), "hunter2") {
			t.Errorf("%s prints the password: %s", name, errOut)
		}
	}
}
