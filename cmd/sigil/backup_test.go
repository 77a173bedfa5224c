package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/internal/store/pgtest"
	"github.com/sigilkeys/sigil/test/stack"
)

// From a database that is served to one on another engine, as
// docs/OPERATIONS.md says, and the auditor is content with what came out.
func TestBackup(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	server := pgtest.Start(t, pgtest.Options{})
	name := server.NewDatabase()
	server.Exec(name, pgstore.RolesSQL())
	_, err := pgstore.Migrate(t.Context(), server.DSN("sigil_owner", name))
	check(t, err)
	check(t, os.WriteFile(path("owner.dsn"), []byte(server.DSN("sigil_owner", name)+"\n"), 0o600))

	st := stack.Start(t, stack.Options{DataDir: path("data"), Ledger: true})
	owner := st.NewOwner()
	token := st.NewKey(owner, nil)
	var w struct {
		ID string `json:"id"`
	}
	st.Do(st.Request(token, "POST", "/v1/s2s/wallets", `{}`), 201, &w)
	st.Do(st.Request(token, "POST", "/v1/s2s/sign", fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":"x"}`, w.ID)), 200, nil)
	for {
		if l, err := st.Store.Ledger(t.Context(), owner.Genesis.OrganizationID); err == nil && l.Noted == 2 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}

	must := func(args ...string) (out, errOut string) {
		t.Helper()
		a, stdout, stderr := testApp(nil)
		if code := run(context.Background(), a, args); code != exitOK {
			t.Fatalf("%v: %d\n%s%s", args, code, stdout, stderr)
		}
		return stdout.String(), stderr.String()
	}
	fails := func(want int, says string, args ...string) {
		t.Helper()
		a, stdout, stderr := testApp(nil)
		if code := run(context.Background(), a, args); code != want || stdout.Len() != 0 || !strings.Contains(stderr.String(), says) {
			t.Errorf("%v: %d, want %d with %q\n%s%s", args, code, want, says, stdout, stderr)
		}
	}
	out, errOut := must("backup", "--data", path("data"), "--out", path("a.backup"))
	if !strings.Contains(errOut, "A thief can't sign") || !strings.Contains(out, "decisions") {
		t.Error(out, errOut)
	}
	fails(exitFailure, "exists", "backup", "--data", path("data"), "--out", path("a.backup"))
	fails(exitUsage, "--out", "backup", "--data", path("data"))
	fails(exitUsage, "--data", "backup", "--out", path("b"))
	fails(exitFailure, "no database", "backup", "--data", path("nowhere"), "--out", path("b"))
	out, _ = must("backup", "verify", path("a.backup"), "--json")
	var v struct {
		Backup struct{ SHA256 string }
	}
	check(t, json.Unmarshal([]byte(out), &v))
	must("backup", "verify", path("a.backup"), "--digest", strings.ToUpper(v.Backup.SHA256))
	fails(exitUnverified, "SHA-256", "backup", "verify", path("a.backup"), "--digest", strings.Repeat("0", 64))
	fails(exitUsage, "64 hex digits", "backup", "verify", path("a.backup"), "--digest", "x")

	out, errOut = must("restore", path("a.backup"), "--database-file", path("owner.dsn"))
	for _, line := range []string{"sign again", "gone, and their keys with them", "a second time", "restart the TEE workload", "goes on from entry 2", "1 of 1 organisations are unwitnessed"} {
		if !strings.Contains(errOut, line) {
			t.Errorf("the restore doesn't say %q:\n%s", line, errOut)
		}
	}
	if !strings.Contains(out, "2 ledger entries of which 2") {
		t.Error(out)
	}
	fails(exitFailure, "has rows", "restore", path("a.backup"), "--database-file", path("owner.dsn"))
	must("backup", "--database-file", path("owner.dsn"), "--out", path("b.backup"))
	out, _ = must("restore", path("b.backup"), "--data", path("data2"), "--json")
	if !strings.Contains(out, `"means": [`) {
		t.Error(out)
	}
	fails(exitFailure, "exists", "restore", path("b.backup"), "--data", path("data2"))
	check(t, os.Truncate(path("b.backup"), 2000))
	fails(exitUnverified, "cut off", "restore", path("b.backup"), "--data", path("data3"))

	next := stack.Start(t, stack.Options{DataDir: path("data2"), Cloud: st.Cloud, Ledger: true})
	check(t, os.WriteFile(path("key"), []byte(token.Reveal()), 0o600))
	must("audit", "export", "--api-url", next.API.URL, "--key-file", path("key"), "--out", path("ledger.jsonl"))
	out, _ = must("audit", "verify", path("ledger.jsonl"), "--genesis-digest", digestText(owner.Genesis.Digest))
	if !strings.Contains(out, "2 entries") {
		t.Error(out)
	}
}
