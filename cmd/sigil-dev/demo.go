package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/devstack"
	"github.com/sigilkeys/sigil/receipt"
)

// What the snippet asks for.
const (
	demoNetwork = "base"
	demoMessage = "audit-log-2026-06"
)

// demo is one run: the stack, what the snippet got, and what was proved.
type demo struct {
	page  *page
	sdk   string // folder of the TypeScript SDK
	sigil string // path of the command line program
	once  bool   // end after printing
	stack *devstack.Stack
	info  devstack.Info
	dir   string
}

func runDemo(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	d := &demo{page: newPage(stdout), once: os.Getenv("DEMO_ONCE") == "1"}
	cfg := devstack.Config{Log: func(line string) { fmt.Fprintln(stderr, "sigil-dev:", line) }}
	f := flags("sigil-dev demo", &cfg, stderr)
	f.StringVar(&d.sdk, "sdk", filepath.Join("sdk", "typescript"), "`folder` of the built TypeScript SDK")
	if err := parse(f, args); err != nil {
		return err
	}
	if cfg.Data == "" {
		cfg.Data = ".demo"
	}
	if err := absolute(&cfg.TEEBinary, &cfg.SigilBinary, &d.sdk); err != nil {
		return err
	}
	d.sigil = cfg.SigilBinary
	// A wallet opens in the build that made it, so each build has a folder.
	build, err := fileDigest(cfg.TEEBinary)
	if err != nil {
		return err
	}
	cfg.Data = filepath.Join(cfg.Data, build[:12])

	d.page.title("Sigil: a signature from a key that nobody has")
	began := time.Now()
	if d.stack, err = devstack.Up(ctx, cfg); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stack.Close()) }()
	d.info = d.stack.Info()
	d.dir = filepath.Dir(d.info.SecretKeyFile)
	d.describe(time.Since(began))
	if err := d.sign(ctx); err != nil {
		return err
	}
	if d.once {
		return nil
	}
	return d.stack.Wait(ctx)
}

func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// describe shows what runs.
func (d *demo) describe(took time.Duration) {
	p := d.page
	p.section(fmt.Sprintf("Three processes, up in %.1f s", took.Seconds()))
	p.row("sigil-tee", fmt.Sprintf("pid %d, the TEE workload: the only place where keys are whole", d.info.PIDs["sigil-tee"]))
	p.row("", d.stack.Image())
	p.row("sigil serve", fmt.Sprintf("pid %d, the control plane: stores, queues, decides nothing", d.info.PIDs["sigil-serve"]))
	p.row("", d.info.APIBaseURL)
	p.row("sigil-dev", fmt.Sprintf("pid %d, the emulated cloud: attestation, STS, two KMS projects", d.info.PIDs["sigil-dev"]))
	p.section("Made on this side, never sent: an admin key and a secret key. Made in the TEE: a wallet")
	p.row("organisation", d.info.OrganizationID)
	p.row("wallet", d.info.WalletID)
	p.row("  EVM", d.info.Addresses[demoNetwork])
	p.row("  Solana", d.info.Addresses["solana"])
}

// signed is what the snippet prints.
type signed struct {
	Signature string `json:"signature"`
	Address   string `json:"address"`
	ReceiptID string `json:"receiptId"`
}

// sign runs the snippet and checks what it got a second time.
func (d *demo) sign(ctx context.Context) error {
	began := time.Now()
	got, err := d.snippet(ctx)
	if err != nil {
		return err
	}
	took := time.Since(began)
	p := d.page
	p.section(fmt.Sprintf("The snippet, run by Node with the TypeScript SDK in %.1f s", took.Seconds()))
	p.code("const { signature } = await sigil.sign({",
		fmt.Sprintf("  walletId, network: '%s', message: '%s' });", demoNetwork, demoMessage))
	p.row("signature", got.Signature[:68])
	p.row("", got.Signature[68:])
	proof, err := d.verify(ctx, got)
	if err != nil {
		return fmt.Errorf("verify what the snippet got: %w", err)
	}
	d.proved(proof)
	return nil
}

// snippet runs the SDK's example as a backend would: with the address, the
// wallet and the secret key in its environment.
func (d *demo) snippet(ctx context.Context) (*signed, error) {
	key, err := os.ReadFile(d.info.SecretKeyFile)
	if err != nil {
		return nil, err
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, errors.New("node is missing: install Node 20")
	}
	cmd := exec.CommandContext(ctx, node, filepath.Join("examples", "sign.mjs"))
	cmd.Dir = d.sdk
	cmd.Env = append(os.Environ(), "SIGIL_API_BASE_URL="+d.info.APIBaseURL, "SIGIL_WALLET_ID="+d.info.WalletID,
		"SIGIL_SECRET_KEY="+strings.TrimSpace(string(key)), "SIGIL_NETWORK="+demoNetwork, "SIGIL_MESSAGE="+demoMessage)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("the snippet failed: %w\n%s", err, stderr.Bytes())
	}
	got := &signed{}
	if err := json.Unmarshal(stdout.Bytes(), got); err != nil {
		return nil, fmt.Errorf("the snippet printed no JSON: %w", err)
	}
	if len(got.Signature) != 132 || got.ReceiptID == "" {
		return nil, fmt.Errorf("the snippet printed no signature with a receipt: %s", stdout.Bytes())
	}
	return got, nil
}

