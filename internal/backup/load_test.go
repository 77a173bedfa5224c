package backup

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the canary's connection

	"github.com/sigilkeys/sigil/internal/store/pgtest"
	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
	"github.com/sigilkeys/sigil/internal/store/storetest"
)

// restoreRows is Restore without the check: the rows of these tests are made
// up.
func restoreRows(ctx context.Context, file string, to Place) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return to.restore(ctx, func(tx *sql.Tx) error {
		opt := options()
		_, err := load(ctx, f, tx, to.engine(), &opt)
		return err
	})
}

// bare opens a database for reading outside of any transaction.
func bare(t *testing.T, p Place) *sql.DB {
	t.Helper()
	driver, dsn := "sqlite", "file:"+filepath.Join(p.Dir, sqlitestore.FileName)
	if p.DSN != "" {
		driver, dsn = "pgx", p.DSN+"&search_path=sigil&sigil.organization=every"
	}
	db, err := sql.Open(driver, dsn)
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// Backups under load are of one moment: everything acknowledged before they
// began, nothing in part. The canary reads table by table without a
// transaction, and is caught.
func TestOneMoment(t *testing.T) {
	target := engine{name: "sqlite"} // what copies are restored into
	for _, e := range engines(t) {
		t.Run(e.name, func(t *testing.T) {
			place, open := e.empty(t)
			s := open(t)
			running := storetest.StartLoad(t, 4, s)
			type copied struct {
				file   string
				before [][2]int
				torn   bool
			}
			var copies []copied
			for i := range 5 {
				before := atLeast(t, running, 40*(i+1))
				file := filepath.Join(t.TempDir(), fmt.Sprint(i))
				opt := options()
				m, err := Create(t.Context(), place, file, opt)
				must(t, err)
				if m.Rows("decisions") == 0 {
					t.Fatal("an empty backup")
				}
				copies = append(copies, copied{file: file, before: before})
				for n := range 6 { // that a commit comes in between is chance
					before = atLeast(t, running, 0)
					torn := fmt.Sprint(file, ".torn", n)
					f, err := os.Create(torn)
					must(t, err)
					_, err = dump(t.Context(), bare(t, place), f, header{Format: Format, Created: opt.Now(), Engine: place.engine()}, &opt)
					must(t, err)
					must(t, f.Close())
					copies = append(copies, copied{file: torn, before: before, torn: true})
				}
			}
			running.Stop()
			caught := 0
			for _, c := range copies {
				to, open := target.empty(t)
				must(t, restoreRows(t.Context(), c.file, to))
				faults := running.AuditCopy(t.Context(), open(t), c.before)
				if c.torn {
					caught += len(faults)
					continue
				}
				for _, err := range faults {
					t.Error(err)
				}
			}
			if caught == 0 {
				t.Error("a backup of many moments isn't caught")
			}
			if faults := running.Audit(t.Context(), s); len(faults) != 0 {
				t.Error("the backups disturbed the load:", faults)
			}
		})
	}
}

// atLeast waits for so many acknowledged commits and returns those there are.
func atLeast(t *testing.T, l *storetest.Load, n int) [][2]int {
	t.Helper()
	for {
		if list := l.Acknowledged(); len(list) >= n {
			return list
		}
		if t.Context().Err() != nil {
			t.Fatal("no load")
		}
		time.Sleep(time.Millisecond)
	}
}

const placeEnv = "SIGIL_TEST_BACKUP_OF"

// Another process backs up the folder that this one has locked and writes.
func TestSecondProcess(t *testing.T) {
	if dir := os.Getenv(placeEnv); dir != "" {
		_, err := Create(t.Context(), Place{Dir: dir}, filepath.Join(dir, "out"), options())
		must(t, err)
		return
	}
	place, open := engine{}.empty(t)
	s := open(t)
	storetest.Fill(t, s)
	exe, err := os.Executable()
	must(t, err)
	for i := range 2 {
		cmd := exec.Command(exe, "-test.run=^TestSecondProcess$")
		cmd.Env = append(os.Environ(), placeEnv+"="+place.Dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		to, open := engine{}.empty(t)
		must(t, restoreRows(t.Context(), filepath.Join(place.Dir, "out"), to))
		storetest.CheckFilled(t, open(t))
		must(t, os.Remove(filepath.Join(place.Dir, "out")))
		if i == 0 {
			must(t, s.Close()) // the second time nobody serves
		}
	}
}

// A database of either engine at this version restores, made-up rows and all,
// from a file that was written once and for ever.
//
//	SIGIL_WRITE_GOLDEN=1 go test -run Golden ./internal/backup
func TestGolden(t *testing.T) {
	golden := filepath.Join("testdata", "golden", "v1.backup")
	if os.Getenv("SIGIL_WRITE_GOLDEN") != "" {
		place, open := engine{}.empty(t)
		storetest.Fill(t, open(t))
		must(t, os.MkdirAll(filepath.Dir(golden), 0o755))
		_, err := Create(t.Context(), place, golden, options())
		must(t, err)
	}
	f, err := os.Open(golden)
	must(t, err)
	defer f.Close()
	want, err := read(f, nothing{})
	must(t, err)
	for _, e := range engines(t) {
		place, open := e.empty(t)
		must(t, restoreRows(t.Context(), golden, place))
		again := filepath.Join(t.TempDir(), "again")
		m, err := Create(t.Context(), place, again, options())
		must(t, err)
		if fmt.Sprint(m.Tables) != fmt.Sprint(want.Tables) {
			t.Errorf("%s: other rows than the file has:\n%v\n%v", e.name, m.Tables, want.Tables)
		}
		storetest.CheckFilled(t, open(t))
	}
}

// The control plane's role may back up; only the owner may restore.
func TestRoles(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	owner, open := engine{server: server}.empty(t)
	storetest.Fill(t, open(t))
	app := Place{DSN: server.DSN("sigil_app", "sigil1")}
	file := filepath.Join(t.TempDir(), "x")
	_, err := Create(t.Context(), app, file, options())
	must(t, err)
	empty, _ := engine{server: server}.empty(t)
	refuse := func(to Place, want string) {
		t.Helper()
		if err := restoreRows(t.Context(), file, to); err == nil || !contains(err, want) {
			t.Errorf("restored, or another reason than %q: %v", want, err)
		}
	}
	refuse(Place{DSN: server.DSN("sigil_app", "sigil2")}, "sigil_owner")
	refuse(owner, "has rows")
	must(t, restoreRows(t.Context(), file, empty))
	refuse(empty, "has rows")
	bare := server.NewDatabase()
	refuse(Place{DSN: server.DSN("sigil_owner", bare)}, "sigil database migrate")
}

func contains(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }
