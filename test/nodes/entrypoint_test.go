package nodes

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient/simulated"

	"github.com/sigilkeys/sigil/internal/chain"
)

// entryPoints are the addresses of ERC-4337's entry points.
func entryPoints() map[string]common.Address {
	return map[string]common.Address{
		"0.6": common.HexToAddress("0x5FF137D4b0FDCD49DcA30c7CF57E578a026d2789"), "0.7": common.HexToAddress("0x0000000071727De22E5E9d8BAf0edAc6f37da032"),
		"0.8": common.HexToAddress("0x4337084D9E255Ff0702461CF8895CE9E3b5Ff108"), "0.9": common.HexToAddress("0x433709009B8330FDa32311DF1C2AFA402eD8D009"),
	}
}

// artifact is a compiled contract of the package that ERC-4337's authors
// publish.
type artifact struct {
	ABI      abi.ABI `json:"abi"`
	Bytecode string  `json:"bytecode"`
}

func compiled(t *testing.T, version, name string) *artifact {
	t.Helper()
	b, err := os.ReadFile("entrypoint/node_modules/entrypoint-" + version + "/artifacts/" + name + ".json")
	if err != nil {
		t.Fatalf("%v: `make nodes` installs it", err)
	}
	a := &artifact{}
	if err := json.Unmarshal(b, a); err != nil {
		t.Fatal(err)
	}
	return a
}

// withEntryPoint has the entry point at its address: its code as a deployment
// elsewhere made it, which works out its domain anew where it finds itself.
// From 0.8 on the wallet has the code of a smart account (EIP-7702).
func withEntryPoint(t *testing.T, version string) (d *devChain, a *artifact) {
	t.Helper()
	d, a = newDevChain(t), compiled(t, version, "EntryPoint")
	alloc := types.GenesisAlloc{}
	at := d.byOther(nil, unhex(t, a.Bytecode)).ContractAddress
	code, err := d.client.CodeAt(t.Context(), at, nil)
	if err != nil {
		t.Fatal(err)
	}
	rich := types.Account{Balance: new(big.Int).Mul(big.NewInt(ether), big.NewInt(1000))}
	alloc[entryPoints()[version]] = types.Account{Code: code, Balance: new(big.Int)}
	alloc[crypto.PubkeyToAddress(d.other.PublicKey)] = rich
	alloc[d.me()] = rich
	if version >= "0.8" {
		account := compiled(t, version, "Simple7702Account")
		arguments := []byte{}
		if len(account.ABI.Constructor.Inputs) > 0 {
			arguments = word(entryPoints()[version].Bytes())
		}
		implementation := d.byOther(nil, append(unhex(t, account.Bytecode), arguments...)).ContractAddress
		if code, err = d.client.CodeAt(t.Context(), implementation, nil); err != nil {
			t.Fatal(err)
		}
		alloc[implementation] = types.Account{Code: code, Balance: new(big.Int)}
		rich.Code = types.AddressToDelegation(implementation)
		alloc[d.me()] = rich
	}
	d.node = simulated.NewBackend(maps.Clone(alloc))
	t.Cleanup(func() {
		if err := d.node.Close(); err != nil {
			t.Error(err)
		}
	})
	d.client = d.node.Client()
	return d, a
}

// packedOperation are the members of an operation as contracts take it.
type packedOperation map[string]any

// pack makes the struct that a function of the entry point takes.
func (p packedOperation) pack(t *testing.T, kind *abi.Type) reflect.Value {
	t.Helper()
	v := reflect.New(kind.TupleType).Elem()
	for i, name := range kind.TupleRawNames {
		value, ok := p[name]
		if !ok {
			t.Fatalf("there is no %s", name)
		}
		v.Field(i).Set(reflect.ValueOf(value))
	}
	return v
}

// TestUserOperation: the entry points make the hash that Sigil signs, and have
// the account pay.
func TestUserOperation(t *testing.T) {
	for version, at := range entryPoints() {
		t.Run(version, func(t *testing.T) {
			d, entry := withEntryPoint(t, version)
			sender := d.me()
			if version < "0.8" {
				sender = d.account(version, at)
			}
			call := callData("execute(address,uint256,bytes)", word(target.Bytes()), word(big.NewInt(5).Bytes()), word(big.NewInt(96).Bytes()), word(nil))
			op := map[string]any{"sender": strings.ToLower(sender.Hex()), "nonce": "0x0", "callData": fmt.Sprintf("0x%x", call), "callGasLimit": "0xf4240", "verificationGasLimit": "0x493e0",
				"preVerificationGas": "0xc350", "maxFeePerGas": "0x4a817c800", "maxPriorityFeePerGas": "0x3b9aca00"}
			packed := packedOperation{"sender": sender, "nonce": new(big.Int), "initCode": []byte{}, "callData": call, "callGasLimit": big.NewInt(0xf4240), "verificationGasLimit": big.NewInt(0x493e0),
				"preVerificationGas": big.NewInt(0xc350), "maxFeePerGas": price, "maxPriorityFeePerGas": gwei, "paymasterAndData": []byte{}, "signature": []byte{},
				"accountGasLimits": halves(0x493e0, 0xf4240), "gasFees": halves(gwei.Int64(), price.Int64())}
			if version == "0.6" {
				op["initCode"], op["paymasterAndData"] = "0x", "0x"
			}
			doc := operationDocument(t, at, op)
			signature, _ := d.w.sign(&chain.Payload{UserOperation: doc})
			d.sameHash(entry, at, doc, packed)
			if version >= "0.8" {
				d.sameHashWithCode(entry, at, op, packed)
			}
			if version == "0.9" {
				d.sameHashWithPaymaster(entry, at, op, packed)
			}
			packed["signature"] = unhex(t, signature)
			d.handled(entry, at, packed)
			balance, err := d.client.BalanceAt(t.Context(), target, nil)
			if err != nil || balance.Int64() != 5 {
				t.Errorf("the recipient has %v, %v", balance, err)
			}
		})
	}
}

