package attack

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/internal/workload"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/stack"
)

// What whoever runs the control plane can make of a signed batch: each item
// as it stands, with the wallet that it names, and nothing else.
func TestBatchOnTheLink(t *testing.T) {
	s := newScene(t, stack.Options{})
	one := fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":"pay 1"}`, s.one.ID)
	two := fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":"pay 2"}`, s.two.ID)
	body := `{"items":[` + one + `,` + two + `]}`
	for name, c := range map[string]struct {
		edit func(*teelink.Decide)
		want string
	}{
		"canary: an honest control plane":  {func(*teelink.Decide) {}, ""},
		"the other item's wallet":          {func(d *teelink.Decide) { d.Item = 2 }, "wallet_mismatch"},
		"no such item":                     {func(d *teelink.Decide) { d.Item = 3 }, "invalid_argument"},
		"no item":                          {func(d *teelink.Decide) { d.Item = 0 }, "invalid_argument"},
		"as a request of its own":          {func(d *teelink.Decide) { d.Item, d.Path, d.Body = 0, workload.PathSign, []byte(one) }, "signature_invalid"},
		"the item alone":                   {func(d *teelink.Decide) { d.Body = []byte(`{"items":[` + one + `]}`) }, "signature_invalid"},
		"an item more":                     {func(d *teelink.Decide) { d.Body, d.Item = []byte(strings.Replace(body, "]}", ","+one+"]}", 1)), 3 }, "signature_invalid"},
		"another message":                  {func(d *teelink.Decide) { d.Body = []byte(strings.Replace(body, "pay 1", "pay 9", 1)) }, "signature_invalid"},
		"the item's own request id":        {func(d *teelink.Decide) { d.RequestID = receipt.ItemRequestID(d.RequestID, 0) }, "signature_invalid"},
		"another Idempotency-Key":          {func(d *teelink.Decide) { d.IdempotencyKey = "again" }, "signature_invalid"},
		"as making wallets":                {func(d *teelink.Decide) { d.Path = workload.PathWalletsBulk }, "objects_missing"},
		"an item of what isn't a batch":    {nil, "invalid_argument"},
		"the batch to the route of single": {func(d *teelink.Decide) { d.Path = workload.PathSign }, "signature_invalid"},
	} {
		path, text := workload.PathSignBatch, body
		if c.edit == nil {
			path, text = workload.PathSign, one
			c.edit = func(*teelink.Decide) {}
		}
		out, err := s.straightItem(t, path, text, c.edit)
		if code(err) != c.want || (out != nil) != (c.want == "") {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// straightItem sends the first item to the TEE past the server, as altered.
func (s *scene) straightItem(t *testing.T, path, body string, edit func(*teelink.Decide)) (*teelink.Outcome, error) {
	t.Helper()
	return s.straightWith(t, s.token, path, body, func(d *teelink.Decide) { d.Item = 1; edit(d) })
}

// A host that asks for an item twice, or after its Idempotency-Key was used,
// gets decisions, but one of them alone is ever stored and released.
func TestBatchItemIsDecidedOnce(t *testing.T) {
	s := newScene(t, stack.Options{})
	body := fmt.Sprintf(`{"items":[{"wallet_id":%q,"network":"base","message":"a"},{"wallet_id":%q,"network":"base","message":"a"}]}`, s.one.ID, s.one.ID)
	req := s.Request(s.token, "POST", workload.PathSignBatch, body)
	first := s.batch(t, req)
	again := s.batch(t, resent(req, body))
	if string(first) != string(again) {
		t.Errorf("%s\n%s", first, again)
	}
	var b api.Batch
	if err := json.Unmarshal(first, &b); err != nil || len(b.Items) != 2 {
		t.Fatalf("%s: %v", first, err)
	}
	ids := map[string]bool{}
	for _, it := range b.Items {
		var sig api.Signature
		if err := json.Unmarshal(it.Data, &sig); err != nil || it.Status != 200 {
			t.Fatalf("%s: %v", it.Data, err)
		}
		ids[sig.Receipt.ID] = true
	}
	if len(ids) != 2 {
		t.Error("two items share a receipt")
	}
	// The request id of the batch, for another request.
	h, err := authority.ParseSignatureHeaders(req.Header)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(body, `"a"`, `"b"`, 2)
	r := authority.Request{Method: "POST", Path: workload.PathSignBatch, Body: []byte(other), Created: h.Created, ID: h.ID}
	conflicting := resent(req, other)
	if conflicting.Header, err = r.Sign(s.token.RequestKey()); err != nil {
		t.Fatal(err)
	}
	conflicting.Header.Set("Content-Type", "application/json")
	raw := s.batch(t, conflicting)
	if err := json.Unmarshal(raw, &b); err != nil || b.Items[0].Error == nil || b.Items[0].Error.Code != api.CodeRequestIDConflict || b.Items[1].Error == nil {
		t.Errorf("%s: %v", raw, err)
	}
}

func resent(r *http.Request, body string) *http.Request {
	again := r.Clone(r.Context())
	setBody(again, body)
	return again
}

func (s *scene) batch(t *testing.T, req *http.Request) []byte {
	t.Helper()
	var raw json.RawMessage
	s.Do(req, 200, &raw)
	return raw
}

// A host that deals an honest batch's answers out to the wrong items is found,
// also where the items ask for the same.
func TestBatchAnswersExchanged(t *testing.T) {
	p := &patch{}
	s := newScene(t, stack.Options{WrapHandler: p.wrap})
	same := client.SignRequest{WalletID: s.one.ID, Network: "base", Message: "a"}
	other := client.SignRequest{WalletID: s.one.ID, Network: "base", Message: "b"}
	items := func(d map[string]any) []any { return d["items"].([]any) }
	for name, c := range map[string]struct {
		second client.SignRequest
		edit   func(map[string]any)
		want   [2]string
	}{
		"canary: honest":           {same, func(map[string]any) {}, [2]string{"", ""}},
		"two that are the same":    {same, func(d map[string]any) { l := items(d); l[0], l[1] = l[1], l[0] }, [2]string{"receipt_mismatch", "receipt_mismatch"}},
		"two that differ":          {other, func(d map[string]any) { l := items(d); l[0], l[1] = l[1], l[0] }, [2]string{"signature_mismatch", "signature_mismatch"}},
		"one twice":                {same, func(d map[string]any) { l := items(d); l[1] = l[0] }, [2]string{"", "receipt_mismatch"}},
		"a refusal without a word": {same, func(d map[string]any) { items(d)[1] = map[string]any{"status": 200, "data": nil, "error": nil} }, [2]string{"", "response_invalid"}},
	} {
		p.set(func(path string, d map[string]any) {
			if path == workload.PathSignBatch {
				c.edit(d)
			}
		})
		out, err := sdk(t, s.Stack, s.token).SignBatch(t.Context(), []client.SignRequest{same, c.second}, "")
		if err != nil || len(out) != 2 {
			t.Fatalf("%s: %v", name, err)
		}
		for i, want := range c.want {
			if got := code(out[i].Err); got != want || (out[i].Result != nil) != (want == "") {
				t.Errorf("%s, item %d: %q, want %q", name, i, got, want)
			}
		}
	}
	p.set(func(path string, d map[string]any) {
		if path == workload.PathSignBatch {
			d["items"] = items(d)[:1]
		}
	})
	_, err := sdk(t, s.Stack, s.token).SignBatch(t.Context(), []client.SignRequest{same, other}, "")
	var wrong *client.VerificationError
	if !errors.As(err, &wrong) {
		t.Errorf("an answer left out: %v", err)
	}
}
