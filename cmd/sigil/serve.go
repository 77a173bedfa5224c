package main

import (
	"log/slog"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/sigilkeys/sigil/internal/controlplane"
)

func (a *app) serveCommand() *cobra.Command {
	cfg := controlplane.Config{}
	accept := ""
	var proxies []string
	c := &cobra.Command{Use: "serve", Short: "Run the control plane", Args: cobra.NoArgs,
		Long: `Runs the control plane: the API in front of the TEE workload, with its database
in a folder. It holds no secret and decides nothing; SIGTERM ends it after what
is in work. --accept names the reference values of the workload, as 'sigil org
create' takes them: it talks to no other.`,
		Example: "  sigil serve --data /var/lib/sigil --listen 127.0.0.1:8420 --tee 10.0.0.2:7420 --accept tee.json",
		RunE: func(c *cobra.Command, _ []string) error {
			if cfg.DataDir == "" || cfg.TEEAddress == "" || accept == "" {
				return usagef("`sigil serve --help` has an example", "--data, --tee and --accept are needed")
			}
			data, err := read(accept)
			if err != nil {
				return err
			}
			if cfg.Accept, err = parseTEEs(data, accept); err != nil {
				return err
			}
			for _, s := range proxies {
				n, err := netip.ParsePrefix(addressPrefix(s))
				if err != nil {
					return usagef("as in 10.0.0.0/8", "--trusted-proxy %q is no network", s)
				}
				cfg.TrustedProxies = append(cfg.TrustedProxies, n)
			}
			// JSON lines on standard error: nothing in them is secret.
			cfg.Log = slog.New(slog.NewJSONHandler(a.errOut, nil))
			cfg.Version = a.version
			cfg.Ready = func(address string) { _ = a.print(map[string]string{"address": address}, "http://"+address) }
			return controlplane.Run(c.Context(), cfg)
		}}
	c.Flags().StringVar(&cfg.DataDir, "data", "", "folder of the database")
	c.Flags().StringVar(&cfg.Listen, "listen", "127.0.0.1:8420", "address of the API")
	c.Flags().StringVar(&cfg.TEEAddress, "tee", "", "address of the TEE workload's link")
	c.Flags().StringVar(&accept, "accept", "", "JSON file with the accepted TEE, or a list of up to 4")
	c.Flags().StringSliceVar(&proxies, "trusted-proxy", nil, "networks of proxies whose X-Forwarded-For is believed, as in 10.0.0.0/8")
	c.Flags().BoolVar(&cfg.OpenRegistration, "open-registration", false, "take new organisations from anybody")
	return c
}
