package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/sigilkeys/sigil/internal/store/pgstore"
)

// databaseEnv holds a DSN.
const databaseEnv = "SIGIL_DATABASE"

// dsn reads the DSN of a database, which may hold a password.
func (a *app) dsn(file string) (string, error) {
	switch env := a.getenv(databaseEnv); {
	case file != "":
		return readSecret(file)
	case env != "":
		return env, nil
	}
	return "", usagef("the file holds one line, such as postgres://sigil_owner@db.example/sigil?sslmode=verify-full", "--database-file or $"+databaseEnv+" is needed")
}

func (a *app) databaseCommand() *cobra.Command {
	c := a.group("database", "Prepare a PostgreSQL database for the control plane",
		`Prepares a PostgreSQL database for the control plane. An administrator makes the
roles once; at each release the owner migrates, and 'sigil serve' then runs as a
role that adds rows, and can't change or delete documents, wallets' records,
decisions or evidence. What it may change is for people, can be derived again, or
waits for something: labels of wallets, ledgers' heads, counts, limits and the like,
see docs/OPERATIONS.md. The embedded database of 'sigil serve --data' needs none
of this.`)
	c.AddCommand(a.databaseRolesCommand(), a.databaseMigrateCommand())
	return c
}

func (a *app) databaseRolesCommand() *cobra.Command {
	return &cobra.Command{Use: "roles", Short: "Print the SQL that makes roles and schema", Args: cobra.NoArgs,
		Long: `Prints the SQL that makes the roles sigil_owner and sigil_app and the schema
sigil, for an administrator to read and to run in the database. Running it again
changes nothing. How the roles log in is yours to add: ALTER ROLE … PASSWORD, a
client certificate, or GRANT sigil_app TO a role that exists.`,
		Example: "  sigil database roles | psql -d sigil",
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(a.out, pgstore.RolesSQL())
			return err
		}}
}

func (a *app) databaseMigrateCommand() *cobra.Command {
	file := ""
	c := &cobra.Command{Use: "migrate", Short: "Bring the database to this program's version", Args: cobra.NoArgs,
		Long: `Makes or changes the tables, as sigil_owner, so that this version of 'sigil serve'
runs on them. Each step is one transaction; two at once take turns; a database
that a newer program made is left alone. Control planes that run meanwhile go
on; one that starts later must be of this version.`,
		Example: `  sigil database migrate --database-file owner.dsn
  SIGIL_DATABASE='postgres://sigil_owner@db1,db2/sigil?sslmode=verify-full' sigil database migrate`,
		RunE: func(c *cobra.Command, _ []string) error {
			dsn, err := a.dsn(file)
			if err != nil {
				return err
			}
			version, err := pgstore.Migrate(c.Context(), dsn)
			if err != nil {
				return err
			}
			return a.print(map[string]int64{"version": version}, fmt.Sprintf("the database has version %d", version))
		}}
	c.Flags().StringVar(&file, "database-file", "", "file with the owner's DSN (default $"+databaseEnv+")")
	return c
}
