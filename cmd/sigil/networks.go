package main

import (
	"fmt"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/networks"
)

// readNetworks reads a list of EVM networks besides the presets; no file is
// none.
func readNetworks(file string) (list []evm.Configured, err error) {
	if file == "" {
		return nil, nil
	}
	data, err := read(file)
	if err != nil {
		return nil, err
	}
	if err := canon.DecodeJSONLoose(data, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if _, err := networks.New(list...); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return list, nil
}
