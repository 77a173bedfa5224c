package evm_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/evm"
)

type published struct {
	ID        string            `json:"id"`
	Operation map[string]string `json:"user_operation"`
	Entry     string            `json:"entry_point"`
	ChainID   uint64            `json:"chain_id"`
	Hash      string            `json:"user_op_hash"`
	scheme    string
}

func operations(t testing.TB) (list []published) {
	t.Helper()
	data, err := os.ReadFile("../../../test/vectors/testdata/useroperations.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func (p *published) doc() string {
	b, err := json.Marshal(map[string]any{"entry_point": p.Entry, "user_operation": p.Operation, "signature_scheme": p.scheme})
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// TestUserOperations: hashes as viem makes them, and what the account is told
// to do.
func TestUserOperations(t *testing.T) {
	const account = "0x00000000000000000000000000000000000000ac"
	actions := map[byte]string{
		'0': `[{"kind":"transfer","asset":"native","from":"` + account + `","to":"` + someone + `","amount":"5"}]`,
		'1': `[{"kind":"transfer","asset":"native","from":"` + account + `","to":"` + someone + `","amount":"1"},` +
			`{"kind":"token_transfer","asset":"` + aToken + `","from":"` + account + `","to":"` + someone + `","amount":"7","contract":"` + aToken + `","selector":"0xa9059cbb"}]`,
		'2': `[{"kind":"opaque","from":"` + account + `","contract":"0x00000000000000000000000000000000000000fa","selector":"0x5fbfb9cf"},{"kind":"opaque","from":"` + account + `","contract":"` + account + `","selector":"0xb0bea725"}]`,
	}
	flags := map[byte]string{'0': "", '1': "paymaster", '2': "deploys_account"}
	for _, o := range operations(t) {
		o.scheme = "digest"
		p, err := evm.Codec{}.Document(on(o.ChainID), owner(t), chain.KindUserOperation, []byte(o.doc()))
		if err != nil || "0x"+hex.EncodeToString(p.SignBytes) != o.Hash {
			t.Errorf("%s: %v", o.ID, err)
			continue
		}
		last := o.ID[len(o.ID)-1]
		e := p.Intent.Effects
		got := visible(t, e.Actions)
		if last == '2' { // the name of the function is the vector's own
			got = got[:strings.LastIndex(got, "0x")] + "0xb0bea725\"}]"
		}
		if got != actions[last] || strings.Join(e.Flags, " ") != flags[last] {
			t.Errorf("%s: %s %q", o.ID, got, e.Flags)
		}
		if fee := map[byte]string{'0': "10500000000000000", '2': "10500000000000000"}[last]; fee != "" && e.FeeMax != fee {
			t.Errorf("%s: fee %s", o.ID, e.FeeMax)
		}
		if unexplained := len(p.Request(on(o.ChainID)).Unexplained); (unexplained == 2) != (last == '2') || last != '2' && unexplained != 0 {
			t.Errorf("%s: %d things are unexplained", o.ID, unexplained)
		}
	}
}

// TestUserOperationRefusals changes one thing.
func TestUserOperationRefusals(t *testing.T) {
	list := operations(t)
	old, young := list[0], list[4]
	for _, c := range []struct {
		o        published
		old, new string
	}{
		{old, old.Entry, "0x00000000000000000000000000000000000000ac"}, {old, `"nonce":"0x10000000000000000"`, `"nonce":"-1"`}, {old, `"nonce":"0x10000000000000000",`, ``},
		{old, `"callGasLimit":"0x186a0"`, `"callGasLimit":null`}, {old, `"initCode":"0x"`, `"initCode":"0x01"`}, {old, `"initCode":"0x"`, `"factory":"` + someone + `"`},
		{old, `"sender":"0x`, `"sender":"`}, {old, `"callData":"0x`, `"callData":"0x0`}, {old, `"nonce"`, `"eip7702Auth":{},"nonce"`}, {old, `"nonce"`, `"signature":"01","nonce"`},
		{old, `"signature_scheme":""`, `"signature_scheme":"raw"`}, {old, `"initCode":"0x",`, ``},
		{young, `"maxFeePerGas":"0x6fc23ac00"`, `"maxFeePerGas":"0x100000000000000000000000000000000"`}, {young, `"paymasterPostOpGasLimit":"0x4e20",`, ``}, {young, `"paymaster":"0x00000000000000000000000000000000000000da",`, ``},
		{young, `"nonce"`, `"initCode":"0x","nonce"`}, {list[10], `"paymasterData":"0xabcd"`, `"paymasterData":"0xabcd22e325a297439656"`},
	} {
		doc := strings.Replace(c.o.doc(), c.old, c.new, 1)
		if doc == c.o.doc() {
			t.Fatalf("%s isn't in %s", c.old, doc)
		}
		_, err := evm.Codec{}.Document(on(c.o.ChainID), owner(t), chain.KindUserOperation, []byte(doc))
		if code(err) != chain.CodePayloadInvalid {
			t.Errorf("%s for %s: %v", c.new, c.old, err)
		}
	}
}

// TestLightAccount: the owner's signature has a zero byte before it, and only
// then it is read.
func TestLightAccount(t *testing.T) {
	o := operations(t)[3]
	o.scheme = "light-account-v2"
	n := on(o.ChainID)
	p, err := evm.Codec{}.Document(n, owner(t), chain.KindUserOperation, []byte(o.doc()))
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, 65)
	raw[0], raw[32] = 1, 1
	text, err := n.EncodeSignature(p, raw)
	if err != nil || !strings.HasPrefix(text, "0x0001") || len(text) != 2+132 {
		t.Fatalf("%s, %v", text, err)
	}
	if b, err := p.Text.DecodeSignature(text); err != nil || b[0] != 1 {
		t.Errorf("%x, %v", b, err)
	}
	if _, err := p.Text.DecodeSignature("0x" + text[4:]); err == nil {
		t.Error("a signature without the byte is read")
	}
}
