package abi_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/abi"
	"github.com/sigilkeys/sigil/test/memory"
)

type call struct {
	Function string `json:"function"`
	Data     string `json:"data"`
	Encodes  bool   `json:"encodes"`
}

func calls(t testing.TB) (list []call) {
	t.Helper()
	data, err := os.ReadFile("testdata/calls.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCalls: what another library encodes, and what it wouldn't.
func TestCalls(t *testing.T) {
	counts := map[bool]int{}
	for _, c := range calls(t) {
		f, err := abi.Parse(c.Function)
		if err != nil {
			t.Fatalf("%s: %v", c.Function, err)
		}
		data := unhex(t, c.Data)
		if got := f.Encodes(data); got != c.Encodes {
			t.Errorf("%s %s: %v, want %v", c.Function, c.Data, got, c.Encodes)
		}
		counts[c.Encodes]++
		if !c.Encodes {
			continue
		}
		for _, other := range [][]byte{data[:len(data)-1], append(data[:len(data):len(data)], 0), append([]byte{data[0] ^ 1}, data[1:]...), nil, data[:3]} {
			if f.Encodes(other) {
				t.Errorf("%s: %x encodes it as well", c.Function, other)
			}
		}
	}
	if counts[true] < 150 || counts[false] < 150 {
		t.Errorf("%v calls", counts)
	}
}

func TestParse(t *testing.T) {
	for signature, want := range map[string]string{"transfer(address,uint256)": "a9059cbb", "deposit()": "d0e30db0", "multicall(bytes[])": "ac9650d8",
		"aggregate3((address,bool,bytes)[])": "82ad56cb", "exactInputSingle((address,address,uint24,address,uint256,uint256,uint160))": "04e45aaf"} {
		if f, err := abi.Parse(signature); err != nil || hex.EncodeToString(f.Selector[:]) != want {
			t.Errorf("%s: %v", signature, err)
		}
	}
	for _, s := range []string{"", "f", "f(", "f)", "(uint256)", "f(uint)", "f(int)", "f(uint257)", "f(uint08)", "f(bytes0)", "f(bytes33)", "f(uint256,)", "f(,uint256)", "f(uint256 a)", "f( uint256)",
		"f(uint256)x", "f(uint256))", "f((uint256)", "f(())", "f(uint256[)", "f(uint256[0])", "f(uint256[01])", "f(uint256[-1])", "f(uint256[300])", "f(fixed128x18)", "f(function)", "1f()", "f g()",
		"f(uint256)[]", "f" + strings.Repeat("(", 40) + "uint8" + strings.Repeat(")", 40), "f(uint8" + strings.Repeat("[]", 40) + ")", "f(" + strings.Repeat("uint8,", 300) + "uint8)"} {
		if _, err := abi.Parse(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

// TestBombs: lengths that the data doesn't have cost nothing.
func TestBombs(t *testing.T) {
	f, err := abi.Parse("f(uint256[][][],bytes[])")
	if err != nil {
		t.Fatal(err)
	}
	data := append(f.Selector[:], make([]byte, 64)...)
	data[4+31], data[4+63] = 64, 96
	for range 40 {
		data = append(data, unhex(t, strings.Repeat("00", 28)+"ffffffff")...)
	}
	memory.Bounded(t, "offsets", 0, func() {
		if f.Encodes(data) {
			t.Error("taken")
		}
	})
}

// TestSizesStayCountable: types whose size an int doesn't hold are none, so
// that no data makes offsets of it.
func TestSizesStayCountable(t *testing.T) {
	for _, s := range []string{"f(uint8" + strings.Repeat("[256]", 7) + "[4])", "f(uint8" + strings.Repeat("[256]", 8) + ")", "f(uint8[256][256],uint8[256][256])", "f(uint8[256][256][2])"} {
		if _, err := abi.Parse(s); err == nil {
			t.Errorf("%s is taken", s)
		}
	}
	if _, err := abi.Parse("f(uint8[256][256])"); err != nil {
		t.Error(err)
	}
}

func FuzzEncodes(f *testing.F) {
	for i, c := range calls(f) {
		if i%40 == 0 {
			f.Add(c.Function, unhex(f, c.Data))
		}
	}
	f.Fuzz(func(t *testing.T, signature string, data []byte) {
		function, err := abi.Parse(signature)
		if err != nil {
			return
		}
		if function.Encodes(data) && (len(data)%32 != 4 || function.Encodes(append(data[:len(data):len(data)], make([]byte, 32)...))) {
			t.Errorf("%s: %x", signature, data)
		}
	})
}

// TestOfficial: the ABI tests of ethereum/tests (MIT).
func TestOfficial(t *testing.T) {
	data, err := os.ReadFile("testdata/basic_abi_tests.json")
	if err != nil {
		t.Fatal(err)
	}
	var list map[string]struct {
		Types  []string `json:"types"`
		Result string   `json:"result"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	for name, c := range list {
		f, err := abi.Parse("f(" + strings.Join(c.Types, ",") + ")")
		if err != nil || !f.Encodes(append(f.Selector[:], unhex(t, c.Result)...)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(list) < 3 {
		t.Errorf("%d tests", len(list))
	}
}
