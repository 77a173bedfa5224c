import { createPrivateKey, createPublicKey, hkdfSync, sign, verify, type KeyObject } from 'node:crypto';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { equal, hex, sha256 } from './canon.js';

/** Curves by their number in records. */
export const curveNames: Readonly<Record<number, string>> = { 1: 'secp256k1', 2: 'ed25519' };
export const publicKeySizes: Readonly<Record<number, number>> = { 1: 33, 2: 32 };

// RFC 8410 encodings around the raw 32 bytes.
const pkcs8 = Buffer.from('302e020100300506032b657004220420', 'hex');
const spki = Buffer.from('302a300506032b6570032100', 'hex');

/** An Ed25519 request key. */
export class RequestKey {
  readonly publicKey: Uint8Array;
  readonly keyId: string;
  readonly #key: KeyObject;
  constructor(seed: Uint8Array) {
    this.#key = createPrivateKey({ key: Buffer.concat([pkcs8, seed]), format: 'der', type: 'pkcs8' });
    const der = createPublicKey(this.#key).export({ format: 'der', type: 'spki' });
    this.publicKey = new Uint8Array(der.subarray(spki.length));
    this.keyId = keyId(this.publicKey);
  }
  sign(message: Uint8Array): Uint8Array { return new Uint8Array(sign(null, message, this.#key)); }
}

/** The key id of an Ed25519 public key: 32 hex digits. */
export function keyId(publicKey: Uint8Array): string {
  return hex(sha256('sigil/key-id/v1\n', publicKey).subarray(0, 16));
}

export function requestSeed(tokenSeed: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', tokenSeed, new Uint8Array(), 'sigil/request-key/v1', 32));
}

export function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 32 || signature.length !== 64) return false;
  try {
    const key = createPublicKey({ key: Buffer.concat([spki, publicKey]), format: 'der', type: 'spki' });
    return verify(null, message, key, signature);
  } catch {
    return false;
  }
}

/** Verifies r ‖ s ‖ recovery id over a 32-byte digest: low S, and the key that
 * the signature recovers to is this one (compressed). Recovery solves the
 * verification equation for the key, so equality is verification. */
export function verifySecp256k1(publicKey: Uint8Array, digest: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 33 || digest.length !== 32 || signature.length !== 65 || signature[64]! > 1) return false;
  try {
    if (secp256k1.Signature.fromBytes(signature.subarray(0, 64)).hasHighS()) return false;
    const recovered = new Uint8Array([signature[64]!, ...signature.subarray(0, 64)]);
    return equal(secp256k1.recoverPublicKey(recovered, digest, { prehash: false }), publicKey);
  } catch {
    return false;
  }
}

/** 65-byte form of a compressed public key. */
export function uncompressed(publicKey: Uint8Array): Uint8Array {
  return secp256k1.Point.fromBytes(publicKey).toBytes(false);
}
