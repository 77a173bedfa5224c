package oracle

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"

	"github.com/sigilkeys/sigil/internal/base58"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/bitcoin"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/unsigned"
)

// builtCase is a transaction that package unsigned built, and its arguments by
// the names that the JavaScript side has for them.
type builtCase struct {
	Kind      string         `json:"kind"`
	Arguments map[string]any `json:"arguments"`
	built     string
	payment   *unsigned.BitcoinPSBT
}

// rebuilt is what another library makes of the arguments.
type rebuilt struct {
	Transaction string      `json:"transaction"`
	Unsigned    string      `json:"unsigned"`
	Fee         string      `json:"fee"`
	VSize       uint64      `json:"vsize"`
	Outputs     [][2]string `json:"outputs"`
}

// dice makes arguments, the same of the same seed.
type dice struct {
	*rand.Rand
	t        *testing.T
	registry *chain.Registry
}

func (d *dice) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(d.Uint32())
	}
	return b
}

func (d *dice) big(bits int) *big.Int { return new(big.Int).SetBytes(d.bytes(d.IntN(bits/8 + 1))) }

// number is of any size, small ones as often as large ones; never 0.
func (d *dice) number() uint64 { return max(1, d.Uint64()>>d.IntN(64)) }

func (d *dice) coin() bool { return d.IntN(2) == 0 }

func (d *dice) pick(list ...string) string { return list[d.IntN(len(list))] }

func (d *dice) must(built string, err error) string {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
	return built
}

func (d *dice) evm() *builtCase {
	price := new(big.Int).Add(d.big(96), big.NewInt(1))
	e := unsigned.EVM{Network: d.pick("ethereum", "base", "zora", "aurora", "bsc"), Nonce: d.number() >> 11, GasLimit: 1 + d.number()>>11, MaxFeePerGas: price, MaxPriorityFeePerGas: new(big.Int).Mod(d.big(96), price)}
	n, _ := d.registry.Lookup(e.Network)
	address := func() string { return "0x" + hex.EncodeToString(d.bytes(20)) }
	to, token, from, amount := address(), address(), address(), new(big.Int).Add(d.big(248), big.NewInt(1))
	o := map[string]any{"chainId": n.ChainID, "nonce": decimal(e.Nonce), "gasLimit": decimal(e.GasLimit), "maxFeePerGas": price.String(), "maxPriorityFeePerGas": e.MaxPriorityFeePerGas.String(),
		"to": to, "token": token, "spender": to, "from": from, "amount": amount.String(), "tokenId": amount.String()}
	c := &builtCase{Kind: d.pick("EVMTransfer", "ERC20Transfer", "ERC20Approve", "ERC721Transfer"), Arguments: o}
	switch c.Kind {
	case "EVMTransfer":
		c.built = d.must(unsigned.EVMTransfer{EVM: e, To: to, Amount: amount}.Build())
	case "ERC20Transfer":
		c.built = d.must(unsigned.ERC20Transfer{EVM: e, Token: token, To: to, Amount: amount}.Build())
	case "ERC20Approve":
		c.built = d.must(unsigned.ERC20Approve{EVM: e, Token: token, Spender: to, Amount: amount}.Build())
	default:
		c.built = d.must(unsigned.ERC721Transfer{EVM: e, Token: token, From: from, To: to, TokenID: amount}.Build())
	}
	return c
}

func (d *dice) solana() *builtCase {
	owner := func() string { return base58.Encode(ed25519.NewKeyFromSeed(d.bytes(32))[32:]) }
	s := unsigned.Solana{Network: "solana", Wallet: owner(), Blockhash: base58.Encode(d.bytes(32)), Version0: d.coin(), Memo: d.pick("", "", "order 17", "für dich ⛰")}
	if d.coin() {
		s.ComputeUnitLimit = 1 + d.Uint32N(1_400_000)
	}
	if d.coin() {
		s.ComputeUnitPrice = d.number()
	}
	raw := [32]byte(d.bytes(32))
	to, off := base58.Encode(raw[:]), !keys.IsEd25519Point(raw) // half are addresses without a key
	amount, mint, program, decimals, create := d.number(), owner(), d.pick(unsigned.TokenProgram, unsigned.Token2022Program), byte(d.Uint32()), d.coin()
	c := &builtCase{Kind: d.pick("SolanaTransfer", "SolanaTokenTransfer", "SolanaTokenTransfer"), Arguments: map[string]any{
		"wallet": s.Wallet, "blockhash": s.Blockhash, "version0": s.Version0, "memo": s.Memo, "computeUnitLimit": s.ComputeUnitLimit, "computeUnitPrice": decimal(s.ComputeUnitPrice),
		"to": to, "mint": mint, "tokenProgram": program, "decimals": decimals, "amount": decimal(amount), "createAccount": create,
	}}
	if c.Kind == "SolanaTransfer" {
		c.built = d.must(unsigned.SolanaTransfer{Solana: s, To: to, Amount: amount}.Build())
		return c
	}
	c.built = d.must(unsigned.SolanaTokenTransfer{Solana: s, To: to, ToOffCurve: off, Mint: mint, TokenProgram: program, Decimals: decimals, Amount: amount, CreateAccount: create}.Build())
	return c
}

