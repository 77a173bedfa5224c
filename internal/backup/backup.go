// Package backup copies a database of the control plane into one file, and
// such a file into an empty database, of either engine whichever it came from.
//
// Trust: none. A backup holds what the database holds: sealed shares, signed
// documents, decisions. Whoever steals one learns whose wallets signed what and
// when, but no key: a share opens for the attested image alone. Whoever alters
// one can leave rows out, above all revocations and the newest decisions, and
// that no signature shows; hence Options.Digest, for those who keep the digest
// apart from the file. All else is verified before a restore is done: every
// document, certificate and receipt against its organisation's genesis, every
// ledger derived anew from its leaves.
//
// One moment. A backup is one read transaction, so it has all of a transaction
// or nothing, and everything that was acknowledged before Manifest.Created.
// A restore is one transaction, or a file that gets its name at the end.
package backup

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
)

// ErrInvalid is wrapped where a file isn't a whole backup, or what it holds
// doesn't verify.
var ErrInvalid = errors.New("the backup can't be believed")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...))
}

// Place is where a database is: one of the two is set.
type Place struct {
	Dir string // folder of the embedded database
	DSN string // of a PostgreSQL database
}

func (p Place) engine() string {
	if p.DSN != "" {
		return enginePostgres
	}
	return engineSQLite
}

// Engines, as a manifest names them.
const (
	engineSQLite   = "sqlite"
	enginePostgres = "postgresql"
)

func (p Place) snapshot(ctx context.Context, f func(tx *sql.Tx, version int64) error) error {
	if p.DSN != "" {
		return pgstore.Snapshot(ctx, p.DSN, f)
	}
	return sqlitestore.Snapshot(ctx, p.Dir, f)
}

func (p Place) restore(ctx context.Context, load func(tx *sql.Tx) error) error {
	if p.DSN != "" {
		return pgstore.Restore(ctx, p.DSN, load)
	}
	return sqlitestore.Restore(ctx, p.Dir, load)
}

// Options are those of all three operations.
type Options struct {
	// Digest, if set, is what the file's SHA-256 must be, in hex.
	Digest string
	// Program is the version that a backup names as its maker.
	Program string
	// Now is the clock.
	Now func() time.Time
	// Progress, if set, is told now and then what is being done.
	Progress func(what string, rows uint64)
}

func (o *Options) progress(what string, rows uint64) {
	if o.Progress != nil {
		o.Progress(what, rows)
	}
}

// Create writes a backup to a new file. It is written beside that place and
// gets its name when it is whole and on disk; nothing is ever overwritten.
func Create(ctx context.Context, from Place, out string, opt Options) (*Manifest, error) {
	part := out + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s exists: another backup is being written, or one was interrupted and the file is to be removed", part)
	}
	if err != nil {
		return nil, err
	}
	defer os.Remove(part)
	m, err := write(ctx, from, f, &opt)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	// Link, unlike Rename, replaces nothing that appeared meanwhile.
	if err := os.Link(part, out); err != nil {
		return nil, err
	}
	return m, errors.Join(os.Remove(part), syncFolder(filepath.Dir(out)))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func write(ctx context.Context, from Place, to io.Writer, opt *Options) (m *Manifest, err error) {
	created := opt.Now().UTC().Truncate(time.Microsecond) // before the snapshot begins
	err = from.snapshot(ctx, func(tx *sql.Tx, version int64) error {
		m, err = dump(ctx, tx, to, header{Format: Format, Created: created, Engine: from.engine(), Schema: version, Program: opt.Program}, opt)
		return err
	})
	return m, err
}

// Restore fills an empty database from a backup and verifies what it holds.
// If it fails, nothing is left behind.
func Restore(ctx context.Context, file string, to Place, opt Options) (*Manifest, *Report, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	// Whether the file is whole shows before anything is touched.
	m, err := read(&counted{ctx: ctx, r: f, opt: &opt}, nothing{})
	if err != nil {
		return nil, nil, err
	}
	if opt.Digest != "" && m.SHA256 != opt.Digest {
		return nil, nil, invalid("the file's SHA-256 is %s, not %s", m.SHA256, opt.Digest)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, nil, err
	}
	var report *Report
	err = to.restore(ctx, func(tx *sql.Tx) error {
		again, err := load(ctx, f, tx, to.engine(), &opt)
		if err != nil {
			return err
		}
		if again.SHA256 != m.SHA256 {
			return invalid("the file changed while it was read")
		}
		if _, err := tx.ExecContext(ctx, refill); err != nil {
			return fmt.Errorf("mark wallets whose addresses are to be listed: %w", err)
		}
		report, err = check(ctx, tx, &opt)
		return err
	})
	if errors.Is(err, store.ErrContradiction) {
		err = invalid("%w", err)
	}
	if err != nil {
		return nil, nil, err
	}
	return m, report, nil
}

// Verify restores a backup into a database of its own, which it then removes.
func Verify(ctx context.Context, file string, opt Options) (*Manifest, *Report, error) {
	dir, err := os.MkdirTemp("", "sigil-verify-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	return Restore(ctx, file, Place{Dir: dir}, opt)
}

// Check verifies a database where it is, in one read transaction.
func Check(ctx context.Context, at Place, opt Options) (report *Report, err error) {
	err = at.snapshot(ctx, func(tx *sql.Tx, _ int64) error {
		report, err = check(ctx, tx, &opt)
		return err
	})
	return report, err
}

// counted is a reader that ends with its context.
type counted struct {
	ctx  context.Context
	r    io.Reader
	opt  *Options
	read uint64
}

func (c *counted) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	c.read += uint64(n)
	c.opt.progress("MiB read", c.read>>20)
	return n, err
}
