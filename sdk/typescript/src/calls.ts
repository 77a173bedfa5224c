// What calls do, and what the calls within them do (docs/FORMATS.md section
// 7.6), as the workload says it.
import { NotUnderstood, decode, require, type Value } from './abi.js';
import { hex } from './canon.js';
import { known, Words, type Action, type Call } from './erc.js';

const multicall3 = '0xca11bde05977b3631167028862be2a173976ca11';
const permit2 = '0x000000000022d473030f116ddee9f6b43ac78ba3';
const zeroAddress = `0x${'00'.repeat(20)}`;
/** MultiSendCallOnly of Safe 1.3.0 (two), 1.4.1 and 1.5.0. */
const multiSendCallOnly: ReadonlySet<string> = new Set([
  '0x40a2accbd92bca938b02010e17a5b8929b49130d', '0xa1dabef33b3b82c7814b6d82a79e50f4ac44102b',
  '0x9641d764fc13c8b624c04430c7356c1c7c8102e2', '0xa83c336b20401af773b6219ba5027174338d1836',
]);
const aggregates: Readonly<Record<string, string>> = {
  '0x252dba42': '((address,bytes)[])', // aggregate
  '0xc3077fa9': '((address,bytes)[])', // blockAndAggregate
  '0xbce38bd7': '(bool,(address,bytes)[])', // tryAggregate
  '0x399542e9': '(bool,(address,bytes)[])', // tryBlockAndAggregate
  '0x82ad56cb': '((address,bool,bytes)[])', // aggregate3
  '0x174dea71': '((address,bool,uint256,bytes)[])', // aggregate3Value
};
const authorizations: Readonly<Record<string, string>> = {
  '0xe3ee160e': '(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)', // transferWithAuthorization
  '0xcf092995': '(address,address,uint256,uint256,uint256,bytes32,bytes)',
  '0xef55bec6': '(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)', // receiveWithAuthorization
  '0x88b7ab63': '(address,address,uint256,uint256,uint256,bytes32,bytes)',
  '0x5a049a70': '(address,bytes32,uint8,bytes32,bytes32)', // cancelAuthorization
  '0xb7b72899': '(address,bytes32,bytes)',
};
const executors: Readonly<Record<string, string>> = {
  '0xb61d27f6': '(address,uint256,bytes)', // execute
  '0x18dfb3c7': '(address[],bytes[])', // executeBatch
  '0x47e1da2a': '(address[],uint256[],bytes[])', // executeBatch
  '0x34fcd5be': '((address,uint256,bytes)[])', // executeBatch
  '0xe9ae5c53': '(bytes32,bytes)', // execute
};
const execTransaction = '(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)';
const maxDepth = 4, maxCalls = 64;

/** A call on its way to actions. */
interface Made extends Call {
  readonly from: string; // '' is the wallet
  readonly own: boolean; // made by the wallet
  readonly depth: number;
}

const word = (v: Value): Uint8Array => v as Uint8Array;
const list = (v: Value): readonly Value[] => v as readonly Value[];
const integer = (b: Uint8Array): bigint => (b.length === 0 ? 0n : BigInt(`0x${hex(b)}`));
const amount = (v: Value): bigint => integer(word(v));
const target = (v: Value): Uint8Array => word(v).subarray(12);
const address = (v: Value): string => `0x${hex(target(v))}`;
const zero = (b: Uint8Array): boolean => b.every((c) => c === 0);
const execution = (v: Value): Call => ({ to: target(list(v)[0]!), value: amount(list(v)[1]!), data: word(list(v)[2]!) });
const kinds = ['transfer', 'token_transfer', 'approve', 'revoke', 'wrap', 'unwrap'];

/** The calls of multiSend(bytes): operation, address, value, length, data each. */
function sent(data: Uint8Array): Call[] | undefined {
  if (hex(data.subarray(0, 4)) !== '8d80ff0a') return undefined;
  const out: Call[] = [];
  for (let b = word(decode('(bytes)', data.subarray(4))[0]!); b.length > 0;) {
    if (b.length < 85 || b[0] !== 0 || zero(b.subarray(1, 21))) return undefined;
    const n = integer(b.subarray(53, 85));
    if (n > BigInt(b.length - 85)) return undefined;
    out.push({ to: b.subarray(1, 21), value: integer(b.subarray(21, 53)), data: b.subarray(85, 85 + Number(n)) });
    b = b.subarray(85 + Number(n));
  }
  return out.length > 0 ? out : undefined;
}

/** The calls of the execution modes of ERC-7579 and ERC-7821. */
function moded(mode: Uint8Array, data: Uint8Array): Call[] {
  const several = mode[0] === 1, selector = hex(mode.subarray(6, 10));
  require(mode[0]! <= 1 && mode[1]! <= 1 && zero(mode.subarray(2, 6)) && zero(mode.subarray(10)) && (selector === '00000000' || (several && selector === '78210001')));
  let calls: Call[];
  if (several) {
    calls = list(decode('((address,uint256,bytes)[])', data)[0]!).map(execution);
  } else {
    require(data.length >= 52);
    calls = [{ to: data.subarray(0, 20), value: integer(data.subarray(20, 52)), data: data.subarray(52) }];
  }
  require(!calls.some((c) => zero(c.to)));
  return calls;
}

