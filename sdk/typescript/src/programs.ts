import { hex } from './canon.js';
import { type Action } from './erc.js';
import { NotUnderstood, View, need, ordered } from './instruction.js';
import { type Instruction, type SolanaMessage } from './solana.js';

const system = '11111111111111111111111111111111';
const stake = 'Stake11111111111111111111111111111111111111';
const token = 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA';
const token2022 = 'TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb';
const associated = 'ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL';
const memo1 = 'Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo';
const memo2 = 'MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr';
const clock = 'SysvarC1ock11111111111111111111111111111111';
const rent = 'SysvarRent111111111111111111111111111111111';
const blockhashes = 'SysvarRecentB1ockHashes11111111111111111111';
const stakeHistory = 'SysvarStakeHistory1111111111111111111111111';
const stakeConfig = 'StakeConfig11111111111111111111111111111111';
const budget = 'ComputeBudget111111111111111111111111111111';

export const programs = {
  budget,
  builtin: new Set([system, budget, 'Vote111111111111111111111111111111111111111', 'BPFLoader1111111111111111111111111111111111', 'BPFLoader2111111111111111111111111111111111',
    'BPFLoaderUpgradeab1e11111111111111111111111', 'LoaderV411111111111111111111111111111111111']),
  precompiles: new Set(['Ed25519SigVerify111111111111111111111111111', 'KeccakSecp256k11111111111111111111111111111', 'Secp256r1SigVerify1111111111111111111111111']),
};

/** What an instruction does (docs/FORMATS.md section 7.6). */
export function describe(m: SolanaMessage, i: Instruction, wallet: string, flags: Set<string>): Action {
  const v = new View(m, i, wallet);
  try {
    read(v);
    v.end();
  } catch (e) {
    if (!(e instanceof NotUnderstood)) throw e;
    return ordered({ kind: 'opaque', contract: v.program, selector: hex(i.data.subarray(0, 8)) });
  }
  for (const f of v.flags) flags.add(f);
  return ordered(v.unresolved ? { ...v.a, kind: 'unresolved' } : v.a);
}

function read(v: View): void {
  switch (v.program) {
    case system: return systemProgram(v);
    case token: return tokenProgram(v);
    case token2022:
      v.flags.push('token_2022');
      return tokenProgram(v);
    case associated: return associatedProgram(v);
    case stake: return stakeProgram(v);
    case memo1: case memo2: return memo(v);
    default: throw new NotUnderstood();
  }
}

function memo(v: View): void {
  v.is('memo', 'memo');
  v.a.text = v.text(v.left);
  if (v.program === memo1) v.references();
  while (v.more) v.next('s');
}

function systemProgram(v: View): void {
  const tag = v.tag(4);
  switch (tag) {
    case 0:
      v.is('create_account', 'createAccount');
      v.a.from = v.own('sw');
      v.a.to = v.account('sw');
      v.native();
      v.u64();
      v.a.spender = v.key();
      if (v.a.to === v.wallet) v.flags.push('assign');
      return;
    case 2:
      v.is('transfer', 'transfer');
      v.a.from = v.own('sw');
      v.a.to = v.account('w');
      v.native();
      return v.references();
    case 3: return createWithSeed(v);
    case 11:
      v.is('transfer', 'transferWithSeed');
      v.a.from = v.account('w');
      v.a.authority = v.own('s');
      v.a.to = v.account('w');
      v.native();
      v.seed();
      v.key();
      return;
    case 1: case 8: case 9: case 10: return allocation(v, tag);
    case 4: case 5: case 6: case 7: case 12: return nonce(v, tag);
    default: throw new NotUnderstood();
  }
}

function createWithSeed(v: View): void {
  v.is('create_account', 'createAccountWithSeed');
  const payer = v.account('sw');
  v.a.to = v.account('w');
  const base = v.more ? v.account('s') : payer;
  need(v.key() === base);
  v.a.from = v.notOwn(payer);
  v.a.authority = v.notOwn(base);
  v.seed();
  v.native();
  v.u64();
  v.a.spender = v.key();
}

function allocation(v: View, tag: number): void {
  const seeded = tag > 8, account = v.account(seeded ? 'w' : 'sw');
  if (seeded) {
    const base = v.account('s');
    need(v.key() === base);
    v.a.authority = v.notOwn(base);
    v.seed();
  }
  v.a.account = v.notOwn(account);
  const setup = tag === 8 || tag === 9;
  v.is(setup ? 'setup' : 'authorize', { 1: 'assign', 8: 'allocate', 9: 'allocateWithSeed', 10: 'assignWithSeed' }[tag]!);
  if (setup) v.u64();
  if (tag !== 8) {
    v.a.spender = v.key();
    v.flags.push('assign');
  }
  if (account === v.wallet) v.a.kind = 'delegate';
}

