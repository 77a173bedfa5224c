package evm

import (
	"slices"
	"testing"

	"github.com/sigilkeys/sigil/internal/abi"
)

// TestRouterSelectors holds the tables of routers' functions against the
// hashes of their signatures.
func TestRouterSelectors(t *testing.T) {
	for name, table := range map[string]struct {
		lookUp     func(string) string
		signatures []string
	}{
		"permits": {selfPermitting, []string{"selfPermit(address,uint256,uint256,uint8,bytes32,bytes32)", "selfPermitIfNecessary(address,uint256,uint256,uint8,bytes32,bytes32)",
			"selfPermitAllowed(address,uint256,uint256,uint8,bytes32,bytes32)", "selfPermitAllowedIfNecessary(address,uint256,uint256,uint8,bytes32,bytes32)"}},
		"pairs": {pairing, []string{"swapExactTokensForTokens(uint256,uint256,address[],address,uint256)", "swapTokensForExactTokens(uint256,uint256,address[],address,uint256)",
			"swapExactETHForTokens(uint256,address[],address,uint256)", "swapTokensForExactETH(uint256,uint256,address[],address,uint256)",
			"swapExactTokensForETH(uint256,uint256,address[],address,uint256)", "swapETHForExactTokens(uint256,address[],address,uint256)",
			"swapExactTokensForTokensSupportingFeeOnTransferTokens(uint256,uint256,address[],address,uint256)",
			"swapExactETHForTokensSupportingFeeOnTransferTokens(uint256,address[],address,uint256)",
			"swapExactTokensForETHSupportingFeeOnTransferTokens(uint256,uint256,address[],address,uint256)",
			"swapExactTokensForTokens(uint256,uint256,address[],address)", "swapTokensForExactTokens(uint256,uint256,address[],address)"}},
		"pools": {pooling, []string{"exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))", "exactInput((bytes,address,uint256,uint256,uint256))",
			"exactOutputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))", "exactOutput((bytes,address,uint256,uint256,uint256))",
			"exactInputSingle((address,address,uint24,address,uint256,uint256,uint160))", "exactInput((bytes,address,uint256,uint256))",
			"exactOutputSingle((address,address,uint24,address,uint256,uint256,uint160))", "exactOutput((bytes,address,uint256,uint256))"}},
		"payments": {collecting, []string{"unwrapWETH9(uint256,address)", "unwrapWETH9(uint256)", "sweepToken(address,uint256,address)", "sweepToken(address,uint256)", "refundETH()"}},
	} {
		for _, signature := range table.signatures {
			if got := table.lookUp(string(keccak([]byte(signature))[:selectorSize])); got != signature {
				t.Errorf("%s: the selector of %s is that of %q", name, signature, got)
			}
		}
		if table.lookUp("") != "" || table.lookUp("\x00\x00\x00\x00") != "" {
			t.Errorf("%s: there is a function without a selector", name)
		}
	}
	for selector, signature := range map[string]string{"\x35\x93\x56\x4c": "execute(bytes,bytes[],uint256)", "\x24\x85\x6b\xc3": "execute(bytes,bytes[])"} {
		if string(keccak([]byte(signature))[:selectorSize]) != selector {
			t.Errorf("%s has another selector than %x", signature, selector)
		}
	}
}

// TestCommands: of all 256 commands those that are known have types, and none
// that may fail is.
func TestCommands(t *testing.T) {
	known := []byte{0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13}
	for i := range 256 {
		signature := commanding(byte(i))
		if _, err := abi.Parse(signature); (err == nil) != slices.Contains(known, byte(i)) {
			t.Errorf("command %#x: %q, %v", i, signature, err)
		}
	}
}
