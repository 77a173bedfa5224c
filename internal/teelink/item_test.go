package teelink_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/sigilkeys/sigil/internal/teelink"
)

// A decide frame and a decide item frame aren't read as one another.
func TestDecideItemEncoding(t *testing.T) {
	d := &teelink.Decide{Auth: teelink.AuthSignature, Method: "POST", Path: "/x", Body: []byte("b"), Proof: make([]byte, 64), Item: 3}
	item, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := teelink.DecodeDecideItem(item)
	if err != nil || got.Item != 3 || got.Path != "/x" {
		t.Fatalf("%+v %v", got, err)
	}
	if _, err := teelink.DecodeDecide(item); err == nil {
		t.Error("read without its index")
	}
	whole := *d
	whole.Item = 0
	plain, err := whole.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(item[4:], plain) {
		t.Error("more than the index differs")
	}
	if _, err := teelink.DecodeDecideItem(plain); err == nil {
		t.Error("read with an index")
	}
	if again, err := teelink.DecodeDecide(plain); err != nil || again.Item != 0 {
		t.Errorf("%+v %v", again, err)
	}
	copy(item, []byte{0, 0, 3, 232}) // 1,000
	if _, err := teelink.DecodeDecideItem(item); err == nil {
		t.Error("an index out of bounds was taken")
	}
}

// indexed answers with as many bytes as the item's number, and one.
type indexed struct{ echo }

func (*indexed) Decide(_ context.Context, d *teelink.Decide) (teelink.Item, error) {
	return teelink.Item{Leaf: d.Body, ResultKind: teelink.ResultSignature, Result: make([]byte, d.Item+1)}, nil
}

// What the handler gets has the index.
func TestDecideItem(t *testing.T) {
	addr, _ := start(t, &indexed{})
	c := dial(t, addr, nil)
	for _, item := range []uint32{0, 1, 1000} {
		out, err := c.Decide(t.Context(), &teelink.Decide{Auth: teelink.AuthSignature, Method: "POST", Path: "/x", Body: []byte("b"), Item: item})
		if err != nil || len(out.Item().Result) != int(item)+1 {
			t.Errorf("item %d: %v", item, err)
		}
	}
}
