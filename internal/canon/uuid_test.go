package canon_test

import (
	"bytes"
	"testing"

	"github.com/sigilkeys/sigil/internal/canon"
)

func TestUUID(t *testing.T) {
	u, err := canon.NewUUID(bytes.NewReader(bytes.Repeat([]byte{0xff}, 16)))
	if err != nil || u.String() != "ffffffff-ffff-4fff-bfff-ffffffffffff" {
		t.Fatal(u, err)
	}
	if v, err := canon.ParseUUID(u.String()); err != nil || v != u {
		t.Fatal(v, err)
	}
	for _, bad := range []string{"", "ffffffff-ffff-4fff-bfff-fffffffffff", "FFFFFFFF-ffff-4fff-bfff-ffffffffffff",
		"ffffffffffff-4fff-bfff-ffffffffffff----", "gfffffff-ffff-4fff-bfff-ffffffffffff", "{fffffff-ffff-4fff-bfff-fffffffffff}"} {
		if _, err := canon.ParseUUID(bad); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}
