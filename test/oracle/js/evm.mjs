// Unsigned Ethereum transactions: whole ones of every type, and the same with
// bytes changed. A library takes one where it reads it and writes the same.
import { Transaction, encodeRlp, hashMessage as ethersMessage, keccak256 } from 'ethers';
import { hashMessage as viemMessage, parseTransaction, serializeTransaction } from 'viem';
import { attempt } from './random.mjs';

const quantity = (v) => (v === 0n ? '0x' : `0x${v.toString(16).length % 2 ? '0' : ''}${v.toString(16)}`);

function fields(r, type) {
  const q = (bits) => quantity(r.big(r.below(bits + 1)));
  const address = () => `0x${r.hex(20)}`;
  const chain = quantity(BigInt(r.pick([1, 10, 56, 137, 8453, 42161, 43114, 1337, 2 ** 31 - 1, 2 ** 31 + 7])));
  const nonce = q(r.pick([8, 16, 32, 52])), gas = q(r.pick([16, 24, 32])), value = q(r.pick([0, 60, 90, 128])), data = `0x${r.chance(40) ? '' : r.hex(r.below(120))}`;
  const to = type < 3 && r.chance(8) ? '0x' : address();
  const price = r.big(40) + 1n, tip = quantity(r.big(40) % price);
  const access = Array.from({ length: r.chance(70) ? 0 : r.below(3) }, () => [address(), Array.from({ length: r.below(3) }, () => `0x${r.hex(32)}`)]);
  switch (type) {
    case 0: return [nonce, quantity(price), gas, to, value, data, ...(r.chance(5) ? [] : [chain, '0x', '0x'])];
    case 1: return [chain, nonce, quantity(price), gas, to, value, data, access];
    case 2: return [chain, nonce, tip, quantity(price), gas, to, value, data, access];
    case 3: return [chain, nonce, tip, quantity(price), gas, to, value, data, access, q(40), Array.from({ length: 1 + r.below(6) }, () => `0x01${r.hex(31)}`)];
    default: return [chain, nonce, tip, quantity(price), gas, to, value, data, access, Array.from({ length: 1 + r.below(2) }, () => [r.chance(10) ? '0x' : chain, address(), q(32), r.pick(['0x', '0x01']), `0x7${r.hex(32).slice(1)}`, `0x5${r.hex(32).slice(1)}`])];
  }
}

function mutate(r, hex) {
  const b = Buffer.from(hex.slice(2), 'hex'), at = r.below(b.length);
  switch (r.below(4)) {
    case 0: b[at] ^= 1 << r.below(8); break;
    case 1: return `0x${b.subarray(0, at).toString('hex')}`;
    case 2: return `0x${b.toString('hex')}${r.hex(1 + r.below(3))}`;
    default: b[Math.min(at, 8)] = r.below(256);
  }
  return `0x${b.toString('hex')}`;
}

const ethers = (hex) => { const t = Transaction.from(hex); return t.signature === null && t.unsignedSerialized === hex ? keccak256(hex) : null; };
const viem = (hex) => { const t = parseTransaction(hex); return t.r === undefined && serializeTransaction(t) === hex ? keccak256(hex) : null; };

export function transaction(r) {
  const type = r.below(5);
  let hex = `0x${type ? `0${type}` : ''}${encodeRlp(fields(r, type)).slice(2)}`;
  if (r.chance(35)) hex = mutate(r, hex);
  return { transaction: hex, a: attempt(() => ethers(hex)), b: attempt(() => viem(hex)) };
}

export function message(r) {
  const raw = r.hex(r.pick([0, 1, 5, 20, 31, 33, 64, 200]));
  const bytes = Buffer.from(raw, 'hex');
  return { message_hex: raw, a: ethersMessage(bytes), b: viemMessage({ raw: `0x${raw}` }) };
}
