package nodes

import (
	"bytes"
	"crypto/ecdsa"
	_ "embed"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/crypto/kzg4844"
	"github.com/ethereum/go-ethereum/ethclient/simulated"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/holiman/uint256"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/unsigned"
)

//go:embed testdata/Token.hex
var tokenCode string

const ether = 1_000_000_000_000_000_000

// devChain is go-ethereum's node with a chain of its own, chain id 1337, on
// which the wallet and another account have ether.
type devChain struct {
	t      *testing.T
	node   *simulated.Backend
	client simulated.Client
	w      *wallet
	other  *ecdsa.PrivateKey
	signer types.Signer
}

func newDevChain(t *testing.T) *devChain {
	t.Helper()
	w := newWallet(t, "dev", evm.Configured{Slug: "dev", Name: "Development chain", ChainID: 1337, Testnet: true})
	d := &devChain{t: t, w: w, signer: types.LatestSignerForChainID(big.NewInt(1337))}
	var err error
	if d.other, err = crypto.GenerateKey(); err != nil {
		t.Fatal(err)
	}
	rich := types.Account{Balance: new(big.Int).Mul(big.NewInt(ether), big.NewInt(1000))}
	d.node = simulated.NewBackend(types.GenesisAlloc{d.me(): rich, crypto.PubkeyToAddress(d.other.PublicKey): rich})
	t.Cleanup(func() {
		if err := d.node.Close(); err != nil {
			t.Error(err)
		}
	})
	d.client = d.node.Client()
	return d
}

func (d *devChain) me() common.Address { return common.HexToAddress(d.w.address()) }

// send gives the node a signed transaction as it goes over the wire and
// requires that it is mined and successful.
func (d *devChain) send(raw []byte) *types.Receipt {
	d.t.Helper()
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(raw); err != nil {
		d.t.Fatal(err)
	}
	if err := d.client.SendTransaction(d.t.Context(), tx); err != nil {
		d.t.Fatal(err)
	}
	d.node.Commit()
	r, err := d.client.TransactionReceipt(d.t.Context(), tx.Hash())
	if err != nil || r.Status != types.ReceiptStatusSuccessful {
		d.t.Fatalf("%v: %+v", err, r)
	}
	return r
}

