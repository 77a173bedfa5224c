package main

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sigilkeys/sigil/internal/controlplane"
	"github.com/sigilkeys/sigil/internal/server"
	"github.com/sigilkeys/sigil/internal/signing"
)

func (a *app) serveCommand() *cobra.Command {
	cfg := controlplane.Config{Rates: server.DefaultRates(), MaxInFlight: signing.DefaultMaxInFlight}
	accept, databaseFile := "", ""
	level := slog.LevelInfo
	c := &cobra.Command{Use: "serve", Short: "Run the control plane", Args: cobra.NoArgs,
		Long: `Runs the control plane: the API in front of the TEE workload. It holds no secret
and decides nothing; SIGTERM ends it after what is in work. --accept names the
reference values of the workload, as 'sigil org create' takes them: it talks to
no other. Of several workloads it asks one that is up; with --tee-file they are
added and drained by a changed file and SIGHUP.

Its database is a folder that one process uses (--data), or PostgreSQL: then a
file with the DSN (--database-file) or $SIGIL_DATABASE names it, as sigil_app
(see 'sigil database'). The DSN may hold a password, so it is no argument. Several
processes may share a PostgreSQL database: a revocation that one acknowledges
binds at the others within 5 seconds.`,
		Example: `  sigil serve --data /var/lib/sigil --listen 127.0.0.1:8420 --tee 10.0.0.2:7420 --accept tee.json
  sigil serve --database-file app.dsn --tee 10.0.0.2:7420 --accept tee.json`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkServe(&cfg, accept); err != nil {
				return err
			}
			place, err := a.where("sigil serve", cfg.DataDir, databaseFile)
			if err != nil {
				return err
			}
			cfg.Database = place.DSN
			data, err := read(accept)
			if err != nil {
				return err
			}
			if cfg.Accept, err = parseTEEs(data, accept); err != nil {
				return err
			}
			// JSON lines on standard error: nothing in them is secret.
			cfg.Log = slog.New(slog.NewJSONHandler(a.errOut, &slog.HandlerOptions{Level: level}))
			cfg.Version = a.version
			// Each reader has its own: a signal on one channel is taken once.
			certificate, tees := make(chan os.Signal, 1), make(chan os.Signal, 1)
			for _, hangup := range []chan os.Signal{certificate, tees} {
				signal.Notify(hangup, syscall.SIGHUP)
				defer signal.Stop(hangup)
			}
			cfg.Reload, cfg.ReloadTEEs = certificate, tees
			scheme := "http://"
			if cfg.TLSCertificate != "" {
				scheme = "https://"
			}
			cfg.Ready = func(address string) { _ = a.print(map[string]string{"address": address}, scheme+address) }
			return controlplane.Run(c.Context(), cfg)
		}}
	c.Flags().StringVar(&cfg.DataDir, "data", "", "folder of the embedded database")
	c.Flags().StringVar(&databaseFile, "database-file", "", "file with the DSN of a PostgreSQL database (default $SIGIL_DATABASE)")
	c.Flags().StringVar(&cfg.Listen, "listen", "127.0.0.1:8420", "address of the API")
	c.Flags().StringArrayVar(&cfg.TEEAddresses, "tee", nil, "address of a TEE workload's link; may be repeated")
	c.Flags().StringVar(&cfg.TEEFile, "tee-file", "", "or a file of them, one a line, which is read again on SIGHUP")
	c.Flags().StringVar(&accept, "accept", "", "JSON file with the accepted TEE, or a list of up to 4")
	c.Flags().BoolVar(&cfg.OpenRegistration, "open-registration", false, "take new organisations from anybody")
	c.Flags().StringVar(&cfg.Metrics, "metrics", "", "address of Prometheus metrics, as in 127.0.0.1:9420 (default none)")
	c.Flags().DurationVar(&cfg.Drain, "drain", 0, "how long to serve on after SIGTERM, not ready, for load balancers to notice")
	c.Flags().StringVar(&cfg.OTLPEndpoint, "otlp-endpoint", "", "OpenTelemetry collector for traces, as in http://127.0.0.1:4318 (default none)")
	c.Flags().Float64Var(&cfg.OTLPSample, "otlp-sample", 0.01, "share of requests that are traced")
	c.Flags().StringVar(&cfg.TLSCertificate, "tls-cert", "", "PEM file with the certificate chain of the API (default no TLS)")
	c.Flags().StringVar(&cfg.TLSKey, "tls-key", "", "PEM file with its key; replaced files are taken within 10 s, or on SIGHUP")
	c.Flags().TextVar(&level, "log-level", slog.LevelInfo, "debug, info, warn or error; info has a line for each request")
	limitFlags(c.Flags(), &cfg)
	return c
}