// proof is what the second, independent look at the answer found.
type proof struct {
	receipt *client.Receipt
	signer  string // address that the signature recovers to
	bundle  string // file
}

// verify checks the answer with the Go client and with the curve code that
// the workload doesn't use, against the genesis digest that the owner kept.
func (d *demo) verify(ctx context.Context, got *signed) (*proof, error) {
	key, err := os.ReadFile(d.info.SecretKeyFile)
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Config{BaseURL: d.info.APIBaseURL, SecretKey: strings.TrimSpace(string(key))})
	if err != nil {
		return nil, err
	}
	rc, err := c.Receipt(ctx, got.ReceiptID)
	if err != nil {
		return nil, err
	}
	w, err := c.Wallets().Get(ctx, d.info.WalletID)
	if err != nil {
		return nil, err
	}
	if rc.Leaf.Decision != receipt.Allow || rc.Leaf.Method != "signMessage" || rc.Leaf.OutputDigest != sha256.Sum256([]byte(got.Signature)) {
		return nil, errors.New("the receipt is of something else than this signature")
	}
	p := &proof{receipt: rc, bundle: filepath.Join(d.dir, "receipt.json")}
	if p.signer, err = recoverEVM(demoMessage, got.Signature); err != nil {
		return nil, err
	}
	if own := w.Addresses[demoNetwork]; strings.EqualFold(p.signer, own) {
		p.signer = own // with the checksum in its case
	}
	if p.signer != w.Addresses[demoNetwork] || got.Address != w.Addresses[demoNetwork] {
		return nil, fmt.Errorf("the signature is of %s, the wallet is %s", p.signer, w.Addresses[demoNetwork])
	}
	bundle, err := c.Bundle(ctx, &client.SignResult{Signature: got.Signature, WalletID: w.ID, Network: demoNetwork, Receipt: rc})
	if err != nil {
		return nil, err
	}
	return p, d.archive(bundle, p.bundle)
}

// archive writes the bundle, reads it back, and verifies it as an auditor
// would: without a network, from the file and the genesis digest alone.
func (d *demo) archive(b *client.Bundle, path string) error {
	data, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o600); err != nil {
		return err
	}
	if data, err = os.ReadFile(path); err != nil {
		return err
	}
	back, err := client.ParseBundle(data)
	if err != nil {
		return err
	}
	digest, _, _, err := client.GenesisDigest(d.stack.Genesis())
	if err != nil {
		return err
	}
	_, err = back.Verify(digest)
	return err
}

// proved shows what was verified, and what that doesn't prove.
func (d *demo) proved(pr *proof) {
	p, l := d.page, &pr.receipt.Leaf
	p.section("Verified by the TypeScript SDK, and again by the Go client")
	p.check("signature", "recovers to "+pr.signer+", by other code than signed it")
	p.check("certificate", "the key was made in the TEE for this wallet, under the pinned genesis")
	p.check("receipt", fmt.Sprintf("%s: allowed %s on %s, batch %d", l.ID, l.Method, l.Network, pr.receipt.Batch.Number))
	p.check("attestation", fmt.Sprintf("%s, production image, the digest above", pr.receipt.Attested.Hardware))
	p.note("The cloud is emulated: this shows the protocol, not the hardware. Receipts say",
		"freshness: none, because revocations hold per instance until there are witnesses.")
	d.next(pr)
}

// next says what a person can do now, as lines for a shell.
func (d *demo) next(pr *proof) {
	p, sigil := d.page, shellPath(d.sigil)
	p.section("Yours to try")
	p.code(sigil+" verify receipt "+shellPath(pr.bundle)+" \\",
		"  --genesis "+shellPath(filepath.Join(d.dir, "genesis.json"))+"    # offline, any time")
	if d.once {
		return
	}
	p.code("",
		sigil+" proxy --api-url "+d.info.APIBaseURL+" --key-file "+shellPath(d.info.SecretKeyFile)+" &",
		"curl -s http://127.0.0.1:8421/v1/s2s/sign -H 'Content-Type: application/json' \\",
		fmt.Sprintf(`  -d '{"wallet_id":"%s","network":"solana","message":"hello"}'`, d.info.WalletID),
		"",
		"cat "+shellPath(filepath.Join(d.dir, "dev.json"))+"    # where everything is")
	p.line("\nServing until Ctrl-C.")
}

// shellPath returns a path as a person would type it: short where it can be,
// quoted where it must be.
func shellPath(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(rel, "..") {
			path = rel
		}
	}
	if strings.ContainsFunc(path, func(r rune) bool {
		return !strings.ContainsRune("/._-+", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
