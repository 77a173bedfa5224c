// node cases.mjs FAMILY SEED COUNT prints cases as lines of JSON: a payload as
// Sigil takes it, and the digest that each of two libraries makes of it, null
// where it refuses.
import { authorization } from './authorization.mjs';
import { bitcoin, bitcoin2 } from './bitcoin.mjs';
import { message, transaction } from './evm.mjs';
import { mutatedTypedData } from './mutated.mjs';
import { random } from './random.mjs';
import { solana } from './solana.mjs';
import { typedData } from './typeddata.mjs';
import { userOperation } from './userop.mjs';

const families = { 'evm-transaction': transaction, 'evm-message': message, 'evm-typed-data': typedData, 'evm-typed-data-mutated': mutatedTypedData, 'evm-authorization': authorization, 'evm-user-operation': userOperation, 'solana-transaction': solana, 'bitcoin-psbt': bitcoin, 'bitcoin-psbt-2': bitcoin2 };
const [family, seed, count] = process.argv.slice(2);
const make = families[family];
for (let i = 0; i < Number(count); i++) {
  const line = `${JSON.stringify(make(random(Number(seed) * 1_000_003 + i)))}\n`;
  if (!process.stdout.write(line)) await new Promise((done) => process.stdout.once('drain', done));
}
