// Typed data as text, with one to three things changed anywhere in it: what
// JSON lets one write and objects don't show (a name twice, 1e0, escapes), and
// what nobody thinks of when making documents by hand.
import { TypedDataEncoder } from 'ethers';
import { hashTypedData } from 'viem';
import { attempt } from './random.mjs';
import { documentOf } from './typeddata.mjs';

/** JSON as it is written: objects as lists of members, numbers as text. */
const tree = (v) => (Array.isArray(v) ? { list: v.map(tree) } : v && typeof v === 'object' ? { members: Object.entries(v).map(([k, x]) => [JSON.stringify(k), tree(x)]) } : { text: JSON.stringify(v) });
const write = (t) => (t.text !== undefined ? t.text : t.list ? `[${t.list.map(write).join(',')}]` : `{${t.members.map(([k, v]) => `${k}:${write(v)}`).join(',')}}`);
const children = (t) => t.list ?? t.members?.map(([, v]) => v) ?? [];
const all = (t) => [t, ...children(t).flatMap(all)];

const atoms = [
  'null', 'true', 'false', '0', '1', '-1', '-0', '1.0', '1e0', '1E1', '10e-1', '9007199254740991', '9007199254740992', '9007199254740993', '1e400', '123456789012345678901234567890', '{}', '[]', '[[]]', '[null]', '[0]',
  '""', '" "', '"0"', '"00"', '"-0"', '"+1"', '"1 "', '"\\n1"', '"1n"', '"1_000"', '"1.0"', '"1e3"', '"0x"', '"0X1"', '"0x0"', '"-0x1"', '"0b1"', '"0o7"', '"x"', '"true"', '"null"', '"0xgg"', '"0x123"', '"NaN"', '"Infinity"', 'NaN',
  '"\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', '"\\uFEFF1"', '"\u0661"', '"\uff11"', '"0x\\u0030\\u0031"', '"vitalik.eth"', '"0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045"', '"0xD8DA6BF26964AF9D7EED9E03E53415D37AA96045"', '"XE7338O073KYGTWWZN0F2WZ0R8PX5ZPPZS"',
];
const types = ['uint', 'int', 'uint256', 'uint8', 'int8', 'int256', 'uint24', 'uint7', 'uint0', 'uint08', 'uint264', 'int512', 'bytes', 'bytes1', 'bytes4', 'bytes32', 'bytes0', 'bytes33', 'bytes01', 'byte', 'bool', 'boolean', 'Bool', 'string', 'String', 'address', 'address payable', 'Address', 'function', 'fixed', 'ufixed128x18', 'tuple', 'tuple[]', '', ' ', '[]', '[1]', '()', 'EIP712Domain', 'Mail', 'Person', 'a', 'Z', 'x1', 'enum', 'uint256 ', ' uint256', 'uint256\t', 'Mail,a', 'Mail(a b)', 'ü', 'hasOwnProperty', '__proto__', 'constructor'];
const suffixes = ['[]', '[0]', '[1]', '[2]', '[3]', '[01]', '[-1]', '[ ]', '[1', ']', '[][]', '[2][]', '[][2]', '[1e1]', '[4294967296]', '[]x', '[+1]', '[0x1]', '*', '?'];

