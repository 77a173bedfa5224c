import assert from 'node:assert/strict';
import { SigilS2S, SigilVerificationError } from '../../dist/index.js';
import { Service } from './service.mjs';

export const message = 'audit-log-2026-06';

/** A service that stops with the test. */
export async function start(t, options) {
  const s = await new Service(options).start();
  t.after(() => s.stop());
  return s;
}

export const client = (s, options = {}) => new SigilS2S({ apiBaseUrl: s.url, secretKey: s.secret, ...options });

export const ask = (s, change = {}) => ({ walletId: s.wallet.id, network: 'base', message, ...change });

/** Requires that a call is refused as unbelievable, for this very reason. */
export async function refused(call, code, field, name = code, reason) {
  await assert.rejects(call, (e) => {
    assert.ok(e instanceof SigilVerificationError, `${name}: ${e.stack}`);
    assert.deepEqual([e.code, e.field], [code, field], `${name}: ${e.message}`);
    if (reason !== undefined) assert.equal(e.reason, reason, name);
    return true;
  }, name);
}
