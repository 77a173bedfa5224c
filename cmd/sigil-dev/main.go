// Command sigil-dev runs a whole Sigil on this machine, with an emulated
// cloud: to develop against, to test, to be shown. Nothing in it is safe to
// keep value with.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/sigilkeys/sigil/internal/devstack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	default:
		fmt.Fprintf(os.Stderr, "sigil-dev: %v\n", err)
		os.Exit(1)
	}
}

const usage = `sigil-dev runs a whole Sigil on this machine, with an emulated cloud.
For development and tests only: its folder holds every secret in the clear.

  sigil-dev up --data DIR [flags]     start the stack and serve until Ctrl-C;
                                      DIR/dev.json says where everything is
  sigil-dev demo [flags]              the same, and one verified signature

Flags:
`

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		f := flags("sigil-dev", &devstack.Config{}, stderr)
		f.Usage()
		if len(args) == 0 {
			return errors.New("no command given: up or demo")
		}
		return nil
	}
	switch args[0] {
	case "up":
		return up(ctx, args[1:], stdout, stderr)
	case "demo":
		return runDemo(ctx, args[1:], stdout, stderr)
	}
	return fmt.Errorf("%q is no command: up or demo", args[0])
}

// flags returns the flags that both commands take.
func flags(name string, cfg *devstack.Config, stderr io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	f.StringVar(&cfg.Data, "data", "", "`folder` of the stack; made if it isn't there, used again if it is")
	f.StringVar(&cfg.Hardware, "hardware", "sev", "TEE that the emulated cloud claims to be: sev, sev-snp or tdx")
	f.Func("accept-hardware", "`kinds` of TEE that the organisation accepts, as --hardware with commas between; default all; a folder keeps its first", func(v string) error {
		cfg.AcceptHardware = strings.Split(v, ",")
		return nil
	})
	f.StringVar(&cfg.DatabaseFile, "database-file", "", "`file` with the DSN of a PostgreSQL database instead of one in the folder (see sigil database)")
	f.IntVar(&cfg.Port, "port", 0, "`port` of the API; 0 takes that of the earlier start, or a free one")
	f.StringVar(&cfg.TEEBinary, "tee-binary", beside("sigil-tee"), "`path` of sigil-tee")
	f.StringVar(&cfg.SigilBinary, "sigil-binary", beside("sigil"), "`path` of sigil")
	f.BoolVar(&cfg.Restart, "restart", false, "start a process that has ended again, instead of ending with it")
	return f
}

// beside returns the path of a program in the folder that this one is in.
func beside(name string) string {
	self, err := os.Executable()
	if err != nil {
		return name
	}
	return filepath.Join(filepath.Dir(self), name)
}

func parse(f *flag.FlagSet, args []string) error {
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	return nil
}

// absolute makes the paths of programs independent of working directories.
func absolute(paths ...*string) error {
	for _, p := range paths {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		if _, err := os.Stat(abs); err != nil {
			return fmt.Errorf("%w: run make build first, or say where it is", err)
		}
		*p = abs
	}
	return nil
}

func up(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	cfg := devstack.Config{Log: func(line string) { fmt.Fprintln(stderr, "sigil-dev:", line) }}
	f := flags("sigil-dev up", &cfg, stderr)
	if err := parse(f, args); err != nil {
		return err
	}
	if cfg.Data == "" {
		return errors.New("--data is missing: the folder of the stack")
	}
	if err := absolute(&cfg.TEEBinary, &cfg.SigilBinary); err != nil {
		return err
	}
	s, err := devstack.Up(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	i := s.Info()
	fmt.Fprintf(stdout, "ready\n  API           %s\n  organisation  %s\n  wallet        %s\n  everything    %s\n",
		i.APIBaseURL, i.OrganizationID, i.WalletID, filepath.Join(filepath.Dir(i.SecretKeyFile), "dev.json"))
	return s.Wait(ctx)
}
