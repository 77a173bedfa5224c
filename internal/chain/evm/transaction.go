package evm

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"strings"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
)

// Types of transactions (EIP-2718); legacy ones have no type byte.
const (
	typeLegacy     = 0
	typeAccessList = 1 // EIP-2930
	typeDynamicFee = 2 // EIP-1559
	typeBlob       = 3 // EIP-4844
	typeSetCode    = 4 // EIP-7702
)

const (
	addressSize = 20
	wordSize    = 32
	gasPerBlob  = 1 << 17
	// maxBlobs is more than any network takes in one transaction.
	maxBlobs = 16

	// Sizes of the smallest items of lists: so many fit, and lists needn't
	// grow.
	minAccess     = 1 + 1 + addressSize + 1
	minDelegation = 1 + 1 + 1 + addressSize + 4
)

// transaction is an unsigned transaction as decoded. Integers are big-endian
// without leading zeros; slices are parts of the input.
type transaction struct {
	kind    byte
	chainID uint64
	nonce   uint64
	tip     []byte // maxPriorityFeePerGas, from EIP-1559 on
	price   []byte // gasPrice; maxFeePerGas from EIP-1559 on
	gas     uint64
	to      []byte // empty: creates a contract
	value   []byte
	data    []byte

	access      []accessEntry
	blobPrice   []byte
	blobs       [][]byte
	delegations []delegation

	fields []byte // encoded, without the list's head and without a signature
}

type accessEntry struct {
	address []byte
	keys    [][]byte
}

// delegation is a signed EIP-7702 authorisation: an account takes the code of
// an address.
type delegation struct {
	chainID []byte // empty: any chain
	address []byte
	nonce   uint64
	parity  uint64
	r, s    []byte
}

// Transaction implements chain.Transactor: text is 0x and the hex of what the
// type's signature hash is made over, that is the RLP list of EIP-155 with
// chain id, 0, 0 for a legacy transaction, and type byte ‖ list without a
// signature for the others.
func (Codec) Transaction(n *chain.Network, pub []byte, text string) (*chain.Prepared, error) {
	digits, ok := strings.CutPrefix(text, "0x")
	if len(digits) > 2*chain.MaxTransaction {
		return nil, chain.Refuse(chain.CodeInvalid, "the transaction has over %d bytes", chain.MaxTransaction)
	}
	raw, err := hex.DecodeString(digits)
	if !ok || err != nil {
		return nil, chain.Refuse(chain.CodeInvalid, "the transaction isn't 0x and pairs of hex digits")
	}
	t, fault := decode(raw)
	if fault != "" {
		return nil, chain.Refuse(chain.CodeInvalid, "not an unsigned Ethereum transaction: %s", fault)
	}
	if t.chainID != n.ChainID {
		return nil, chain.Refuse(chain.CodeNetwork, "the transaction is for chain id %d, %s has %d", t.chainID, n.Slug, n.ChainID)
	}
	fee, fault := t.feeMax()
	if fault != "" {
		return nil, chain.Refuse(chain.CodeInvalid, "%s", fault)
	}
	return &chain.Prepared{
		Intent:    chain.TransactionIntent(n, t.format(), raw, t.effects(n, pub, fee)),
		SignBytes: keccak(raw),
		Assemble:  t.assemble,
	}, nil
}

func (t *transaction) format() string {
	switch t.kind {
	case typeAccessList:
		return "evm-eip2930"
	case typeDynamicFee:
		return "evm-eip1559"
	case typeBlob:
		return "evm-eip4844"
	case typeSetCode:
		return "evm-eip7702"
	}
	return "evm-legacy"
}

// decode reads an unsigned transaction. What it takes is all of raw, and
// encodes again to raw: compared, though the reader takes one form only.
func decode(raw []byte) (*transaction, string) {
	t := &transaction{}
	body := reader{rest: raw}
	switch {
	case len(raw) == 0:
		return nil, "it is empty"
	case raw[0] >= typeAccessList && raw[0] <= typeSetCode:
		t.kind = raw[0]
		body.rest = raw[1:]
	case raw[0] < 0xc0:
		return nil, fmt.Sprintf("the type %#02x is unknown", raw[0])
	}
	list := body.list()
	if t.kind == typeLegacy {
		t.readLegacy(&list)
	} else {
		t.readTyped(&list)
	}
	body.close(&list, "it has more fields than its type (already signed? send it unsigned)")
	body.end("bytes follow the transaction")
	if body.fault == "" {
		body.fault = t.check()
	}
	if body.fault != "" {
		return nil, body.fault
	}
	t.fields = t.appendFields(make([]byte, 0, len(raw)+9)) // a list's head is written twice
	if !bytes.Equal(t.unsigned(), raw) {
		return nil, "it encodes to other bytes"
	}
	return t, ""
}

