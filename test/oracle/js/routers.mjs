// Calls of routers and of tokens' permits, each encoded alike by viem and
// ethers, with what their arguments were made to do:
// node routers.mjs > ../../../internal/chain/evm/testdata/routers.json
import { createHash } from 'node:crypto';
import { Interface, Transaction, computeAddress } from 'ethers';
import { encodeFunctionData, parseAbi, serializeTransaction } from 'viem';

const key = createHash('sha256').update('sigil chain test key 2').digest('hex');
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
  list.push({ id: `own-evm-router-${list.length}`, name, family: 'evm', network: 'evm:1', kind: 'transaction', private_key_hex: key, unsigned_tx: unsigned, calldata: data, from: wallet,
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

// Trades, and what goes with them in a router's calls of itself.
const weth = '0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2', native = 'native', zero = address('00');
const one = `0x${'1'.padStart(40, '0')}`, two = `0x${'2'.padStart(40, '0')}`;
const paid = (asset, amount) => ({ kind: 'token_transfer', asset, to: router, amount: String(amount) });
const given = (asset, amount, to = wallet, expiry = undefined) => ({ kind: 'proceeds', asset, to, ...(amount === undefined ? {} : { amount: String(amount) }), ...(expiry === undefined ? {} : { expiry: String(expiry) }) });
const sent = (value) => ({ kind: 'transfer', asset: native, to: router, amount: String(value) });
const path = (...hops) => `0x${hops.map((h) => (typeof h === 'number' ? h.toString(16).padStart(6, '0') : h.slice(2))).join('')}`;

/** A call of a router by its name and what it does. */
const part = (data, ...actions) => ({ data, actions: actions.map((a) => ({ contract: router, selector: data.slice(0, 10), ...a })) });
const trade = (name, p, flags, value = 0n) => made(name, router, p.data, value ? [sent(value), ...p.actions] : p.actions, value ? [...flags, 'value_with_call'] : flags, value);
const several = (parts) => ({ data: call('multicall(bytes[])', parts.map((p) => p.data)), actions: parts.flatMap((p) => p.actions) });

// Uniswap V2.
const v2 = (f, ...args) => call(`${f}(${'uint256,'.repeat(args.length - 3)}address[],address,uint256)`, ...args);
for (const f of ['swapExactTokensForTokens', 'swapExactTokensForTokensSupportingFeeOnTransferTokens']) {
  trade(f, part(v2(f, 100n, 90n, [token, weth, other], wallet, until), paid(token, 100), given(other, 90, wallet, until)), []);
}
for (const f of ['swapExactTokensForETH', 'swapExactTokensForETHSupportingFeeOnTransferTokens']) {
  trade(f, part(v2(f, 100n, 90n, [token, weth], wallet, until), paid(token, 100), given(native, 90, wallet, until)), []);
}
for (const f of ['swapExactETHForTokens', 'swapExactETHForTokensSupportingFeeOnTransferTokens', 'swapETHForExactTokens']) {
  trade(f, part(v2(f, 90n, [weth, token], wallet, until), given(token, 90, wallet, until)), [], 7n);
  opaque(`${f} without value`, router, v2(f, 90n, [weth, token], wallet, until));
}
trade('swapTokensForExactTokens', part(v2('swapTokensForExactTokens', 90n, most, [token, other], wallet, until), paid(token, most), given(other, 90, wallet, until)), []);
trade('swapTokensForExactETH', part(v2('swapTokensForExactETH', 90n, 100n, [token, weth], wallet, until), paid(token, 100), given(native, 90, wallet, until)), []);
trade('pairs, to a stranger', part(v2('swapExactTokensForTokens', 100n, 90n, [token, other], stranger, until), paid(token, 100), given(other, 90, stranger, until)), ['proceeds_elsewhere']);
trade('pairs, to nobody', part(v2('swapExactTokensForTokens', 100n, 90n, [token, other], zero, until), paid(token, 100), given(other, 90, zero, until)), ['proceeds_elsewhere', 'zero_address']);
trade('pairs, to what newer routers take for the caller', part(v2('swapExactTokensForTokens', 100n, 90n, [token, other], one, until), paid(token, 100), given(other, 90, one, until)), ['proceeds_elsewhere']);
trade('pairs, to the router', part(v2('swapExactTokensForTokens', 100n, 90n, [token, other], router, until), paid(token, 100), given(other, 90, router, until)), ['left_with_contract']);
trade('pairs, for nothing', part(v2('swapExactTokensForTokens', 100n, 0n, [token, other], wallet, until), paid(token, 100), given(other, 0, wallet, until)), ['no_minimum_output']);
trade('pairs, value for nothing to a stranger', part(v2('swapExactETHForTokens', 0n, [weth, token], stranger, until), given(token, 0, stranger, until)), ['no_minimum_output', 'proceeds_elsewhere'], 7n);
const pairs = v2('swapExactTokensForTokens', 100n, 90n, [token, other], wallet, until);
opaque('pairs, longer', router, `${pairs}00`);
opaque('pairs, a word longer', router, pairs + word('00').slice(2));
opaque('pairs, shorter', router, pairs.slice(0, -64));
opaque('pairs, the path elsewhere', router, pairs.slice(0, 10 + 2 * 64) + pairs.slice(10 + 2 * 64, 10 + 3 * 64).replace('a0', 'c0') + pairs.slice(10 + 3 * 64));
opaque('pairs, more than an address', router, pairs.replace(`0000${wallet.slice(2)}`, `0001${wallet.slice(2)}`));
opaque('pairs, one token', router, v2('swapExactTokensForTokens', 100n, 90n, [token], wallet, until));
opaque('pairs, none', router, v2('swapExactTokensForTokens', 100n, 90n, [], wallet, until));
opaque('pairs, with value', router, pairs, 5n);
const pair02 = 'swapExactTokensForTokens(uint256,uint256,address[],address)', pairOut02 = 'swapTokensForExactTokens(uint256,uint256,address[],address)';
trade('pairs of SwapRouter02', part(call(pair02, 100n, 90n, [token, other], one), paid(token, 100), given(other, 90)), []);
trade('pairs of SwapRouter02, exact output', part(call(pairOut02, 90n, 100n, [token, other], wallet), paid(token, 100), given(other, 90)), []);
trade('pairs of SwapRouter02, left there', part(call(pair02, 100n, 90n, [token, other], two), paid(token, 100), given(other, 90, router)), ['left_with_contract']);
trade('pairs of SwapRouter02, of what is there', part(call(pair02, 0n, 90n, [token, other], one), given(other, 90)), []);
trade('pairs of SwapRouter02, for value', part(call(pair02, 7n, 90n, [weth, other], one), paid(weth, 7), given(other, 90)), [], 7n);

// Uniswap V3: SwapRouter, with a deadline, and SwapRouter02.
const single = 'exactInputSingle((address a,address b,uint24 c,address d,uint256 e,uint256 f,uint256 g,uint160 h) p)', singleOut = single.replace('Input', 'Output');
const hops = 'exactInput((bytes a,address b,uint256 c,uint256 d,uint256 e) p)', hopsOut = hops.replace('Input', 'Output');
const single02 = 'exactInputSingle((address a,address b,uint24 c,address d,uint256 e,uint256 f,uint160 g) p)', singleOut02 = single02.replace('Input', 'Output');
const hops02 = 'exactInput((bytes a,address b,uint256 c,uint256 d) p)', hopsOut02 = hops02.replace('Input', 'Output');
const v3 = (signature, ...args) => call(signature, Object.fromEntries(args.map((v, i) => ['abcdefgh'[i], v])));
trade('exactInputSingle', part(v3(single, token, other, 3000, wallet, until, 100n, 90n, 0n), paid(token, 100), given(other, 90, wallet, until)), []);
trade('exactOutputSingle', part(v3(singleOut, token, other, 3000, wallet, until, 90n, 100n, 0n), paid(token, 100), given(other, 90, wallet, until)), []);
trade('exactInput', part(v3(hops, path(token, 500, weth, 3000, other), wallet, until, 100n, 90n), paid(token, 100), given(other, 90, wallet, until)), []);
trade('exactOutput, whose path is the other way round', part(v3(hopsOut, path(other, 3000, weth, 500, token), wallet, until, 90n, 100n), paid(token, 100), given(other, 90, wallet, until)), []);
trade('exactInputSingle of SwapRouter02', part(v3(single02, token, other, 3000, wallet, 100n, 90n, 0n), paid(token, 100), given(other, 90)), []);
trade('exactInputSingle of SwapRouter02, to the caller', part(v3(single02, token, other, 3000, one, 100n, 90n, 0n), paid(token, 100), given(other, 90)), []);
trade('exactOutputSingle of SwapRouter02', part(v3(singleOut02, token, other, 3000, one, 90n, 100n, 0n), paid(token, 100), given(other, 90)), []);
trade('exactInput of SwapRouter02', part(v3(hops02, path(token, 500, other), one, 100n, 90n), paid(token, 100), given(other, 90)), []);
trade('exactOutput of SwapRouter02', part(v3(hopsOut02, path(other, 500, token), one, 90n, most), paid(token, most), given(other, 90)), []);
trade('exactInputSingle, to a stranger', part(v3(single, token, other, 3000, stranger, until, 100n, 90n, 0n), paid(token, 100), given(other, 90, stranger, until)), ['proceeds_elsewhere']);
trade('exactInputSingle, to what SwapRouter02 takes for the caller', part(v3(single, token, other, 3000, one, until, 100n, 90n, 0n), paid(token, 100), given(other, 90, one, until)), ['proceeds_elsewhere']);
trade('exactInputSingle, left there', part(v3(single, token, other, 3000, zero, until, 100n, 90n, 0n), paid(token, 100), given(other, 90, router, until)), ['left_with_contract']);
trade('exactInputSingle of SwapRouter02, to nobody', part(v3(single02, token, other, 3000, zero, 100n, 90n, 0n), paid(token, 100), given(other, 90, zero)), ['proceeds_elsewhere', 'zero_address']);
trade('exactInputSingle of SwapRouter02, left there', part(v3(single02, token, other, 3000, two, 100n, 90n, 0n), paid(token, 100), given(other, 90, router)), ['left_with_contract']);
trade('exactInputSingle, for nothing', part(v3(single, token, other, 3000, wallet, until, 100n, 0n, 0n), paid(token, 100), given(other, 0, wallet, until)), ['no_minimum_output']);
trade('exactOutputSingle up to a price, which may give less', part(v3(singleOut, token, other, 3000, wallet, until, 90n, 100n, 5n), paid(token, 100), given(other, undefined, wallet, until)), ['no_minimum_output']);
trade('exactInputSingle for value', part(v3(single, weth, other, 3000, wallet, until, 7n, 90n, 0n), paid(weth, 7), given(other, 90, wallet, until)), [], 7n);
trade('exactInputSingle for less than the value', part(v3(single, weth, other, 3000, wallet, until, 7n, 90n, 0n), paid(weth, 7), given(other, 90, wallet, until)), ['left_with_contract'], 8n);
trade('exactInputSingle for more than the value', part(v3(single, weth, other, 3000, wallet, until, 9n, 90n, 0n), paid(weth, 9), given(other, 90, wallet, until)), ['left_with_contract'], 8n);
trade('exactInputSingle for value up to a price', part(v3(single, weth, other, 3000, wallet, until, 7n, 90n, 5n), paid(weth, 7), given(other, 90, wallet, until)), ['left_with_contract'], 7n);
trade('exactInputSingle of another token, with value', part(v3(single, token, other, 3000, wallet, until, 7n, 90n, 0n), paid(token, 7), given(other, 90, wallet, until)), ['left_with_contract'], 7n);
trade('exactOutputSingle for value, which may not be used up', part(v3(singleOut, weth, other, 3000, wallet, until, 90n, 7n, 0n), paid(weth, 7), given(other, 90, wallet, until)), ['left_with_contract'], 7n);
const pool = v3(single, token, other, 3000, wallet, until, 100n, 90n, 0n), along = v3(hops02, path(token, 500, other), one, 100n, 90n);
opaque('exactInputSingle, longer', router, `${pool}00`);
opaque('exactInputSingle, a word longer', router, pool + word('00').slice(2));
opaque('exactInputSingle, shorter', router, pool.slice(0, -2));
opaque('exactInputSingle, a fee over 24 bits', router, pool.slice(0, 10 + 2 * 64) + pool.slice(10 + 2 * 64, 10 + 3 * 64).replace('00000bb8', '01000bb8') + pool.slice(10 + 3 * 64));
opaque('exactInput, longer', router, `${along}00`);
opaque('exactInput, the struct elsewhere', router, along.slice(0, 10) + along.slice(10, 74).replace('20', '40') + along.slice(74));
opaque('exactInput, bytes behind the path', router, along.replace(`${other.slice(2)}00`, `${other.slice(2)}01`));
opaque('exactInput, a path of one token', router, v3(hops02, token, one, 100n, 90n));
opaque('exactInput, an empty path', router, v3(hops02, '0x', one, 100n, 90n));
opaque('exactInput, a path that ends with a fee', router, v3(hops02, path(token, 500, other, 500), one, 100n, 90n));
opaque('exactInput, a path of a byte more', router, v3(hops02, `${path(token, 500, other)}00`, one, 100n, 90n));
opaque('a function of a router that nobody here knows', router, call('pull(address,uint256)', token, 5n));

// A router's calls of itself.
const unwrap = (least, to) => part(to ? call('unwrapWETH9(uint256,address)', least, to) : call('unwrapWETH9(uint256)', least), given(native, least, to));
const sweep = (asset, least, to) => part(to ? call('sweepToken(address,uint256,address)', asset, least, to) : call('sweepToken(address,uint256)', asset, least), given(asset, least, to));
const refund = part(call('refundETH()'), given(native));
const into = (asset, least, to = two) => part(v3(single02, token, asset, 3000, to, 100n, least, 0n), paid(token, 100), given(asset, least, to === two ? router : to));
const permitted = part(selfPermit, { kind: 'approve', asset: token, spender: router, amount: String(most), expiry: String(until) });
trade('a permit and a trade', several([permitted, into(other, 90n, wallet)]), ['unlimited_approval']);
trade('trades of half each', several([into(other, 45n, wallet), into(other, 45n, wallet)]), []);
trade('a trade unwrapped', several([into(weth, 90n), unwrap(90n, wallet)]), []);
trade('a trade unwrapped for the caller', several([into(weth, 90n), unwrap(90n)]), []);
trade('a trade swept', several([into(other, 90n), sweep(other, 90n, wallet)]), []);
trade('a trade swept for the caller', several([into(other, 90n), sweep(other, 0n)]), []);
trade('trades whose sum has the minimum', several([into(other, 0n), into(other, 0n), sweep(other, 90n)]), []);
trade('trades without any minimum', several([into(other, 0n), into(other, 40n), sweep(other, 0n)]), ['no_minimum_output']);
trade('a trade unwrapped for a stranger', several([into(weth, 90n), unwrap(90n, stranger)]), ['proceeds_elsewhere']);
trade('a trade swept for a stranger', several([into(other, 90n), sweep(other, 90n, stranger)]), ['proceeds_elsewhere']);
trade('another token swept', several([into(other, 90n), sweep(token, 90n, wallet)]), ['left_with_contract']);
trade('a token unwrapped that is none', several([into(other, 90n), unwrap(90n, wallet)]), ['left_with_contract']);
trade('swept before it is there', several([sweep(other, 90n, wallet), into(other, 90n)]), ['left_with_contract']);
trade('swept, and traded again', several([into(other, 90n), sweep(other, 90n, wallet), into(other, 90n)]), ['left_with_contract']);
trade('swept to the router', several([into(other, 90n), sweep(other, 90n, router)]), ['left_with_contract']);
trade('one trade after another', several([part(call(pair02, 100n, 0n, [token, other], two), paid(token, 100), given(other, 0, router)), part(v3(hops02, path(other, 500, weth), one, 0n, 90n), given(weth, 90))]), []);
trade('one trade after another, for nothing', several([part(call(pair02, 100n, 50n, [token, other], two), paid(token, 100), given(other, 50, router)), part(v3(hops02, path(other, 500, weth), one, 0n, 0n), given(weth, 0))]), ['no_minimum_output']);
const forValue = part(v3(singleOut, weth, other, 3000, wallet, until, 90n, 7n, 0n), paid(weth, 7), given(other, 90, wallet, until));
trade('value for an output, the rest back', several([forValue, refund]), [], 7n);
trade('value for an output, the rest left', several([forValue]), ['left_with_contract'], 7n);
trade('value back before the trade', several([refund, forValue]), [], 7n);
trade('value for two trades', several([4n, 3n].map((n) => part(v3(single02, weth, other, 3000, one, n, 90n, 0n), paid(weth, n), given(other, 90)))), [], 7n);
const exactly = (n) => part(v3(single02, weth, other, 3000, one, n, 90n, 0n), paid(weth, n), given(other, 90));
trade('value for an output and an input, of which one is paid by the wallet', several([forValue, exactly(9n)]), ['left_with_contract'], 9n);
trade('value beside a trade of what another gave', several([into(weth, 90n), part(v3(single02, weth, other, 3000, one, 0n, 90n, 0n), given(other, 90)), refund]), ['left_with_contract'], 200n);
trade('value beside a trade of what another gave, swept', several([into(weth, 90n), part(v3(single02, weth, other, 3000, one, 0n, 90n, 0n), given(other, 90)), sweep(weth, 0n)]), ['left_with_contract'], 200n);
const until2 = call('multicall(uint256,bytes[])', until, [into(other, 90n, wallet).data]);
made('a trade until a time', router, until2, into(other, 90n, wallet).actions);
trade('calls of itself within such', several([several([into(other, 90n)]), sweep(other, 90n)]), ['left_with_contract'].slice(1));
trade('sweepToken alone', sweep(other, 0n, wallet), []);
trade('unwrapWETH9 alone, for a stranger', unwrap(1n, stranger), ['proceeds_elsewhere']);
opaque('a trade and what nobody here knows', router, several([into(other, 90n, wallet), { data: call('pull(address,uint256)', token, 5n), actions: [] }]).data);
opaque('a trade and a fee', router, several([into(weth, 90n), { data: call('unwrapWETH9WithFee(uint256,address,uint256,address)', 90n, wallet, 100n, stranger), actions: [] }]).data);
opaque('a permit alone, with value', router, several([permitted]).data, 5n);
opaque('a trade for value of its own within such', router, several([part(v2('swapExactETHForTokens', 90n, [weth, token], wallet, until))]).data, 5n);
opaque('refundETH, longer', router, several([{ data: `${refund.data}00`, actions: [] }]).data);

// Plans for the Universal Router: commands, each with an input of its own.
const all = 2n ** 255n, cap = 2n ** 160n - 1n;
const inputs = { '00': '(address,uint256,uint256,bytes,bool)', '01': '(address,uint256,uint256,bytes,bool)', '02': '(address,address,uint160)', '03': '(((address,uint160,uint48,uint48)[],address,uint256),bytes)',
  '04': '(address,address,uint256)', '05': '(address,address,uint256)', '06': '(address,address,uint256)', '08': '(address,uint256,uint256,address[],bool)', '09': '(address,uint256,uint256,address[],bool)',
  '0a': '(((address,uint160,uint48,uint48),address,uint256),bytes)', '0b': '(address,uint256)', '0c': '(address,uint256)', '0d': '((address,address,uint160,address)[])' };
const encoded = (types, args) => `0x${call(`f${types}`, ...args).slice(10)}`;
/** A command, its input and what it does. */
const command = (code, args, ...actions) => ({ code, input: encoded(inputs[code], args), actions });

function plan(name, commands, flags, value = 0n, deadline = until) {
  const codes = `0x${commands.map((c) => c.code).join('')}`, data = deadline === null ? call('execute(bytes,bytes[])', codes, commands.map((c) => c.input)) : call('execute(bytes,bytes[],uint256)', codes, commands.map((c) => c.input), deadline);
  if (flags === 'opaque') return opaque(name, router, data, value);
  const actions = commands.flatMap((c) => c.actions).map((a) => (a.kind === 'proceeds' && deadline !== null ? { ...a, expiry: String(deadline) } : a));
  return trade(name, part(data, ...actions), flags, value);
}

const poolIn = (to, amount, least, by = true) => command('00', [to, amount, least, path(token, 500, other), by], ...(by ? [paid(token, amount)] : []), given(other, least, to === one ? wallet : to === two ? router : to));
const poolOut = (to, amount, max) => command('01', [to, amount, max, path(other, 500, token), true], paid(token, max), given(other, amount, to === one ? wallet : to));
plan('plan: pools', [poolIn(one, 100n, 90n)], []);
plan('plan: pools, without a deadline', [poolIn(one, 100n, 90n)], [], 0n, null);
plan('plan: pools, for the wallet by its address', [poolIn(wallet, 100n, 90n)], []);
plan('plan: pools, exact output', [poolOut(one, 90n, most)], []);
plan('plan: pairs', [command('08', [one, 100n, 90n, [token, weth, other], true], paid(token, 100), given(other, 90))], []);
plan('plan: pairs, exact output', [command('09', [one, 90n, 100n, [token, other], true], paid(token, 100), given(other, 90))], []);
plan('plan: pools, to a stranger', [poolIn(stranger, 100n, 90n)], ['proceeds_elsewhere']);
plan('plan: pools, for nothing', [poolIn(one, 100n, 0n)], ['no_minimum_output']);
plan('plan: pools, left there', [poolIn(two, 100n, 90n)], ['left_with_contract']);
const permits = command('0a', [[[token, cap, 1800000000, 3], router, until], '0xabcd'], { kind: 'approve', asset: token, spender: router, amount: String(cap), expiry: '1800000000' });
const permitBatch = command('03', [[[[token, 5n, 1800000000, 3], [other, 6n, 1800000000, 4]], spender, until], '0xabcd'], { kind: 'approve', asset: token, spender, amount: '5', expiry: '1800000000' }, { kind: 'approve', asset: other, spender, amount: '6', expiry: '1800000000' });
plan('plan: a permit and pools', [permits, poolIn(one, 100n, 90n)], ['unlimited_approval']);
plan('plan: permits and pools', [permitBatch, poolIn(one, 100n, 90n)], []);
const swept = (asset, to, least) => command('04', [asset, to, least], given(asset === zero ? native : asset, least, to === one ? wallet : to));
const shared = (asset, to, bips) => command('06', [asset, to, bips], { ...given(asset === zero ? native : asset, undefined, to), text: `${bips}/10000` });
const gave = (asset, to, amount) => command('05', [asset, to, amount], given(asset === zero ? native : asset, amount === all ? undefined : amount, to === one ? wallet : to));
const unwrapped = (to, least) => command('0c', [to, least], given(native, least, to === one ? wallet : to));
const wrapped = (to, amount) => command('0b', [to, amount], given(weth, amount === all ? undefined : amount, to === one ? wallet : router));
const ofWeth = (to, amount, least) => command('00', [to, amount, least, path(weth, 500, other), false], given(other, least, to === one ? wallet : router));
plan('plan: pools and a fee', [poolIn(two, 100n, 90n), shared(other, stranger, 25n), swept(other, one, 89n)], ['proceeds_elsewhere']);
plan('plan: pools and a fee, whatever is left', [poolIn(two, 100n, 90n), shared(other, stranger, 9999n), swept(other, one, 0n)], ['no_minimum_output', 'proceeds_elsewhere']);
plan('plan: pools and a fixed fee, whatever is left', [poolIn(two, 100n, 90n), gave(other, stranger, 89n), swept(other, one, 0n)], ['no_minimum_output', 'proceeds_elsewhere']);
plan('plan: pools, given whole', [poolIn(two, 100n, 90n), gave(other, one, all)], []);
plan('plan: pools, swept', [poolIn(two, 100n, 90n), swept(other, one, 0n)], []);
plan('plan: value wrapped and traded', [wrapped(two, 7n), ofWeth(one, 7n, 90n)], [], 7n);
plan('plan: all value wrapped and traded', [wrapped(two, all), ofWeth(one, all, 90n)], [], 7n);
plan('plan: value wrapped in part', [wrapped(two, 6n), ofWeth(one, 6n, 90n)], ['left_with_contract'], 7n);
plan('plan: value wrapped in part, the rest back', [wrapped(two, 6n), ofWeth(one, 6n, 90n), swept(zero, one, 0n)], [], 7n);
plan('plan: value traded in part', [wrapped(two, 7n), ofWeth(one, 6n, 90n)], ['left_with_contract'], 7n);
plan('plan: value for an output', [wrapped(two, 7n), command('01', [one, 90n, 7n, path(other, 500, weth), false], given(other, 90)), unwrapped(one, 0n)], [], 7n);
plan('plan: value for an output, the rest left', [wrapped(two, 7n), command('01', [one, 90n, 7n, path(other, 500, weth), false], given(other, 90))], ['left_with_contract'], 7n);
plan('plan: value beside what the wallet pays of the wrapper', [command('00', [one, 7n, 90n, path(weth, 500, other), true], paid(weth, 7), given(other, 90))], ['left_with_contract'], 7n);
plan('plan: unwrapped', [command('00', [two, 100n, 0n, path(token, 500, weth), true], paid(token, 100), given(weth, 0, router)), unwrapped(one, 90n)], []);
plan('plan: unwrapped, to a stranger', [command('00', [two, 100n, 0n, path(token, 500, weth), true], paid(token, 100), given(weth, 0, router)), unwrapped(stranger, 90n)], ['proceeds_elsewhere']);
const pull = (asset, to, amount) => command('02', [asset, to, amount], { kind: 'token_transfer', asset, to: to === two ? router : to, amount: String(amount) });
plan('plan: taken, and traded', [pull(token, two, 100n), poolIn(one, 100n, 90n, false)], []);
plan('plan: taken, and traded in part', [pull(token, two, 100n), poolIn(one, 99n, 90n, false)], ['left_with_contract']);
plan('plan: taken for a stranger beside a trade', [pull(token, stranger, 100n), poolIn(one, 100n, 90n)], []);
const pulls = (from) => command('0d', [[[from, router, 100n, token], [from, stranger, 2n, other]]], paid(token, 100), { kind: 'token_transfer', asset: other, to: stranger, amount: '2' });
plan('plan: several taken, and traded', [pulls(wallet), poolIn(one, all, 90n, false)], []);
plan('plan: several taken of another', [pulls(stranger), poolIn(one, all, 90n, false)], 'opaque');
plan('plan: a permit alone', [permits], 'opaque');
plan('plan: taken alone', [pull(token, stranger, 100n)], 'opaque');
plan('plan: none', [], 'opaque');
plan('plan: all that the router has, by the wallet', [poolIn(one, all, 90n)], 'opaque');
plan('plan: more than Permit2 moves', [poolIn(one, cap + 1n, 90n)], 'opaque');
plan('plan: paid before', [command('08', [one, 0n, 90n, [token, other], true])], 'opaque');
plan('plan: more swept than the router reads', [poolIn(two, 100n, 90n), swept(other, one, cap + 1n)], 'opaque');
plan('plan: a share of more than all', [poolIn(two, 100n, 90n), shared(other, stranger, 10001n), swept(other, one, 1n)], 'opaque');
plan('plan: a share of nothing', [poolIn(two, 100n, 90n), shared(other, stranger, 0n), swept(other, one, 1n)], 'opaque');
plan('plan: nothing given', [poolIn(two, 100n, 90n), gave(other, stranger, 0n), swept(other, one, 1n)], 'opaque');
plan('plan: all value given', [wrapped(two, 6n), ofWeth(one, 6n, 90n), gave(zero, one, all)], 'opaque', 7n);
plan('plan: nothing wrapped', [wrapped(two, 0n), ofWeth(one, 6n, 90n)], 'opaque', 7n);
plan('plan: one token', [command('08', [one, 100n, 90n, [token], true])], 'opaque');
plan('plan: half a path', [command('00', [one, 100n, 90n, `${path(token, 500, other)}00`, true])], 'opaque');
plan('plan: no permits', [command('03', [[[], spender, until], '0xabcd']), poolIn(one, 100n, 90n)], 'opaque');
plan('plan: which may fail', [{ ...poolIn(one, 100n, 90n), code: '80' }], 'opaque');
plan('plan: with another bit', [{ ...poolIn(one, 100n, 90n), code: '40' }], 'opaque');
for (const code of ['07', '0e', '0f', '10', '21', '22', '3f']) plan(`plan: command 0x${code}`, [poolIn(one, 100n, 90n), { ...poolIn(one, 100n, 90n), code }], 'opaque');
plan('plan: a longer input', [{ ...poolIn(one, 100n, 90n), input: `${poolIn(one, 100n, 90n).input}00` }], 'opaque');
plan('plan: an input of a word more', [{ ...unwrapped(one, 90n), input: unwrapped(one, 90n).input + word('00').slice(2) }], 'opaque');
plan('plan: a shorter input', [{ ...poolIn(one, 100n, 90n), input: poolIn(one, 100n, 90n).input.slice(0, -64) }], 'opaque');
plan('plan: an input of a newer router', [{ code: '00', input: encoded('(address,uint256,uint256,bytes,bool,uint256[])', [one, 100n, 90n, path(token, 500, other), true, []]) }], 'opaque');
opaque('plan: fewer inputs', router, call('execute(bytes,bytes[],uint256)', '0x0000', [poolIn(one, 100n, 90n).input], until));
opaque('plan: more inputs', router, call('execute(bytes,bytes[],uint256)', '0x00', [poolIn(one, 100n, 90n).input, poolIn(one, 100n, 90n).input], until));
const planned = call('execute(bytes,bytes[])', '0x00', [poolIn(one, 100n, 90n).input]);
opaque('plan: longer', router, `${planned}00`);
opaque('plan: bytes behind the commands', router, `${planned.slice(0, 10 + 4 * 64 - 1)}1${planned.slice(10 + 4 * 64)}`);

process.stdout.write(`[\n${list.map((e) => ` ${JSON.stringify(e)}`).join(',\n')}\n]\n`);
