// The package as its users get it: packed, installed from the tarball in a
// folder outside the repository, without a network, compiled against with the
// strictest settings, and run.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { message, start } from './support/start.mjs';

const run = promisify(execFile);
const sdk = fileURLToPath(new URL('..', import.meta.url));
const snippet = ["import { SigilS2S } from '@sigilkeys/sdk';", 'const sigil = new SigilS2S({ apiBaseUrl, secretKey: process.env.SIGIL_SECRET_KEY! });', `const { signature } = await sigil.sign({ walletId, network: 'base', message: '${message}' });`];

test('the tarball works outside the repository', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sigil sdk '));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  // npm's own variables, set by `npm test`, would point it at this package.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_(?!config_cache$)|^INIT_CWD$|^NODE_TEST_CONTEXT$/i.test(name)));
  const npm = (...args) => run('npm', args, { cwd: folder, env, shell: process.platform === 'win32' });
  const packed = await npm('pack', '--ignore-scripts', '--silent', '--pack-destination', folder, sdk, ...['curves', 'hashes'].map((n) => join(sdk, 'node_modules/@noble', n)));
  const tarballs = packed.stdout.trim().split('\n').map((name) => `./${name}`);
  assert.equal(tarballs.length, 3);
  writeFileSync(join(folder, 'package.json'), '{"private":true,"type":"module"}');
  await npm('install', '--offline', '--no-audit', '--no-fund', ...tarballs);

  const installed = join(folder, 'node_modules/@sigilkeys/sdk');
  assert.deepEqual(readdirSync(installed).sort(), ['README.md', 'dist', 'package.json']);
  const { dependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  assert.deepEqual(Object.keys(dependencies), ['@noble/curves', '@noble/hashes']);

  copyFileSync(join(sdk, 'examples/sign.ts'), join(folder, 'example.ts'));
  writeFileSync(join(folder, 'snippet.ts'), `declare const apiBaseUrl: string, walletId: string;\n${snippet.join('\n')}\nexport const text: string = signature;\n`);
  writeFileSync(join(folder, 'wrong.ts'), `${snippet[0]}\nnew SigilS2S({ apiBaseUrl: 7 });\n`);
  const tsc = (...files) => run(process.execPath, [join(sdk, 'node_modules/typescript/bin/tsc'), '--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--target', 'ES2022', '--module', 'NodeNext', '--types', 'node', '--typeRoots', join(sdk, 'node_modules/@types'), ...files], { cwd: folder });
  await tsc('snippet.ts', 'example.ts');
  await assert.rejects(tsc('--noEmit', 'wrong.ts'), (e) => /^wrong\.ts.*TS\d+/.test(e.stdout)); // the types do check

  const s = await start(t);
  const { stdout } = await run(process.execPath, ['example.js'], { cwd: folder, env: { ...env, SIGIL_API_BASE_URL: s.url, SIGIL_WALLET_ID: s.wallet.id, SIGIL_SECRET_KEY: s.secret } });
  assert.match(stdout, /^0x[0-9a-f]{130} GCP_AMD_SEV sha256:[0-9a-f]{64}\n$/);
});

test('README and examples show the snippet', async (t) => {
  const readme = readFileSync(join(sdk, 'README.md'), 'utf8');
  for (const line of snippet) assert.ok(readme.includes(line), line);
  const s = await start(t);
  const { stdout } = await run(process.execPath, ['examples/sign.mjs'], { cwd: sdk, env: { ...process.env, SIGIL_API_BASE_URL: s.url, SIGIL_WALLET_ID: s.wallet.id, SIGIL_SECRET_KEY: s.secret } });
  const shown = JSON.parse(stdout);
  assert.equal(shown.address, s.wallet.addresses.base);
  assert.equal(shown.verified.attested.hardware, 'GCP_AMD_SEV');
});

test('dependencies are exact, and no registry is named', () => {
  const read = (name) => readFileSync(join(sdk, name), 'utf8');
  const { dependencies, devDependencies } = JSON.parse(read('package.json'));
  for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) assert.match(version, /^\d+\.\d+\.\d+$/, name);
  const lock = JSON.parse(read('package-lock.json'));
  for (const [name, entry] of Object.entries(lock.packages)) {
    assert.equal(entry.resolved, undefined, name);
    if (name) assert.match(entry.integrity, /^sha512-/, name);
  }
});
