package storetest

import (
	"bytes"
	"sync"
	"testing"

	"github.com/sigilkeys/sigil/internal/store"
)

func claim(org, key, document byte, sec int64) *store.Answer {
	return &store.Answer{Organization: id(org), Key: digest(key), Document: digest(document), At: at(sec)}
}

func claimed(t *testing.T, s store.Store, a *store.Answer, expired int64) *store.Answer {
	t.Helper()
	got, err := s.ClaimAnswer(t.Context(), a, at(expired))
	must(t, err)
	return got
}

func answers(t *testing.T, e Engine) {
	s := e.Open(t)
	a := claim(1, 1, 1, 10)
	if got := claimed(t, s, a, 0); got == nil || got.Document != a.Document || got.Status != 0 || !got.At.Equal(at(10)) {
		t.Fatalf("claimed: %+v", got)
	}
	if got := claimed(t, s, claim(1, 1, 2, 11), 0); got == nil || got.Document != a.Document {
		t.Errorf("another document under the key: %+v", got)
	}
	for key := byte(2); key <= store.MaxAnswerKeys; key++ {
		if got := claimed(t, s, claim(1, key, 1, 11), 0); got == nil || got.Document != a.Document {
			t.Errorf("key %d of the document: %+v", key, got)
		}
	}
	if got := claimed(t, s, claim(1, store.MaxAnswerKeys+1, 1, 11), 0); got != nil {
		t.Errorf("one key too many: %+v", got)
	}
	must(t, s.DropAnswer(t.Context(), claim(1, 2, 9, 11))) // another document's
	if got := claimed(t, s, claim(1, 2, 2, 11), 0); got == nil || got.Document != a.Document {
		t.Errorf("not dropped: %+v", got)
	}
	must(t, s.DropAnswer(t.Context(), claim(1, 2, 1, 11)))
	if got := claimed(t, s, claim(1, 2, 2, 11), 0); got == nil || got.Document != digest(2) {
		t.Errorf("dropped: %+v", got)
	}
	if got := claimed(t, s, claim(2, 1, 2, 11), 0); got == nil || got.Document != digest(2) {
		t.Errorf("the same key of another organisation: %+v", got)
	}
	firstAnswerStands(t, e, s, a)
}

// firstAnswerStands has many answer a claimed document; who is first stands,
// until the answer expires.
func firstAnswerStands(t *testing.T, e Engine, s store.Store, a *store.Answer) {
	t.Helper()
	var group sync.WaitGroup
	bodies := [8][]byte{}
	for i := range bodies {
		group.Go(func() {
			b := *a
			b.Status, b.Body = 200+i, []byte{byte(i)}
			got, err := s.PutAnswer(t.Context(), &b)
			if err != nil || got == nil || got.Status != 200+int(got.Body[0]) {
				t.Errorf("%+v %v", got, err)
				return
			}
			bodies[i] = got.Body
		})
	}
	group.Wait()
	s = e.Reopen(t, s)
	got := claimed(t, s, claim(1, 1, 1, 12), 0)
	for _, b := range bodies {
		if !bytes.Equal(b, got.Body) {
			t.Errorf("answered %v, stands %v", b, got.Body)
		}
	}
	must(t, s.DropAnswer(t.Context(), a)) // it is answered
	if again := claimed(t, s, claim(1, 1, 1, 12), 0); !bytes.Equal(again.Body, got.Body) {
		t.Errorf("an answer was dropped: %+v", again)
	}
	if got, err := s.PutAnswer(t.Context(), claim(1, 99, 1, 12)); err != nil || got != nil {
		t.Errorf("an answer that nobody claimed: %+v %v", got, err)
	}
	// Later, key and document are free again.
	if got := claimed(t, s, claim(1, 1, 3, 99), 11); got == nil || got.Document != digest(3) || got.Status != 0 || got.Body != nil {
		t.Errorf("after it expired: %+v", got)
	}
	if got := claimed(t, s, claim(1, 2, 1, 99), 12); got == nil || got.Document != digest(1) {
		t.Errorf("after it expired: %+v", got)
	}
}
