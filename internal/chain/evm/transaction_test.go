package evm_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/keys"
)

// on returns a network with a chain id, registered or not.
func on(chainID uint64) *chain.Network {
	return &chain.Network{Slug: "evm-" + strconv.FormatUint(chainID, 10), ChainID: chainID, Curve: keys.Secp256k1, Codec: evm.Codec{}}
}

func transaction(n *chain.Network, text string) (*chain.Prepared, error) {
	return evm.Codec{}.Transaction(n, nil, text)
}

func transactions(t testing.TB) (list []vector) {
	for _, v := range append(vectors(t, "testdata/transactions.json"), vectors(t, shared+"txs.json")...) {
		if v.Kind == "transaction" {
			list = append(list, v)
		}
	}
	return list
}

// TestTransactions signs published transactions of every type, whatever they
// do: digest, signature and the signed transaction are those published.
func TestTransactions(t *testing.T) {
	formats, unruled := map[string]int{}, map[string]int{}
	for _, v := range transactions(t) {
		id, err := strconv.ParseUint(strings.TrimPrefix(v.Network, "evm:"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		n := on(id)
		p, err := transaction(n, v.UnsignedTx)
		if err != nil {
			t.Errorf("%s: %v", v.ID, err)
			continue
		}
		if got := "0x" + hex.EncodeToString(p.SignBytes); got != v.SignHash {
			t.Errorf("%s: digest %s, want %s", v.ID, got, v.SignHash)
		}
		priv, pub := key(t, v.PrivateKey)
		var raw [65]byte
		if err := keys.Sign(keys.Secp256k1, priv, pub, p.SignBytes, raw[:]); err != nil {
			t.Fatal(err)
		}
		signed, err := p.Assemble(raw[:])
		if err != nil || signed.Text != v.SignedTx || v.TxHash != "" && signed.ID != v.TxHash {
			t.Errorf("%s: signed %+v, %v; want %s", v.ID, signed, err, v.SignedTx)
		}
		formats[p.Intent.Format]++
		if a, ok := p.Intent.Effects.Unruled(); ok {
			unruled[a.Kind]++
		}
	}
	t.Logf("formats %v; without a rule %v", formats, unruled)
	for _, f := range []string{"evm-legacy", "evm-eip2930", "evm-eip1559", "evm-eip4844", "evm-eip7702"} {
		if formats[f] == 0 {
			t.Errorf("no transaction of format %s", f)
		}
	}
}

// TestTransactionRefusesAnyOtherBytes: cut anywhere, continued, for another
// chain, or signed already, none of them is taken.
func TestTransactionRefusesAnyOtherBytes(t *testing.T) {
	for _, v := range vectors(t, "testdata/transactions.json") {
		id, err := strconv.ParseUint(strings.TrimPrefix(v.Network, "evm:"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		n, raw := on(id), unhex(t, v.UnsignedTx)
		refused := func(what, text, want string) {
			t.Helper()
			if p, err := transaction(n, text); p != nil || code(err) != want {
				t.Errorf("%s: %s: %v", v.ID, what, err)
			}
		}
		for i := range raw {
			refused("cut", "0x"+hex.EncodeToString(raw[:i]), chain.CodeInvalid)
			longer := append(append(append([]byte{}, raw[:i]...), 0), raw[i:]...)
			if p, err := transaction(n, "0x"+hex.EncodeToString(longer)); err == nil {
				t.Errorf("%s: zero at %d: %+v", v.ID, i, p.Intent.Effects)
			}
		}
		refused("trailing byte", v.UnsignedTx+"00", chain.CodeInvalid)
		refused("signed", v.SignedTx, chain.CodeInvalid)
		refused("no prefix", v.UnsignedTx[2:], chain.CodeInvalid)
		refused("upper-case prefix", "0X"+v.UnsignedTx[2:], chain.CodeInvalid)
		refused("half a byte", v.UnsignedTx+"0", chain.CodeInvalid)
		refused("white space", v.UnsignedTx+"\n", chain.CodeInvalid)
		n.ChainID++
		refused("another chain", v.UnsignedTx, chain.CodeNetwork)
	}
}

// list encodes an RLP list of items that are encoded already.
func list(items ...string) string { return head(0xc0, strings.Join(items, "")) }

// str encodes an RLP string, in its shortest form.
func str(b string) string {
	if len(b) == 1 && b[0] < 0x80 {
		return b
	}
	return head(0x80, b)
}

func head(base byte, content string) string {
	if n := len(content); n > 55 {
		size := big.NewInt(int64(n)).Bytes()
		return string(append([]byte{base + 55 + byte(len(size))}, size...)) + content
	}
	return string([]byte{base + byte(len(content))}) + content
}

func hexed(s string) string { return "0x" + hex.EncodeToString([]byte(s)) }

// fields of a transaction that is taken as it stands.
func fields(kind int) []string {
	address := strings.Repeat("\x11", 20)
	f := map[string]string{"chain": str("\x01"), "nonce": str("\x07"), "tip": str("\x01"), "price": str("\x02"), "gas": str("\x52\x08"), "to": str(address),
		"value": str("\x05"), "data": str(""), "access": list(list(str(address), list(str(strings.Repeat("\x22", 32))))), "zero": str(""),
		"blobs": list(str("\x01" + strings.Repeat("\x33", 31))), "list": list(list(str("\x01"), str(address), str("\x01"), str("\x01"), str("\x09"), str("\x0a")))}
	names := []string{"nonce price gas to value data chain zero zero", "chain nonce price gas to value data access", "chain nonce tip price gas to value data access",
		"chain nonce tip price gas to value data access price blobs", "chain nonce tip price gas to value data access list"}[kind]
	var out []string
	for name := range strings.FieldsSeq(names) {
		out = append(out, f[name])
	}
	return out
}

func typed(kind int, fields []string) string {
	if kind == 0 {
		return hexed(list(fields...))
	}
	return hexed(string(rune(kind)) + list(fields...))
}

// TestTransactionRefusesOtherFields changes one field at a time.
func TestTransactionRefusesOtherFields(t *testing.T) {
	long := strings.Repeat("\xff", 32)
	address := strings.Repeat("\x11", 20)
	entry := func(address, key string) string { return list(list(str(address), list(str(key)))) }
	auth := func(f ...string) string { return list(list(f...)) }
	everywhere := map[string]string{ // of an integer field
		"leading zero": "\x82\x00\x01", "zero as a byte": "\x00", "byte in two": "\x81\x01", "long form": "\xb8\x01\x01", "longer form": "\xb9\x00\x01\x01",
		"33 bytes": str("\x01" + long), "list": "\xc0", "nothing": "", "long list": "\xf8\x00", "length of 8": "\xbf\x00\x00\x00\x00\x00\x00\x00\x01\x01",
	}
	cases := map[int]map[int][]string{ // type, field, what can't stand there
		0: {0: {str("\xff\xff\xff\xff\xff\xff\xff\xff"), str("\x01\x00\x00\x00\x00\x00\x00\x00\x00")}, 2: {str(long)}, 3: {str(address[1:]), str(address + "\x11"), str("\x00"), "\xc0"},
			5: {"\xc0", "\xb8\x01\x80", "\x81\x7f"}, 6: {str(""), str(long)}, 7: {str("\x01"), "\xc0"}, 8: {str("\x01"), str("\x00"), "\xc0"}},
		2: {0: {str("")}, 2: {str("\x03"), str(long)}, 4: {str("\x01\x00\x00\x00\x00\x00\x00\x00\x00")},
			8: {"\x80", "", list(str("")), list(list()), entry(address[1:], long), entry(address+"\x11", long), entry(address, long[1:]), entry(address, long+"\x11"), list(list(str(address))),
				list(list(str(address), list(), list())), list(list(str(address), str(""))), list(list(list(), list()))}},
		3: {5: {str("")}, 9: {str("\x00")}, 10: {list(), list(str(long)), list(str("\x01" + long)), list(str("\x01" + long[2:])), list(list()), list(strings.Repeat(str("\x01"+long[1:]), 17))}},
		4: {5: {str("")}, 9: {list(), list(list()), auth(str("\x01"), str(address), str("\x01"), str("\x02"), str("\x09"), str("\x0a")), auth(str("\x01"), str(address[1:]), str("\x01"), str(""), str("\x09"), str("\x0a")),
			auth(str("\x01"), str(address), str("\xff\xff\xff\xff\xff\xff\xff\xff"), str(""), str("\x09"), str("\x0a")), auth(str("\x01"), str(address), str("\x01"), str(""), str(""), str("\x0a")),
			auth(str("\x01"), str(address), str("\x01"), str(""), str("\x09"), str("")), auth(str("\x01"), str(address), str("\x01"), str(""), str("\x09"), str("\x0a"), str("")), auth(str("\x01"), str(address), str("\x01"), str(""), str("\x09"))}},
	}
	integers := map[int][]int{0: {0, 1, 2, 4, 6}, 1: {0, 1, 2, 3, 5}, 2: {0, 1, 2, 3, 4, 6}, 3: {0, 1, 2, 3, 4, 6, 9}, 4: {0, 1, 2, 3, 4, 6}}
	ran := 0
	for kind := range 5 {
		if _, err := transaction(on(1), typed(kind, fields(kind))); err != nil {
			t.Fatalf("type %d as it stands: %v", kind, err)
		}
		refused := func(i int, what string, with ...string) {
			t.Helper()
			f := fields(kind)
			f = append(append(append([]string{}, f[:i]...), with...), f[i+1:]...)
			ran++
			if p, err := transaction(on(1), typed(kind, f)); code(err) != chain.CodeInvalid {
				t.Errorf("type %d, field %d, %s: %+v, %v", kind, i, what, p, err)
			}
		}
		for _, i := range integers[kind] {
			for what, with := range everywhere {
				refused(i, what, with)
			}
		}
		for i, list := range cases[kind] {
			for _, with := range list {
				refused(i, hexed(with), with)
			}
		}
		last := len(fields(kind)) - 1
		refused(last, "one more", fields(kind)[last], str(""))
		refused(last, "one less")
	}
	for _, s := range []string{"", "0x", "0x02", "0x00", "0x05c0", "0x7f" + "c0", "0xc0", "0x80", "0xb0", "0x02c0", "0x02ff", "0xf8", "0xff", "0xzz", "0x" + strings.Repeat("00", chain.MaxTransaction+1),
		hexed(list(fields(0)[:6]...)), hexed("\x02" + list(fields(0)...)), typed(0, fields(2))} {
		ran++
		if p, err := transaction(on(1), s); code(err) != chain.CodeInvalid {
			t.Errorf("%.40s: %+v, %v", s, p, err)
		}
	}
	t.Logf("%d refused", ran)
}

// TestTransactionBounds: what is just inside.
func TestTransactionBounds(t *testing.T) {
	long := strings.Repeat("\xff", 32)
	half := strings.Repeat("\xff", 24)
	for _, c := range []struct {
		kind, field int
		with        string
		ok          bool
		fee         string
	}{
		{0, 0, str("\xff\xff\xff\xff\xff\xff\xff\xfe"), true, "42000"},
		{0, 4, str(long), true, "42000"}, // value
		{0, 2, str("\xff\xff\xff\xff\xff\xff\xff\xff"), true, "36893488147419103230"},
		{0, 1, str(half), true, "131819136443120296040551577887360994738149464333744724770795000"},
		{0, 1, str(long), false, ""}, // × 21000 is over 256 bits
		{2, 3, str(long), false, ""},
		{2, 2, str("\x02"), true, "42000"}, // tip = fee
		{3, 9, str("\x03"), true, "435216"},
		{3, 9, str(long), false, ""},
		{4, 9, list(list(str(""), str(strings.Repeat("\x11", 20)), str(""), str(""), str("\x09"), str("\x0a"))), true, "42000"},
	} {
		f := fields(c.kind)
		f[c.field] = c.with
		p, err := transaction(on(1), typed(c.kind, f))
		if (err == nil) != c.ok || err == nil && p.Intent.Effects.FeeMax != c.fee {
			t.Errorf("type %d, field %d: %+v, %v", c.kind, c.field, p, err)
		}
	}
	f := fields(0)
	f[6] = str("\xff\xff\xff\xff\xff\xff\xff\xff") // the largest chain id
	p, err := transaction(on(1<<64-1), typed(0, f))
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.Assemble(append([]byte(long+long), 1))
	if want := "89020000000000000022" + "a0" + hex.EncodeToString([]byte(long)); err != nil || !strings.Contains(s.Text, want) {
		t.Errorf("v isn't 2 × chain id + 36: %v, %v", s, err)
	}
	for _, raw := range [][]byte{nil, make([]byte, 64), append(make([]byte, 64), 2), append(make([]byte, 64), 27), make([]byte, 66)} {
		if _, err := p.Assemble(raw); !errors.Is(err, keys.ErrInput) {
			t.Errorf("%x assembled: %v", raw, err)
		}
	}
	big := fields(0)
	big[5] = str(strings.Repeat("\x01", chain.MaxTransaction-60))
	if _, err := transaction(on(1), typed(0, big)); err != nil {
		t.Errorf("large: %v", err)
	}
	big[5] = str(strings.Repeat("\x01", chain.MaxTransaction))
	if _, err := transaction(on(1), typed(0, big)); code(err) != chain.CodeInvalid {
		t.Errorf("too large: %v", err)
	}
}

// TestOfficialTransactions takes the transactions of ethereum/tests apart:
// the signature of each valid one is over our digest of its unsigned form, by
// the sender that the test names, and it assembles to the very bytes. What
// isn't valid, or not in a replay-protected form, isn't taken.
func TestOfficialTransactions(t *testing.T) {
	names, err := filepath.Glob("testdata/ethereum-tests/TransactionTests/*/*.json")
	if err != nil || names == nil {
		t.Fatal("no official tests: ", err)
	}
	ran := map[string]int{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var tests map[string]struct {
			Result  map[string]struct{ Hash, Sender, Exception string }
			TxBytes string `json:"txbytes"`
		}
		if err := json.Unmarshal(b, &tests); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for id, test := range tests {
			r, ok := test.Result["Cancun"]
			for _, other := range test.Result { // some have no result for Cancun
				if !ok && other.Exception == "" {
					t.Fatalf("%s is valid, but not said to be under Cancun", id)
				}
			}
			ran[official(t, id, test.TxBytes, r.Sender, r.Hash, r.Exception)]++
		}
	}
	t.Logf("%v", ran)
	if ran["signed"] < 15 || ran["invalid, refused"] < 30 {
		t.Error("tests are missing")
	}
}

// official returns what became of a test.
func official(t *testing.T, id, signed, sender, hash, exception string) string {
	unsigned, chainID, signature, ok := strip(signed)
	if !ok {
		if sender != "" {
			return "valid, too large for us"
		}
		return "invalid, can't be taken apart"
	}
	p, err := transaction(on(chainID), unsigned)
	if err != nil {
		if sender != "" {
			t.Errorf("%s: %v", id, err)
		}
		return "invalid, refused"
	}
	if sender == "" { // by its signature, or its gas: intrinsic gas hangs on the fork
		exception = strings.TrimPrefix(exception, "TransactionException.")
		if !slices.Contains([]string{"", "EC_RECOVERY_FAIL", "INTRINSIC_GAS_TOO_LOW", "INVALID_CHAINID", "INVALID_SIGNATURE_VRS", "RLP_LEADING_ZEROS_R", "RLP_LEADING_ZEROS_S", "RLP_LEADING_ZEROS_V"}, exception) {
			t.Errorf("%s: taken, though %s", id, exception)
		}
		return "invalid in what was taken off: " + exception
	}
	if signature == nil {
		return "taken without its signature, which is older than EIP-155"
	}
	s, err := p.Assemble(signature)
	if err != nil || s.Text != signed || s.ID != hash {
		t.Errorf("%s: assembled %+v, %v; want %s", id, s, err, signed)
	}
	pub, _, err := ecdsa.RecoverCompact(append([]byte{27 + 4 + signature[64]}, signature[:64]...), p.SignBytes)
	if err != nil {
		t.Errorf("%s: %v", id, err)
		return "failed"
	}
	address, err := evm.Codec{}.Address(pub.SerializeCompressed())
	if err != nil || !strings.EqualFold(address, sender) {
		t.Errorf("%s: sender %s, %v; want %s", id, address, err, sender)
	}
	return "signed"
}

// strip takes the signature off a signed transaction, by the plainest reading
// of RLP, without holding anything against the rules.
func strip(signed string) (unsigned string, chainID uint64, signature []byte, ok bool) {
	raw, err := hex.DecodeString(strings.TrimPrefix(signed, "0x"))
	if err != nil || len(raw) < 2 || len(raw) > chain.MaxTransaction {
		return "", 0, nil, false
	}
	kind, body := "", string(raw)
	if raw[0] < 0x80 {
		kind, body = body[:1], body[1:]
	}
	items, ok := split(body)
	if !ok || len(items) < 9 {
		return "", 0, nil, false
	}
	content := func(i int) *big.Int {
		item := items[len(items)-3+i]
		if item[0] >= 0x80 {
			item = item[1:]
		}
		return new(big.Int).SetBytes([]byte(item))
	}
	v, r, s := content(0), content(1), content(2)
	items = items[:len(items)-3]
	parity := byte(v.Uint64())
	if kind == "" {
		old := v.BitLen() == 5 && v.Uint64() >= 27 && v.Uint64() <= 28
		switch {
		case old:
			chainID = 1
		case !v.IsUint64() || v.Uint64() < 37:
			return "", 0, nil, false
		default:
			chainID, parity = (v.Uint64()-35)/2, byte((v.Uint64()-35)%2)
		}
		items = append(items, str(string(new(big.Int).SetUint64(chainID).Bytes())), str(""), str(""))
		if old {
			return hexed(list(items...)), chainID, nil, true
		}
	} else {
		id := new(big.Int).SetBytes([]byte(items[0]))
		chainID = id.Uint64()
	}
	if r.BitLen() > 256 || s.BitLen() > 256 || parity > 1 {
		return "", 0, nil, false
	}
	signature = append(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), parity)
	return hexed(kind + list(items...)), chainID, signature, true
}

// split returns the encoded items of a list.
func split(body string) (items []string, ok bool) {
	cut := func(s string) (head, size int) {
		c := int(s[0])
		long := func(n int) (int, int) {
			if len(s) < 1+n || n > 4 {
				return 0, 1 << 30
			}
			return 1 + n, int(new(big.Int).SetBytes([]byte(s[1 : 1+n])).Int64())
		}
		switch {
		case c < 0x80:
			return 0, 1
		case c < 0xb8:
			return 1, c - 0x80
		case c < 0xc0:
			return long(c - 0xb7)
		case c < 0xf8:
			return 1, c - 0xc0
		}
		return long(c - 0xf7)
	}
	h, n := cut(body)
	if body[0] < 0xc0 || h+n != len(body) {
		return nil, false
	}
	for rest := body[h:]; rest != ""; {
		h, n := cut(rest)
		if h+n > len(rest) {
			return nil, false
		}
		items, rest = append(items, rest[:h+n]), rest[h+n:]
	}
	return items, true
}

func plainTransfer() string {
	f := fields(2)
	f[8] = list() // no access list
	return typed(2, f)
}

func BenchmarkTransfer(b *testing.B) {
	n, text := on(1), plainTransfer()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := transaction(n, text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTransferWithIntentDigest(b *testing.B) {
	n, text := on(1), plainTransfer()
	b.ReportAllocs()
	for b.Loop() {
		p, err := transaction(n, text)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.Intent.Digest(); err != nil {
			b.Fatal(err)
		}
	}
}
