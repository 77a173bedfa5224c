package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/receipt"
)

func TestClean(t *testing.T) {
	if got := clean("a\x1b[31mb\rc\nd"); got != "a\uFFFD[31mb\uFFFDc\nd" {
		t.Errorf("%q", got)
	}
	for _, r := range "\u0085\u009b\u00a0\u00ad\u034f\u061c\u115f\u180e\u200b\u200d\u200f\u2028\u202e\u2066\u2069\u3000\u3164\ufe0f\ufeff\uffa0\ue000\U000e0041\U000e0100" {
		text := "a" + string(r) + "b"
		if got := clean(text); got != "a\uFFFDb" {
			t.Errorf("%U is printed: %q", r, got)
		}
		var out bytes.Buffer
		var back map[string]string
		if err := writeJSON(&out, map[string]string{"x": text}, ""); err != nil || strings.ContainsRune(out.String(), r) {
			t.Errorf("%U is in JSON: %q %v", r, out.String(), err)
		}
		if err := json.Unmarshal(out.Bytes(), &back); err != nil || back["x"] != text {
			t.Errorf("%U: JSON lost it: %q %v", r, back["x"], err)
		}
	}
	if text := "Zürich, Łódź, 東京, é (e\u0301), हिन्दी, עברית …"; clean(text) != text {
		t.Errorf("%q", clean(text))
	}
	if got := table([][]string{{"name", "x\n\tverified  yes"}}); strings.ContainsAny(got, "\n\t") {
		t.Errorf("a value makes a row of its own: %q", got)
	}
}

// attestedByHand does steps 3 and 9 of the checklist with the output of
// `sigil attestation --json`.
func attestedByHand(output []byte) error {
	var o struct {
		Statement       []byte
		StatementDigest string `json:"statement_digest"`
		Token           string
		Challenge       string
		Index, Count    uint32
		Path            []string
	}
	if err := json.Unmarshal(output, &o); err != nil {
		return err
	}
	digest := sha256.Sum256(o.Statement)
	if o.StatementDigest != hex.EncodeToString(digest[:]) {
		return errors.New("the digest is another one")
	}
	s, err := receipt.DecodeStatement(o.Statement)
	if err != nil {
		return err
	}
	challenge, err := hex.DecodeString(o.Challenge)
	if err != nil || len(challenge) != 32 {
		return fmt.Errorf("challenge %q: %w", o.Challenge, err)
	}
	path := make([][32]byte, len(o.Path))
	for i, h := range o.Path {
		b, err := hex.DecodeString(h)
		if err != nil || len(b) != 32 {
			return fmt.Errorf("path %q: %w", h, err)
		}
		path[i] = [32]byte(b)
	}
	if err := receipt.VerifyPath(challenge, o.Index, o.Count, path, s.Challenges); err != nil {
		return err
	}
	parts := strings.Split(o.Token, ".")
	if len(parts) != 3 {
		return errors.New("the token isn't three segments")
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !bytes.Contains(claims, []byte(`"`+o.StatementDigest+`"`)) {
		return fmt.Errorf("the token isn't for the statement: %w", err)
	}
	return nil
}

// Signals end a command that waits for something that never comes, here a
// pipe that nobody writes to.
func TestSecondSignalEnds(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sigil", "verify", "receipt", pipe, "--genesis-digest", strings.Repeat("00", 32))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	var writer *os.File // there is none before the command reads, its handler set
	for {
		select {
		case err := <-ended:
			if writer == nil {
				t.Fatal("canary: it didn't wait for the pipe:", err)
			}
			_ = writer.Close()
			return
		case <-limit:
			_ = cmd.Process.Kill()
			t.Fatal("it is still there")
		case <-tick.C:
			if writer == nil {
				writer, _ = os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0)
			} else {
				_ = cmd.Process.Signal(syscall.SIGTERM) // gone already is as good
			}
		}
	}
}
