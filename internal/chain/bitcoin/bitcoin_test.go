package bitcoin

import "testing"

// TestNetworks: no signature names its network, so whoever may sign on a test
// network must be allowed to on the main one.
func TestNetworks(t *testing.T) {
	for _, n := range Networks() {
		if n.Family != Family || n.Testnet != (n.Slug != "bitcoin") || (n.AlsoValidOn == "bitcoin") != n.Testnet {
			t.Errorf("%+v", n)
		}
		if got := n.Payloads(); len(got) != 2 {
			t.Errorf("%s signs %q", n.Slug, got)
		}
	}
}
