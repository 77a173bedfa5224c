// A Solana virtual machine that Go drives by lines of JSON. The first line in
// names the wallet; for each case it prints an unsigned transaction, reads it
// signed, runs it, and prints what became of it.
import { createInterface } from 'node:readline';
import { LiteSVM, FailedTransactionMetadata } from 'litesvm';
import {
  AccountRole, address, appendTransactionMessageInstructions, compileTransaction, compressTransactionMessageUsingAddressLookupTables, createTransactionMessage, generateKeyPairSigner, getAddressEncoder, getBase64Encoder, getBase64Decoder, getTransactionDecoder,
  getTransactionEncoder, lamports, partiallySignTransaction, pipe, setTransactionMessageFeePayer, setTransactionMessageFeePayerSigner, setTransactionMessageLifetimeUsingBlockhash, setTransactionMessageLifetimeUsingDurableNonce, signTransactionMessageWithSigners,
} from '@solana/kit';
import { getCreateAccountInstruction, getInitializeNonceAccountInstruction, getNonceDecoder, getNonceSize, getTransferSolInstruction, SYSTEM_PROGRAM_ADDRESS } from '@solana-program/system';
import {
  findAssociatedTokenPda, getCreateAssociatedTokenIdempotentInstruction, getInitializeMint2Instruction, getMintSize, getMintToInstruction, getTransferCheckedInstruction, getTokenDecoder, TOKEN_PROGRAM_ADDRESS,
} from '@solana-program/token';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const read = async () => JSON.parse((await lines.next()).value);
const say = (v) => process.stdout.write(`${JSON.stringify(v, (_, x) => (typeof x === 'bigint' ? String(x) : x))}\n`);

const svm = new LiteSVM();
const wallet = address((await read()).address);
const payer = await generateKeyPairSigner(), mint = await generateKeyPairSigner(), nonceAccount = await generateKeyPairSigner();
const to = (await generateKeyPairSigner()).address;
const sol = 1_000_000_000n;
svm.airdrop(wallet, lamports(100n * sol));
svm.airdrop(payer.address, lamports(100n * sol));

// What only names the wallet as a signer, without its key.
const signer = { address: wallet, signTransactions: async () => [] };
const lifetime = () => ({ blockhash: svm.latestBlockhash(), lastValidBlockHeight: 1_000_000n });
const run = (tx) => {
  const r = svm.sendTransaction(tx);
  return r instanceof FailedTransactionMetadata ? String(r.err()) || 'failed' : '';
};

async function byPayer(instructions) {
  svm.expireBlockhash();
  const m = pipe(createTransactionMessage({ version: 0 }), (x) => setTransactionMessageFeePayerSigner(payer, x), (x) => setTransactionMessageLifetimeUsingBlockhash(lifetime(), x), (x) => appendTransactionMessageInstructions(instructions, x));
  const failed = run(await signTransactionMessageWithSigners(m));
  if (failed) throw new Error(failed);
}

async function ask(name, version, instructions, balance, { nonce, feePayer, table } = {}) {
  svm.expireBlockhash();
  const m = pipe(createTransactionMessage({ version }), (x) => setTransactionMessageFeePayer(feePayer?.address ?? wallet, x),
    (x) => (nonce ? setTransactionMessageLifetimeUsingDurableNonce(nonce, x) : setTransactionMessageLifetimeUsingBlockhash(lifetime(), x)), (x) => appendTransactionMessageInstructions(instructions, x),
    (x) => (table ? compressTransactionMessageUsingAddressLookupTables(x, table) : x));
  const tx = await partiallySignTransaction(feePayer ? [feePayer.keyPair] : [], compileTransaction(m));
  await tried({ name, unsigned: getBase64Decoder().decode(getTransactionEncoder().encode(tx)), tables: table ?? {} }, balance);
}

/** Has Go build the transaction itself, of these arguments. */
async function build(name, parts, balance) {
  svm.expireBlockhash();
  await tried({ name, build: { blockhash: lifetime().blockhash, ...parts } }, balance);
}

async function tried({ name, ...line }, balance) {
  say({ name, ...line });
  const before = balance();
  for (;;) { // an altered one first: the canary
    const { signed, last } = await read();
    const failed = run(getTransactionDecoder().decode(getBase64Encoder().encode(signed)));
    say({ name, failed, moved: balance() - before });
    if (last) return;
  }
}

const solOf = (a) => () => svm.getBalance(a) ?? 0n;
const memo = { programAddress: address('MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr'), accounts: [{ address: wallet, role: AccountRole.READONLY_SIGNER }], data: new TextEncoder().encode('hi') };
const transfer = (amount) => getTransferSolInstruction({ source: signer, destination: to, amount });
await ask('transfer, legacy', 'legacy', [transfer(sol)], solOf(to));
await ask('transfer, version 0', 0, [transfer(2n * sol)], solOf(to));
await ask('memo and transfer', 0, [memo, transfer(sol)], solOf(to));

