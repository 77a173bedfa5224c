package canon_test

import (
	"bytes"
	"testing"
	"time"

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
	var parsed canon.UUID
	if err := parsed.UnmarshalText([]byte(u.String())); err != nil || parsed != u {
		t.Fatal(parsed, err)
	}
	v7, err := canon.NewOrderedUUID(time.UnixMilli(0x017f22e279b0), bytes.NewReader(make([]byte, 16)))
	if err != nil || v7.String() != "017f22e2-79b0-7000-8000-000000000000" { // time of RFC 9562 appendix A.6
		t.Fatal(v7, err)
	}
	for _, bad := range []string{"", "ffffffff-ffff-4fff-bfff-fffffffffff", "FFFFFFFF-ffff-4fff-bfff-ffffffffffff",
		"ffffffffffff-4fff-bfff-ffffffffffff----", "gfffffff-ffff-4fff-bfff-ffffffffffff", "{fffffff-ffff-4fff-bfff-fffffffffff}"} {
		if _, err := canon.ParseUUID(bad); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}
