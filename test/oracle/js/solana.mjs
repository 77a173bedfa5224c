// Solana transactions and bare messages, legacy and version 0: whole ones, and
// the same with bytes changed. A library takes one where it reads it, writes the
// same again, and knows the wallet as a signer; the digest is what is signed.
import { getCompiledTransactionMessageDecoder, getCompiledTransactionMessageEncoder, getTransactionDecoder, getTransactionEncoder } from '@solana/kit';
import { PublicKey, VersionedMessage, VersionedTransaction } from '@solana/web3.js';
import { attempt } from './random.mjs';

/** The wallet's key, which the Go side has too: the base point. */
export const wallet = Buffer.from(`58${'66'.repeat(31)}`, 'hex');
const walletText = new PublicKey(wallet).toBase58();

const program = (text) => Buffer.from(new PublicKey(text).toBytes());
const programs = {
  system: Buffer.alloc(32), memo: program('MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr'), token: program('TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA'),
  budget: program('ComputeBudget111111111111111111111111111111'), associated: program('ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL'),
};

const u64 = (r) => { const b = Buffer.alloc(8); b.writeBigUInt64LE(r.big(r.pick([0, 8, 32, 64]))); return b; };
const u32 = (v) => { const b = Buffer.alloc(4); b.writeUInt32LE(v); return b; };
const pickOf = (r, count) => (count > 0 ? r.below(count) : 0);

/** A length in 7-bit groups; of odd percent, longer than it needs to be. */
function compact(r, n, odd) {
  const out = [];
  for (; n >= 0x80; n >>= 7) out.push((n & 0x7f) | 0x80);
  out.push(n);
  if (r.chance(odd) && out.length < 3) {
    out[out.length - 1] |= 0x80;
    out.push(0);
  }
  return Buffer.from(out);
}

/** What a program is called with: data, and how many accounts. */
function call(r, name) {
  switch (name) {
    case 'system': return r.chance(70) ? [Buffer.concat([u32(2), u64(r)]), 2] : [Buffer.concat([u32(r.below(13)), u64(r)]), r.below(5)];
    case 'memo': return [Buffer.from(r.pick(['hi', 'ünïcödé', '', 'a'.repeat(r.chance(10) ? r.below(1200) : 60)])), r.below(2)];
    case 'token': return r.chance(70) ? [Buffer.concat([Buffer.from([12]), u64(r), Buffer.from([6])]), 4] : [Buffer.concat([Buffer.from([r.below(26)]), u64(r)]), r.below(5)];
    case 'budget': return r.pick([[Buffer.concat([Buffer.from([2]), u32(r.below(1_400_001))]), 0], [Buffer.concat([Buffer.from([3]), u64(r)]), 0]]);
    case 'associated': return [Buffer.from([1]), 6];
    default: return [Buffer.from(r.hex(r.below(60)), 'hex'), r.below(8)];
  }
}