func halves(high, low int64) (out [32]byte) {
	big.NewInt(high).FillBytes(out[:16])
	big.NewInt(low).FillBytes(out[16:])
	return out
}

func operationDocument(t *testing.T, at common.Address, op map[string]any) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{"entry_point": strings.ToLower(at.Hex()), "user_operation": op})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sameHash holds the entry point's hash against the one that Sigil signs as
// it is.
func (d *devChain) sameHash(entry *artifact, at common.Address, doc []byte, packed packedOperation) {
	d.t.Helper()
	method := entry.ABI.Methods["getUserOpHash"]
	input, err := entry.ABI.Pack("getUserOpHash", packed.pack(d.t, &method.Inputs[0].Type).Interface())
	if err != nil {
		d.t.Fatal(err)
	}
	out, err := d.client.CallContract(d.t.Context(), ethereum.CallMsg{To: &at, Data: input}, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	digest := []byte(strings.Replace(string(doc), "{", `{"signature_scheme":"digest",`, 1))
	p, err := (&chain.Payload{UserOperation: digest}).Prepare(d.w.n, d.w.pub)
	if err != nil || string(p.SignBytes) != string(out) {
		d.t.Errorf("Sigil signs %x, the entry point hashes %x: %v", p.SignBytes, out, err)
	}
}

// sameHashWithCode is sameHash of an operation with which the wallet takes the
// code that it has: the entry point reads that from the account.
func (d *devChain) sameHashWithCode(entry *artifact, at common.Address, op map[string]any, packed packedOperation) {
	d.t.Helper()
	code, err := d.client.CodeAt(d.t.Context(), d.me(), nil)
	if err != nil {
		d.t.Fatal(err)
	}
	implementation, ok := types.ParseDelegation(code)
	if !ok {
		d.t.Fatalf("the wallet has the code %x", code)
	}
	op, packed = maps.Clone(op), maps.Clone(packed)
	op["factory"], op["factoryData"] = "0x7702", "0x12345678"
	op["eip7702Auth"] = map[string]any{"chainId": "0x539", "address": strings.ToLower(implementation.Hex()), "nonce": "0x0"}
	packed["initCode"] = append(common.RightPadBytes([]byte{0x77, 0x02}, common.AddressLength), 0x12, 0x34, 0x56, 0x78)
	d.sameHash(entry, at, operationDocument(d.t, at, op), packed)
}

// sameHashWithPaymaster is sameHash of an operation that a paymaster has
// signed beside the wallet.
func (d *devChain) sameHashWithPaymaster(entry *artifact, at common.Address, op map[string]any, packed packedOperation) {
	d.t.Helper()
	op, packed = maps.Clone(op), maps.Clone(packed)
	op["paymaster"], op["paymasterVerificationGasLimit"], op["paymasterPostOpGasLimit"] = strings.ToLower(target.Hex()), 7, 9
	op["paymasterData"], op["paymasterSignature"] = "0xabcd", "0x010203"
	gas := halves(7, 9)
	packed["paymasterAndData"] = slices.Concat(target.Bytes(), gas[:], []byte{0xab, 0xcd}, []byte{1, 2, 3}, []byte{0, 3}, unhex(d.t, "22e325a297439656"))
	d.sameHash(entry, at, operationDocument(d.t, at, op), packed)
}

// account has a factory make an account for the wallet, which gets ether.
func (d *devChain) account(version string, at common.Address) common.Address {
	d.t.Helper()
	factory := d.byOther(nil, append(unhex(d.t, compiled(d.t, version, "SimpleAccountFactory").Bytecode), word(at.Bytes())...)).ContractAddress
	d.byOther(&factory, callData("createAccount(address,uint256)", word(d.me().Bytes()), word(nil)))
	out, err := d.client.CallContract(d.t.Context(), ethereum.CallMsg{To: &factory, Data: callData("getAddress(address,uint256)", word(d.me().Bytes()), word(nil))}, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	sender := common.BytesToAddress(out)
	d.mined(encoded(d.t, 2, uint64(1337), uint64(0), gwei, price, uint64(100000), sender, big.NewInt(ether), []byte{}, types.AccessList{}))
	return sender
}

// handled gives an operation to the entry point, and requires that it refuses
// it altered: the canary.
func (d *devChain) handled(entry *artifact, at common.Address, packed packedOperation) {
	d.t.Helper()
	method := entry.ABI.Methods["handleOps"]
	other := crypto.PubkeyToAddress(d.other.PublicKey)
	input := func(p packedOperation) []byte {
		list := reflect.MakeSlice(reflect.SliceOf(method.Inputs[0].Type.Elem.TupleType), 0, 1)
		b, err := entry.ABI.Pack("handleOps", reflect.Append(list, p.pack(d.t, method.Inputs[0].Type.Elem)).Interface(), other)
		if err != nil {
			d.t.Fatal(err)
		}
		return b
	}
	altered := maps.Clone(packed)
	altered["preVerificationGas"] = big.NewInt(0xc351)
	if _, err := d.client.CallContract(d.t.Context(), ethereum.CallMsg{From: other, To: &at, Data: input(altered)}, nil); err == nil {
		d.t.Error("canary: the entry point takes an altered operation")
	}
	d.byOther(&at, input(packed))
}
