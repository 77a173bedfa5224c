package client

import (
	"context"
	"errors"
	"testing"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
)

// FuzzReply feeds replies of a hostile service to everything that reads them:
// nothing may panic, and nothing may pass.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{
		`{"data":{"signature":"0x00","wallet_id":"","receipt":{"id":"","proof":"AAAA"}},"error":null}`,
		`{"data":null,"error":{"code":"policy_wallet","message":"no","details":{"receipt":{"id":"x","proof":"AAAA"}}}}`,
		`{"data":{"organization":{"genesis":{"payloadType":"","payload":"","signatures":[]},"state_record":"AAAA","evidence":{"statement":"AAAA","token":"a.b.c"}},"grant":{}}}`,
		`{"data":{"items":[{"id":"11111111-1111-4111-8111-111111111111","certificate":"AAAA"}],"total":1}}`,
		`{"data":{}}`, `{}`, `[]`, ``, `{"data":{},"data":{}}`, `null`,
	} {
		f.Add(200, []byte(seed))
		f.Add(403, []byte(seed))
	}
	token, err := authority.NewToken(authority.SecretKey, [32]byte{1}, zeros{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		var s api.Signature
		if err := decodeReply(status, "", body, &s); err == nil {
			if _, err := openReceipt(context.Background(), &authority.VerifiedGenesis{}, s.Receipt.Proof, nothing); err == nil {
				t.Fatal("receipt accepted")
			}
		}
		var c api.Credential
		if err := decodeReply(status, "", body, &c); err == nil {
			genesis, _ := reEncode(c.Organization.Genesis)
			grant, _ := reEncode(c.Grant)
			if _, err := openRoot(token, genesis, grant); err == nil {
				t.Fatal("root accepted")
			}
			if _, err := checkState(&authority.VerifiedGenesis{}, c.Organization.StateRecord, evidenceOf(c.Organization.Evidence)); err == nil {
				t.Fatal("state accepted")
			}
		}
		var e *APIError
		if err := decodeReply(status, "", body, &c); errors.As(err, &e) {
			if e.Receipt != nil {
				t.Fatal("unverified receipt")
			}
			_, _, _ = decodeDenial(e)
		}
		var l api.List[api.Wallet]
		_ = decodeReply(status, "", body, &l)
		if b, err := ParseBundle(body); err == nil {
			if _, err := b.Verify([32]byte{1}); err == nil {
				t.Fatal("bundle accepted")
			}
		}
	})
}

// nothing is a source that has the evidence of no statement.
var nothing = given(evidenceOf(api.Evidence{}))

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