// encoded writes what a type's signature hash is made over.
func encoded(t *testing.T, kind byte, fields ...any) string {
	t.Helper()
	b, err := rlp.EncodeToBytes(fields)
	if err != nil {
		t.Fatal(err)
	}
	if kind > 0 {
		b = append([]byte{kind}, b...)
	}
	return "0x" + hex.EncodeToString(b)
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.TrimPrefix(strings.TrimSpace(s), "0x"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// mined signs a transaction, has it mined, and holds its sender and hash
// against what Sigil says.
func (d *devChain) mined(text string) *types.Receipt {
	d.t.Helper()
	s := d.w.transaction(text)
	raw := unhex(d.t, s.Text)
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(raw); err != nil {
		d.t.Fatal(err)
	}
	if from, err := types.Sender(d.signer, tx); err != nil || from != d.me() || tx.Hash().Hex() != s.ID {
		d.t.Fatalf("sender %v, hash %s, want %s: %v", from, tx.Hash(), s.ID, err)
	}
	d.refused(tx)
	return d.send(raw)
}

// refused is the canary: the node doesn't take what was changed after it was
// signed, which then isn't the wallet's.
func (d *devChain) refused(tx *types.Transaction) {
	d.t.Helper()
	raw, err := tx.MarshalBinary()
	if err != nil {
		d.t.Fatal(err)
	}
	raw[bytes.Index(raw, tx.To().Bytes())+common.AddressLength-1] ^= 1
	altered := new(types.Transaction)
	if err := altered.UnmarshalBinary(raw); err != nil {
		d.t.Fatal(err)
	}
	if from, err := types.Sender(d.signer, altered); err == nil && from == d.me() {
		d.t.Errorf("type %d: what was altered is the wallet's", tx.Type())
	}
	if err := d.client.SendTransaction(d.t.Context(), altered); err == nil {
		d.t.Errorf("type %d: the node takes what was altered", tx.Type())
	}
}

var (
	gwei   = big.NewInt(1_000_000_000)
	price  = new(big.Int).Mul(gwei, big.NewInt(20))
	target = common.HexToAddress("0x00000000000000000000000000000000000000bb")
)

// onDev is what package unsigned builds transactions of the chain with.
func onDev(nonce uint64) unsigned.EVM {
	return unsigned.EVM{Network: "dev", Networks: []unsigned.EVMNetwork{{Slug: "dev", Name: "Development chain", ChainID: 1337}}, Nonce: nonce, GasLimit: 100_000, MaxFeePerGas: price, MaxPriorityFeePerGas: gwei}
}

// built requires that a transaction was built, and is mined.
func (d *devChain) built(text string, err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
	d.mined(text)
}

// TestEthereumTypes: one transaction of each type is mined, and refused altered.
func TestEthereumTypes(t *testing.T) {
	d := newDevChain(t)
	id := uint64(1337)
	access := types.AccessList{{Address: target, StorageKeys: []common.Hash{{1}}}}
	none := types.AccessList{}
	one := big.NewInt(1)
	d.mined(encoded(t, 0, uint64(0), price, uint64(21000), target, one, []byte{}, id, uint64(0), uint64(0)))
	d.mined(encoded(t, 1, id, uint64(1), price, uint64(30000), target, one, []byte{}, access))
	d.mined(encoded(t, 2, id, uint64(2), gwei, price, uint64(21000), target, one, []byte{}, none))
	d.built(unsigned.EVMTransfer{EVM: onDev(3), To: target.Hex(), Amount: one}.Build())
	d.blob(4)
	balance, err := d.client.BalanceAt(t.Context(), target, nil)
	if err != nil || balance.Int64() != 4 {
		t.Errorf("the recipient has %v, %v", balance, err)
	}
}

// blob signs a blob transaction without its blob, and sends it with it.
func (d *devChain) blob(nonce uint64) {
	d.t.Helper()
	blob := new(kzg4844.Blob)
	commitment, err := kzg4844.BlobToCommitment(blob)
	if err != nil {
		d.t.Fatal(err)
	}
	proofs, err := kzg4844.ComputeCellProofs(blob)
	if err != nil {
		d.t.Fatal(err)
	}
	sidecar := types.NewBlobTxSidecar(types.BlobSidecarVersion1, []kzg4844.Blob{*blob}, []kzg4844.Commitment{commitment}, proofs)
	s := d.w.transaction(encoded(d.t, 3, uint64(1337), nonce, gwei, price, uint64(21000), target, big.NewInt(0), []byte{}, types.AccessList{}, price, sidecar.BlobHashes()))
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(unhex(d.t, s.Text)); err != nil {
		d.t.Fatal(err)
	}
	tx = tx.WithBlobTxSidecar(sidecar)
	d.refused(tx)
	raw, err := tx.MarshalBinary()
	if err != nil {
		d.t.Fatal(err)
	}
	if r := d.send(raw); r.BlobGasUsed == 0 || r.TxHash.Hex() != s.ID {
		d.t.Errorf("no blob was paid for: %+v", r)
	}
}

// TestSetCode: an authorisation of EIP-7702 and the transaction that carries
// it, of type 4, both by a policy that names the code.
func TestSetCode(t *testing.T) {
	d, nonce := newDevChain(t), uint64(0)
	code := common.HexToAddress("0x00000000000000000000000000000000000000cc")
	d.w.accept = []policy.Acceptance{{Kind: policy.AcceptDelegate, Network: "dev", Contract: strings.ToLower(code.Hex())}}
	signature, _ := d.w.sign(&chain.Payload{Authorization: []byte(fmt.Sprintf(`{"chain_id":1337,"address":"%s","nonce":%d}`, strings.ToLower(code.Hex()), nonce+1))})
	sig := unhex(d.t, signature)
	type authorization struct {
		ChainID uint64
		Address common.Address
		Nonce   uint64
		V       uint8
		R, S    *big.Int
	}
	list := []authorization{{1337, code, nonce + 1, sig[64] - 27, new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:64])}}
	d.mined(encoded(d.t, 4, uint64(1337), nonce, gwei, price, uint64(100000), target, big.NewInt(0), []byte{}, types.AccessList{}, list))
	got, err := d.client.CodeAt(d.t.Context(), d.me(), nil)
	if err != nil || !bytes.Equal(got, types.AddressToDelegation(code)) {
		d.t.Errorf("the account has the code %x, %v", got, err)
	}
}

