package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/backup"
)

// Exit codes.
const (
	exitOK            = 0
	exitFailure       = 1
	exitUsage         = 2
	exitUnverified    = 3 // an answer couldn't be believed
	exitConfiguration = 4 // an image's configuration mustn't be accepted unread
)

// app is a run of the program: its surroundings and its global flags.
type app struct {
	in      io.Reader
	out     io.Writer // results, nothing else
	errOut  io.Writer // everything else
	getenv  func(string) string
	now     func() time.Time
	random  io.Reader
	prompt  func(question string) (string, error)
	version string

	profilePath string
	apiURL      string
	keyFile     string
	json        bool

	started bool // arguments were in order; errors from here on aren't usage
}

// usageError is a mistake in the command line.
type usageError struct {
	text string
	hint string
}

func (e *usageError) Error() string { return e.text }

func usagef(hint, format string, args ...any) error {
	return &usageError{text: fmt.Sprintf(format, args...), hint: hint}
}

// hinted adds what to do about an error.
type hinted struct {
	err  error
	hint string
}

func (e *hinted) Error() string { return e.err.Error() }
func (e *hinted) Unwrap() error { return e.err }

func withHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &hinted{err, hint}
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, a *app, args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.errOut)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := a.exitCode(err)
	a.printError(err, code)
	return code
}

func (a *app) exitCode(err error) int {
	var usage *usageError
	var argument *client.ArgumentError
	var config *configurationError
	switch {
	case errors.As(err, &config):
		return exitConfiguration
	case client.IsVerification(err), errors.Is(err, errOtherProgram), errors.Is(err, backup.ErrInvalid):
		return exitUnverified
	case !a.started || errors.As(err, &usage) || errors.As(err, &argument):
		return exitUsage
	}
	return exitFailure
}

func (a *app) rootCommand() *cobra.Command {
	root := a.group("sigil", "Wallets whose keys exist only inside an attested TEE",
		`Sigil makes wallets whose private keys exist only inside an attested TEE.

Owners create organisations and keys here, developers sign and verify, and
operators run the control plane. Secrets are made on this machine and never
sent. Every answer is verified; exit code 3 says that one couldn't be.`)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.HiddenDefaultCmd = true
	f := root.PersistentFlags()
	f.StringVar(&a.profilePath, "profile", "", "profile file (default $XDG_CONFIG_HOME/sigil/profile.json)")
	f.StringVar(&a.apiURL, "api-url", "", "address of the service (default $SIGIL_API_URL, then the profile's)")
	f.StringVar(&a.keyFile, "key-file", "", "file with the secret key (default $SIGIL_SECRET_KEY)")
	f.BoolVar(&a.json, "json", false, "print results and errors as JSON")
	root.PersistentPreRun = func(*cobra.Command, []string) { a.started = true }
	root.AddCommand(a.adminKeyCommand(), a.orgCommand(), a.keyCommand(), a.walletCommand(), a.signCommand(), a.decodeCommand(), a.verifyCommand(),
		a.attestationCommand(), a.proxyCommand(), a.serveCommand(), a.databaseCommand(), a.backupCommand(), a.restoreCommand(), a.auditCommand(), a.versionCommand())
	return root
}

// group is a command that only has subcommands.
func (a *app) group(use, short, long string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Long: long, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		return usagef(fmt.Sprintf("`%s --help` lists them", c.CommandPath()), "a subcommand of %q is missing", c.CommandPath())
	}}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Example: "  sigil version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.print(map[string]string{"version": a.version}, "sigil "+a.version)
		}}
}
