package attack

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/stack"
)

// TestDocumentsAreDecidedInTheTEE plays a host that hands documents straight
// to the workload: each kind needs its own method, what nobody can explain
// needs the owner's word for exactly that, and a digest in a document's place
// is none.
func TestDocumentsAreDecidedInTheTEE(t *testing.T) {
	s := newScene(t, stack.Options{})
	const contract = "0x00000000000000000000000000000000000000aa"
	mail := `{"types":{"EIP712Domain":[{"name":"chainId","type":"uint256"},{"name":"verifyingContract","type":"address"}],"Mail":[{"name":"text","type":"string"}]},"primaryType":"Mail","domain":{"chainId":8453,"verifyingContract":"` + contract + `"},"message":{"text":"hi"}}`
	permit := `{"types":{"EIP712Domain":[{"name":"chainId","type":"uint256"},{"name":"verifyingContract","type":"address"}],"Permit":[{"name":"owner","type":"address"},{"name":"spender","type":"address"},{"name":"value","type":"uint256"},{"name":"nonce","type":"uint256"},{"name":"deadline","type":"uint256"}]},` +
		`"primaryType":"Permit","domain":{"chainId":8453,"verifyingContract":"` + contract + `"},"message":{"owner":"` + contract + `","spender":"` + contract + `","value":"1","nonce":0,"deadline":1}}`
	delegation := `{"chain_id":8453,"address":"` + contract + `","nonce":0}`
	operation := `{"entry_point":"0x0000000071727de22e5e9d8baf0edac6f37da032","user_operation":{"sender":"` + contract + `","nonce":0,"callData":"0x12345678","callGasLimit":1,"verificationGasLimit":1,"preVerificationGas":1,"maxFeePerGas":1,"maxPriorityFeePerGas":1}}`
	body := func(kind, doc string) string {
		return fmt.Sprintf(`{"wallet_id":%q,"network":"base",%q:%s}`, s.one.ID, kind, doc)
	}
	key := func(methods string, accept ...policy.Acceptance) *authority.Token {
		return s.NewKey(s.owner, func(g *authority.Grant) { g.Policy.Methods, g.Policy.Accept = strings.Fields(methods), accept })
	}
	const all = "signMessage signTransaction signTypedData signAuthorization signUserOperation"
	whole, star := key(all), key("*")
	accepting := key(all, policy.Acceptance{Kind: policy.AcceptTypedData, Network: "base", Contract: contract, Type: "Mail(string text)"},
		policy.Acceptance{Kind: policy.AcceptDelegate, Network: "base", Contract: contract}, policy.Acceptance{Kind: policy.AcceptCall, Network: "base", Contract: contract, Function: "f(uint256)"})
	elsewhere := key(all, policy.Acceptance{Kind: policy.AcceptTypedData, Network: "polygon", Contract: contract, Type: "Mail(string text)"}, policy.Acceptance{Kind: policy.AcceptDelegate, Network: "base", Contract: contract[:41] + "b"})
	for name, c := range map[string]struct {
		token      *authority.Token
		body, want string
	}{
		"permit":                        {whole, body("typed_data", permit), receipt.ReasonAllowed},
		"permit, by transactions alone": {key("signMessage signTransaction"), body("typed_data", permit), "policy_method"},
		"permit, by star":               {star, body("typed_data", permit), "policy_method"},
		"mail":                          {whole, body("typed_data", mail), "transaction_opaque"},
		"mail, accepted":                {accepting, body("typed_data", mail), receipt.ReasonAllowed},
		"mail, accepted elsewhere":      {elsewhere, body("typed_data", mail), "transaction_opaque"},
		"mail of another chain":         {accepting, body("typed_data", strings.Replace(mail, "8453", "137", 1)), "transaction_other_network"},
		"mail with more":                {accepting, body("typed_data", strings.Replace(mail, `"text":"hi"`, `"text":"hi","to":"you"`, 1)), "payload_invalid"},
		"a digest for a document":       {accepting, body("typed_data", `"0x`+strings.Repeat("ab", 32)+`"`), "payload_invalid"},
		"two payloads":                  {accepting, strings.TrimSuffix(body("typed_data", permit), "}") + `,"message":"hi"}`, "invalid_argument"},
		"delegation":                    {whole, body("authorization", delegation), "transaction_opaque"},
		"delegation, accepted":          {accepting, body("authorization", delegation), receipt.ReasonAllowed},
		"delegation to another":         {elsewhere, body("authorization", delegation), "transaction_opaque"},
		"delegation on every chain":     {accepting, body("authorization", strings.Replace(delegation, "8453", "0", 1)), "payload_invalid"},
		"operation, unknown call":       {accepting, body("user_operation", operation), "transaction_opaque"},
		"operation, by star":            {star, body("user_operation", operation), "policy_method"},
		"operation of another contract": {accepting, body("user_operation", strings.Replace(operation, "0x0000000071727de22e5e9d8baf0edac6f37da032", contract, 1)), "payload_invalid"},
	} {
		method := "signTypedData"
		if strings.Contains(c.body, `"authorization"`) {
			method = "signAuthorization"
		} else if strings.Contains(c.body, `"user_operation"`) {
			method = "signUserOperation"
		}
		if got := s.askFor(t, c.token, c.body, method); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
