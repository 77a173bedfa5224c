package stack_test

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/test/stack"
)

// BenchmarkSign is the hot path whole, client and cloud in the same process:
// for profiles. `make bench` has the figures by process.
func BenchmarkSign(b *testing.B) {
	s := stack.Start(b, stack.Options{})
	token := s.NewKey(s.NewOwner(), nil)
	var w api.Wallet
	s.Do(s.Request(token, "POST", "/v1/s2s/wallets", `{}`), 201, &w)
	requests := make([]*http.Request, b.N)
	for i := range requests {
		requests[i] = s.Request(token, "POST", "/v1/s2s/sign", fmt.Sprintf(`{"wallet_id":%q,"network":"base","message":"bench %d"}`, w.ID, i))
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	var next atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			res, err := client.Do(requests[next.Add(1)-1])
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 200 {
				b.Error(res.Status, err)
			}
			res.Body.Close()
		}
	})
}
