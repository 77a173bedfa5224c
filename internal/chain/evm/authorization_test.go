package evm_test

import (
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/policy"
)

const anAuthorization = `{"chain_id":1,"address":"0x00000000000000000000000000000000000000aa","nonce":7}`

func TestAuthorization(t *testing.T) {
	n := on(1)
	for _, c := range []struct{ old, new, want string }{
		{"", "", ""}, {`"chain_id":1`, `"chain_id":"0x1"`, ""}, {`"nonce":7`, `"nonce":"7"`, ""},
		{`"chain_id":1`, `"chain_id":0`, chain.CodePayloadInvalid}, {`"chain_id":1`, `"chain_id":"0x0"`, chain.CodePayloadInvalid}, {`"chain_id":1`, `"chain_id":2`, chain.CodeNetwork},
		{`"chain_id":1,`, ``, chain.CodePayloadInvalid}, {`"chain_id":1`, `"chain_id":18446744073709551617`, chain.CodePayloadInvalid}, {`"chain_id":1`, `"chain_id":"18446744073709551617"`, chain.CodePayloadInvalid},
		{`"nonce":7`, `"nonce":"18446744073709551615"`, chain.CodePayloadInvalid}, {`"nonce":7`, `"nonce":-1`, chain.CodePayloadInvalid}, {`"nonce":7`, `"nonce":null`, chain.CodePayloadInvalid},
		{`"nonce":7`, `"nonce":[7]`, chain.CodePayloadInvalid}, {`aa"`, `aA"`, chain.CodePayloadInvalid}, {`aa"`, `a"`, chain.CodePayloadInvalid}, {`"0x0`, `"0X0`, chain.CodePayloadInvalid},
		{`"nonce":7`, `"nonce":7,"more":1`, chain.CodePayloadInvalid}, {anAuthorization, `[]`, chain.CodePayloadInvalid}, {anAuthorization, ``, chain.CodePayloadInvalid},
	} {
		doc := strings.Replace(anAuthorization, c.old, c.new, 1)
		p, err := evm.Codec{}.Document(n, owner(t), chain.KindAuthorization, []byte(doc))
		if code(err) != c.want || c.want == "" && err != nil {
			t.Errorf("%s: %v, want %q", doc, err, c.want)
			continue
		}
		if err != nil {
			continue
		}
		u := p.Request(n).Unexplained
		if visible(t, p.Intent.Effects.Actions) != `[{"kind":"delegate","contract":"`+aToken+`"}]` || len(u) != 1 || u[0].Kind != policy.AcceptDelegate || u[0].Contract != aToken || len(p.Intent.Effects.Flags) != 0 {
			t.Errorf("%s: %+v", doc, p.Intent.Effects)
		}
	}
	p, err := evm.Codec{}.Document(n, owner(t), chain.KindAuthorization, []byte(strings.Replace(anAuthorization, aToken, nobody, 1)))
	if err != nil || strings.Join(p.Intent.Effects.Flags, " ") != "delegation_removed" {
		t.Errorf("%+v, %v", p, err)
	}
}

// FuzzDocuments: no document of any kind breaks anything, and what is taken
// means the same when it comes again.
func FuzzDocuments(f *testing.F) {
	f.Add(anAuthorization)
	f.Add(document(aToken, typePermit, `{"owner":"`+me+`","spender":"`+someone+`","value":"5","nonce":3,"deadline":"99"}`))
	f.Add(document(permit2, typeBatch, `{"details":[{"token":"`+aToken+`","amount":"5","expiration":7,"nonce":2}],"spender":"`+someone+`","sigDeadline":9}`))
	f.Add(document(aToken, typeSafe, safeTx(someone, "7", "0x", "0", "0")))
	for _, o := range operations(f) {
		f.Add(o.doc())
	}
	for i, v := range madeOperations(f) {
		if i%4 == 0 {
			f.Add(string(v.document("")))
		}
	}
	f.Fuzz(func(t *testing.T, doc string) {
		for _, kind := range (evm.Codec{}).Documents() {
			p, err := evm.Codec{}.Document(on(1), owner(t), kind, []byte(doc))
			if err != nil {
				if code(err) == "" {
					t.Errorf("%s: %v has no code", kind, err)
				}
				continue
			}
			if len(p.SignBytes) != 32 || len(p.Intent.Effects.Actions) == 0 || p.Intent.Kind != kind {
				t.Errorf("%s: %+v", kind, p.Intent)
			}
		}
	})
}
