// Typed data: whole documents, and such as people get wrong.
import { TypedDataEncoder } from 'ethers';
import { hashTypedData } from 'viem';
import { attempt } from './random.mjs';

const atoms = ['string', 'bool', 'address', 'bytes', 'bytes32', 'bytes4', 'bytes1', 'uint256', 'uint8', 'int256', 'int8', 'uint128', 'int64', 'uint48', 'bytes20'];
const oddTypes = ['uint', 'int', 'bytes0', 'bytes33', 'uint7', 'uint264', 'function', 'byte', 'Foo', 'uint256[0]', 'uint256[02]', 'uint256[', 'string[][2]', 'Uint', '', 'EIP712Domain'];
const oddNames = ['uint', 'bytes3', 'string', '1a', 'a b', '_x', '$d', 'Foo(', 'constructor', 'toString', 'byte', 'tuple', 'Array[]'];
const names = ['Mail', 'Person', 'Order', 'Item', 'a', 'Z', 'x1', 'Under_score'];

function integer(r, bits, signed, odd) {
  const low = signed ? -(1n << BigInt(bits - 1)) : 0n, high = signed ? (1n << BigInt(bits - 1)) - 1n : (1n << BigInt(bits)) - 1n;
  const v = r.chance(odd) ? r.pick([high + 1n, low - 1n]) : r.pick([0n, 1n, low, high, low + r.big(bits) % (high - low + 1n), r.big(8) % (high + 1n)]);
  if (r.chance(odd)) return r.pick([`0x0${(v < 0n ? -v : v).toString(16)}`, `0${v}`, ` ${v}`, `${v}.0`, '', '-', '0x', '1e3', '+1', '-0', true, null, [1]]);
  if (r.chance(30) && v > -(2n ** 53n) && v < 2n ** 53n) return Number(v);
  return r.chance(20) && v >= 0n ? `0x${v.toString(16)}` : String(v);
}

function address(r, odd) {
  const a = r.hex(20);
  return r.chance(odd) ? r.pick([a, `0x${a.toUpperCase()}`, `0X${a}`, `0x${a.slice(1)}`, '0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96046', '']) : r.pick([`0x${a}`, `0x${a}`, '0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045']);
}

function value(r, type, types, odd, depth = 0) {
  if (depth > 9) return 1;
  const of = (t) => value(r, t, types, odd, depth + 1);
  if (type.endsWith(']')) {
    const i = type.lastIndexOf('['), n = type.slice(i + 1, -1), k = /^\d+$/.test(n) ? Number(n) + (r.chance(odd) ? 1 : 0) : r.below(4);
    return Array.from({ length: Math.min(k, 5) }, () => of(type.slice(0, i)));
  }
  if (Object.hasOwn(types, type)) {
    let members = types[type].map((f) => [f.name, of(f.type)]);
    if (r.chance(odd)) members = r.chance(50) ? members.slice(1) : [...members, ['extra', 1]];
    return r.chance(odd) && r.chance(30) ? null : Object.fromEntries(r.chance(30) ? r.shuffle(members) : members);
  }
  if (type === 'string') return r.chance(odd) ? r.pick([1, null, true]) : r.pick(['', 'hi', 'ünïcödé', '😀', 'a'.repeat(100), '0x12', '\u0000', '\u2028<>&']);
  if (type === 'bool') return r.chance(odd) ? r.pick([0, 1, 'true', '', null]) : r.chance(50);
  if (type === 'address') return address(r, odd);
  if (type === 'bytes') return r.chance(odd) ? r.pick([r.hex(3), `0x${r.hex(3)}0`, '', null, '0xzz']) : `0x${r.hex(r.below(40))}`;
  if (/^bytes\d+$/.test(type)) return `0x${r.hex(Math.max(0, Number(type.slice(5)) + (r.chance(odd) ? r.pick([-1, 1]) : 0)) % 40)}`;
  const bits = Number(type.replace(/^u?int/, ''));
  return /^u?int/.test(type) ? integer(r, bits > 0 && bits <= 256 ? bits : 256, type[0] === 'i', odd) : 1;
}

function typesOf(r, odd) {
  const used = r.shuffle(names).slice(0, 1 + r.below(4));
  if (r.chance(odd)) used[0] = r.pick(oddNames);
  const types = {};
  for (const name of used) {
    types[name] = Array.from({ length: r.chance(odd) ? 0 : 1 + r.below(4) }, (_, i) => ({
      name: r.chance(odd) ? r.pick(['a b', '', '__proto__', 'constructor', '$x', 'é', 'a,b', 'from0']) : `${r.pick(['from', 'to', 'value', 'data', 'nonce', '_p'])}${i}`,
      type: (r.chance(odd) ? r.pick(oddTypes) : r.pick(atoms)) + (r.chance(20) ? r.pick(['[]', '[2]', '[][]', '[2][]']) : ''),
    }));
  }
  for (let i = 1; i < used.length; i++) types[used[r.below(i)]].push({ name: `sub${i}`, type: used[i] + r.pick(['', '', '[]', '[2]', '[][]']) });
  if (r.chance(odd)) types[used.at(-1)].push({ name: 'loop', type: r.pick(used) });
  if (r.chance(odd)) types.Unused = [{ name: 'x', type: 'uint8' }];
  return [types, used[0]];
}

/** A document; of odd percent of its parts something is wrong. */
export function documentOf(r, odd) {
  const [types, primary] = typesOf(r, odd);
  let members = [['name', 'string'], ['version', 'string'], ['chainId', 'uint256'], ['verifyingContract', 'address'], ['salt', 'bytes32']].filter(() => r.chance(75));
  if (members.length === 0) members = [['name', 'string']];
  if (r.chance(odd)) members = r.shuffle(members);
  if (r.chance(odd)) members.push(['other', 'uint256']);
  const domain = {};
  for (const [name, type] of members) if (!r.chance(odd)) domain[name] = name === 'chainId' ? r.pick([1, 8453, '1', '0x1', '137']) : name === 'name' || name === 'version' ? r.pick(['x', 'Ether Mail', 'ü', ...(odd ? [''] : [])]) : value(r, type, {}, odd);
  if (r.chance(odd)) domain[r.pick(['chainId', 'salt', 'name', 'foo'])] = 1;
  const whole = r.chance(odd) ? { ...types } : { EIP712Domain: members.map(([name, type]) => ({ name, type })), ...types };
  const doc = { types: whole, domain, primaryType: r.chance(odd) ? r.pick([...Object.keys(types), 'EIP712Domain', 'Nope']) : primary, message: value(r, primary, types, odd) };
  if (r.chance(odd)) doc.extra = 1;
  return doc;
}

export function typedData(r) {
  const doc = documentOf(r, r.chance(50) ? 0 : r.pick([1, 3, 10]));
  return {
    typed_data: doc,
    a: attempt(() => {
      const { EIP712Domain: _, ...own } = doc.types;
      return TypedDataEncoder.from(own).primaryType === doc.primaryType ? TypedDataEncoder.hash(doc.domain, own, doc.message) : null;
    }),
    b: attempt(() => hashTypedData(doc)),
  };
}