function nonce(v: View, tag: number): void {
  const account = v.account('w');
  if (tag !== 5) v.a.account = account;
  switch (tag) {
    case 4:
      v.is('setup', 'advanceNonce');
      v.named(blockhashes);
      v.a.authority = v.own('s');
      return;
    case 5:
      v.is('transfer', 'withdrawNonce');
      v.a.from = account;
      v.a.to = v.account('w');
      v.named(blockhashes);
      v.named(rent);
      v.a.authority = v.own('s');
      return v.native();
    case 6:
      v.is('setup', 'initializeNonce');
      v.named(blockhashes);
      v.named(rent);
      v.a.spender = v.key();
      return;
    case 7:
      v.is('authorize', 'authorizeNonce');
      v.a.authority = v.own('s');
      v.a.spender = v.key();
      v.flags.push('nonce_authorize');
      return;
    default:
      return v.is('setup', 'upgradeNonce');
  }
}

/** Who decides over a token account or mint: a signer, or one for several. */
function owner(v: View): void {
  const i = v.next();
  v.a.authority = v.notOwn(v.m.name(i));
  if (i < v.m.signers) {
    if (v.program === token) v.references();
    return;
  }
  need(v.others > 0 && v.others <= 11);
  while (v.more) v.next('s');
}

function tokenProgram(v: View): void {
  const tag = v.tag(1);
  switch (tag) {
    case 3: case 12: return tokenTransfer(v, tag === 12);
    case 26: case 44: return tokenExtension(v, tag);
    case 4: case 13: return tokenApprove(v, tag === 13);
    case 7: case 8: case 14: case 15: return tokenSupply(v, tag);
    case 5:
      v.is('revoke', 'revoke');
      v.a.from = v.account('w');
      owner(v);
      v.flags.push('unknown_mint');
      return;
    case 6: return tokenAuthority(v);
    case 9:
      v.is('close', 'closeAccount');
      v.a.asset = 'native';
      v.a.from = v.account('w');
      v.a.to = v.account('w');
      owner(v);
      v.flags.push('close_account', 'unknown_amount');
      return;
    case 10: case 11:
      v.is('freeze', tag === 10 ? 'freezeAccount' : 'thawAccount');
      v.a.account = v.account('w');
      v.a.asset = v.account();
      return owner(v);
    case 17:
      v.is('wrap', 'syncNative');
      v.a.asset = 'native';
      v.a.to = v.account('w');
      v.flags.push('unknown_amount');
      return;
    default: return tokenSetup(v, tag);
  }
}

function mint(v: View, checked: boolean): void {
  if (checked) v.a.asset = v.account();
  else v.flags.push('unknown_mint');
}

function tokenTransfer(v: View, checked: boolean): void {
  v.is('token_transfer', checked ? 'transferChecked' : 'transfer');
  v.a.from = v.account('w');
  mint(v, checked);
  v.a.to = v.account('w');
  owner(v);
  v.amount();
  if (checked) v.u8();
}

function tokenExtension(v: View, tag: number): void {
  const sub = v.u8();
  v.a.selector += hex(new Uint8Array([sub]));
  need(v.program === token2022);
  if (tag === 26 && sub === 1) {
    tokenTransfer(v, true);
    v.a.method = 'transferCheckedWithFee';
    v.u64();
    return;
  }
  need(tag === 44 && (sub === 1 || sub === 2));
  v.is('freeze', sub === 1 ? 'pause' : 'resume');
  v.a.asset = v.account('w');
  owner(v);
}

function tokenApprove(v: View, checked: boolean): void {
  v.is('approve', checked ? 'approveChecked' : 'approve');
  v.a.from = v.account('w');
  mint(v, checked);
  v.a.spender = v.account();
  owner(v);
  if (v.amount() === (1n << 64n) - 1n) v.flags.push('unlimited_approval');
  if (checked) v.u8();
  v.flags.push('approval');
}

function tokenSupply(v: View, tag: number): void {
  const makes = tag === 7 || tag === 14;
  v.is(makes ? 'mint' : 'burn', (makes ? 'mintTo' : 'burn') + (tag >= 14 ? 'Checked' : ''));
  if (makes) {
    v.a.asset = v.account('w');
    v.a.to = v.account('w');
  } else {
    v.a.from = v.account('w');
    v.a.asset = v.account('w');
  }
  owner(v);
  v.amount();
  if (tag >= 14) v.u8();
}

const authorities = ['mint_tokens', 'freeze_account', 'account_owner', 'close_account'];
const authorities2022 = [...authorities, 'transfer_fee_config', 'withheld_withdraw', 'close_mint', 'interest_rate', 'permanent_delegate', 'confidential_transfer_mint',
  'transfer_hook_program_id', 'confidential_transfer_fee_config', 'metadata_pointer', 'group_pointer', 'group_member_pointer', 'scaled_ui_amount', 'pause'];

function tokenAuthority(v: View): void {
  v.is('authorize', 'setAuthority');
  v.a.account = v.account('w');
  owner(v);
  v.a.text = v.word(v.u8(), v.program === token ? authorities : authorities2022);
  v.a.spender = v.optionalKey();
  v.flags.push('set_authority');
}

