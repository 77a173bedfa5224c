package evm

import "github.com/sigilkeys/sigil/internal/chain"

// effects describes what the account does. All of it is the account's: the
// wallet is its owner.
func (o *operation) effects(n *chain.Network, wallet string) *chain.Effects {
	e := &chain.Effects{Nonce: decimal(o.nonce), FeeMax: o.feeMax(), FeePayer: hexText(o.sender)}
	d := &describer{n: n, e: e, account: e.FeePayer}
	from := d.account
	if from == wallet {
		from = ""
	}
	if len(o.factory) > 0 {
		e.Flags = append(e.Flags, flagDeploysAccount)
		d.accept(o.factoryData)
		(&call{d: d, from: from, contract: hexText(o.factory), data: o.factoryData}).opaque()
	}
	if len(o.paymaster) > 0 {
		e.FeePayer, e.Flags = hexText(o.paymaster), append(e.Flags, flagPaymaster)
	}
	if len(o.callData) > 0 {
		d.describe(&call{from: from, own: true, to: o.sender, data: o.callData})
	}
	e.Behind = chain.BehindData(d.behind)
	return e
}
