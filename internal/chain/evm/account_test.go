package evm_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/sha3"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/test/memory"
)

type operationVector struct {
	ID         string          `json:"id"`
	PrivateKey string          `json:"private_key_hex"`
	Operation  json.RawMessage `json:"user_operation"`
	EntryPoint string          `json:"entry_point"`
	Version    string          `json:"entry_point_version"`
	ChainID    uint64          `json:"chain_id"`
	Hash       string          `json:"user_op_hash"`
	EIP191     string          `json:"owner_signature_eip191"`
	Digest     string          `json:"owner_signature_digest"`
	Expect     string          `json:"expect"`
	Effects    *chain.Effects  `json:"effects"`
}

// document is the vector as a payload.
func (v *operationVector) document(more string) []byte {
	return []byte(`{"entry_point":"` + v.EntryPoint + `","entry_point_version":"` + v.Version + `","user_operation":` + string(v.Operation) + more + `}`)
}

func madeOperations(t testing.TB) (list []operationVector) {
	t.Helper()
	data, err := os.ReadFile("testdata/userops.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestUserOperations: hashes and signatures of two libraries, and what whoever
// made the operations had them do.
func TestMadeOperations(t *testing.T) {
	schemes := map[string]int{}
	for _, v := range madeOperations(t) {
		priv, pub := key(t, v.PrivateKey)
		n := on(v.ChainID)
		if v.Expect == "reject" {
			if _, err := (evm.Codec{}).Document(n, pub, chain.KindUserOperation, v.document("")); code(err) != chain.CodePayloadInvalid {
				t.Errorf("%s: %v", v.ID, err)
			}
			continue
		}
		for scheme, want := range map[string]string{"eip191": v.EIP191, "digest": v.Digest} {
			p, err := evm.Codec{}.Document(n, pub, chain.KindUserOperation, v.document(`,"signature_scheme":"`+scheme+`"`))
			if err != nil {
				t.Errorf("%s: %v", v.ID, err)
				continue
			}
			schemes[scheme]++
			raw := make([]byte, 65)
			if err := keys.Sign(keys.Secp256k1, priv, pub, p.SignBytes, raw); err != nil {
				t.Fatal(err)
			}
			if got, err := n.EncodeSignature(p, raw); err != nil || got != want || !n.Verify(pub, p, got) {
				t.Errorf("%s %s: %s, %v, want %s", v.ID, scheme, got, err, want)
			}
			have, want := *p.Intent.Effects, *v.Effects
			have.Behind, want.Behind = nil, nil
			if a, b := effectsText(t, &have), effectsText(t, &want); a != b {
				t.Errorf("%s: %s\nwant %s", v.ID, a, b)
			}
			if p.Intent.Kind != chain.KindUserOperation || p.Intent.Format != "erc4337-v"+v.Version {
				t.Errorf("%s: %+v", v.ID, p.Intent)
			}
		}
	}
	if schemes["eip191"] < 20 || schemes["digest"] < 20 {
		t.Errorf("%v", schemes)
	}
}

func effectsText(t *testing.T, e *chain.Effects) string {
	t.Helper()
	b, err := canon.EncodeJSON(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestUserOperationSchemes: what is usual of each entry point, and the account
// that wants a byte before.
func TestUserOperationSchemes(t *testing.T) {
	for _, v := range madeOperations(t) {
		if v.Expect == "reject" {
			continue
		}
		_, pub := key(t, v.PrivateKey)
		n := on(v.ChainID)
		p, err := evm.Codec{}.Document(n, pub, chain.KindUserOperation, v.document(""))
		if err != nil {
			t.Fatal(err)
		}
		h := sha3.NewLegacyKeccak256()
		h.Write([]byte("\x19Ethereum Signed Message:\n32"))
		h.Write(unhex(t, v.Hash))
		want := hex.EncodeToString(h.Sum(nil))
		if v.Version >= "0.8" {
			want = v.Hash[2:]
		}
		if hex.EncodeToString(p.SignBytes) != want {
			t.Errorf("%s: %x, want %s", v.ID, p.SignBytes, want)
		}
		light, err := evm.Codec{}.Document(n, pub, chain.KindUserOperation, v.document(`,"signature_scheme":"light-account-v2"`))
		if err != nil {
			t.Fatal(err)
		}
		text := "0x00" + v.EIP191[2:]
		if raw, err := light.Text.DecodeSignature(text); err != nil || !n.Verify(pub, light, text) || n.Verify(pub, light, v.EIP191) || n.Verify(pub, p, text) {
			t.Errorf("%s: %x, %v", v.ID, raw, err)
		} else if again, err := n.EncodeSignature(light, raw); err != nil || again != text {
			t.Errorf("%s: %s, %v", v.ID, again, err)
		}
	}
}

// TestUserOperationIsStrict changes one operation in one place at a time.
func TestUserOperationIsStrict(t *testing.T) {
	find := func(id string) operationVector {
		for _, v := range madeOperations(t) {
			if v.ID == id {
				return v
			}
		}
		t.Fatal(id)
		return operationVector{}
	}
	seven, nine, code6, eight := find("own-userop-0.7-paymaster"), find("own-userop-0.9-paymaster-that-has-signed"), find("own-userop-0.6-new-account"), find("own-userop-0.8-wallet-takes-code")
	for _, c := range []struct {
		v              operationVector
		old, new, want string
	}{
		{seven, "", "", ""}, {nine, "", "", ""}, {code6, "", "", ""}, {eight, "", "", ""},
		{seven, `"0.7"`, `"0.6"`, "version"}, {seven, `"0.7"`, `""`, ""}, {seven, `"user_operation"`, `"operation"`, "object of"},
		{seven, `"nonce":"0x0"`, `"nonce":"0"`, ""}, {seven, `"nonce":"0x0"`, `"nonce":0`, ""}, {seven, `"nonce":"0x0"`, `"nonce":-1`, "nonce"},
		{seven, `"nonce":"0x0"`, `"nonce":"0x1` + strings.Repeat("0", 64) + `"`, "nonce"}, {seven, `"nonce":"0x0",`, ``, "nonce"}, {seven, `"nonce":"0x0"`, `"nonce":null`, "nonce"},
		{seven, `"callData":"0x`, `"callData":"`, "callData"}, {seven, `"callData":"0x`, `"callData":"0x0`, "callData"}, {seven, `"callData":`, `"signature":`, "callData"},
		{seven, `"nonce":`, `"signature":"0xzz","nonce":`, "signature"}, {seven, `"nonce":`, `"signature":"0xab","factory":null,"nonce":`, ""},
		{seven, `"sender":"0x5afe`, `"sender":"0x5AFE`, "sender"}, {seven, `"sender":"0x5afe`, `"sender":"0x5af`, "sender"},
		{seven, `"paymaster":"0xfafa`, `"paymaster":"0xfaf`, "paymaster"}, {seven, `"paymaster":"0x` + strings.Repeat("fa", 20) + `",`, ``, "no paymaster"},
		{seven, strings.Repeat("fa", 20), strings.Repeat("00", 20), "nobody"}, {seven, `"nonce":`, `"paymasterSignature":"0x","nonce":`, "paymasterSignature"},
		{seven, `"nonce":`, `"factoryData":"0x12","nonce":`, "no factory"}, {seven, `"nonce":`, `"paymasterAndData":"0x","nonce":`, "paymasterAndData"},
		{seven, `"nonce":`, `"factory":"0x7702","nonce":`, "0x7702"}, {seven, `"nonce":`, `"eip7702Auth":{},"nonce":`, "eip7702Auth"}, {seven, `"nonce":`, `"NONCE":1,"nonce":`, "NONCE"},
		{nine, `"paymasterData":"0xdead"`, `"paymasterData":"0x22e325a297439656"`, "paymasterSignature"}, {nine, `"paymasterSignature":"0x`, `"paymasterSignature":"0x` + strings.Repeat("00", 1<<16), "too"},
		{code6, `"initCode":"0x9406Cc`, `"factory":"0x9406Cc`, "factory"}, {code6, `"initCode":"0x9406Cc`, `"initCode":"0x12","signature":"0x9406Cc`, "shorter"},
		{code6, `"nonce":`, `"eip7702Auth":null,"paymasterData":null,"nonce":`, ""}, {code6, `"nonce":`, `"eip7702Auth":{},"nonce":`, "eip7702Auth"},
		{eight, `"chainId":"0x1"`, `"chainId":"0x0"`, "chain id"}, {eight, `"chainId":"0x1"`, `"chainId":"0x2"`, "chain id"}, {eight, `"eip7702Auth":{`, `"eip7702Auth":{"x":1,`, "eip7702Auth"},
		{eight, `"factory":"0x7702"`, `"factory":"0x77020"`, "factory"}, {eight, `"factory":"0x7702",`, ``, "eip7702Auth needs"}, {eight, `"factoryData":"0x",`, ``, ""},
	} {
		doc := strings.Replace(string(c.v.document("")), c.old, c.new, 1)
		if c.old != "" && doc == string(c.v.document("")) {
			t.Fatalf("%s isn't in it", c.old)
		}
		_, pub := key(t, c.v.PrivateKey)
		p, err := evm.Codec{}.Document(on(c.v.ChainID), pub, chain.KindUserOperation, []byte(doc))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s -> %s: %v", c.old, c.new, err)
		case c.want != "" && (code(err) != chain.CodePayloadInvalid || !strings.Contains(err.Error(), c.want) || p != nil):
			t.Errorf("%s -> %.100s: %v, want %s", c.old, c.new, err, c.want)
		}
	}
}

// TestEachFieldIsHashed: nothing that matters can be changed under a
// signature, and what is another chain's is signed as another hash.
func TestEachFieldIsHashed(t *testing.T) {
	for _, v := range madeOperations(t) {
		if v.Expect == "reject" {
			continue
		}
		_, pub := key(t, v.PrivateKey)
		sign := func(doc []byte, chainID uint64) string {
			p, err := evm.Codec{}.Document(on(chainID), pub, chain.KindUserOperation, doc)
			if err != nil {
				return err.Error()
			}
			return string(p.SignBytes)
		}
		first := sign(v.document(""), v.ChainID)
		if sign(v.document(""), v.ChainID+1) == first {
			t.Errorf("%s: the chain doesn't matter", v.ID)
		}
		var members map[string]any
		if err := json.Unmarshal(v.Operation, &members); err != nil {
			t.Fatal(err)
		}
		for name, value := range members {
			text, ok := value.(string)
			if !ok || name == "paymasterSignature" || name == "factory" && strings.HasPrefix(text, "0x7702") {
				continue
			}
			changed := v
			digit := text[len(text)-1:]
			next := "1"
			if digit == "1" {
				next = "2"
			}
			members[name] = strings.ToLower(text[:len(text)-1]) + next
			if text == "0x" {
				members[name] = "0x01"
			}
			b, err := json.Marshal(members)
			if err != nil {
				t.Fatal(err)
			}
			changed.Operation = b
			if sign(changed.document(""), v.ChainID) == first {
				t.Errorf("%s: %s doesn't matter", v.ID, name)
			}
			members[name] = value
		}
	}
}

// TestUserOperationNeedsItsOwner: an account that is made for the wallet is
// known of that wallet alone, and what is unknown a policy can name.
func TestUserOperationNeedsItsOwner(t *testing.T) {
	for _, v := range madeOperations(t) {
		if !strings.HasSuffix(v.ID, "LightAccount") && !strings.HasSuffix(v.ID, "unknown-call") {
			continue
		}
		_, mine := key(t, v.PrivateKey)
		for who, pub := range map[string][]byte{"": mine, "another": owner(t)} {
			p, err := evm.Codec{}.Document(on(v.ChainID), pub, chain.KindUserOperation, v.document(""))
			if err != nil {
				t.Fatal(err)
			}
			u := p.Request(on(v.ChainID)).Unexplained
			switch {
			case strings.HasSuffix(v.ID, "unknown-call"):
				if len(u) != 1 || u[0].Kind != policy.AcceptCall || string(u[0].Data) != "\xde\xad\xbe\xef" {
					t.Errorf("%s: %+v", v.ID, u)
				}
			case who == "" && len(u) != 0, who != "" && (len(u) != 1 || u[0].Kind != policy.AcceptCall || !strings.HasPrefix(string(u[0].Data), "\x5f\xbf\xb9\xcf")):
				t.Errorf("%s %s: %+v", v.ID, who, u)
			}
		}
	}
}

// TestUserOperationCost: a large operation takes memory in proportion.
func TestUserOperationCost(t *testing.T) {
	v := madeOperations(t)[3]
	doc := []byte(strings.Replace(string(v.document("")), `"callData":"0x`, `"callData":"0x`+strings.Repeat("ab", 15000), 1))
	_, pub := key(t, v.PrivateKey)
	n := on(v.ChainID)
	memory.Bounded(t, "operation", len(doc), func() {
		if _, err := (evm.Codec{}).Document(n, pub, chain.KindUserOperation, doc); err != nil {
			t.Error(err)
		}
	})
}