function tokenSetup(v: View, tag: number): void {
  v.a.kind = 'setup';
  v.a.account = v.account('w');
  switch (tag) {
    case 0: case 20:
      v.a.method = 'initializeMint';
      v.u8();
      v.a.spender = v.key();
      v.optionalKey();
      if (tag === 0) v.named(rent);
      return;
    case 1: case 16: case 18:
      v.a.method = 'initializeAccount';
      v.a.asset = v.account();
      v.a.spender = tag === 1 ? v.account() : v.key();
      if (tag !== 18) v.named(rent);
      return;
    case 2: case 19: {
      v.a.method = 'initializeMultisig';
      if (tag === 2) v.named(rent);
      const n = v.others, needed = v.u8();
      need(needed > 0 && needed <= n && n <= 11);
      while (v.more) v.next();
      return;
    }
    case 22:
      v.a.method = 'initializeImmutableOwner';
      return;
    default: throw new NotUnderstood();
  }
}

function associatedProgram(v: View): void {
  const tag = v.left > 0 ? v.tag(1) : 0;
  need(tag <= 2);
  if (tag === 2) {
    v.is('token_transfer', 'recoverNested');
    v.a.from = v.account('w');
    v.a.asset = v.account();
    v.a.to = v.account('w');
    v.next();
    v.next();
    v.a.authority = v.own('sw');
    v.named(token, token2022);
    v.flags.push('close_account', 'unknown_amount');
    return;
  }
  v.is('create_account', tag === 1 ? 'createAssociatedIdempotent' : 'createAssociated');
  v.a.asset = 'native';
  v.a.from = v.own('sw');
  v.a.to = v.account('w');
  v.a.spender = v.account();
  v.a.account = v.account();
  v.named(system);
  v.named(token, token2022);
  if (v.more) v.named(rent);
  v.flags.push('unknown_amount');
}

function stakeProgram(v: View): void {
  const tag = v.tag(4);
  switch (tag) {
    case 0: case 9: return stakeSetup(v, tag === 9);
    case 1: case 8: case 10: case 11: return stakeAuthorize(v, tag);
    case 2:
      v.is('stake', 'delegateStake');
      v.a.account = v.account('w');
      v.a.to = v.account();
      for (const name of [clock, stakeHistory, stakeConfig]) v.named(name);
      v.a.authority = v.own('s');
      return;
    case 4:
      v.is('transfer', 'withdrawStake');
      v.a.from = v.account('w');
      v.a.to = v.account('w');
      v.named(clock);
      v.named(stakeHistory);
      v.a.authority = v.own('s');
      if (v.more) v.next('s');
      return v.native();
    case 5:
      v.is('unstake', 'deactivateStake');
      v.a.account = v.account('w');
      v.named(clock);
      v.a.authority = v.own('s');
      return;
    case 6: return stakeLockup(v);
    case 7:
      v.is('close', 'mergeStake');
      v.a.asset = 'native';
      v.a.to = v.account('w');
      v.a.from = v.account('w');
      v.named(clock);
      v.named(stakeHistory);
      v.a.authority = v.own('s');
      v.flags.push('close_account', 'unknown_amount');
      return;
    case 3: case 16: case 17:
      v.is('transfer', { 3: 'splitStake', 16: 'moveStake', 17: 'moveLamports' }[tag]);
      v.a.from = v.account('w');
      v.a.to = v.account('w');
      v.a.authority = v.own('s');
      return v.native();
    default: throw new NotUnderstood();
  }
}

function stakeSetup(v: View, checked: boolean): void {
  v.a.account = v.account('w');
  v.named(rent);
  v.is('setup', checked ? 'initializeStakeChecked' : 'initializeStake');
  if (checked) {
    v.next();
    v.a.spender = v.account('s');
    return;
  }
  v.key();
  v.a.spender = v.key();
  const at = v.u64(), epoch = v.u64(), custodian = v.key();
  if (at !== 0n || epoch !== 0n || custodian !== system) v.flags.push('stake_lockup');
}

function stakeAuthorize(v: View, tag: number): void {
  const seeded = tag === 8 || tag === 11, checked = tag >= 10;
  v.is('authorize', `authorizeStake${checked ? 'Checked' : ''}${seeded ? 'WithSeed' : ''}`);
  v.a.account = v.account('w');
  if (!seeded) v.named(clock);
  v.a.authority = v.own('s');
  if (seeded) v.named(clock);
  v.a.spender = checked ? v.account('s') : v.key();
  if (v.more) v.next('s');
  v.a.text = v.word(v.u32(), ['staker', 'withdrawer']);
  if (seeded) {
    v.seed();
    v.key();
  }
  v.flags.push('stake_authorize');
}

function stakeLockup(v: View): void {
  v.is('authorize', 'setStakeLockup');
  v.a.account = v.account('w');
  v.a.authority = v.own('s');
  for (let i = 0; i < 2; i++) if (v.present()) v.u64();
  v.a.spender = v.optionalKey();
  v.flags.push('stake_lockup');
}