/** A message, and how many sign it. */
function message(r, odd) {
  const version = r.below(2) - 1, signers = r.chance(70) ? 1 : 1 + r.below(4);
  const names = r.shuffle(['system', 'memo', 'token', 'budget', 'associated', 'other']).slice(0, 1 + r.below(4)).sort();
  const plain = 1 + r.below(6), keys = Array.from({ length: signers + plain }, () => Buffer.from(r.hex(32), 'hex'));
  keys[r.chance(odd) ? signers : r.below(signers)] = wallet;
  const first = keys.length;
  keys.push(...names.map((n) => programs[n] ?? Buffer.from(r.hex(32), 'hex')));
  if (r.chance(odd)) keys[r.below(keys.length)] = r.pick(keys);
  const tables = version === 0 && r.chance(40) ? Array.from({ length: 1 + r.below(2) }, () => {
    const list = r.shuffle(Array.from({ length: 20 }, (_, i) => i)), writable = r.below(4);
    return [Buffer.from(r.hex(32), 'hex'), list.slice(0, writable), list.slice(writable, writable + (writable === 0 ? 1 : 0) + r.below(3))];
  }) : [];
  if (tables.length > 0 && r.chance(odd)) r.pick(tables)[r.pick([1, 2])] = r.pick([[], [1, 1], [255]]);
  if (tables.length > 1 && r.chance(odd)) tables[1][0] = tables[0][0];
  const accounts = keys.length + tables.reduce((n, t) => n + t[1].length + t[2].length, 0);
  const instructions = Array.from({ length: r.below(5) }, () => {
    const at = r.below(names.length), [data, count] = call(r, names[at]);
    const list = Array.from({ length: count }, () => r.below(accounts));
    if (r.chance(odd)) list.push(accounts + r.below(3));
    const index = r.chance(odd) ? r.pick([0, accounts, 255, 1]) : first + at;
    return Buffer.concat([Buffer.from([index]), compact(r, list.length, odd), Buffer.from(list), compact(r, data.length, odd), data]);
  });
  const readSigned = r.chance(odd) ? signers : r.below(signers), readUnsigned = names.length + (r.chance(odd) ? 9 : pickOf(r, plain));
  const body = [Buffer.from([signers, readSigned, readUnsigned]), compact(r, keys.length, odd), ...keys, Buffer.from(r.hex(32), 'hex'), compact(r, instructions.length, odd), ...instructions];
  if (version === 0) {
    body.unshift(Buffer.from([r.chance(odd) ? 0x80 + r.below(128) : 0x80]));
    body.push(compact(r, tables.length, odd), ...tables.flatMap(([key, w, ro]) => [key, compact(r, w.length, odd), Buffer.from(w), compact(r, ro.length, odd), Buffer.from(ro)]));
  }
  return [Buffer.concat(body), signers];
}

function mutate(r, b) {
  const at = r.below(b.length);
  switch (r.below(4)) {
    case 0: b[at] ^= 1 << r.below(8); return b;
    case 1: return b.subarray(0, at);
    case 2: return Buffer.concat([b, Buffer.from(r.hex(1 + r.below(3)), 'hex')]);
    default: return Buffer.concat([b.subarray(0, at), Buffer.from(r.hex(1), 'hex'), b.subarray(at + 1)]);
  }
}

const same = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)) === 0;
const hex = (b) => `0x${Buffer.from(b).toString('hex')}`;

/** What web3.js signs of a message: it must write it as it read it. */
function web3Message(b) {
  const m = VersionedMessage.deserialize(b), again = m.serialize();
  const signs = m.staticAccountKeys.slice(0, m.header.numRequiredSignatures).some((k) => same(k.toBytes(), wallet));
  return signs && same(again, b) ? hex(again) : null;
}

function web3Transaction(b) {
  const t = VersionedTransaction.deserialize(b);
  return t.signatures.length === t.message.header.numRequiredSignatures && same(t.serialize(), b) ? web3Message(Buffer.from(t.message.serialize())) : null;
}

const decoder = getCompiledTransactionMessageDecoder(), encoder = getCompiledTransactionMessageEncoder();

function kitMessage(b) {
  const m = decoder.decode(b);
  return m.staticAccounts.slice(0, m.header.numSignerAccounts).includes(walletText) && same(encoder.encode(m), b) ? hex(b) : null;
}

function kitTransaction(b) {
  const t = getTransactionDecoder().decode(b);
  return walletText in t.signatures && same(getTransactionEncoder().encode(t), b) ? kitMessage(t.messageBytes) : null;
}

export function solana(r) {
  const odd = r.chance(50) ? 0 : r.pick([1, 3, 10]);
  let [b, signers] = message(r, odd);
  const bare = r.chance(30);
  if (!bare) {
    if (r.chance(odd)) signers += r.pick([-1, 1]);
    const signatures = Array.from({ length: signers }, () => Buffer.alloc(64));
    if (signers > 0 && r.chance(odd)) r.pick(signatures).fill(r.below(256));
    b = Buffer.concat([compact(r, signers, odd), ...signatures, b]);
  }
  if (r.chance(25)) b = mutate(r, Buffer.from(b));
  // A message alone or a transaction: the Go side isn't told either.
  const either = (whole, alone) => attempt(() => whole(b)) ?? attempt(() => alone(b));
  return { chain: 'solana', transaction: b.toString('base64'), a: either(web3Transaction, web3Message), b: either(kitTransaction, kitMessage) };
}
