package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sigilkeys/sigil/internal/backup"
)

// where says where the control plane's database is: exactly one place.
func (a *app) where(command, dir, file string) (backup.Place, error) {
	if dir != "" {
		if file != "" || a.getenv(databaseEnv) != "" {
			return backup.Place{}, usagef("give --data, or --database-file or $"+databaseEnv, "both a folder and a PostgreSQL database are given")
		}
		return backup.Place{Dir: dir}, nil
	}
	if file == "" && a.getenv(databaseEnv) == "" {
		return backup.Place{}, usagef("`"+command+" --help` has examples", "--data, --database-file or $"+databaseEnv+" is needed")
	}
	dsn, err := a.dsn(file)
	return backup.Place{DSN: dsn}, err
}

func (a *app) backupOptions(digest string) (backup.Options, error) {
	digest = strings.ToLower(digest)
	if digest != "" && !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(digest) {
		return backup.Options{}, usagef("it is what `sigil backup` printed", "--digest is 64 hex digits")
	}
	note := a.progress()
	return backup.Options{Digest: digest, Program: a.version, Now: a.now, Progress: func(what string, rows uint64) { note("%d %s", rows, what) }}, nil
}

func (a *app) backupCommand() *cobra.Command {
	var dir, database, out string
	c := &cobra.Command{Use: "backup", Short: "Copy the control plane's database into a file", Args: cobra.NoArgs,
		Long: `Copies the database of 'sigil serve' into one new file while it serves: one moment
of it, with everything that was acknowledged before. The file doesn't depend on the
engine; 'sigil restore' takes it into either. For PostgreSQL the role sigil_app
suffices.

No secret is in it in the clear: a backup holds sealed shares, signed documents and
decisions. A thief can't sign, but reads who signed what. Keep the digest that is
printed apart from the file: without it, somebody who can alter the file can leave
revocations out of it.`,
		Example: `  sigil backup --data /var/lib/sigil --out sigil-2026-06-01.backup
  sigil backup --database-file app.dsn --out sigil-2026-06-01.backup
  sigil backup verify sigil-2026-06-01.backup`,
		RunE: func(c *cobra.Command, _ []string) error {
			if out == "" {
				return usagef("as in --out sigil.backup", "--out is needed")
			}
			from, err := a.where("sigil backup", dir, database)
			if err != nil {
				return err
			}
			if err := absent(out); err != nil {
				return err
			}
			opt, err := a.backupOptions("")
			if err != nil {
				return err
			}
			m, err := backup.Create(c.Context(), from, out, opt)
			if err != nil {
				return err
			}
			a.note("%s", backup.Holds())
			return a.print(map[string]any{"backup": m, "written": out}, table(append([][]string{{"written", out}}, manifestRows(m)...)))
		}}
	placeFlags(c, &dir, &database)
	c.Flags().StringVar(&out, "out", "", "file to write")
	c.AddCommand(a.verifyBackupCommand())
	return c
}

func placeFlags(c *cobra.Command, dir, database *string) {
	c.Flags().StringVar(dir, "data", "", "folder of the embedded database")
	c.Flags().StringVar(database, "database-file", "", "file with the DSN of a PostgreSQL database (default $"+databaseEnv+")")
}

func manifestRows(m *backup.Manifest) [][]string {
	count := func(table string) string { return strconv.FormatUint(m.Rows(table), 10) }
	return [][]string{
		{"of", m.Created.Format(time.RFC3339Nano)}, {"from", fmt.Sprintf("%s, tables of version %d, sigil %s", m.Engine, m.Schema, m.Program)},
		{"organisations", count("organizations")}, {"keys", count("grants")}, {"revocations", count("revocations")},
		{"wallets", count("wallets")}, {"decisions", count("decisions")}, {"bytes", strconv.FormatUint(m.Bytes, 10)}, {"sha256", m.SHA256},
	}
}

func (a *app) verifyBackupCommand() *cobra.Command {
	digest := ""
	c := &cobra.Command{Use: "verify FILE", Short: "Verify a backup by restoring it, and throw that away", Args: cobra.ExactArgs(1),
		Long: `Restores a backup into a temporary folder ($TMPDIR), verifies all of it as 'sigil
restore' does, and removes the folder: digests of the file and its tables; each
organisation's genesis and state key; every grant, revocation, wallet and decision;
every ledger, derived anew from its leaves. It needs neither a network nor the
database.`,
		Example: "  sigil backup verify sigil-2026-06-01.backup --digest 5f2c…",
		RunE: func(c *cobra.Command, args []string) error {
			opt, err := a.backupOptions(digest)
			if err != nil {
				return err
			}
			m, r, err := backup.Verify(c.Context(), args[0], opt)
			if err != nil {
				return damaged(err)
			}
			rows := append([][]string{{"verified", args[0]}}, manifestRows(m)...)
			return a.print(map[string]any{"verified": true, "backup": m, "holds": r}, table(append(rows, ledgerRows(r)...)))
		}}
	c.Flags().StringVar(&digest, "digest", "", "SHA-256 that the file must have")
	return c
}

func ledgerRows(r *backup.Report) (rows [][]string) {
	for _, o := range r.Organizations {
		rows = append(rows, []string{"organisation", fmt.Sprintf("%s: %d keys, %d wallets, %d ledger entries of which %d are in the signed head", o.ID, o.Grants, o.Wallets, o.Ledger, o.Noted)})
	}
	return rows
}

func damaged(err error) error {
	if errors.Is(err, backup.ErrInvalid) {
		return withHint(err, "nothing of it was used; take another backup, and find out who could alter this one")
	}
	return err
}

func (a *app) restoreCommand() *cobra.Command {
	var dir, database, digest string
	c := &cobra.Command{Use: "restore FILE", Short: "Fill an empty database from a backup", Args: cobra.ExactArgs(1),
		Long: `Fills an empty database from a backup of either engine: a folder without a database,
or a PostgreSQL database that 'sigil database migrate' has just made, as its owner.
All of the backup is verified before it is done, as in 'sigil backup verify'; when
anything is wrong, nothing is left behind.

A restore takes state back. What was acknowledged after the backup is lost:
revocations (their keys sign again), wallets (for ever), request ids (repeated
requests are decided again), decisions (their receipts are in no ledger). The
command prints what that means here, and what to do.`,
		Example: `  sigil restore sigil-2026-06-01.backup --data /var/lib/sigil-restored
  sigil restore sigil-2026-06-01.backup --database-file owner.dsn --digest 5f2c…`,
		RunE: func(c *cobra.Command, args []string) error {
			to, err := a.where("sigil restore", dir, database)
			if err != nil {
				return err
			}
			opt, err := a.backupOptions(digest)
			if err != nil {
				return err
			}
			m, r, err := backup.Restore(c.Context(), args[0], to, opt)
			if err != nil {
				return damaged(err)
			}
			meaning := backup.Meaning(m, r)
			a.note("What this means:")
			for _, line := range meaning {
				a.note("- %s", line)
			}
			rows := append([][]string{{"restored", args[0]}}, manifestRows(m)...)
			return a.print(map[string]any{"restored": true, "backup": m, "holds": r, "means": meaning}, table(append(rows, ledgerRows(r)...)))
		}}
	placeFlags(c, &dir, &database)
	c.Flags().StringVar(&digest, "digest", "", "SHA-256 that the file must have")
	return c
}
