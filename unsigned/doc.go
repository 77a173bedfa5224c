// Package unsigned builds common transactions as the sign route takes them:
// complete and unsigned, ready for client.SignRequest.Transaction.
//
// Its types are the transactions and Build encodes one. Nothing here asks a
// network: nonces, fees, blockhashes and outputs to spend are the caller's,
// and the same arguments always give the same bytes, the very ones that the
// TypeScript SDK makes of them. Amounts are base units: wei and a token's
// smallest unit, lamports, satoshi.
//
// Arguments are checked as strictly as the TEE decodes, and for what nobody
// means besides: tokens sent to their own contract, payments that nodes would
// call dust. A refusal is an *ArgumentError and names the field. What was
// built, the decoder that the TEE has takes; whether a key's policy allows it
// is for the TEE to say.
package unsigned

import (
	"fmt"
	"math/big"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/networks"
)

// ArgumentError says which argument a transaction can't be built of.
type ArgumentError struct {
	Field  string // of the struct that Build was called on
	Detail string
}

// Error implements error.
func (e *ArgumentError) Error() string { return e.Field + ": " + e.Detail }

func bad(field, format string, args ...any) error {
	return &ArgumentError{Field: field, Detail: fmt.Sprintf(format, args...)}
}

// network finds a network of a family by its slug, among the presets and those
// that are added.
func network(slug, family string, added ...evm.Configured) (*chain.Network, error) {
	registry, err := networks.New(added...)
	if err != nil {
		return nil, bad("Networks", "%v", err)
	}
	n, ok := registry.Lookup(slug)
	switch {
	case !ok:
		return nil, bad("Network", "there is no network %.40q", slug)
	case n.Family != family:
		return nil, bad("Network", "%s is of the family %s, this transaction of %s", slug, n.Family, family)
	}
	return n, nil
}

// number checks an integer of the contract language's size.
func number(field string, v *big.Int) error {
	switch {
	case v == nil:
		return bad(field, "it is missing")
	case v.Sign() < 0:
		return bad(field, "it is negative")
	case v.BitLen() > 256:
		return bad(field, "it has over 256 bits")
	}
	return nil
}

// positive is number where zero would do nothing.
func positive(field string, v *big.Int) error {
	if err := number(field, v); err != nil {
		return err
	}
	if v.Sign() == 0 {
		return bad(field, "it is 0")
	}
	return nil
}
