package evm

import "testing"

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
}
