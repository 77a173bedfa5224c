import { NotUnderstood, require } from './abi.js';
import { hex } from './canon.js';

/** One thing that a transaction does (docs/FORMATS.md section 7.6). */
export interface Action {
  readonly kind: string;
  readonly asset?: string;
  readonly from?: string;
  readonly to?: string;
  readonly spender?: string;
  readonly amount?: string;
  readonly token_id?: string;
  readonly expiry?: string;
  readonly contract?: string;
  readonly selector?: string;
  readonly method?: string;
  readonly account?: string;
  readonly authority?: string;
  readonly text?: string;
}

/** A call of a contract, or a payment. */
export interface Call {
  readonly to: Uint8Array;
  readonly value: bigint;
  readonly data: Uint8Array;
}

/** Arguments as words of 32 bytes. */
export class Words {
  readonly #b: Uint8Array;
  constructor(b: Uint8Array) {
    this.#b = b;
  }
  /** Exactly n words. */
  holds(n: number): void { require(this.#b.length === 32 * n); }
  number(i: number): bigint {
    require(this.#b.length >= 32 * (i + 1));
    return BigInt(`0x${hex(this.#b.subarray(32 * i, 32 * (i + 1)))}`);
  }
  amount(i: number): string { return String(this.number(i)); }
  address(i: number): string {
    const v = this.number(i);
    require(v >> 160n === 0n);
    return `0x${v.toString(16).padStart(40, '0')}`;
  }
  /** The list that argument i points to, which must be at word `at`; returns its length. */
  array(i: number, at: number): number {
    require(this.number(i) === BigInt(32 * at));
    const n = this.number(at);
    require(n <= BigInt(this.#b.length / 32 - at - 1));
    return Number(n);
  }
  /** The bytes at word `at` that argument i points to, with which the arguments
   * end; says whether there are any. */
  hook(i: number, at: number): boolean {
    require(this.number(i) === BigInt(32 * at));
    const n = this.number(at), rest = this.#b.subarray(32 * (at + 1));
    require(n <= BigInt(rest.length) && rest.length === 32 * Math.ceil(Number(n) / 32) && rest.subarray(Number(n)).every((c) => c === 0));
    return n > 0n;
  }
}

/** What tokens' functions do, and those of the native asset's wrapper. */
export function known(selector: string, w: Words, value: bigint, wraps: boolean, flags: Set<string>): Action[] {
  if (wraps && selector === '0xd0e30db0') { // deposit()
    w.holds(0);
    return [{ kind: 'wrap', amount: String(value) }];
  }
  require(value === 0n); // none of the following takes any
  const approve = (a: Omit<Action, 'kind'>, amount: bigint): Action[] => {
    if (amount >= (1n << 96n) - 1n) flags.add('unlimited_approval');
    return [{ kind: 'approve', ...a }];
  };
  switch (selector) {
    case '0x2e1a7d4d': // withdraw(uint256)
      require(wraps);
      w.holds(1);
      return [{ kind: 'unwrap', amount: w.amount(0) }];
    case '0xa9059cbb': // transfer(address,uint256)
      w.holds(2);
      return [{ kind: 'token_transfer', to: w.address(0), amount: w.amount(1) }];
    case '0x23b872dd': // transferFrom(address,address,uint256)
      w.holds(3);
      flags.add('amount_or_token_id');
      return [{ kind: 'token_transfer', from: w.address(0), to: w.address(1), amount: w.amount(2) }];
    case '0x095ea7b3': // approve(address,uint256)
      w.holds(2);
      flags.add('amount_or_token_id');
      return approve({ spender: w.address(0), amount: w.amount(1) }, w.number(1));
    case '0x39509351': // increaseAllowance(address,uint256)
      w.holds(2);
      flags.add('adds_to_allowance');
      return approve({ spender: w.address(0), amount: w.amount(1) }, w.number(1));
    case '0xa457c2d7': // decreaseAllowance(address,uint256)
      w.holds(2);
      return [{ kind: 'revoke', spender: w.address(0), amount: w.amount(1) }];
    case '0xa22cb465': // setApprovalForAll(address,bool)
      w.holds(2);
      require(w.number(1) <= 1n);
      if (w.number(1) === 1n) flags.add('unlimited_approval');
      return [{ kind: w.number(1) === 1n ? 'approve' : 'revoke', spender: w.address(0) }];
    case '0xd505accf': // permit(address,address,uint256,uint256,uint8,bytes32,bytes32)
      w.holds(7);
      require(w.number(4) < 256n);
      return approve({ from: w.address(0), spender: w.address(1), amount: w.amount(2), expiry: w.amount(3) }, w.number(2));
    case '0x42842e0e': // safeTransferFrom(address,address,uint256)
      w.holds(3);
      return [{ kind: 'token_transfer', from: w.address(0), to: w.address(1), amount: '1', token_id: w.amount(2) }];
    case '0xb88d4fde': // safeTransferFrom(address,address,uint256,bytes)
      if (w.hook(3, 4)) flags.add('recipient_data');
      return [{ kind: 'token_transfer', from: w.address(0), to: w.address(1), amount: '1', token_id: w.amount(2) }];
    case '0xf242432a': // safeTransferFrom(address,address,uint256,uint256,bytes)
      if (w.hook(4, 5)) flags.add('recipient_data');
      return [{ kind: 'token_transfer', from: w.address(0), to: w.address(1), amount: w.amount(3), token_id: w.amount(2) }];
    case '0x2eb2c2d6': { // safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)
      const n = w.array(2, 5), from = w.address(0), to = w.address(1);
      require(n > 0 && w.array(3, 6 + n) === n);
      if (w.hook(4, 7 + 2 * n)) flags.add('recipient_data');
      return Array.from({ length: n }, (_, i) => ({ kind: 'token_transfer', from, to, amount: w.amount(7 + n + i), token_id: w.amount(6 + i) }));
    }
  }
  throw new NotUnderstood();
}
