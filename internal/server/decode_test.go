package server_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/receipt"
)

// Decoding needs no right to sign, says what a signature's receipt will, and
// makes no decision.
func TestDecode(t *testing.T) {
	s := newScene(t)
	reader := s.NewKey(s.owner, func(g *authority.Grant) { g.Scope, g.Policy = authority.ScopeRead, policy.Policy{} })
	at := func(payload string) string {
		return fmt.Sprintf(`{"wallet_id":%q,"network":"base",%s}`, s.wallet.ID, payload)
	}
	const path = "/v1/s2s/transactions/decode"
	const transfer = "0x02ef82210507830f42408405f5e100825208945aaeb6053f3e94c9b9a09f33669435e7ef1beaed872386f26fc1000080c0"
	const opaque = "0x02ec82210507830f42408405f5e100825208945aaeb6053f3e94c9b9a09f33669435e7ef1beaed808412345678c0"
	var d api.Decoded
	s.Do(s.Request(reader, "POST", path, at(`"transaction":"`+transfer+`"`)), 200, &d)
	if len(d.Summary) != 2 || len(d.Accept)+len(d.Refused)+len(d.Flags) != 0 || d.Address != s.wallet.Addresses["base"] {
		t.Errorf("%+v", d)
	}
	var signed api.Signature
	signer := s.NewKey(s.owner, func(g *authority.Grant) { g.Policy.Methods = []string{"signTransaction"} })
	s.Do(s.Request(signer, "POST", "/v1/s2s/sign", at(`"transaction":"`+transfer+`"`)), 200, &signed)
	proof, err := receipt.DecodeReceipt(signed.Receipt.Proof)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _, err := proof.Open()
	if err != nil || fmt.Sprintf("%x", leaf.IntentDigest) != d.IntentDigest || string(signed.Intent) != string(d.Intent) {
		t.Errorf("%v: %+v, %s", err, d, signed.Intent)
	}
	s.Do(s.Request(reader, "POST", path, at(`"transaction":"`+opaque+`"`)), 200, &d)
	var accept struct{ Kind, Network, Contract string }
	if len(d.Accept) != 1 || json.Unmarshal(d.Accept[0], &accept) != nil || accept.Network != "base" || accept.Contract == "" {
		t.Errorf("%+v, %+v", d, accept)
	}
	for payload, code := range map[string]api.Code{
		`"transaction":"` + transfer + `00"`: api.CodeTransactionInvalid,
		`"transaction":"0x02"`:               api.CodeTransactionInvalid,
		`"typed_data":{}`:                    api.CodePayloadInvalid,
		`"message":"x","message_format":"y"`: api.CodeUnsupportedFormat,
		`"network":"base"`:                   api.CodeDuplicateField,
		`"transaction":null`:                 api.CodeInvalidArgument,
	} {
		s.refused(t, payload, s.Request(reader, "POST", path, at(payload)), code)
	}
}
