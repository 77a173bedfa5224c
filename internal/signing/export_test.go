package signing

import (
	"github.com/sigilkeys/sigil/internal/teelink"
)

// Home is the address of the workload that a key's requests stay with.
func (f *Fleet) Home(key []byte) string {
	m, _ := f.best(want{op: teelink.OpDecide, home: key})
	if m == nil {
		return ""
	}
	return m.Address
}
