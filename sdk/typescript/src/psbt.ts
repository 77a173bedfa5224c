import { equal, sha256 } from './canon.js';
import { ripemd160 } from '@noble/hashes/legacy.js';
import { Cursor, Malformed, Scripts, concat, hash160, isSegwit, kindOf, payToScript, readOutput, readSigned, readUnsigned, sha256d, sized, whole, type OwnKind, type Tx, type TxIn, type TxOut } from './bitcoinscript.js';

const magic = Buffer.from('psbt\xff', 'latin1');
const timeThreshold = 500_000_000; // lock times below are block heights
export const maxOwn = 256;

// Types of fields (BIP-174, BIP-370, BIP-371).
export const ofGlobal = {
  unsigned: 0x00, xpub: 0x01, txVersion: 0x02, fallback: 0x03, inputs: 0x04, outputs: 0x05, modifiable: 0x06, version: 0xfb, proprietary: 0xfc,
} as const;
export const ofInput = {
  previous: 0x00, spent: 0x01, partialSig: 0x02, sighash: 0x03, redeemScript: 0x04, witnessScript: 0x05, derivation: 0x06, finalScript: 0x07, finalWitness: 0x08, ripemd160: 0x0a, sha256: 0x0b, hash160: 0x0c,
  hash256: 0x0d, txid: 0x0e, vout: 0x0f, sequence: 0x10, minTime: 0x11, minHeight: 0x12, tapKeySig: 0x13, tapScriptSig: 0x14, tapLeaf: 0x15, tapDerivation: 0x16, tapKey: 0x17, tapRoot: 0x18, proprietary: 0xfc,
} as const;
export const ofOutput = {
  redeemScript: 0x00, witnessScript: 0x01, derivation: 0x02, amount: 0x03, script: 0x04, tapKey: 0x05, tapTree: 0x06, tapDerivation: 0x07, proprietary: 0xfc,
} as const;

interface Field {
  readonly kind: number;
  readonly key: Uint8Array;
  /** The key behind its type. */
  readonly data: Uint8Array;
  readonly value: Uint8Array;
}

/** Reads the next field of a map; undefined is its end. */
function field(c: Cursor): Field | undefined {
  const key = c.bytes();
  if (key.length === 0) return undefined;
  const k = new Cursor(key), kind = k.compact();
  return { kind, key, data: k.take(k.left), value: c.bytes() };
}

const u32 = (b: Uint8Array): number => Buffer.from(b).readUInt32LE();

type Check = (f: Field) => boolean;

/** What isn't of its form throws. */
const reads = (read: () => unknown): boolean => read() !== undefined;
const bare: Check = (f) => f.data.length === 0;
const sizeOf = (n: number): Check => (f) => bare(f) && f.value.length === n;
const isKey = (b: Uint8Array): boolean => (b.length === 33 && (b[0] === 2 || b[0] === 3)) || (b.length === 65 && b[0] === 4);
const isPath = (n: number): boolean => n >= 4 && n % 4 === 0;
const isDER = (b: Uint8Array): boolean => b.length >= 9 && b.length <= 73 && b[0] === 0x30 && b[1] === b.length - 3;
const isSchnorr = (f: Field): boolean => f.value.length === 64 || f.value.length === 65;
const derivation: Check = (f) => isKey(f.data) && isPath(f.value.length);
const tapDerivation: Check = (f) => {
  const c = new Cursor(f.value), n = c.compact();
  return f.data.length === 32 && 32 * n <= c.left && isPath(c.left - 32 * n);
};
const proprietary: Check = (f) => {
  const c = new Cursor(f.data);
  c.bytes();
  c.compact();
  return true;
};
const hashOf = (hash: (b: Uint8Array) => Uint8Array): Check => (f) => equal(f.data, hash(f.value));
const tapTree: Check = (f) => {
  const c = new Cursor(f.value);
  while (c.left > 0) {
    if (c.take(2)[0]! > 128) return false;
    c.bytes();
  }
  return bare(f) && f.value.length > 0;
};
const witness: Check = (f) => bare(f) && whole(f.value, (c) => {
  const n = c.compact();
  for (let i = 0; i < n; i++) c.bytes();
  return n > 0;
});
const count: Check = (f) => bare(f) && reads(() => whole(f.value, (c) => c.compact()));