/** Gathers what calls do. */
export class Describer {
  actions: Action[] = [];
  flags: string[] = [];
  readonly #wrapper: string | undefined;
  readonly #wallet: () => string | undefined;
  #account: string | undefined; // once it was worked out
  #calls = 0;
  #full = false;

  /** The wrapper of the native asset, and the wallet's address, which is
   * worked out where it matters. */
  constructor(wrapper: string | undefined, wallet: () => string | undefined) {
    this.#wrapper = wrapper;
    this.#wallet = wallet;
  }

  #isAccount(to: string): boolean {
    this.#account ??= this.#wallet();
    return this.#account === to;
  }

  describe(c: Call, from = '', own = true, depth = 0): void {
    const to = `0x${hex(c.to)}`, before: [number, number] = [this.actions.length, this.flags.length];
    const transfer = (): void => { this.actions.push({ kind: 'transfer', asset: 'native', from, to, amount: String(c.value) }); };
    if (c.data.length === 0) {
      transfer();
      if (to === zeroAddress) this.flags.push('zero_address');
      return;
    }
    try {
      this.#decode({ ...c, from, own, depth }, to);
      if (!this.#full) return;
    } catch (e) {
      if (!(e instanceof NotUnderstood)) throw e;
    }
    this.actions.length = before[0];
    this.flags.length = before[1];
    if (c.value > 0n) {
      transfer();
      this.flags.push('value_with_call');
    }
    this.#opaque(c, from, to);
  }

  #opaque(c: Call, from: string, to: string): void {
    this.actions.push({ kind: 'opaque', from, contract: to, selector: `0x${hex(c.data.subarray(0, 4))}` });
  }

  #add(c: Made, to: string, a: Action, ...flags: string[]): void {
    const whole = { ...a, asset: a.asset ?? to, from: a.from ?? c.from, contract: to, selector: `0x${hex(c.data.subarray(0, 4))}` };
    this.actions.push(whole);
    this.flags.push(...flags);
    if (a.to === whole.asset) this.flags.push('to_token_contract');
    if (a.to === zeroAddress || a.spender === zeroAddress) this.flags.push('zero_address');
  }

  #makes(c: Made, from: string, own: boolean, calls: readonly Call[]): void {
    require(c.depth < maxDepth && calls.length > 0);
    for (const inner of calls) {
      this.#full ||= ++this.#calls > maxCalls;
      require(!this.#full);
      this.describe(inner, from, own, c.depth + 1);
    }
  }

  #decode(c: Made, to: string): void {
    require(c.data.length >= 4);
    const selector = `0x${hex(c.data.subarray(0, 4))}`, args = c.data.subarray(4);
    if (c.own && (selector in executors || this.#account !== undefined) && this.#isAccount(to)) return this.#execute(c, to, selector, args);
    if (to === multicall3) return this.#aggregate(c, to, selector, args);
    require(c.value === 0n || to === this.#wrapper);
    if (to === permit2) return this.#permit2(c, to, selector, args);
    try {
      const flags = new Set<string>();
      for (const a of known(selector, new Words(args), c.value, to === this.#wrapper, flags)) this.#add(c, to, a);
      this.flags.push(...flags);
      return;
    } catch (e) {
      if (!(e instanceof NotUnderstood)) throw e;
    }
    require(c.value === 0n);
    this.#others(c, to, selector, args);
  }

  #aggregate(c: Made, to: string, selector: string, args: Uint8Array): void {
    require(selector in aggregates);
    const calls = list(decode(aggregates[selector]!, args).at(-1)!).map((v) => {
      const p = list(v);
      return { to: target(p[0]!), value: p.length === 4 ? amount(p[2]!) : 0n, data: word(p.at(-1)!) };
    });
    if (c.value > 0n) {
      this.actions.push({ kind: 'transfer', asset: 'native', from: c.from, to, amount: String(c.value) });
      this.flags.push('value_with_call');
    }
    this.#makes(c, to, false, calls);
  }

  #execute(c: Made, to: string, selector: string, args: Uint8Array): void {
    require(c.value === 0n && selector in executors);
    const a = decode(executors[selector]!, args);
    const all = (calls: readonly Call[]): void => this.#makes(c, c.from, true, calls);
    switch (selector) {
      case '0xb61d27f6': return all([execution(a)]);
      case '0x34fcd5be': return all(list(a[0]!).map(execution));
      case '0xe9ae5c53':
        if (word(a[0]!)[0] === 0xff) {
          this.flags.push('delegatecall');
          return this.#opaque(c, c.from, to);
        }
        return all(moded(word(a[0]!), word(a[1]!)));
    }
    const targets = list(a[0]!), values = a.length === 3 ? list(a[1]!) : [], data = list(a.at(-1)!);
    require(data.length === targets.length && (values.length === 0 || values.length === targets.length));
    all(targets.map((v, i) => ({ to: target(v), value: values.length > 0 ? amount(values[i]!) : 0n, data: word(data[i]!) })));
  }

  #others(c: Made, to: string, selector: string, args: Uint8Array): void {
    if (selector in authorizations) return this.#authorized(c, to, decode(authorizations[selector]!, args));
    switch (selector) {
      case '0xac9650d8': return this.#multicall(c, list(decode('(bytes[])', args)[0]!));
      case '0x5ae401dc': return this.#multicall(c, list(decode('(uint256,bytes[])', args)[1]!));
      case '0x6a761202': return this.#safe(c, to, decode(execTransaction, args));
    }
    throw new NotUnderstood();
  }

  /** A contract's calls of itself: all are understood, or none. */
  #multicall(c: Made, calls: readonly Value[]): void {
    require(calls.every((v) => v.length >= 4));
    const before = this.actions.length;
    this.#makes(c, c.from, false, calls.map((v) => ({ to: c.to, value: 0n, data: word(v) })));
    require(this.actions.slice(before).every((a) => kinds.includes(a.kind)));
  }

  #safe(c: Made, to: string, a: readonly Value[]): void {
    const inner = execution(a), operation = amount(a[3]!), refund = amount(a[6]!) !== 0n;
    if (refund) this.flags.push('safe_refund');
    let calls: readonly Call[] | undefined = [inner];
    if (operation !== 0n) {
      calls = undefined;
      if (operation === 1n && inner.value === 0n && multiSendCallOnly.has(`0x${hex(inner.to)}`)) {
        try {
          calls = sent(inner.data);
        } catch (e) {
          if (!(e instanceof NotUnderstood)) throw e;
        }
      }
      if (calls === undefined) this.flags.push('delegatecall');
    }
    if (refund || calls === undefined || c.depth === maxDepth) return this.#opaque(c, c.from, to);
    this.#makes(c, to, false, calls);
  }

  #authorized(c: Made, to: string, a: readonly Value[]): void {
    if (a.length <= 5) return this.#add(c, to, { kind: 'revoke', from: address(a[0]!) });
    this.#add(c, to, { kind: 'token_transfer', from: address(a[0]!), to: address(a[1]!), amount: String(amount(a[2]!)), expiry: String(amount(a[4]!)) });
  }

  #permit2(c: Made, to: string, selector: string, args: Uint8Array): void {
    const permit = (from: string, spender: Value, token: Value, most: Value, expiry: Value): void =>
      this.#add(c, to, { kind: 'approve', from, asset: address(token), spender: address(spender), amount: String(amount(most)), expiry: String(amount(expiry)) },
        ...(amount(most) >= (1n << 96n) - 1n ? ['unlimited_approval'] : []));
    const move = (v: Value): void => {
      const p = list(v);
      this.#add(c, to, { kind: 'token_transfer', from: address(p[0]!), to: address(p[1]!), amount: String(amount(p[2]!)), asset: address(p[3]!) });
    };
    const each = (all: readonly Value[], f: (v: Value) => void): void => {
      require(all.length > 0);
      all.forEach(f);
    };
    const revoke = (v: Value): void => this.#add(c, to, { kind: 'revoke', asset: address(list(v)[0]!), spender: address(list(v)[1]!) });
    let a: readonly Value[], details: readonly Value[];
    switch (selector) {
      case '0x87517c45': // approve
        a = decode('(address,address,uint160,uint48)', args);
        return permit(c.from, a[1]!, a[0]!, a[2]!, a[3]!);
      case '0x2b67b570': // permit
        a = decode('(address,((address,uint160,uint48,uint48),address,uint256),bytes)', args);
        details = list(list(a[1]!)[0]!);
        return permit(address(a[0]!), list(a[1]!)[1]!, details[0]!, details[1]!, details[2]!);
      case '0x2a2d80d1': // permit of several
        a = decode('(address,((address,uint160,uint48,uint48)[],address,uint256),bytes)', args);
        return each(list(list(a[1]!)[0]!), (v) => permit(address(a[0]!), list(a[1]!)[1]!, list(v)[0]!, list(v)[1]!, list(v)[2]!));
      case '0x36c78516': // transferFrom
        return move(decode('(address,address,uint160,address)', args));
      case '0x0d58b1db': // transferFrom of several
        return each(list(decode('((address,address,uint160,address)[])', args)[0]!), move);
      case '0xcc53287f': // lockdown
        return each(list(decode('((address,address)[])', args)[0]!), revoke);
      case '0x65d9723c': // invalidateNonces
        return revoke(decode('(address,address,uint48)', args));
    }
    throw new NotUnderstood();
  }
}
