// Unsigned transactions: what Go's package unsigned builds, byte for byte, and
// refuses, for the same argument.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { decodeBase58 } from '../dist/base58.js';
import { parseAddress } from '../dist/bitcoinaddress.js';
import { family } from '../dist/networks.js';
import * as sdk from '../dist/index.js';

const list = JSON.parse(readFileSync(new URL('../../../unsigned/testdata/transactions.json', import.meta.url), 'utf8'));
const builders = {
  EVMTransfer: sdk.evmTransfer, ERC20Transfer: sdk.erc20Transfer, ERC20Approve: sdk.erc20Approve, ERC721Transfer: sdk.erc721Transfer,
  SolanaTransfer: sdk.solanaTransfer, SolanaTokenTransfer: sdk.solanaTokenTransfer, BitcoinPayment: sdk.bitcoinPayment,
};
const secp = Buffer.from('0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798', 'hex'), ed = Buffer.from(`58${'66'.repeat(31)}`, 'hex');

/** A refusal that begins with the option's name. */
const names = (option) => (e) => e instanceof sdk.SigilConfigError && e.code === 'invalid_argument' && e.message.startsWith(`${option}: `);

const bigints = (v) => Object.fromEntries(Object.entries(v).map(([k, x]) => [k, typeof x === 'string' && /^(0|[1-9]\d*)$/.test(x) && x.length < 70 && k !== 'memo' ? BigInt(x) : x]));

test('the same bytes as Go builds, and the same refusals', () => {
  let built = 0;
  for (const { name, kind, arguments: args, transaction, refused, ...result } of list) {
    const build = builders[kind];
    if (refused) {
      assert.throws(() => build(args), names(refused), name);
      continue;
    }
    for (const options of [args, bigints(args)]) { // amounts as text, and as bigint
      const out = build(options);
      assert.equal(out.transaction ?? out, transaction, name);
      if (out.transaction) assert.deepEqual({ fee: String(out.fee), change: String(out.change), vsize: String(out.vsize) }, result, name);
    }
    assert.ok(family(args.network).transaction(args.network, transaction, args.network.startsWith('solana') ? ed : secp).signBytes.length > 0, name);
    built++;
  }
  assert.ok(built >= 35 && list.length - built >= 80, `${built} of ${list.length}`);
});

test('each kind is in the vectors', () => {
  for (const kind of Object.keys(builders)) assert.ok(list.some((v) => v.kind === kind && v.transaction), kind);
});

test('what types would have kept out is refused by name', () => {
  const of = (kind) => structuredClone(list.find((v) => v.kind === kind && v.transaction).arguments);
  const refuses = (kind, option, change) => {
    const o = of(kind);
    change(o);
    assert.throws(() => builders[kind](o), names(option), `${kind} ${option}`);
  };
  for (const v of [-1n, '-1', '1.5', '0x10', '01', '', ' 1', 1, 1.5, null, undefined, {}, true, '1e3', `1${'0'.repeat(78)}`]) refuses('EVMTransfer', 'amount', (o) => { o.amount = v; });
  for (const v of [-1, 1.5, NaN, 2 ** 53, -0, '1n', null]) refuses('EVMTransfer', 'nonce', (o) => { o.nonce = v; });
  refuses('EVMTransfer', 'gasLimit', (o) => { o.gasLimit = 1n << 64n; });
  refuses('EVMTransfer', 'network', (o) => { o.network = 'toString'; });
  refuses('EVMTransfer', 'network', (o) => { o.network = ['base']; });
  refuses('EVMTransfer', 'to', (o) => { o.to = [o.to]; });
  refuses('EVMTransfer', 'maxFeePerGass', (o) => { o.maxFeePerGass = 1n; });
  refuses('SolanaTransfer', 'amount', (o) => { o.amount = 1n << 64n; });
  refuses('SolanaTransfer', 'memo', (o) => { o.memo = '\ud800'; });
  refuses('SolanaTransfer', 'memo', (o) => { o.memo = 7; });
  refuses('SolanaTransfer', 'version0', (o) => { o.version0 = 'false'; });
  refuses('SolanaTransfer', 'computeUnitPrice', (o) => { o.computeUnitPrice = 1n << 64n; });
  refuses('SolanaTransfer', 'computeUnitLimit', (o) => { o.computeUnitLimit = -1; });
  refuses('SolanaTransfer', 'wallet', (o) => { o.wallet = decodeBase58(o.wallet, 32); });
  refuses('SolanaTransfer', 'toOffCurve', (o) => { o.toOffCurve = true; });
  refuses('SolanaTokenTransfer', 'decimals', (o) => { o.decimals = 256; });
  refuses('SolanaTokenTransfer', 'createAccount', (o) => { o.createAccount = 1; });
  refuses('BitcoinPayment', 'inputs', (o) => { o.inputs = {}; });
  refuses('BitcoinPayment', 'recipients', (o) => { o.recipients = undefined; });
  refuses('BitcoinPayment', 'options', (o) => { o.inputs = [null]; });
  refuses('BitcoinPayment', 'inputs[0]', (o) => { o.inputs[0].index = 1n << 32n; });
  refuses('BitcoinPayment', 'recipients[0]', (o) => { o.recipients[0].amount = 1000.5; });
  for (const v of [NaN, Infinity, -1, '10', 10n]) refuses('BitcoinPayment', 'feeRate', (o) => { o.feeRate = v; });
  refuses('BitcoinPayment', 'replaceable', (o) => { o.replaceable = 'yes'; });
  for (const build of Object.values(builders)) assert.throws(() => build(), names('options'));
});

test('small numbers may be numbers', () => {
  const o = { ...list.find((v) => v.kind === 'EVMTransfer' && v.transaction).arguments };
  assert.equal(sdk.evmTransfer({ ...o, nonce: 7, gasLimit: 100_000 }), sdk.evmTransfer({ ...o, nonce: '7', gasLimit: 100_000n }));
});

test('addresses of witness programs, as BIP-173 and BIP-350 have them', () => {
  const good = [
    ['bitcoin', 'BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4', '0014751e76e8199196d454941c45d1b3a323f1433bd6'],
    ['bitcoin-signet', 'tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7', '00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262'],
    ['bitcoin', 'bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y', '5128751e76e8199196d454941c45d1b3a323f1433bd6751e76e8199196d454941c45d1b3a323f1433bd6'],
    ['bitcoin', 'BC1SW50QGDZ25J', '6002751e'],
  ];
  for (const [network, text, script] of good) assert.equal(Buffer.from(parseAddress(network, text)).toString('hex'), script, text);
  const wrong = ['bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd', 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh', 'BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL', 'bc1pw5dgrnzv', 'bc1gmk9yu', 'bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4', 'bc1', '', 'tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx'];
  for (const text of wrong) assert.equal(parseAddress('bitcoin', text), undefined, text);
});