/** What known fields look like. Of others anything goes. */
const globalFields: Readonly<Record<number, Check>> = {
  [ofGlobal.unsigned]: (f) => bare(f) && f.value.length > 0, [ofGlobal.xpub]: (f) => f.data.length === 78 && f.value.length === 4 + 4 * f.data[4]!,
  [ofGlobal.txVersion]: sizeOf(4), [ofGlobal.fallback]: sizeOf(4), [ofGlobal.inputs]: count, [ofGlobal.outputs]: count, [ofGlobal.modifiable]: sizeOf(1), [ofGlobal.version]: sizeOf(4), [ofGlobal.proprietary]: proprietary,
};
const inputFields: Readonly<Record<number, Check>> = {
  [ofInput.previous]: (f) => bare(f) && reads(() => readSigned(f.value)), [ofInput.spent]: (f) => bare(f) && reads(() => whole(f.value, readOutput)),
  [ofInput.partialSig]: (f) => isKey(f.data) && isDER(f.value), [ofInput.sighash]: sizeOf(4), [ofInput.redeemScript]: bare, [ofInput.witnessScript]: bare, [ofInput.derivation]: derivation, [ofInput.finalScript]: bare, [ofInput.finalWitness]: witness,
  [ofInput.ripemd160]: hashOf((b) => ripemd160(b)), [ofInput.sha256]: hashOf((b) => sha256(b)), [ofInput.hash160]: hashOf(hash160), [ofInput.hash256]: hashOf((b) => sha256d(b)),
  [ofInput.txid]: sizeOf(32), [ofInput.vout]: sizeOf(4), [ofInput.sequence]: sizeOf(4), [ofInput.minTime]: (f) => sizeOf(4)(f) && u32(f.value) >= timeThreshold, [ofInput.minHeight]: (f) => sizeOf(4)(f) && u32(f.value) > 0 && u32(f.value) < timeThreshold,
  [ofInput.tapKeySig]: (f) => bare(f) && isSchnorr(f), [ofInput.tapScriptSig]: (f) => f.data.length === 64 && isSchnorr(f),
  [ofInput.tapLeaf]: (f) => f.data.length >= 33 && f.data.length <= 33 + 32 * 128 && (f.data.length - 33) % 32 === 0 && f.value.length > 0,
  [ofInput.tapDerivation]: tapDerivation, [ofInput.tapKey]: sizeOf(32), [ofInput.tapRoot]: sizeOf(32), [ofInput.proprietary]: proprietary,
};
const outputFields: Readonly<Record<number, Check>> = {
  [ofOutput.redeemScript]: bare, [ofOutput.witnessScript]: bare, [ofOutput.derivation]: derivation, [ofOutput.amount]: sizeOf(8), [ofOutput.script]: bare, [ofOutput.tapKey]: sizeOf(32), [ofOutput.tapTree]: tapTree, [ofOutput.tapDerivation]: tapDerivation, [ofOutput.proprietary]: proprietary,
};

/** A map as it stands, and its fields: of a kind that may stand several times,
 * any one. */