// bitcoin pays from outputs of all types of address of the wallet's.
func (d *dice) bitcoin() *builtCase {
	n, _ := d.registry.Lookup("bitcoin")
	pub, err := hex.DecodeString(publicKeys()["bitcoin"])
	if err != nil {
		d.t.Fatal(err)
	}
	codec := n.Codec.(bitcoin.Codec)
	own, err := codec.AddressTypes(pub)
	if err != nil {
		d.t.Fatal(err)
	}
	mine := func() string {
		return own[d.pick(bitcoin.TypeP2WPKH, bitcoin.TypeP2TR, bitcoin.TypeP2PKH, bitcoin.TypeP2SHP2WPKH)]
	}
	p := unsigned.BitcoinPayment{Network: "bitcoin", PublicKey: hex.EncodeToString(pub), ChangeAddress: mine(), FeeRate: float64(100+d.IntN(60_000)) / 1000, Replaceable: d.coin()}
	in := uint64(0)
	for range 1 + d.IntN(5) {
		script, err := codec.ParseAddress(mine())
		if err != nil {
			d.t.Fatal(err)
		}
		value := 1_000_000 + d.Uint64N(100_000_000)
		in += value
		p.Inputs = append(p.Inputs, unsigned.BitcoinInput{Transaction: hex.EncodeToString(d.previous(script, value)), Index: 0})
	}
	others := []string{"bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr", "bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"}
	left := in - 200_000 // for fees
	for range 1 + d.IntN(6) {
		amount := max(1000, d.Uint64N(left))
		if amount > left {
			break
		}
		left -= amount
		p.Recipients = append(p.Recipients, unsigned.BitcoinRecipient{Address: d.pick(others...), Amount: amount})
	}
	c := &builtCase{Kind: "BitcoinPayment"}
	if c.payment, err = p.Build(); err != nil {
		d.t.Fatal(err)
	}
	c.built = c.payment.Transaction
	c.Arguments = map[string]any{"transaction": c.built}
	return c
}

// previous is a transaction of the chain, with a witness or without.
func (d *dice) previous(script []byte, value uint64) []byte {
	body := slices.Concat([]byte{1}, d.bytes(32), []byte{0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1})
	body = append(append(binary.LittleEndian.AppendUint64(body, value), byte(len(script))), script...)
	if d.coin() {
		return slices.Concat([]byte{2, 0, 0, 0, 0, 1}, body, []byte{1, 1, 9, 0, 0, 0, 0})
	}
	return slices.Concat([]byte{1, 0, 0, 0}, body, []byte{0, 0, 0, 0})
}

func decimal(v uint64) string { return strconv.FormatUint(v, 10) }

// TestBuilt: transactions that package unsigned builds are the bytes that viem
// and web3.js make of the same arguments; PSBTs are what @scure/btc-signer
// writes again, signs and finishes, for the fee that was named and of about the
// size that was estimated.
func TestBuilt(t *testing.T) {
	seed, count := number(t, "SIGIL_TEST_SEED", 1), min(number(t, "SIGIL_TEST_CASES", 300), 3000)
	registry := newRegistry(t)
	d := &dice{Rand: rand.New(rand.NewPCG(uint64(seed), 1)), t: t, registry: registry}
	for name, make := range map[string]func() *builtCase{"evm": d.evm, "solana": d.solana, "bitcoin": d.bitcoin} {
		t.Run(name, func(t *testing.T) {
			var list []*builtCase
			var input bytes.Buffer
			for range count {
				c := make()
				line, err := json.Marshal(c)
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, c)
				input.Write(append(line, '\n'))
			}
			for i, r := range others(t, &input, count) {
				if c := list[i]; r.Transaction != c.built {
					t.Errorf("%s of %v: built\n%s, another library\n%s", c.Kind, c.Arguments, c.built, r.Transaction)
				} else if c.payment != nil {
					c.paid(t, registry, &r)
				}
			}
		})
	}
}

// others runs the JavaScript side.
func others(t *testing.T, input *bytes.Buffer, count int) []rebuilt {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", "built.mjs")
	cmd.Dir, cmd.Stderr, cmd.Stdin = "js", os.Stderr, input
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: `make oracles` installs what it needs", err)
	}
	var list []rebuilt
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var r rebuilt
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		list = append(list, r)
	}
	if err := lines.Err(); err != nil || len(list) != count {
		t.Fatalf("%d of %d cases: %v", len(list), count, err)
	}
	return list
}

// paid holds a payment against what another library signed, and that against
// what the decoder says.
func (c *builtCase) paid(t *testing.T, registry *chain.Registry, r *rebuilt) {
	t.Helper()
	p, err := (&oneCase{Chain: "bitcoin", Transaction: c.built}).sigil(registry)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(r.Unsigned)
	if err != nil {
		t.Fatal(err)
	}
	sum, e := sha256.Sum256(raw), p.Intent.Effects
	if hex.EncodeToString(sum[:]) != p.Intent.SHA256 || r.Fee != decimal(c.payment.Fee) || r.Fee != e.FeeMax || len(r.Outputs) != len(e.Actions) {
		t.Errorf("%s: fee %s and %s, digest %x and %s", c.built, r.Fee, e.FeeMax, sum, p.Intent.SHA256)
	}
	// Signatures may come out some bytes shorter, and the estimate leaves out a
	// quarter for each input without a witness beside one with.
	if inputs := uint64(len(p.Signatures())); r.VSize > c.payment.VSize+(inputs+3)/4 || r.VSize+4*inputs < c.payment.VSize {
		t.Errorf("%s: %d vbytes, estimated %d", c.built, r.VSize, c.payment.VSize)
	}
	for i, o := range r.Outputs {
		if o != [2]string{e.Actions[i].To, e.Actions[i].Amount} {
			t.Errorf("%s: output %d is %v, decoded %+v", c.built, i, o, e.Actions[i])
		}
	}
}
