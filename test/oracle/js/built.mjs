// node built.mjs reads lines of JSON, each the arguments of a transaction that
// Sigil built, and prints what other libraries make of them: viem's and
// web3.js's own transaction, or what @scure/btc-signer signs of a PSBT.
import { createInterface } from 'node:readline';
import { Transaction as Scure } from '@scure/btc-signer';
import { ComputeBudgetProgram, PublicKey, SystemProgram, TransactionInstruction, TransactionMessage, VersionedTransaction } from '@solana/web3.js';
import { encodeFunctionData, erc20Abi, erc721Abi, serializeTransaction } from 'viem';

function evm(o, { to, value = 0n, data }) {
  return { transaction: serializeTransaction({
    type: 'eip1559', chainId: o.chainId, nonce: Number(o.nonce), gas: BigInt(o.gasLimit), maxFeePerGas: BigInt(o.maxFeePerGas), maxPriorityFeePerGas: BigInt(o.maxPriorityFeePerGas), to, value, data,
  }) };
}

function token(abi, functionName, args) { return encodeFunctionData({ abi, functionName, args }); }

function solana(o, transfer) {
  const payerKey = new PublicKey(o.wallet), instructions = [];
  if (o.computeUnitLimit > 0) instructions.push(ComputeBudgetProgram.setComputeUnitLimit({ units: o.computeUnitLimit }));
  if (BigInt(o.computeUnitPrice) > 0n) instructions.push(ComputeBudgetProgram.setComputeUnitPrice({ microLamports: BigInt(o.computeUnitPrice) }));
  const [before, last] = transfer(payerKey);
  instructions.push(...before);
  if (o.memo) instructions.push(new TransactionInstruction({ programId: new PublicKey('MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr'), keys: [], data: Buffer.from(o.memo) }));
  instructions.push(last);
  const message = new TransactionMessage({ payerKey, recentBlockhash: o.blockhash, instructions });
  return { transaction: Buffer.from(new VersionedTransaction(o.version0 ? message.compileToV0Message() : message.compileToLegacyMessage()).serialize()).toString('base64') };
}

const associated = new PublicKey('ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL');

function tokens(o, wallet) {
  const [mint, to, programId] = [o.mint, o.to, o.tokenProgram].map((k) => new PublicKey(k));
  const [source, destination] = [wallet, to].map((owner) => PublicKey.findProgramAddressSync([owner.toBytes(), programId.toBytes(), mint.toBytes()], associated)[0]);
  const key = (pubkey, isWritable = false, isSigner = false) => ({ pubkey, isWritable, isSigner }), data = Buffer.alloc(10);
  data[0] = 12;
  data.writeBigUInt64LE(BigInt(o.amount), 1);
  data[9] = o.decimals;
  const create = new TransactionInstruction({ programId: associated, data: Buffer.from([1]), keys: [key(wallet, true, true), key(destination, true), key(to), key(mint), key(SystemProgram.programId), key(programId)] });
  return [o.createAccount ? [create] : [], new TransactionInstruction({ programId, data, keys: [key(source, true), key(mint), key(destination, true), key(wallet, false, true)] })];
}

/** Signs by the wallet's key, which is 1, and finishes. */
function bitcoin(o) {
  const psbt = Buffer.from(o.transaction, 'base64'), tx = Scure.fromPSBT(psbt), key = new Uint8Array(32);
  key[31] = 1;
  // The library says of each PSBT that it writes that anything may change in it.
  const again = Buffer.from(Buffer.from(tx.toPSBT(2)).toString('hex').replace('0106010301fb04', '01fb04'), 'hex').toString('base64'), unsigned = Buffer.from(tx.unsignedTx).toString('hex');
  tx.sign(key);
  tx.finalize();
  const outputs = Array.from({ length: tx.outputsLength }, (_, i) => [tx.getOutputAddress(i), String(tx.getOutput(i).amount)]);
  return { transaction: again, unsigned, fee: String(tx.fee), vsize: tx.vsize, outputs };
}

const builders = {
  EVMTransfer: (o) => evm(o, { to: o.to, value: BigInt(o.amount) }),
  ERC20Transfer: (o) => evm(o, { to: o.token, data: token(erc20Abi, 'transfer', [o.to, BigInt(o.amount)]) }),
  ERC20Approve: (o) => evm(o, { to: o.token, data: token(erc20Abi, 'approve', [o.spender, BigInt(o.amount)]) }),
  ERC721Transfer: (o) => evm(o, { to: o.token, data: token(erc721Abi, 'safeTransferFrom', [o.from, o.to, BigInt(o.tokenId)]) }),
  SolanaTransfer: (o) => solana(o, (wallet) => [[], SystemProgram.transfer({ fromPubkey: wallet, toPubkey: new PublicKey(o.to), lamports: BigInt(o.amount) })]),
  SolanaTokenTransfer: (o) => solana(o, (wallet) => tokens(o, wallet)),
  BitcoinPayment: bitcoin,
};

for await (const line of createInterface({ input: process.stdin })) {
  const { kind, arguments: o } = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(builders[kind](o))}\n`);
}
