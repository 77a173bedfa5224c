package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestRecoverEVM(t *testing.T) {
	// web3.js documentation, eth.accounts.sign("Some data", key).
	const signature = "0xb91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f339f5fd6007e74cd82e037b800186422fc2da167c747ef045e5d18a5f5d4300f8e1a0291c"
	got, err := recoverEVM("Some data", signature)
	if err != nil || !strings.EqualFold(got, "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23") {
		t.Errorf("got %s, %v", got, err)
	}
	if other, err := recoverEVM("Some date", signature); err == nil && other == got {
		t.Error("another message recovers to the same signer")
	}
	for _, bad := range []string{"", "0x", signature[2:], signature + "00", "0x" + strings.Repeat("00", 65)} {
		if _, err := recoverEVM("Some data", bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "no command given"},
		{[]string{"serve"}, "is no command"},
		{[]string{"up"}, "--data is missing"},
		{[]string{"up", "--data", "x", "y"}, "unexpected argument"},
		{[]string{"up", "--data", "x", "--tee-binary", "/does/not/exist"}, "run make build first"},
		{[]string{"up", "--nonsense"}, "not defined"},
	} {
		var out, errs bytes.Buffer
		err := run(t.Context(), c.args, &out, &errs)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.args, err, c.want)
		}
	}
	var out, errs bytes.Buffer
	if err := run(t.Context(), []string{"help"}, &out, &errs); err != nil || !strings.Contains(errs.String(), "sigil-dev up --data DIR") {
		t.Errorf("help: %v\n%s", err, errs.String())
	}
}

func TestPlainOutputOffTerminals(t *testing.T) {
	var out bytes.Buffer
	p := newPage(&out)
	p.title("t")
	p.section("s")
	p.row("name", "value")
	p.check("name", "value")
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("escape sequences: %q", out.String())
	}
	if !strings.Contains(out.String(), "  name          value\n✓ name          value\n") {
		t.Errorf("not aligned:\n%s", out.String())
	}
}
