package main

import (
	"net/netip"

	"github.com/spf13/pflag"

	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/controlplane"
	"github.com/sigilkeys/sigil/internal/ratelimit"
)

// limitFlags are the flags of `sigil serve` that bound what callers may ask,
// and of which networks.
func limitFlags(f *pflag.FlagSet, cfg *controlplane.Config) {
	f.Var((*rateValue)(&cfg.Rates.Organization), "rate-org", "requests per second and burst of one organisation, or off")
	f.Var((*rateValue)(&cfg.Rates.Key), "rate-key", "the same of one key")
	f.Var((*rateValue)(&cfg.Rates.Address), "rate-address", "the same of one client address, for requests that prove no key")
	f.IntVar(&cfg.MaxInFlight, "max-in-flight", cfg.MaxInFlight, "requests that may wait for the TEE or be decided; more are refused")
	f.Var((*networksValue)(&cfg.Networks), "networks", "JSON file with EVM networks besides the presets, as evm_networks of the workload's configuration")
	f.Var((*prefixesValue)(&cfg.Proxies), "trust-proxy", "network of load balancers whose X-Forwarded-For is believed; may be repeated")
}

// checkServe refuses flags that are missing, and numbers that mean nothing.
func checkServe(cfg *controlplane.Config, accept string) error {
	if (len(cfg.TEEAddresses) == 0) == (cfg.TEEFile == "") || accept == "" {
		return usagef("`sigil serve --help` has an example", "--tee (or --tee-file) and --accept are needed")
	}
	if cfg.MaxInFlight < 1 {
		return usagef("`sigil serve --help` lists the flags", "--max-in-flight %d lets no request in", cfg.MaxInFlight)
	}
	if cfg.Drain < 0 {
		return usagef("`sigil serve --help` lists the flags", "--drain %v is negative", cfg.Drain)
	}
	return nil
}

// rateValue is a rate as a flag.
type rateValue ratelimit.Rate

func (v *rateValue) String() string { return ratelimit.Rate(*v).String() }
func (v *rateValue) Type() string   { return "rate" }
func (v *rateValue) Set(s string) error {
	r, err := ratelimit.ParseRate(s)
	*v = rateValue(r)
	return err
}

// networksValue is a list in a file.
type networksValue []evm.Configured

func (v *networksValue) String() string { return "" }
func (v *networksValue) Type() string   { return "file" }
func (v *networksValue) Set(file string) (err error) {
	*v, err = readNetworks(file)
	return err
}

// prefixesValue is a flag that may be repeated.
type prefixesValue []netip.Prefix

func (v *prefixesValue) String() string { return "" }
func (v *prefixesValue) Type() string   { return "network" }
func (v *prefixesValue) Set(s string) error {
	p, err := netip.ParsePrefix(s)
	if a, aerr := netip.ParseAddr(s); aerr == nil {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	*v = append(*v, p)
	return err
}
