package attack

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/internal/sealed"
	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/stack"
)

// kept is what an owner keeps when the service stops.
type kept struct {
	owner    *stack.Owner
	token    *authority.Token
	one, two string // wallets
	stranger string // wallet of another organisation
}

// session lets an owner use a service whose data lie in dir, and stops it.
func session(t *testing.T, cloud *cloudsim.Sim, dir string) *kept {
	t.Helper()
	var k *kept
	t.Run("the owner's session", func(t *testing.T) {
		s := newScene(t, stack.Options{Cloud: cloud, DataDir: dir})
		other := s.NewOwner()
		foreign := &struct {
			ID string `json:"id"`
		}{}
		s.Do(s.Request(s.NewKey(other, nil), "POST", "/v1/s2s/wallets", `{}`), 201, foreign)
		k = &kept{owner: s.owner, token: s.token, one: s.one.ID, two: s.two.ID, stranger: foreign.ID}
	})
	if k == nil {
		t.FailNow()
	}
	return k
}

func signBody(wallet, network, message string) string {
	return fmt.Sprintf(`{"wallet_id":%q,"network":%q,"message":%q}`, wallet, network, message)
}

func uuidOf(t *testing.T, text string) canon.UUID {
	t.Helper()
	u, err := canon.ParseUUID(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// copyData copies a database at rest, as a thief or an operator would.
func copyData(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// editData opens a database at rest for editing by hand.
func editData(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, sqlitestore.FileName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// readRecord and writeRecord are the operator's hands.
func readRecord(t *testing.T, db *sql.DB, id string) *receipt.WalletRecord {
	t.Helper()
	u := uuidOf(t, id)
	var raw []byte
	if err := db.QueryRow("SELECT record FROM wallets WHERE id = ?", u[:]).Scan(&raw); err != nil {
		t.Fatal(err)
	}
	r, err := receipt.DecodeWalletRecord(raw)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func writeRecord(t *testing.T, db *sql.DB, id string, r *receipt.WalletRecord) {
	t.Helper()
	u := uuidOf(t, id)
	res, err := db.Exec("UPDATE wallets SET record = ? WHERE id = ?", r.Encode(), u[:])
	if err != nil {
		t.Fatal(err)
	}
	if n, err := res.RowsAffected(); n != 1 || err != nil {
		t.Fatal(n, err)
	}
}

// reseal changes a sealed share.
func reseal(t *testing.T, record []byte, edit func(*sealed.Share)) []byte {
	t.Helper()
	sh, err := sealed.DecodeShare(record)
	if err != nil {
		t.Fatal(err)
	}
	edit(sh)
	return sh.Encode()
}

// Rows edited by hand while the service is down; then the service starts
// again, with an honest control plane and the honest image, and the owner
// asks for a signature: a refusal with its code, never a signature.
func TestRowsEditedByHand(t *testing.T) {
	cloud := stack.NewCloud(t, stack.MadeUpDigest("sigil-tee"))
	dir := t.TempDir()
	k := session(t, cloud, dir)
	const moved = "share_open_failed"
	for _, c := range []struct {
		name string
		edit func(t *testing.T, one, two, foreign *receipt.WalletRecord)
		want string
	}{
		{"nothing (canary)", func(*testing.T, *receipt.WalletRecord, *receipt.WalletRecord, *receipt.WalletRecord) {}, ""},
		{"TEE shares swapped", func(_ *testing.T, a, b, _ *receipt.WalletRecord) {
			a.Shares[0], b.Shares[0] = b.Shares[0], a.Shares[0]
		}, moved},
		{"provider shares swapped", func(_ *testing.T, a, b, _ *receipt.WalletRecord) {
			a.Shares[1], b.Shares[1] = b.Shares[1], a.Shares[1]
		}, moved},
		{"both shares swapped", func(_ *testing.T, a, b, _ *receipt.WalletRecord) { a.Shares, b.Shares = b.Shares, a.Shares }, moved},
		{"shares of another organisation", func(_ *testing.T, a, _, f *receipt.WalletRecord) { a.Shares = f.Shares }, moved},
		{"shares of the other curve", func(_ *testing.T, a, _, _ *receipt.WalletRecord) {
			a.Shares[0], a.Shares[1], a.Shares[2], a.Shares[3] = a.Shares[2], a.Shares[3], a.Shares[0], a.Shares[1]
		}, moved},
		{"epochs raised", func(t *testing.T, a, _, _ *receipt.WalletRecord) {
			for i := range a.Shares {
				a.Shares[i] = reseal(t, a.Shares[i], func(s *sealed.Share) { s.Epoch++ })
			}
		}, moved},
		{"one epoch raised", func(t *testing.T, a, _, _ *receipt.WalletRecord) {
			a.Shares[1] = reseal(t, a.Shares[1], func(s *sealed.Share) { s.Epoch++ })
		}, moved},
		{"DEK of another share", func(t *testing.T, a, _, _ *receipt.WalletRecord) {
			var dek []byte
			reseal(t, a.Shares[2], func(s *sealed.Share) { dek = s.WrappedDEK })
			a.Shares[0] = reseal(t, a.Shares[0], func(s *sealed.Share) { s.WrappedDEK = dek })
		}, moved},
		{"whole records swapped", func(_ *testing.T, a, b, _ *receipt.WalletRecord) { *a, *b = *b, *a }, "certificate_invalid"},
		{"certificates swapped", func(_ *testing.T, a, b, _ *receipt.WalletRecord) {
			a.Certificate, b.Certificate = b.Certificate, a.Certificate
		}, "certificate_invalid"},
		{"record of another organisation", func(_ *testing.T, a, _, f *receipt.WalletRecord) { *a = *f }, "certificate_invalid"},
		{"provider share dropped", func(_ *testing.T, a, _, _ *receipt.WalletRecord) { a.Shares = a.Shares[:1] }, "object_invalid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := copyData(t, dir)
			db := editData(t, data)
			one, two, foreign := readRecord(t, db, k.one), readRecord(t, db, k.two), readRecord(t, db, k.stranger)
			c.edit(t, one, two, foreign)
			writeRecord(t, db, k.one, one)
			writeRecord(t, db, k.two, two)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			s := stack.Start(t, stack.Options{Cloud: cloud, DataDir: data})
			status, reply, e := answer(t, s.Request(k.token, "POST", "/v1/s2s/sign", signBody(k.one, "base", "pay")))
			switch {
			case c.want == "" && status != 200:
				t.Fatalf("canary: %d %s", status, reply)
			case c.want != "" && (status != 422 || e == nil || string(e.Code) != c.want):
				t.Fatalf("%d %.300s, want 422 %s", status, reply, c.want)
			}
		})
	}
}

// A wallet moved into another organisation's rows isn't that organisation's.
func TestWalletAdopted(t *testing.T) {
	cloud := stack.NewCloud(t, stack.MadeUpDigest("sigil-tee"))
	dir := t.TempDir()
	k := session(t, cloud, dir)
	db := editData(t, dir)
	u := uuidOf(t, k.stranger)
	if _, err := db.Exec("UPDATE wallets SET organization_id = ? WHERE id = ?", k.owner.Genesis.OrganizationID[:], u[:]); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := stack.Start(t, stack.Options{Cloud: cloud, DataDir: dir})
	status, reply, e := answer(t, s.Request(k.token, "POST", "/v1/s2s/sign", signBody(k.stranger, "base", "pay")))
	if status != 422 || e == nil || e.Code != "certificate_invalid" {
		t.Errorf("%d %.300s", status, reply)
	}
}