func (t *transaction) readLegacy(r *reader) {
	t.nonce = r.uint64()
	t.price = r.integer()
	t.gas = r.uint64()
	t.readCall(r)
	if r.fault == "" && !r.more() {
		r.fail("it has no chain id (EIP-155) and would be valid on every chain")
	}
	t.readChainID(r)
	for range 2 { // where r and s go
		if len(r.text(wordSize)) != 0 {
			r.fail("it is signed already; send it with chain id, 0, 0")
		}
	}
}

func (t *transaction) readTyped(r *reader) {
	t.readChainID(r)
	t.nonce = r.uint64()
	if t.kind >= typeDynamicFee {
		t.tip = r.integer()
	}
	t.price = r.integer()
	t.gas = r.uint64()
	t.readCall(r)
	list := r.list()
	t.access = make([]accessEntry, 0, len(list.rest)/minAccess)
	for list.more() {
		entry := list.list()
		a := accessEntry{address: entry.exact(addressSize)}
		storage := entry.list()
		a.keys = make([][]byte, 0, len(storage.rest)/(1+wordSize))
		for storage.more() {
			a.keys = append(a.keys, storage.exact(wordSize))
		}
		entry.close(&storage, "too many storage keys")
		list.close(&entry, "an entry of the access list has more than two fields")
		t.access = append(t.access, a)
	}
	r.close(&list, "the access list is too long")
	switch t.kind {
	case typeBlob:
		t.readBlobs(r)
	case typeSetCode:
		t.readDelegations(r)
	}
}

// readChainID reads a chain id: never 0, and no registered one has over 64
// bits.
func (t *transaction) readChainID(r *reader) {
	if t.chainID = r.uint64(); t.chainID == 0 {
		r.fail("the chain id is 0")
	}
}

func (t *transaction) readCall(r *reader) {
	t.to = r.text(addressSize)
	t.value = r.integer()
	t.data = r.text(math.MaxInt)
}

func (t *transaction) readBlobs(r *reader) {
	t.blobPrice = r.integer()
	list := r.list()
	t.blobs = make([][]byte, 0, len(list.rest)/(1+wordSize))
	for list.more() {
		t.blobs = append(t.blobs, list.exact(wordSize))
	}
	r.close(&list, "too many blobs")
}

func (t *transaction) readDelegations(r *reader) {
	list := r.list()
	t.delegations = make([]delegation, 0, len(list.rest)/minDelegation)
	for list.more() {
		e := list.list()
		t.delegations = append(t.delegations, delegation{chainID: e.integer(), address: e.exact(addressSize), nonce: e.uint64(), parity: e.uint64(), r: e.integer(), s: e.integer()})
		list.close(&e, "an authorisation has more than six fields")
	}
	r.close(&list, "too many authorisations")
}

// check holds the decoded fields against what nodes require of them.
func (t *transaction) check() string {
	switch {
	case t.nonce == math.MaxUint64:
		return "the nonce is over 2^64-2 (EIP-2681)"
	case len(t.to) != 0 && len(t.to) != addressSize:
		return "the recipient is no address"
	case len(t.to) == 0 && t.kind >= typeBlob:
		return "its type can't create contracts"
	case t.kind >= typeDynamicFee && compare(t.tip, t.price) > 0:
		return "maxPriorityFeePerGas is above maxFeePerGas"
	case t.kind == typeBlob && (len(t.blobs) == 0 || len(t.blobs) > maxBlobs):
		return "it has no blobs, or too many"
	case t.kind == typeSetCode && len(t.delegations) == 0:
		return "it has no authorisations"
	}
	for _, b := range t.blobs {
		if b[0] != 1 {
			return "the version of a blob's hash is unknown"
		}
	}
	for i := range t.delegations {
		if d := &t.delegations[i]; d.parity > 1 || d.nonce == math.MaxUint64 || len(d.r) == 0 || len(d.s) == 0 {
			return "an authorisation is out of bounds"
		}
	}
	return ""
}

// compare orders integers without leading zeros.
func compare(a, b []byte) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return bytes.Compare(a, b)
}