const [own] = await findAssociatedTokenPda({ mint: mint.address, owner: wallet, tokenProgram: TOKEN_PROGRAM_ADDRESS });
const [theirs] = await findAssociatedTokenPda({ mint: mint.address, owner: to, tokenProgram: TOKEN_PROGRAM_ADDRESS });
await byPayer([
  getCreateAccountInstruction({ payer, newAccount: mint, lamports: sol, space: getMintSize(), programAddress: TOKEN_PROGRAM_ADDRESS }),
  getInitializeMint2Instruction({ mint: mint.address, decimals: 6, mintAuthority: payer.address }),
  getCreateAssociatedTokenIdempotentInstruction({ payer, ata: own, owner: wallet, mint: mint.address }),
  getMintToInstruction({ mint: mint.address, token: own, mintAuthority: payer, amount: 1000n }),
]);
await build('built, transfer', { to }, solOf(to));
const newcomer = (await generateKeyPairSigner()).address, [newcomers] = await findAssociatedTokenPda({ mint: mint.address, owner: newcomer, tokenProgram: TOKEN_PROGRAM_ADDRESS });
const tokensOf = (account) => () => { const a = svm.getAccount(account); return a.exists ? getTokenDecoder().decode(a.data).amount : 0n; };
await build('built, token, with the account that gets it', { to: newcomer, mint: mint.address, create: true }, tokensOf(newcomers));
await build('built, token', { to: newcomer, mint: mint.address }, tokensOf(newcomers));
await ask('token, with the account that gets it', 0, [
  getCreateAssociatedTokenIdempotentInstruction({ payer: signer, ata: theirs, owner: to, mint: mint.address }),
  getTransferCheckedInstruction({ source: own, mint: mint.address, destination: theirs, authority: signer, amount: 7n, decimals: 6 }),
], tokensOf(theirs));

await byPayer([
  getCreateAccountInstruction({ payer, newAccount: nonceAccount, lamports: sol, space: BigInt(getNonceSize()), programAddress: SYSTEM_PROGRAM_ADDRESS }),
  getInitializeNonceAccountInstruction({ nonceAccount: nonceAccount.address, nonceAuthority: wallet }),
]);
const nonce = getNonceDecoder().decode(svm.getAccount(nonceAccount.address).data).blockhash;
await ask('transfer by a durable nonce', 0, [transfer(sol)], solOf(to), { nonce: { nonce, nonceAccountAddress: nonceAccount.address, nonceAuthorityAddress: wallet } });
await ask('transfer whose fee another pays, who signed before', 0, [transfer(sol)], solOf(to), { feePayer: payer });

// A lookup table: its head of 56 bytes says that it lives and nobody may change it.
const table = (await generateKeyPairSigner()).address, head = Buffer.alloc(56);
head.writeUInt32LE(1, 0);
head.writeBigUInt64LE(2n ** 64n - 1n, 4);
const data = new Uint8Array(Buffer.concat([head, ...[mint.address, to].map((a) => Buffer.from(getAddressEncoder().encode(a)))]));
svm.setAccount({ address: table, data, executable: false, lamports: lamports(sol), programAddress: address('AddressLookupTab1e1111111111111111111111111'), space: BigInt(data.length) });
svm.warpToSlot(100n);
await ask('transfer to an account of a lookup table', 0, [transfer(sol)], solOf(to), { table: { [table]: [mint.address, to] } });

// A token of Token-2022 whose mint takes a tenth of each transfer, by the
// program's own layouts: extension type 1 has 108 bytes behind a header of 4,
// an account's kind and 165 bytes.
const token2022 = address('TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb'), taxed = await generateKeyPairSigner();
const [ownTaxed] = await findAssociatedTokenPda({ mint: taxed.address, owner: wallet, tokenProgram: token2022 });
const [theirTaxed] = await findAssociatedTokenPda({ mint: taxed.address, owner: to, tokenProgram: token2022 });
const u64 = (n) => { const b = Buffer.alloc(8); b.writeBigUInt64LE(n); return b; };
const by = { programAddress: token2022 }, writable = (a) => ({ address: a, role: AccountRole.WRITABLE });
await byPayer([
  getCreateAccountInstruction({ payer, newAccount: taxed, lamports: sol, space: 278n, programAddress: token2022 }),
  { ...by, accounts: [writable(taxed.address)], data: new Uint8Array([26, 0, 0, 0, 0xe8, 3, ...u64(1000n)]) },
  getInitializeMint2Instruction({ mint: taxed.address, decimals: 6, mintAuthority: payer.address }, by),
  getCreateAssociatedTokenIdempotentInstruction({ payer, ata: ownTaxed, owner: wallet, mint: taxed.address, tokenProgram: token2022 }),
  getCreateAssociatedTokenIdempotentInstruction({ payer, ata: theirTaxed, owner: to, mint: taxed.address, tokenProgram: token2022 }),
  getMintToInstruction({ mint: taxed.address, token: ownTaxed, mintAuthority: payer, amount: 1000n }, by),
]);
await ask('token that takes a fee', 0, [
  { ...by, accounts: [writable(ownTaxed), { address: taxed.address, role: AccountRole.READONLY }, writable(theirTaxed), { address: wallet, role: AccountRole.READONLY_SIGNER }], data: new Uint8Array([26, 1, ...u64(100n), 6, ...u64(10n)]) },
], () => Buffer.from(svm.getAccount(theirTaxed).data).readBigUInt64LE(64));
say({ done: true });
process.exit(0);
