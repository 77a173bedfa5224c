package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/crypto/sha3"

	"github.com/sigilkeys/sigil/internal/keys"
)

// serveBaseline is a signer without any of what makes one trustworthy: HTTP,
// JSON, and a secp256k1 key in memory.
func serveBaseline(addr string) error {
	var priv [32]byte
	pub := make([]byte, 33)
	if err := keys.Generate(keys.Secp256k1, rand.Reader, &priv, pub); err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			WalletID string `json:"wallet_id"`
			Network  string `json:"network"`
			Message  string `json:"message"`
		}
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		h := sha3.NewLegacyKeccak256()
		fmt.Fprintf(h, "\x19Ethereum Signed Message:\n%d%s", len(body.Message), body.Message)
		var sig [65]byte
		if err := keys.Sign(keys.Secp256k1, &priv, pub, h.Sum(nil), sig[:]); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"data":{"signature":"0x%s"},"error":null}`, hex.EncodeToString(sig[:]))
	}))
}

// baselineProcess is this program, serving the baseline.
type baselineProcess struct {
	cmd *exec.Cmd
	url string
}

func startBaseline(ctx context.Context) (*baselineProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-baseline", "127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	return &baselineProcess{cmd, "http://" + strings.TrimSpace(line)}, nil
}

func (b *baselineProcess) stop() {
	_ = b.cmd.Process.Kill() // it has nothing to save
	_ = b.cmd.Wait()
}

func (b *baselineProcess) measure(ctx context.Context, clients, n int) (float64, error) {
	list := make([]signedRequest, n)
	for i := range list {
		list[i] = signedRequest{"POST", "", http.Header{"Content-Type": {"application/json"}}, fmt.Appendf(nil, `{"wallet_id":"x","network":"base","message":"load %d"}`, i)}
	}
	if _, err := drive(ctx, b.url, clients, list[:min(n, 4*clients)]); err != nil {
		return 0, err
	}
	before, err := cpuTime(b.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	if _, err := drive(ctx, b.url, clients, list); err != nil {
		return 0, err
	}
	after, err := cpuTime(b.cmd.Process.Pid)
	return float64((after-before)/time.Duration(n)/time.Nanosecond) / 1e3, err
}
