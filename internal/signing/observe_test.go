package signing_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/test/stack"
)

// Each transaction is told of, with all the decisions that it stored.
func TestCommitsAreObserved(t *testing.T) {
	var mu sync.Mutex // guards decisions
	decisions := 0
	s := stack.Start(t, stack.Options{OnCommit: func(n int, took time.Duration, err error) {
		mu.Lock()
		defer mu.Unlock()
		decisions += n
		if took <= 0 || err != nil {
			t.Errorf("%v %v", took, err)
		}
	}})
	token := s.NewKey(s.NewOwner(), nil)
	var w api.Wallet
	s.Do(s.Request(token, "POST", "/v1/s2s/wallets", `{}`), 201, &w)
	for i := range 3 {
		s.Do(s.Request(token, "POST", "/v1/s2s/sign", fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":"%d"}`, w.ID, i)), 200, nil)
	}
	mu.Lock()
	defer mu.Unlock()
	if decisions != 4 {
		t.Errorf("%d decisions, want 4", decisions)
	}
}
