package spec_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/policy"
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
const permit = { types: {
  EIP712Domain: ['string name', 'uint256 chainId', 'address verifyingContract'], Permit: ['address owner', 'address spender', 'uint256 value', 'uint256 nonce', 'uint256 deadline'],
}, domain: { name: 'Token', chainId: 8453, verifyingContract: '0x' + 'aa'.repeat(20) }, primaryType: 'Permit', message: { owner: wallet.addresses.base, spender: '0x' + 'bb'.repeat(20), value: 7n, nonce: 0, deadline: '2000000000' } };
for (const t in permit.types) permit.types[t] = permit.types[t].map((f) => ({ type: f.split(' ')[0], name: f.split(' ')[1] }));
const account = '0x' + 'cc'.repeat(20);
const operation = { sender: account, nonce: 0, callGasLimit: 100000, verificationGasLimit: 100000, preVerificationGas: 50000, maxFeePerGas: 1000000000n, maxPriorityFeePerGas: 1,
  callData: '0xb61d27f6' + ['bb'.repeat(20).padStart(64, '0'), '5'.padStart(64, '0'), '60'.padStart(64, '0'), ''.padStart(64, '0')].join('') };
const { Scripts, encodeTx, le32, le64, sha256d, sized, concat } = await import(new URL('bitcoinscript.js', process.env.SDK));
const own = new Scripts(Buffer.from(wallet.publicKeys.secp256k1, 'hex')), kinds = ['p2wpkh', 'p2tr', 'p2pkh', 'p2sh'];
const funding = encodeTx({ version: 2, locktime: 0, ins: [{ txid: Buffer.alloc(32, 1), vout: 0, sequence: 0 }], outs: kinds.map((k) => ({ value: 50000n, script: own[k] })) });
const unsigned = encodeTx({ version: 2, locktime: 0, ins: kinds.map((_, vout) => ({ txid: sha256d(funding), vout, sequence: 0xffffffff })), outs: [{ value: 199000n, script: Buffer.from('0014' + '07'.repeat(20), 'hex') }] });
const field = (type, value) => concat(Buffer.from([1, type]), sized(value));
const psbt = Buffer.concat([Buffer.from('psbt\xff', 'latin1'), field(0, unsigned), Buffer.alloc(1), ...kinds.flatMap((k) => [field(0, funding), ...(k === 'p2sh' ? [field(4, own.p2wpkh)] : []), Buffer.alloc(1)]), Buffer.alloc(1)]).toString('base64');
const documents = [
  { walletId: wallet.id, network: 'base', typedData: permit },
  { walletId: wallet.id, network: 'base', authorization: { chainId: 8453, address: '0x' + 'dd'.repeat(20), nonce: 1 } },
  ...['0x5FF137D4b0FDCD49DcA30c7CF57E578a026d2789', '0x0000000071727De22E5E9d8BAf0edAc6f37da032', '0x4337084D9E255Ff0702461CF8895CE9E3b5Ff108', '0x433709009B8330FDa32311DF1C2AFA402eD8D009'].map((entryPoint, i) =>
    ({ walletId: wallet.id, network: 'base', entryPoint, userOperation: { ...operation, ...(i === 0 ? { initCode: '0x', paymasterAndData: '0x' } : {}) } })),
  { walletId: wallet.id, network: 'base', entryPoint: '0x0000000071727De22E5E9d8BAf0edAc6f37da032', userOperation: operation, signatureScheme: 'light-account-v2' },
  { walletId: wallet.id, network: 'bitcoin-regtest', transaction: psbt },
  ...['bip322-p2wpkh', 'bip322-p2tr', 'bip137-p2pkh', 'bip137-p2sh-p2wpkh', 'bip137-p2wpkh'].map((messageFormat) => ({ walletId: wallet.id, network: 'bitcoin', message: 'hi', messageFormat })),
];
await sigil.signTypedData(documents[0]);
await sigil.signAuthorization(documents[1]);
await sigil.signUserOperation(documents[2]);
if (!(await sigil.signTransaction({ walletId: wallet.id, network: 'bitcoin', transaction: psbt })).signedTransaction.startsWith('0200000000010')) throw new Error('not signed');
for (const { error, result } of await sigil.signBatch(documents)) if (error || ('signedTransaction' in result && result.intent.effects.actions[0].amount !== '199000')) throw new Error('not signed', { cause: error });
const other = await sigil.signAuthorization({ ...documents[1], authorization: { chainId: 8453, address: account, nonce: 1 } }).then(() => undefined, (e) => e);
if (!(other instanceof SigilPolicyError) || other.code !== 'transaction_opaque') throw new Error('no denial', { cause: other });
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
	token := s.NewKey(s.NewOwner(), func(g *authority.Grant) {
		g.Policy.Accept = []policy.Acceptance{{Kind: policy.AcceptDelegate, Network: "base", Contract: "0x" + strings.Repeat("dd", 20)}}
	})
	cmd := exec.CommandContext(t.Context(), node, "--input-type=module", "-e", script)
	cmd.Env = append(os.Environ(), "SDK=file://"+sdk, "API="+s.API.URL, "SECRET="+token.Reveal(), "TRANSFER="+transfer)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "done") {
		t.Errorf("%v: %s", err, out)
	}
}
