package evm_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/internal/typeddata"
	"github.com/sigilkeys/sigil/test/memory"
)

// owner is the key 1, whose address is 0x7e5f4552091a69125d5dfcb7b8c2659029395bdf.
func owner(t testing.TB) []byte {
	t.Helper()
	b, err := hex.DecodeString("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	me       = "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf"
	someone  = "0x00000000000000000000000000000000000000bb"
	aToken   = "0x00000000000000000000000000000000000000aa"
	tokenTwo = "0x00000000000000000000000000000000000000ac"
	nobody   = "0x0000000000000000000000000000000000000000"
	permit2  = "0x000000000022d473030f116ddee9f6b43ac78ba3"
	maxWord  = "115792089237316195423570985008687907853269984665640564039457584007913129639935"
)

// document makes typed data of chain 1 from encodeType and the message.
func document(contract, encodeType, message string) string {
	var types []string
	primary := ""
	for part := range strings.SplitSeq(strings.TrimSuffix(encodeType, ")"), ")") {
		name, fields, _ := strings.Cut(part, "(")
		if primary == "" {
			primary = name
		}
		var list []string
		for f := range strings.SplitSeq(fields, ",") {
			kind, field, _ := strings.Cut(f, " ")
			list = append(list, `{"name":"`+field+`","type":"`+kind+`"}`)
		}
		types = append(types, `"`+name+`":[`+strings.Join(list, ",")+`]`)
	}
	return `{"types":{"EIP712Domain":[{"name":"name","type":"string"},{"name":"chainId","type":"uint256"},{"name":"verifyingContract","type":"address"}],` + strings.Join(types, ",") + `},` +
		`"primaryType":"` + primary + `","domain":{"name":"x","chainId":1,"verifyingContract":"` + contract + `"},"message":` + message + `}`
}

const (
	typePermit   = "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
	typeDai      = "Permit(address holder,address spender,uint256 nonce,uint256 expiry,bool allowed)"
	typeTransfer = "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
	typeReceive  = "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
	typeCancel   = "CancelAuthorization(address authorizer,bytes32 nonce)"
	typeSafe     = "SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,uint256 gasPrice,address gasToken,address refundReceiver,uint256 nonce)"
	typeSingle   = "PermitSingle(PermitDetails details,address spender,uint256 sigDeadline)PermitDetails(address token,uint160 amount,uint48 expiration,uint48 nonce)"
	typeBatch    = "PermitBatch(PermitDetails[] details,address spender,uint256 sigDeadline)PermitDetails(address token,uint160 amount,uint48 expiration,uint48 nonce)"
	typeOnce     = "PermitTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline)TokenPermissions(address token,uint256 amount)"
	typeSeveral  = "PermitBatchTransferFrom(TokenPermissions[] permitted,address spender,uint256 nonce,uint256 deadline)TokenPermissions(address token,uint256 amount)"
	// typeLookalike has the text of Permit2's struct in the name of another type.
	typeLookalike = "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,XTokenPermissions witness)TokenPermissions(address token,uint256 amount,uint8 x)XTokenPermissions(address token,uint256 amount)"
	typeWitness   = "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,Order witness)Order(uint256 x)TokenPermissions(address token,uint256 amount)"
)

func safeTx(to, value, data, operation, gasPrice string) string {
	return `{"to":"` + to + `","value":"` + value + `","data":"` + data + `","operation":` + operation + `,"safeTxGas":0,"baseGas":0,"gasPrice":` + gasPrice +
		`,"gasToken":"` + nobody + `","refundReceiver":"` + nobody + `","nonce":4}`
}

// TestTypedDataEffects: what a document lets whom do, and that what isn't
// known is nothing but unexplained.
func TestTypedDataEffects(t *testing.T) {
	n, pub := on(1), owner(t)
	word := "0x" + strings.Repeat("11", 32)
	unknown := func(contract, kind string) string {
		return `[{"kind":"typed_data","contract":"` + contract + `","text":"` + kind + `"}]`
	}
	for name, c := range map[string]struct{ doc, nonce, actions, flags string }{
		"permit": {document(aToken, typePermit, `{"owner":"`+me+`","spender":"`+someone+`","value":"5","nonce":3,"deadline":"99"}`), "3",
			`[{"kind":"approve","asset":"` + aToken + `","spender":"` + someone + `","amount":"5","expiry":"99","contract":"` + aToken + `"}]`, ""},
		"permit of another": {document(aToken, typePermit, `{"owner":"`+someone+`","spender":"`+nobody+`","value":"`+maxWord+`","nonce":"0x3","deadline":0}`), "3",
			`[{"kind":"approve","asset":"` + aToken + `","from":"` + someone + `","spender":"` + nobody + `","amount":"` + maxWord + `","expiry":"0","contract":"` + aToken + `"}]`, "other_owner unlimited_approval zero_address"},
		"dai": {document(aToken, typeDai, `{"holder":"`+me+`","spender":"`+someone+`","nonce":3,"expiry":0,"allowed":true}`), "3",
			`[{"kind":"approve","asset":"` + aToken + `","spender":"` + someone + `","contract":"` + aToken + `"}]`, "unlimited_approval"},
		"dai, back": {document(aToken, typeDai, `{"holder":"`+me+`","spender":"`+someone+`","nonce":3,"expiry":7,"allowed":false}`), "3",
			`[{"kind":"revoke","asset":"` + aToken + `","spender":"` + someone + `","expiry":"7","contract":"` + aToken + `"}]`, ""},
		"transfer": {document(aToken, typeTransfer, `{"from":"`+me+`","to":"`+someone+`","value":"5","validAfter":0,"validBefore":9,"nonce":"`+word+`"}`), word,
			`[{"kind":"token_transfer","asset":"` + aToken + `","to":"` + someone + `","amount":"5","expiry":"9","contract":"` + aToken + `"}]`, ""},
		"transfer of another": {document(aToken, typeTransfer, `{"from":"`+tokenTwo+`","to":"`+someone+`","value":"5","validAfter":0,"validBefore":9,"nonce":"`+word+`"}`), word,
			`[{"kind":"token_transfer","asset":"` + aToken + `","from":"` + tokenTwo + `","to":"` + someone + `","amount":"5","expiry":"9","contract":"` + aToken + `"}]`, "other_owner"},
		"receive, to the token": {document(aToken, typeReceive, `{"from":"`+me+`","to":"`+aToken+`","value":"5","validAfter":0,"validBefore":9,"nonce":"`+word+`"}`), word,
			`[{"kind":"token_transfer","asset":"` + aToken + `","to":"` + aToken + `","amount":"5","expiry":"9","contract":"` + aToken + `"}]`, "to_token_contract"},
		"cancel": {document(aToken, typeCancel, `{"authorizer":"`+me+`","nonce":"`+word+`"}`), word, `[{"kind":"revoke","asset":"` + aToken + `","contract":"` + aToken + `"}]`, ""},
		"permit2": {document(permit2, typeSingle, `{"details":{"token":"`+aToken+`","amount":"5","expiration":7,"nonce":2},"spender":"`+someone+`","sigDeadline":9}`), "2",
			`[{"kind":"approve","asset":"` + aToken + `","spender":"` + someone + `","amount":"5","expiry":"7","contract":"` + permit2 + `"}]`, ""},
		"permit2, several": {document(permit2, typeBatch, `{"details":[{"token":"`+aToken+`","amount":"5","expiration":7,"nonce":2},{"token":"`+tokenTwo+`","amount":"1461501637330902918203684832716283019655932542975","expiration":8,"nonce":2}],"spender":"`+someone+`","sigDeadline":9}`), "",
			`[{"kind":"approve","asset":"` + aToken + `","spender":"` + someone + `","amount":"5","expiry":"7","contract":"` + permit2 + `"},` +
				`{"kind":"approve","asset":"` + tokenTwo + `","spender":"` + someone + `","amount":"1461501637330902918203684832716283019655932542975","expiry":"8","contract":"` + permit2 + `"}]`, "unlimited_approval"},
		"permit2, none":      {document(permit2, typeBatch, `{"details":[],"spender":"`+someone+`","sigDeadline":9}`), "", unknown(permit2, typeBatch), ""},
		"permit2, elsewhere": {document(aToken, typeOnce, `{"permitted":{"token":"`+aToken+`","amount":"5"},"spender":"`+someone+`","nonce":1,"deadline":9}`), "", unknown(aToken, typeOnce), ""},
		"permit2, once": {document(permit2, typeOnce, `{"permitted":{"token":"`+aToken+`","amount":"5"},"spender":"`+someone+`","nonce":1,"deadline":9}`), "1",
			`[{"kind":"approve","asset":"` + aToken + `","spender":"` + someone + `","amount":"5","expiry":"9","contract":"` + permit2 + `"}]`, ""},
		"permit2, several once": {document(permit2, typeSeveral, `{"permitted":[{"token":"`+aToken+`","amount":"5"}],"spender":"`+someone+`","nonce":1,"deadline":9}`), "1",
			`[{"kind":"approve","asset":"` + aToken + `","spender":"` + someone + `","amount":"5","expiry":"9","contract":"` + permit2 + `"}]`, ""},
		"permit2, witness": {document(permit2, typeWitness, `{"permitted":{"token":"`+aToken+`","amount":"5"},"spender":"`+someone+`","nonce":1,"deadline":9,"witness":{"x":1}}`), "1",
			`[{"kind":"approve","asset":"` + aToken + `","spender":"` + someone + `","amount":"5","expiry":"9","contract":"` + permit2 + `"}]`, "permit_witness"},
		"permit2, witness of another token": {document(permit2, typeLookalike, `{"permitted":{"token":"`+aToken+`","amount":"5","x":1},"spender":"`+someone+`","nonce":1,"deadline":9,"witness":{"token":"`+aToken+`","amount":"5"}}`), "",
			unknown(permit2, typeLookalike), ""},
		"permit, at permit2": {document(permit2, typePermit, `{"owner":"`+me+`","spender":"`+someone+`","value":"5","nonce":3,"deadline":"99"}`), "", unknown(permit2, typePermit), ""},
		"safe":               {document(aToken, typeSafe, safeTx(someone, "7", "0x", "0", "0")), "4", `[{"kind":"transfer","asset":"native","from":"` + aToken + `","to":"` + someone + `","amount":"7"}]`, ""},
		"safe, token": {document(aToken, typeSafe, safeTx(tokenTwo, "0", "0xa9059cbb"+strings.Repeat("0", 62)+"bb"+strings.Repeat("0", 63)+"5", "0", "0")), "4",
			`[{"kind":"token_transfer","asset":"` + tokenTwo + `","from":"` + aToken + `","to":"` + someone + `","amount":"5","contract":"` + tokenTwo + `","selector":"0xa9059cbb"}]`, ""},
		"safe, delegatecall": {document(aToken, typeSafe, safeTx(someone, "0", "0x", "1", "0")), "4", unknown(aToken, typeSafe), "delegatecall"},
		"safe, refund":       {document(aToken, typeSafe, safeTx(someone, "0", "0x", "0", "1")), "4", unknown(aToken, typeSafe), "safe_refund"},
		"mail":               {document(aToken, "Mail(string text)", `{"text":"hi"}`), "", unknown(aToken, "Mail(string text)"), ""},
		"no contract": {strings.Replace(strings.Replace(document(aToken, typePermit, `{"owner":"`+me+`","spender":"`+someone+`","value":"5","nonce":3,"deadline":"99"}`),
			`,{"name":"verifyingContract","type":"address"}`, "", 1), `,"verifyingContract":"`+aToken+`"`, "", 1), "",
			`[{"kind":"typed_data","text":"` + typePermit + `"}]`, "domain_without_contract"},
		"no chain": {strings.Replace(strings.Replace(document(aToken, typePermit, `{"owner":"`+me+`","spender":"`+someone+`","value":"5","nonce":3,"deadline":"99"}`),
			`{"name":"chainId","type":"uint256"},`, "", 1), `"chainId":1,`, "", 1), "", unknown(aToken, typePermit), "domain_without_chain_id"},
	} {
		p, err := evm.Codec{}.Document(n, pub, chain.KindTypedData, []byte(c.doc))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		e := p.Intent.Effects
		if got := visible(t, e.Actions); got != c.actions || e.Nonce != c.nonce || strings.Join(e.Flags, " ") != c.flags || e.FeeMax != "0" {
			t.Errorf("%s: nonce %q, %s, %q\nwant %q, %s, %q", name, e.Nonce, got, e.Flags, c.nonce, c.actions, c.flags)
		}
		acceptable := len(p.Request(n).Unexplained) == 1 && p.Request(n).Unexplained[0].Kind == policy.AcceptTypedData
		if want := strings.Contains(c.actions, `"typed_data"`) && c.flags != "delegatecall" && c.flags != "safe_refund"; acceptable != want {
			t.Errorf("%s: acceptable is %v", name, acceptable)
		}
	}
}

// TestTypedDataRefusals: other chains' documents, user operations, and what
// isn't typed data.
func TestTypedDataRefusals(t *testing.T) {
	n, pub := on(1), owner(t)
	operation := "PackedUserOperation(address sender,uint256 nonce,bytes initCode,bytes callData,bytes32 accountGasLimits,uint256 preVerificationGas,bytes32 gasFees,bytes paymasterAndData)"
	for doc, want := range map[string]string{
		strings.Replace(document(aToken, "Mail(string text)", `{"text":"hi"}`), `"chainId":1`, `"chainId":2`, 1):                                                                                                                                   chain.CodeNetwork,
		strings.Replace(document(aToken, "Mail(string text)", `{"text":"hi"}`), `"chainId":1`, `"chainId":"`+maxWord+`"`, 1):                                                                                                                       chain.CodeNetwork,
		document(aToken, operation, `{"sender":"`+me+`","nonce":1,"initCode":"0x","callData":"0x","accountGasLimits":"0x`+strings.Repeat("00", 32)+`","preVerificationGas":1,"gasFees":"0x`+strings.Repeat("00", 32)+`","paymasterAndData":"0x"}`): chain.CodeTransaction,
		document(aToken, "Mail(string text)", `{"text":1}`): chain.CodePayloadInvalid,
		`{}`:   chain.CodePayloadInvalid,
		`null`: chain.CodePayloadInvalid,
		``:     chain.CodePayloadInvalid,
	} {
		_, err := evm.Codec{}.Document(n, pub, chain.KindTypedData, []byte(doc))
		var e *chain.RefusedError
		if !errors.As(err, &e) || e.Code != want {
			t.Errorf("%.80s: %v, want %s", doc, err, want)
		}
	}
}

type publishedDocument struct {
	Name     string          `json:"name"`
	Document json.RawMessage `json:"document"`
	Digest   string          `json:"digest"`
}

func publishedDocuments(t testing.TB) (list []publishedDocument) {
	t.Helper()
	data, err := os.ReadFile("../../typeddata/testdata/documents.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestPublishedTypedData: digests that others make of the same documents.
func TestPublishedTypedData(t *testing.T) {
	same := 0
	for _, v := range publishedDocuments(t) {
		var d struct {
			Domain struct {
				ChainID json.Number `json:"chainId"`
			} `json:"domain"`
		}
		if v.Digest == "" || json.Unmarshal(v.Document, &d) != nil || !strings.HasPrefix(v.Name, "EIP") && !strings.HasPrefix(v.Name, "ledger") {
			continue
		}
		id, err := d.Domain.ChainID.Int64()
		if err != nil {
			continue
		}
		p, err := evm.Codec{}.Document(on(uint64(id)), owner(t), chain.KindTypedData, v.Document)
		if err != nil || "0x"+hex.EncodeToString(p.SignBytes) != v.Digest {
			t.Errorf("%s: %v", v.Name, err)
		}
		same++
	}
	if same < 15 {
		t.Errorf("only %d documents", same)
	}
}

// largest returns documents that have as much behind each byte as possible.
func largest() map[string]string {
	one := `{"token":"` + aToken + `","amount":"` + maxWord + `"}`
	several := func(n int, item string) string { return "[" + strings.Repeat(item+",", n-1) + item + "]" }
	word := func(n int) string { return fmt.Sprintf("%064x", n) }
	batch := func(n int) string {
		amounts := word(n) + strings.Repeat(strings.Repeat("F", 64), n)
		return "0x2eb2c2d6" + word(5) + strings.Repeat("0", 24) + aToken[2:] + word(160) + word(160+32+32*n) + word(160+64+64*n) + amounts + amounts + word(0)
	}
	return map[string]string{
		"permits":      document(permit2, typeBatch, `{"details":`+several(301, `{"token":"`+aToken+`","amount":1,"expiration":7,"nonce":2}`)+`,"spender":"`+nobody+`","sigDeadline":9}`),
		"permissions":  document(permit2, typeSeveral, `{"permitted":`+several(450, `{"token":"`+aToken+`","amount":1}`)+`,"spender":"`+someone+`","nonce":1,"deadline":9}`),
		"high amounts": document(permit2, typeSeveral, `{"permitted":`+several(215, one)+`,"spender":"`+someone+`","nonce":1,"deadline":9}`),
		"safe, batch":  document(aToken, typeSafe, safeTx(aToken, "0", batch(230), "0", "0")),
		"safe, bytes":  document(aToken, typeSafe, safeTx(aToken, "1", "0x"+strings.Repeat("AB", 15500), "0", "0")),
		"long name":    `{"` + strings.Repeat("a", 30000) + `":1}`,
		"mail":         document(aToken, "Mail(string[] texts)", `{"texts":[`+strings.Repeat(`"",`, 9000)+`""]}`),
	}
}

// TestDocumentAllocations: documents of every kind that aren't one take memory
// in proportion, what is said of them included.
func TestDocumentAllocations(t *testing.T) {
	long := strings.Repeat("a", 32000)
	var names strings.Builder
	for i := range 3900 {
		fmt.Fprintf(&names, `"%x":0,`, i)
	}
	for name, doc := range map[string]string{
		"a long name":          `{"` + long + `":1}`,
		"a long name, odd":     `{"` + strings.Repeat("\u200b", 10600) + `":1}`,
		"a long name, escaped": `{"` + strings.Repeat(`\n`, 16000) + `":1}`,
		"a long name, twice":   `{"` + long[:15000] + `":1,"` + long[:15000] + `":1}`,
		"a long name, inside":  `{"user_operation":{"` + long + `":1},"types":{"` + long + `":[]}}`,
		"a long text":          `{"address":"` + long + `","primaryType":1}`,
		"a long integer":       `{"chain_id":"` + strings.Repeat("1", 32000) + `","nonce":"1"}`,
		"deep objects":         strings.Repeat(`{"user_operation":`, 1700),
		"deep objects, types":  `{"types":` + strings.Repeat(`{"a":`, 6000),
		"many names":           `{"user_operation":{` + names.String() + `"a":0}}`,
		"deep lists":           strings.Repeat(`[`, 32000),
	} {
		for _, kind := range (evm.Codec{}).Documents() {
			n, pub := on(1), owner(t)
			memory.Bounded(t, kind+" of "+name, len(doc), func() {
				if _, err := (evm.Codec{}).Document(n, pub, kind, []byte(doc)); err == nil || len(err.Error()) > 1000 {
					t.Errorf("%s of %s: %.80v", kind, name, err)
				}
			})
		}
	}
}

// FuzzTypedData: what is taken is described, has one digest however its JSON
// is laid out, and reading it takes memory in proportion.
func FuzzTypedData(f *testing.F) {
	for _, doc := range largest() {
		if len(doc) > typeddata.MaxSize {
			f.Fatalf("%.300s… is too large", doc)
		}
		f.Add([]byte(doc))
	}
	for _, v := range publishedDocuments(f) {
		if strings.HasPrefix(v.Name, "ledger") {
			f.Add([]byte(v.Document))
		}
	}
	n, pub := on(1), owner(f)
	f.Fuzz(func(t *testing.T, doc []byte) {
		var p *chain.Prepared
		var err error
		memory.Bounded(t, "document", len(doc), func() { p, err = evm.Codec{}.Document(n, pub, chain.KindTypedData, doc) })
		if err != nil {
			var e *chain.RefusedError
			if p != nil || !errors.As(err, &e) || len(e.Message) > 2000 {
				t.Errorf("%v, %v", p, err)
			}
			return
		}
		e := p.Intent.Effects
		if len(p.SignBytes) != 32 || p.Intent.Length != 66 || p.Intent.Kind != chain.KindTypedData || len(e.Actions) == 0 || e.FeeMax != "0" {
			t.Fatalf("%s: %+v", doc, p.Intent)
		}
		for _, a := range e.Actions {
			if a.Kind == chain.ActionTypedData && (len(e.Actions) != 1 || a.Text == "") || a.Kind == chain.ActionApprove && a.Spender == "" || a.Kind == chain.ActionTokenTransfer && (a.To == "" || a.Amount == "") {
				t.Errorf("%s: %+v", doc, a)
			}
		}
		sorted := jsontext.Value(bytes.Clone(doc))
		if err := sorted.Canonicalize(); err != nil {
			t.Fatal(err)
		}
		if again, err := (evm.Codec{}).Document(n, pub, chain.KindTypedData, sorted); err != nil || !bytes.Equal(again.SignBytes, p.SignBytes) {
			t.Errorf("%s: not the same as %s: %v", doc, sorted, err)
		}
	})
}

func BenchmarkPermit(b *testing.B) {
	n, pub := on(1), owner(b)
	doc := []byte(document(aToken, typePermit, `{"owner":"`+me+`","spender":"`+someone+`","value":"`+maxWord+`","nonce":3,"deadline":"1790000000"}`))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (evm.Codec{}).Document(n, pub, chain.KindTypedData, doc); err != nil {
			b.Fatal(err)
		}
	}
}