// TestToken: an ERC-20 token is moved by the wallet, and by another with a
// permit that the wallet signed as typed data.
func TestToken(t *testing.T) {
	d := newDevChain(t)
	spender := crypto.PubkeyToAddress(d.other.PublicKey)
	token := d.deploy()
	d.mined(encoded(t, 2, uint64(1337), uint64(0), gwei, price, uint64(500000), token, big.NewInt(0), callData("transfer(address,uint256)", word(target.Bytes()), word(big.NewInt(5).Bytes())), types.AccessList{}))
	d.built(unsigned.ERC20Transfer{EVM: onDev(1), Token: token.Hex(), To: target.Hex(), Amount: big.NewInt(2)}.Build())
	if got := d.balanceOf(token, target); got != 7 {
		t.Errorf("the recipient has %d tokens", got)
	}
	doc := fmt.Sprintf(`{"types":{"EIP712Domain":[{"name":"name","type":"string"},{"name":"version","type":"string"},{"name":"chainId","type":"uint256"},{"name":"verifyingContract","type":"address"}],`+
		`"Permit":[{"name":"owner","type":"address"},{"name":"spender","type":"address"},{"name":"value","type":"uint256"},{"name":"nonce","type":"uint256"},{"name":"deadline","type":"uint256"}]},`+
		`"primaryType":"Permit","domain":{"name":"Token","version":"1","chainId":1337,"verifyingContract":"%s"},"message":{"owner":"%s","spender":"%s","value":"7","nonce":0,"deadline":"9999999999"}}`,
		strings.ToLower(token.Hex()), d.w.address(), strings.ToLower(spender.Hex()))
	signature, _ := d.w.sign(&chain.Payload{TypedData: []byte(doc)})
	sig := unhex(t, signature)
	permit := func(value int64) []byte {
		return callData("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)", word(d.me().Bytes()), word(spender.Bytes()), word(big.NewInt(value).Bytes()), word(big.NewInt(9999999999).Bytes()), word(sig[64:]), sig[:32], sig[32:64])
	}
	if _, err := d.client.CallContract(t.Context(), ethereum.CallMsg{From: spender, To: &token, Data: permit(8)}, nil); err == nil {
		t.Error("canary: the permit is good for another amount")
	}
	d.byOther(&token, permit(7))
	d.byOther(&token, callData("transferFrom(address,address,uint256)", word(d.me().Bytes()), word(target.Bytes()), word(big.NewInt(7).Bytes())))
	if got := d.balanceOf(token, target); got != 14 {
		t.Errorf("the recipient has %d tokens", got)
	}
}

func word(b []byte) []byte { return common.LeftPadBytes(b, 32) }

func callData(function string, words ...[]byte) []byte {
	return append(crypto.Keccak256([]byte(function))[:4], bytes.Join(words, nil)...)
}

// byOther has the other account call a contract, or deploy one.
func (d *devChain) byOther(to *common.Address, data []byte) *types.Receipt {
	d.t.Helper()
	nonce, err := d.client.PendingNonceAt(d.t.Context(), crypto.PubkeyToAddress(d.other.PublicKey))
	if err != nil {
		d.t.Fatal(err)
	}
	tx, err := types.SignNewTx(d.other, d.signer, &types.DynamicFeeTx{ChainID: big.NewInt(1337), Nonce: nonce, GasTipCap: gwei, GasFeeCap: price, Gas: 9_000_000, To: to, Data: data})
	if err != nil {
		d.t.Fatal(err)
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		d.t.Fatal(err)
	}
	return d.send(raw)
}

func (d *devChain) deploy() common.Address {
	d.t.Helper()
	return d.byOther(nil, append(unhex(d.t, tokenCode), append(word(d.me().Bytes()), word(big.NewInt(1000).Bytes())...)...)).ContractAddress
}

func (d *devChain) balanceOf(token, holder common.Address) int64 {
	d.t.Helper()
	out, err := d.client.CallContract(d.t.Context(), ethereum.CallMsg{To: &token, Data: callData("balanceOf(address)", word(holder.Bytes()))}, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	return new(uint256.Int).SetBytes(out).ToBig().Int64()
}
