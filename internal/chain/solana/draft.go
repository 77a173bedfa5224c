package solana

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/sigilkeys/sigil/internal/keys"
)

// MaxComputeUnits is the most that a transaction can be given.
const MaxComputeUnits = maxUnits

// Draft is a transaction of one signer, who pays the fee, while instructions
// are added to it. Each is laid out as the program's own documentation has it.
type Draft struct {
	wallet    key
	blockhash key
	calls     []draftCall
}

type draftCall struct {
	program  key
	accounts []draftAccount
	data     []byte
}

type draftAccount struct {
	key  key
	role role
}

// NewDraft begins a transaction.
func NewDraft(wallet, blockhash [addressSize]byte) *Draft {
	return &Draft{wallet: wallet, blockhash: blockhash}
}

func (d *Draft) call(program key, data []byte, accounts ...draftAccount) {
	d.calls = append(d.calls, draftCall{program: program, accounts: accounts, data: data})
}

// ComputeUnitLimit adds Compute Budget's SetComputeUnitLimit.
func (d *Draft) ComputeUnitLimit(units uint32) {
	d.call(budgetProgram, binary.LittleEndian.AppendUint32([]byte{2}, units))
}

// ComputeUnitPrice adds Compute Budget's SetComputeUnitPrice, in micro-lamports.
func (d *Draft) ComputeUnitPrice(price uint64) {
	d.call(budgetProgram, binary.LittleEndian.AppendUint64([]byte{3}, price))
}

// Memo adds text to the record, of nobody in particular.
func (d *Draft) Memo(text string) { d.call(memo2Program, []byte(text)) }

// Transfer adds the System program's Transfer.
func (d *Draft) Transfer(to [addressSize]byte, lamports uint64) {
	data := binary.LittleEndian.AppendUint64([]byte{2, 0, 0, 0}, lamports)
	d.call(systemProgram, data, draftAccount{d.wallet, signs | writes}, draftAccount{to, writes})
}

// CreateAssociated adds CreateIdempotent of the Associated Token program: the
// wallet pays for an owner's account where there is none yet.
func (d *Draft) CreateAssociated(account, owner, mint, tokens [addressSize]byte) {
	d.call(associatedProgram, []byte{1}, draftAccount{d.wallet, signs | writes}, draftAccount{account, writes},
		draftAccount{key: owner}, draftAccount{key: mint}, draftAccount{key: systemProgram}, draftAccount{key: tokens})
}

// TransferChecked adds a token program's TransferChecked.
func (d *Draft) TransferChecked(from, mint, to, tokens [addressSize]byte, amount uint64, decimals uint8) {
	data := append(binary.LittleEndian.AppendUint64([]byte{12}, amount), decimals)
	d.call(tokens, data, draftAccount{from, writes}, draftAccount{key: mint}, draftAccount{to, writes}, draftAccount{d.wallet, signs})
}

// Transaction encodes the transaction in base64, with room for the wallet's
// signature; its message is of version 0 or of the legacy format. It is read
// again as Codec.Transaction reads it.
func (d *Draft) Transaction(versioned bool) (string, error) {
	m := &message{version: legacy, blockhash: d.blockhash}
	if versioned {
		m.version = 0
	}
	d.accounts(m)
	t := &transaction{message: m, signatures: make([][]byte, m.signers)}
	for i := range d.calls {
		c := &d.calls[i]
		in := instruction{program: slices.Index(m.keys, c.program), data: c.data}
		for _, a := range c.accounts {
			in.accounts = append(in.accounts, byte(slices.Index(m.keys, a.key)))
		}
		m.instructions = append(m.instructions, in)
	}
	t.signBytes = m.encode()
	b := t.assemble(0, make([]byte, signatureSize))
	if _, err := parseTransaction(b); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(b), nil
}

// accounts lists the message's accounts: each once, with all that any
// instruction needs of it, in the order that the header wants and, within
// that, in which they are first named.
func (d *Draft) accounts(m *message) {
	needs, order := map[key]role{d.wallet: signs | writes}, []key{d.wallet}
	need := func(k key, r role) {
		if _, ok := needs[k]; !ok {
			order = append(order, k)
		}
		needs[k] |= r
	}
	for i := range d.calls {
		need(d.calls[i].program, anyRole)
		for _, a := range d.calls[i].accounts {
			need(a.key, a.role)
		}
	}
	for _, r := range []role{signs | writes, signs, writes, anyRole} {
		from := len(m.keys)
		for _, k := range order {
			if needs[k] == r {
				m.keys = append(m.keys, k)
			}
		}
		switch n := len(m.keys) - from; {
		case r == signs:
			m.readSigned = n
		case r == anyRole:
			m.readUnsigned = n
		}
		if r&signs != 0 {
			m.signers = len(m.keys)
		}
	}
}

// Associated derives the address of an owner's account for a mint (Associated
// Token program): the first that is no point of the curve, of those for bumps
// from 255 downwards.
func Associated(owner, mint, tokens [addressSize]byte) ([addressSize]byte, error) {
	for bump := 255; bump >= 0; bump-- {
		h := sha256.New()
		for _, part := range [][]byte{owner[:], tokens[:], mint[:], {byte(bump)}, associatedProgram[:], []byte("ProgramDerivedAddress")} {
			h.Write(part)
		}
		if derived := [addressSize]byte(h.Sum(nil)); !keys.IsEd25519Point(derived) {
			return derived, nil
		}
	}
	return [addressSize]byte{}, errors.New("there is no such address")
}

// IsReserved reports whether an address is that of a program or system
// variable, which nobody has the key of.
func IsReserved(address [addressSize]byte) bool {
	return slices.Contains([]key{
		systemProgram, voteProgram, stakeProgram, budgetProgram, tokenProgram, token2022Program, associatedProgram, memo1Program, memo2Program,
		loader1Program, loader2Program, upgradeableProgram, loader4Program, ed25519Program, secp256k1Program, secp256r1Program,
		clockSysvar, rentSysvar, blockhashesSysvar, stakeHistorySysvar, stakeConfigAccount,
	}, address)
}
