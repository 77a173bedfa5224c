// Calls of routers and of tokens' permits, each encoded alike by viem and
// ethers, with what their arguments were made to do:
// node routers.mjs > ../../../internal/chain/evm/testdata/routers.json
import { createHash } from 'node:crypto';
import { Interface, Transaction, computeAddress } from 'ethers';
import { encodeFunctionData, parseAbi, serializeTransaction } from 'viem';

const key = createHash('sha256').update('sigil chain test key 0').digest('hex');
const wallet = computeAddress(`0x${key}`).toLowerCase();
const address = (byte) => `0x${byte.repeat(20)}`;
const word = (byte) => `0x${byte.repeat(32)}`;
const token = address('a1'), other = address('a2'), router = address('c1'), spender = address('b3'), stranger = address('b9');
const most = 2n ** 256n - 1n, until = 1700000000n;

function equal(what, a, b) {
  if (a !== b) throw new Error(`${what}: viem ${a}, ethers ${b}`);
  return a;
}

/** The call of a function, by both libraries. */
function call(signature, ...args) {
  const functionName = signature.slice(0, signature.indexOf('('));
  return equal(signature, encodeFunctionData({ abi: parseAbi([`function ${signature}`]), functionName, args }), new Interface([`function ${signature}`]).encodeFunctionData(functionName, args));
}

const list = [];

/** Notes a call of `to` and what it does; actions of no other contract are of `to`'s. */
function made(name, to, data, actions, flags = [], value = 0n) {
  const t = { chainId: 1, nonce: 7, maxFeePerGas: 3n, maxPriorityFeePerGas: 2n, to, value, data };
  const unsigned = equal(name, serializeTransaction({ type: 'eip1559', gas: 500000n, ...t }), Transaction.from({ type: 2, gasLimit: 500000n, ...t }).unsignedSerialized);
  list.push({ id: `own-evm-router-${list.length}`, name, family: 'evm', network: 'evm:1', kind: 'transaction', private_key_hex: key, unsigned_tx: unsigned, from: wallet,
    actions: actions.map((a) => (a.asset === 'native' && a.kind === 'transfer' ? a : { contract: to, selector: data.slice(0, 10), ...a })), flags, source: 'viem 2.57.20 and ethers 6.17.0 (equal)' });
}

/** Notes data that is a few characters away from a call that is understood. */
const opaque = (name, to, data, value = 0n) => made(name, to, data, [...(value ? [{ kind: 'transfer', asset: 'native', to, amount: String(value) }] : []), { kind: 'opaque' }], value ? ['value_with_call'] : [], value);

const vrs = [27, word('d1'), word('d2')];

// Permits that a token is called with.
const eip2612 = 'permit(address,address,uint256,uint256,uint8,bytes32,bytes32)', dai = 'permit(address,address,uint256,uint256,bool,uint8,bytes32,bytes32)';
made('permit of the wallet', token, call(eip2612, wallet, spender, 8n, until, ...vrs), [{ kind: 'approve', asset: token, from: wallet, spender, amount: '8', expiry: String(until) }]);
made('Dai permit', token, call(dai, stranger, spender, 3n, until, true, ...vrs), [{ kind: 'approve', asset: token, from: stranger, spender, expiry: String(until) }], ['unlimited_approval']);
made('Dai permit for ever, of nobody', token, call(dai, wallet, address('00'), 3n, 0n, true, ...vrs), [{ kind: 'approve', asset: token, from: wallet, spender: address('00') }], ['unlimited_approval', 'zero_address']);
made('Dai permit taken back', token, call(dai, wallet, spender, 3n, until, false, ...vrs), [{ kind: 'revoke', asset: token, from: wallet, spender }]);
const permit = call(dai, wallet, spender, 3n, until, true, ...vrs);
opaque('Dai permit, longer', token, `${permit}00`);
opaque('Dai permit, a word longer', token, permit + word('00').slice(2));
opaque('Dai permit, shorter', token, permit.slice(0, -2));
opaque('Dai permit of 2', token, permit.slice(0, 10 + 4 * 64) + permit.slice(10 + 4 * 64, 10 + 5 * 64).replace(/1$/, '2') + permit.slice(10 + 5 * 64));
opaque('Dai permit with value', token, permit, 1n);

// What a router hands in of what its caller has signed.
for (const f of ['selfPermit', 'selfPermitIfNecessary']) {
  made(f, router, call(`${f}(address,uint256,uint256,uint8,bytes32,bytes32)`, token, 9n, until, ...vrs), [{ kind: 'approve', asset: token, spender: router, amount: '9', expiry: String(until) }]);
}
for (const f of ['selfPermitAllowed', 'selfPermitAllowedIfNecessary']) {
  made(f, router, call(`${f}(address,uint256,uint256,uint8,bytes32,bytes32)`, token, 4n, until, ...vrs), [{ kind: 'approve', asset: token, spender: router, expiry: String(until) }], ['unlimited_approval']);
}
const selfPermit = call('selfPermit(address,uint256,uint256,uint8,bytes32,bytes32)', token, most, until, ...vrs);
made('selfPermit without limit', router, selfPermit, [{ kind: 'approve', asset: token, spender: router, amount: String(most), expiry: String(until) }], ['unlimited_approval']);
made('selfPermitAllowed for ever', router, call('selfPermitAllowed(address,uint256,uint256,uint8,bytes32,bytes32)', token, 4n, 0n, ...vrs), [{ kind: 'approve', asset: token, spender: router }], ['unlimited_approval']);
opaque('selfPermit, longer', router, `${selfPermit}00`);
opaque('selfPermit, shorter', router, selfPermit.slice(0, -64));
opaque('selfPermit of more than an address', router, selfPermit.replace('0xf3995c6700', '0xf3995c6701'));
opaque('selfPermit with v over 8 bits', router, selfPermit.slice(0, 10 + 3 * 64) + selfPermit.slice(10 + 3 * 64, 10 + 4 * 64).replace('001b', '011b') + selfPermit.slice(10 + 4 * 64));
opaque('selfPermit with value', router, selfPermit, 5n);

process.stdout.write(`[\n${list.map((e) => ` ${JSON.stringify(e)}`).join(',\n')}\n]\n`);
