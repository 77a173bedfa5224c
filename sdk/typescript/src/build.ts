// What builders of unsigned transactions have in common: pure functions that
// give the bytes which Go's package unsigned gives, or refuse by naming the
// option.
import { SigilConfigError } from './errors.js';

/** An amount in base units: wei and a token's smallest unit, lamports, satoshi;
 * as text, decimal. */
export type Amount = bigint | string;

/** A number that may be small: a JavaScript number up to 2^53-1 as well. */
export type Count = Amount | number;

/** Refuses an option. */
export function bad(option: string, why: string): never {
  throw new SigilConfigError('invalid_argument', `${option}: ${why}`);
}

/** Options that nobody knows are typing errors, and would be ignored. */
export function known(options: object, names: readonly string[]): void {
  if (typeof options !== 'object' || options === null) bad('options', 'they are missing');
  for (const name of Object.keys(options)) if (!names.includes(name)) bad(name.slice(0, 40), 'there is no such option');
}

const decimal = /^(0|[1-9][0-9]{0,77})$/;

/** An unsigned integer of so many bits. */
export function amount(option: string, v: Amount, bits: number): bigint {
  const n = typeof v === 'bigint' ? v : typeof v === 'string' && decimal.test(v) ? BigInt(v) : bad(option, 'it is no bigint, and no decimal text of one');
  if (n < 0n) bad(option, 'it is negative');
  return n >> BigInt(bits) === 0n ? n : bad(option, `it has over ${bits} bits`);
}

/** The same, or a number. */
export function count(option: string, v: Count, bits: number): bigint {
  return amount(option, typeof v === 'number' && Number.isSafeInteger(v) && !Object.is(v, -0) ? BigInt(v) : (v as Amount), bits);
}

/** An amount that does something. */
export function positive(option: string, v: Amount, bits: number): bigint {
  return amount(option, v, bits) || bad(option, 'it is 0');
}

/** An optional truth. */
export function flag(option: string, v: boolean | undefined): boolean {
  return v === undefined || typeof v === 'boolean' ? v === true : bad(option, 'it is neither true nor false');
}
