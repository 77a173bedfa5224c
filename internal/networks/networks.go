// Package networks makes the registry of all networks: each family's presets,
// and those that an installation adds.
package networks

import (
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/bitcoin"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/chain/solana"
	"github.com/sigilkeys/sigil/internal/teeconfig"
)

// New returns the registry. It is one per program: the workload's is measured
// with its configuration, and decides; the others have to agree with it.
func New(configured ...evm.Configured) (*chain.Registry, error) {
	added := make([]chain.Network, len(configured))
	for i, c := range configured {
		var err error
		if added[i], err = c.Network(); err != nil {
			return nil, err
		}
	}
	return chain.NewRegistry(bitcoin.Networks(), evm.Networks(), solana.Networks(), added)
}

// Measured returns the registry of a workload's measured configuration.
func Measured(c *teeconfig.Config) (*chain.Registry, error) {
	added := make([]evm.Configured, len(c.EVMNetworks))
	for i, n := range c.EVMNetworks {
		added[i] = evm.Configured(n)
	}
	return New(added...)
}