const edits = {
  atom: (r, t) => { delete t.list; delete t.members; t.text = r.pick(atoms); },
  typed: (r, t) => { if (t.text?.[0] === '"') t.text = JSON.stringify(r.pick(types) + (r.chance(30) ? r.pick(suffixes) : '')); },
  suffix: (r, t) => { if (t.text?.[0] === '"') t.text = `${t.text.slice(0, -1)}${r.pick(suffixes)}"`; },
  quote: (r, t) => { if (t.text !== undefined && /^-?\d/.test(t.text)) t.text = `"${t.text}"`; else if (/^"-?\d+"$/.test(t.text ?? '')) t.text = t.text.slice(1, -1); },
  hex: (r, t) => { if (/^"?\d{1,80}"?$/.test(t.text ?? '')) t.text = `"0x${r.pick(['', '0', '00'])}${BigInt(t.text.replaceAll('"', '')).toString(16)}"`; },
  case: (r, t) => { if (t.text?.[0] === '"') t.text = r.chance(50) ? t.text.toLowerCase() : t.text.toUpperCase().replaceAll('\\U', '\\u').replace('"0X', '"0x'); },
  escape: (r, t) => { if (/^"[\x20-\x7e]+"$/.test(t.text ?? '') && !t.text.includes('\\')) { const s = t.text.slice(1, -1), i = r.below(s.length); t.text = `"${s.slice(0, i)}\\u00${s.charCodeAt(i).toString(16)}${s.slice(i + 1)}"`; } },
  character: (r, t) => { if (t.text?.length > 2) { const i = 1 + r.below(t.text.length - 1); t.text = t.text.slice(0, i) + r.pick(['', '0', 'a', 'F', ' ', '-', '.', '_', '[', ']', '\\\\']) + t.text.slice(i + r.below(2)); } },
  digits: (r, t) => { if (/^"0x[0-9a-fA-F]*"$/.test(t.text ?? '')) t.text = r.pick([`"${t.text.slice(3)}`, `${t.text.slice(0, -1)}00"`, `${t.text.slice(0, -1)}0"`, t.text.slice(0, -2) + '"', t.text.length > 5 ? `${t.text.slice(0, -3)}"` : t.text, t.text.replace('0x', '0x00'), t.text.replace('0x', '0X')]); },
  wrap: (r, t) => { const inner = { ...t }; delete t.members; delete t.text; t.list = r.chance(50) ? [inner] : [inner, inner]; },
  item: (r, t) => { if (t.list) r.chance(50) || !t.list.length ? t.list.push(t.list.length ? r.pick(t.list) : { text: r.pick(atoms) }) : t.list.splice(r.below(t.list.length), 1); },
  shuffle: (r, t) => { if (t.list) t.list = r.shuffle(t.list); if (t.members) t.members = r.shuffle(t.members); },
  drop: (r, t) => { if (t.members?.length) t.members.splice(r.below(t.members.length), 1); },
  twice: (r, t) => { if (t.members?.length) { const [k, v] = r.pick(t.members); t.members.push([k, r.chance(50) ? v : { text: r.pick(atoms) }]); } },
  extra: (r, t) => { if (t.members) t.members.splice(r.below(t.members.length + 1), 0, [JSON.stringify(r.pick(['extra', '', '__proto__', 'constructor', 'toString', 'length', 'chainId', 'name', 'salt', 'type', 'EIP712Domain', 'Mail'])), { text: r.pick([...atoms, '[{"name":"x","type":"uint8"}]']) }]); },
  rename: (r, t) => { if (t.members?.length) { const m = r.pick(t.members), k = JSON.parse(m[0]); m[0] = r.pick([JSON.stringify(k.toUpperCase()), JSON.stringify(`${k} `), JSON.stringify(k[0]?.toUpperCase() + k.slice(1)), `"\\u00${(k.charCodeAt(0) & 127).toString(16).padStart(2, '0')}${k.slice(1)}"`, JSON.stringify(r.pick(types))]); } },
  swap: (r, t, nodes) => { const o = r.pick(nodes), copy = structuredClone(o); for (const k of Object.keys(t)) delete t[k]; Object.assign(t, copy); },
};

function mutate(r, doc) {
  const root = tree(doc);
  for (let n = 1 + r.below(3); n > 0; n--) {
    const nodes = all(root);
    if (nodes.length > 400) break;
    const edit = edits[r.pick(Object.keys(edits))], node = r.pick(nodes);
    attempt(() => edit(r, node, nodes)); // which may need what an earlier one broke
  }
  let text = write(root);
  if (r.chance(3)) { const i = r.below(text.length); text = text.slice(0, i) + r.pick(['', ' ', '\n', ',', '}', ']', '"', '0', '\ufeff', '\u00a0', '//', '\\']) + text.slice(i + r.below(2)); }
  return text.toWellFormed(); // as it goes through pipes
}

export function mutatedTypedData(r) {
  const text = mutate(r, documentOf(r, 0));
  return {
    typed_data_text: text,
    a: attempt(() => {
      const { types: { EIP712Domain: _, ...own }, domain, primaryType, message } = JSON.parse(text);
      return TypedDataEncoder.from(own).primaryType === primaryType ? TypedDataEncoder.hash(domain, own, message) : null;
    }),
    b: attempt(() => hashTypedData(JSON.parse(text))),
  };
}