// feeMax is gas × maxFeePerGas and, with blobs, their gas × its price. Nodes
// count in 256 bits.
func (t *transaction) feeMax() (fee, fault string) {
	if len(t.price) <= 8 && len(t.blobs) == 0 { // nearly always
		if high, low := bits.Mul64(toUint64(t.price), t.gas); high == 0 {
			return strconv.FormatUint(low, 10), ""
		}
	}
	return t.largeFee()
}

func (t *transaction) largeFee() (decimal, fault string) {
	fee := new(big.Int).SetBytes(t.price)
	fee.Mul(fee, new(big.Int).SetUint64(t.gas))
	if len(t.blobs) > 0 {
		blobs := new(big.Int).SetBytes(t.blobPrice)
		fee.Add(fee, blobs.Mul(blobs, big.NewInt(int64(len(t.blobs))*gasPerBlob)))
	}
	if fee.BitLen() > 256 {
		return "", "the fee is over 256 bits"
	}
	return fee.String(), ""
}

// appendFields encodes the fields that a signature goes behind.
func (t *transaction) appendFields(out []byte) []byte {
	if t.kind != typeLegacy {
		out = appendUint64(out, t.chainID)
	}
	out = appendUint64(out, t.nonce)
	if t.kind >= typeDynamicFee {
		out = appendText(out, t.tip)
	}
	out = appendText(out, t.price)
	out = appendUint64(out, t.gas)
	out = appendText(out, t.to)
	out = appendText(out, t.value)
	out = appendText(out, t.data)
	if t.kind == typeLegacy {
		return out
	}
	out = appendList(out, t.appendAccess)
	switch t.kind {
	case typeBlob:
		out = appendText(out, t.blobPrice)
		out = appendList(out, func(b []byte) []byte { return appendTexts(b, t.blobs) })
	case typeSetCode:
		out = appendList(out, t.appendDelegations)
	}
	return out
}

func appendTexts(out []byte, list [][]byte) []byte {
	for _, b := range list {
		out = appendText(out, b)
	}
	return out
}

func (t *transaction) appendAccess(out []byte) []byte {
	for i := range t.access {
		out = appendList(out, func(b []byte) []byte {
			return appendList(appendText(b, t.access[i].address), func(b []byte) []byte { return appendTexts(b, t.access[i].keys) })
		})
	}
	return out
}

func (t *transaction) appendDelegations(out []byte) []byte {
	for i := range t.delegations {
		d := &t.delegations[i]
		out = appendList(out, func(b []byte) []byte {
			b = appendText(appendText(b, d.chainID), d.address)
			b = appendUint64(appendUint64(b, d.nonce), d.parity)
			return appendText(appendText(b, d.r), d.s)
		})
	}
	return out
}

// unsigned encodes what the signature hash is made over.
func (t *transaction) unsigned() []byte {
	var tail [16]byte
	b := tail[:0]
	if t.kind == typeLegacy { // EIP-155
		b = appendUint64(appendUint64(appendUint64(b, t.chainID), 0), 0)
	}
	return t.envelope(b)
}

// envelope encodes the transaction with encoded fields at its end.
func (t *transaction) envelope(tail []byte) []byte {
	out := make([]byte, 0, len(t.fields)+len(tail)+10)
	if t.kind != typeLegacy {
		out = append(out, t.kind)
	}
	out = appendHead(out, 0xc0, len(t.fields)+len(tail))
	return append(append(out, t.fields...), tail...)
}

// assemble puts a signature into the transaction: r, s and the parity of y,
// or EIP-155's 35 + 2 × chain id + parity.
func (t *transaction) assemble(raw []byte) (*chain.Signed, error) {
	if len(raw) != 65 || raw[64] > 1 {
		return nil, fmt.Errorf("%w: signature of %d bytes", keys.ErrInput, len(raw))
	}
	tail := make([]byte, 0, 80)
	if t.kind == typeLegacy {
		high, low := bits.Mul64(t.chainID, 2)
		low, carry := bits.Add64(low, 35+uint64(raw[64]), 0)
		v := binary.BigEndian.AppendUint64(nil, high+carry)
		tail = appendInteger(tail, binary.BigEndian.AppendUint64(v, low))
	} else {
		tail = appendUint64(tail, uint64(raw[64]))
	}
	tail = appendInteger(appendInteger(tail, raw[:32]), raw[32:64])
	signed := t.envelope(tail)
	return &chain.Signed{Text: hexText(signed), ID: hexText(keccak(signed))}, nil
}

func hexText(b []byte) string {
	var short [2 + 2*wordSize]byte // spares an allocation
	return string(hex.AppendEncode(append(short[:0], "0x"...), b))
}
