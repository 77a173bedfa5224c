package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/adminkey"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/devstack"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/test/secrets"
)

// searchedWallets bounds how many wallets' keys are looked for; a soak makes
// thousands.
const searchedWallets = 100

// nothingSaid searches, for the secrets of a stack that has been stopped, all
// that its processes printed in all their lives, and what its clients heard
// that wasn't an answer.
func nothingSaid(t *testing.T, s *devstack.Stack, data string, db store.Store, heard *secrets.Buffer) {
	t.Helper()
	x, token := secretsOf(t, s, data, db)
	logs := filepath.Join(data, "logs")
	found, size, err := x.Logs(logs)
	if err != nil {
		t.Fatal(err)
	}
	inErrors, err := x.Log(heard.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(found, inErrors...) {
		t.Errorf("said: %s", name)
	}
	for _, process := range []string{"sigil-tee", "sigil-serve"} {
		if b, err := os.ReadFile(filepath.Join(logs, process+".log")); err != nil || !strings.Contains(string(b), `"msg":`) {
			t.Errorf("blind: no log of %s (%v)", process, err)
		}
	}
	// Canary: one line more.
	line := fmt.Sprintf(`{"level":"ERROR","msg":"request refused","key":%q}`, fmt.Sprint(token.RequestKey().Seed()))
	if err := os.WriteFile(filepath.Join(logs, "canary.log"), []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, _, err := x.Logs(logs); err != nil || len(again) <= len(found) {
		t.Errorf("canary: a secret in a log isn't found (%v)", err)
	}
	t.Logf("%d bytes of logs and %d of errors searched for %d secrets: %d found", size, len(heard.Bytes()), x.Len(), len(found)+len(inErrors))
}

func secretsOf(t *testing.T, s *devstack.Stack, data string, db store.Store) (*secrets.Set, *authority.Token) {
	t.Helper()
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	token, err := authority.ParseToken(read(s.Info().SecretKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	admin, err := adminkey.Decrypt([]byte(read(s.Info().AdminKeyFile)), read(filepath.Join(data, "admin-key.passphrase")))
	if err != nil {
		t.Fatal(err)
	}
	org, err := canon.ParseUUID(s.Info().OrganizationID)
	if err != nil {
		t.Fatal(err)
	}
	x := &secrets.Set{}
	x.AddToken("secret key", token)
	x.AddKey("admin key", admin)
	if err := x.AddOrganization(t.Context(), s.Cloud(), db, org, searchedWallets); err != nil {
		t.Fatal(err)
	}
	return x, token
}