class FieldMap {
  readonly raw: Uint8Array;
  readonly #fields = new Map<number, Field>();
  constructor(name: string, c: Cursor, b: Uint8Array, known: Readonly<Record<number, Check>>) {
    const from = b.length - c.left, seen = new Set<string>();
    try {
      for (let f = field(c); f !== undefined; f = field(c)) {
        const key = Buffer.from(f.key).toString('hex');
        if (seen.has(key)) throw new Malformed('a key stands twice');
        if (known[f.kind] && !known[f.kind]!(f)) throw new Malformed(`the field of type ${f.kind} isn't of its form`);
        seen.add(key);
        this.#fields.set(f.kind, f);
      }
    } catch (e) {
      throw e instanceof Malformed ? new Malformed(`${name}: ${e.message}`) : e;
    }
    this.raw = b.subarray(from, b.length - c.left);
  }
  has(...kinds: readonly number[]): boolean { return kinds.some((k) => this.#fields.has(k)); }
  get(kind: number): Uint8Array | undefined { return this.#fields.get(kind)?.value; }
  u32(kind: number): number | undefined {
    const v = this.get(kind);
    return v && u32(v);
  }
}

/** An input of the wallet's own: a signature that it takes. */
export interface Spend {
  readonly index: number;
  readonly kind: OwnKind;
  /** 1 is ALL, 0 Taproot's DEFAULT. */
  readonly type: number;
}

/** A decoded PSBT of version 0 or 2. Maps stay as they are, in their order,
 * fields that nobody knows included; only signatures are added. */
export class PSBT {
  readonly version: number;
  readonly tx: Tx;
  readonly inputs: readonly FieldMap[];
  readonly #head: Uint8Array;
  readonly #modifiable: number;
  readonly #outputs: readonly FieldMap[];

  constructor(b: Uint8Array) {
    if (!equal(b.subarray(0, magic.length), magic)) throw new Malformed("it doesn't begin like one");
    const c = new Cursor(b.subarray(magic.length)), global = new FieldMap('the global map', c, b, globalFields);
    this.#head = b.subarray(0, b.length - c.left);
    this.version = global.u32(ofGlobal.version) ?? 0;
    const v2 = this.version === 2;
    if (this.version !== 0 && !v2) throw new Malformed(`there is no version ${this.version}`);
    const needed = v2 ? [ofGlobal.txVersion, ofGlobal.inputs, ofGlobal.outputs] : [ofGlobal.unsigned];
    const others = v2 ? [ofGlobal.unsigned] : [ofGlobal.txVersion, ofGlobal.fallback, ofGlobal.inputs, ofGlobal.outputs, ofGlobal.modifiable];
    if (!needed.every((k) => global.has(k)) || global.has(...others)) throw new Malformed('its global map is that of another version');
    const unsigned = v2 ? undefined : whole(global.get(ofGlobal.unsigned)!, readUnsigned);
    const [ins, outs] = unsigned ? [unsigned.ins.length, unsigned.outs.length] : [ofGlobal.inputs, ofGlobal.outputs].map((k) => whole(global.get(k)!, (x) => x.compact())) as [number, number];
    if (ins + outs > c.left) throw new Malformed('it has fewer maps than it counts');
    this.inputs = Array.from({ length: ins }, (_, i) => new FieldMap(`input ${i}`, c, b, inputFields));
    this.#outputs = Array.from({ length: outs }, (_, i) => new FieldMap(`output ${i}`, c, b, outputFields));
    c.end();
    const lacks = this.inputs.some((m) => !m.has(ofInput.txid) || !m.has(ofInput.vout)) || this.#outputs.some((m) => !m.has(ofOutput.amount) || !m.has(ofOutput.script));
    const has = this.inputs.some((m) => m.has(ofInput.txid, ofInput.vout, ofInput.sequence, ofInput.minTime, ofInput.minHeight)) || this.#outputs.some((m) => m.has(ofOutput.amount, ofOutput.script));
    if (v2 ? lacks : has) throw new Malformed('an input or output lacks what its version has, or has what it lacks');
    this.#modifiable = global.get(ofGlobal.modifiable)?.[0] ?? 0;
    this.tx = unsigned ?? this.#build(global);
  }

  #build(global: FieldMap): Tx {
    const ins = this.inputs.map((m): TxIn => ({ txid: m.get(ofInput.txid)!, vout: m.u32(ofInput.vout)!, sequence: m.u32(ofInput.sequence) ?? 0xffffffff }));
    const outs = this.#outputs.map((m): TxOut => whole(concat(m.get(ofOutput.amount)!, sized(m.get(ofOutput.script)!)), readOutput));
    return { version: global.u32(ofGlobal.txVersion)!, ins, outs, locktime: this.#locktime() ?? global.u32(ofGlobal.fallback) ?? 0 };
  }

  /** The greatest lock time that any input needs, of the kind that all which
   * need one take, blocks before seconds (BIP-370). */
  #locktime(): number | undefined {
    const needing = this.inputs.filter((m) => m.has(ofInput.minTime, ofInput.minHeight));
    if (needing.length === 0) return undefined;
    const kind = [ofInput.minHeight, ofInput.minTime].find((k) => needing.every((m) => m.has(k)));
    if (kind === undefined) throw new Malformed('some inputs need a lock time in blocks and others one in seconds');
    return Math.max(...needing.map((m) => m.u32(kind)!));
  }

  /** What each input spends, and which of them are the wallet's. Amounts that
   * nobody proves are taken where all of the wallet's signatures are Taproot's,
   * which a lie makes worthless. */
  prevouts(w: Scripts): { prev: TxOut[]; own: Spend[] } {
    if (this.#modifiable !== 0) throw new Malformed('its inputs or outputs may still be changed; finish it first');
    const own: Spend[] = [];
    const prev = this.inputs.map((m, i) => {
      const out = spent(m, this.tx.ins[i]!, i), kind = w.owns(out.script);
      consistent(m, out.script, i);
      if (kind) own.push(spend(m, w, i, kind));
      return out;
    });
    if (own.length === 0 || own.length > maxOwn) throw new Malformed(`no input is the wallet's, or more than ${maxOwn}`);
    const unproved = this.inputs.findIndex((m) => !m.has(ofInput.previous));
    if (unproved >= 0 && own.some((s) => s.kind !== 'p2tr')) throw new Malformed(`input ${unproved}: its previous transaction is missing (non_witness_utxo)`);
    return { prev, own };
  }

  /** The PSBT with fields added to inputs, each before the first with a greater key. */
  encode(added: ReadonlyMap<number, { key: Uint8Array; value: Uint8Array }>): Uint8Array {
    const inputs = this.inputs.map(({ raw }, i) => {
      const f = added.get(i), c = new Cursor(raw);
      if (!f) return raw;
      for (let at = 0; ; at = raw.length - c.left) {
        const next = field(c);
        if (next === undefined || Buffer.compare(next.key, f.key) > 0) return concat(raw.subarray(0, at), sized(f.key), sized(f.value), raw.subarray(at));
      }
    });
    return concat(this.#head, ...inputs, ...this.#outputs.map((m) => m.raw));
  }
}

function spent(m: FieldMap, point: TxIn, i: number): TxOut {
  const claimed = m.get(ofInput.spent), previous = m.get(ofInput.previous), claim = claimed && whole(claimed, readOutput);
  if (!previous) {
    if (!claim) throw new Malformed(`input ${i} doesn't say what it spends: non_witness_utxo is missing`);
    return claim;
  }
  const { id, outs } = readSigned(previous), out = outs[point.vout];
  if (!equal(id, point.txid) || !out) throw new Malformed(`input ${i}: non_witness_utxo isn't the transaction that it spends from`);
  if (claim && (claim.value !== out.value || !equal(claim.script, out.script))) throw new Malformed(`input ${i}: witness_utxo isn't what the previous transaction says`);
  return out;
}

/** Scripts beside an input are those of the output that it spends. */
function consistent(m: FieldMap, script: Uint8Array, i: number): void {
  const redeem = m.get(ofInput.redeemScript), inner = m.get(ofInput.witnessScript), kind = kindOf(script), witness = m.has(ofInput.spent);
  if (witness && !isSegwit(kind) && kind !== 'p2sh') throw new Malformed(`input ${i} has a witness_utxo and spends an output from before segwit`);
  if (redeem && (!equal(script, payToScript(redeem)) || (witness && !isSegwit(kindOf(redeem))))) throw new Malformed(`input ${i}: the redeem script isn't that of the output`);
  const of = redeem ?? script;
  if (inner && (kindOf(of) !== 'p2wsh' || !equal(of.subarray(2), sha256(inner)))) throw new Malformed(`input ${i}: the witness script isn't that of the output`);
}

/** An input that the wallet's key spends. */
function spend(m: FieldMap, w: Scripts, index: number, kind: OwnKind): Spend {
  const no = (why: string): never => { throw new Malformed(`the wallet's own input ${index} ${why}`); };
  const tapKey = m.get(ofInput.tapKey), asked = m.u32(ofInput.sighash);
  if (m.has(ofInput.partialSig, ofInput.tapKeySig, ofInput.tapScriptSig, ofInput.finalScript, ofInput.finalWitness)) no('has a signature already');
  if (m.has(ofInput.witnessScript, ofInput.tapLeaf)) no("has a script that isn't the wallet's");
  if (kind === 'p2sh' && !m.has(ofInput.redeemScript)) no('has no redeem script');
  if (m.has(ofInput.tapRoot) || (tapKey && (kind !== 'p2tr' || !equal(tapKey, w.publicKey.subarray(1))))) no('claims another Taproot key or a script tree');
  if (asked !== undefined && asked !== 1 && (asked !== 0 || kind !== 'p2tr')) no(`asks for hash type ${asked}, which leaves parts of the transaction open; use SIGHASH_ALL`);
  return { index, kind, type: asked ?? (kind === 'p2tr' ? 0 : 1) };
}
