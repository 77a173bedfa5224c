package spec_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/test/stack"
)

// script calls all that the TypeScript SDK can do, and prints how many calls.
const script = `
const { SigilS2S, SigilApiError, SigilPolicyError } = await import(process.env.SDK);
const sigil = new SigilS2S({ apiBaseUrl: process.env.API, secretKey: process.env.SECRET });
const wallet = await sigil.wallets.create({ label: 'from typescript', idempotencyKey: 'w-1' });
await sigil.wallets.get(wallet.id);
await sigil.wallets.list({ limit: 1, offset: 0 });
const signed = await sigil.sign({ walletId: wallet.id, network: 'base', message: 'hi' });
await sigil.sign({ walletId: wallet.id, network: 'solana', message: 'hi', messageFormat: 'solana-offchain-v0', contentFormat: 'ascii', idempotencyKey: 's-1' });
await sigil.sign({ walletId: wallet.id, network: 'solana', message: new Uint8Array([0xc3, 0xbc, 0]) });
const paid = await sigil.signTransaction({ walletId: wallet.id, network: 'base', transaction: process.env.TRANSFER, idempotencyKey: 't-1' });
if (!paid.signedTransaction.startsWith('0x02f8')) throw new Error('not signed', { cause: paid });
const opaque = await sigil.signTransaction({ walletId: wallet.id, network: 'base', transaction: process.env.TRANSFER.replace('0x02ef', '0x02f3').replace('80c0', '8401020304c0') }).then(() => undefined, (e) => e);
if (!(opaque instanceof SigilPolicyError) || opaque.code !== 'transaction_opaque') throw new Error('no denial', { cause: opaque });
await sigil.receipts.get(signed.receiptId);
await sigil.attestation();
const refused = await sigil.wallets.get('00000000-0000-4000-8000-000000000001').then(() => undefined, (e) => e);
if (!(refused instanceof SigilApiError)) throw new Error('no refusal', { cause: refused });
console.log('done');
`

// What the TypeScript SDK sends is as described, and it understands what is
// described: the stack checks each exchange.
func TestTypeScript(t *testing.T) {
	sdk, err := filepath.Abs("../../sdk/typescript/dist/index.js")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(sdk); err != nil {
		t.Skip("the TypeScript SDK isn't built: run make sdk")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node isn't installed: install Node 20")
	}
	s := stack.Start(t, stack.Options{})
	token := s.NewKey(s.NewOwner(), nil)
	cmd := exec.CommandContext(t.Context(), node, "--input-type=module", "-e", script)
	cmd.Env = append(os.Environ(), "SDK=file://"+sdk, "API="+s.API.URL, "SECRET="+token.Reveal(), "TRANSFER="+transfer)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "done") {
		t.Errorf("%v: %s", err, out)
	}
}
