// User operations of ERC-4337, of entry points 0.6 to 0.9.
import { AbiCoder, TypedDataEncoder, concat, getBytes, hashMessage as ethersMessage, keccak256, toBeHex, zeroPadValue } from 'ethers';
import { hashMessage as viemMessage } from 'viem';
import { entryPoint06Address, entryPoint07Address, entryPoint08Address, entryPoint09Address, formatUserOperationRequest, getUserOperationHash } from 'viem/account-abstraction';
import { attempt } from './random.mjs';

const entryPoints = { '0.6': entryPoint06Address, '0.7': entryPoint07Address, '0.8': entryPoint08Address, '0.9': entryPoint09Address };
const abi = AbiCoder.defaultAbiCoder();
const half = (v) => zeroPadValue(toBeHex(v), 16);
const members = { PackedUserOperation: ['address sender', 'uint256 nonce', 'bytes initCode', 'bytes callData', 'bytes32 accountGasLimits', 'uint256 preVerificationGas', 'bytes32 gasFees', 'bytes paymasterAndData']
  .map((m) => ({ type: m.split(' ')[0], name: m.split(' ')[1] })) };

/** The hash by ethers' encoders, of the document that Sigil is given. */
function byEthers(version, chainId, at, o) {
  const initCode = o.eip7702Auth ? concat([o.eip7702Auth.address, o.factoryData ?? '0x']) : o.initCode ?? (o.factory ? concat([o.factory, o.factoryData ?? '0x']) : '0x');
  const outer = (types, values) => keccak256(abi.encode(['bytes32', 'address', 'uint256'], [keccak256(abi.encode(types, values)), at, chainId]));
  if (version === '0.6') {
    return outer(['address', 'uint256', 'bytes32', 'bytes32', 'uint256', 'uint256', 'uint256', 'uint256', 'uint256', 'bytes32'], [o.sender, o.nonce, keccak256(initCode), keccak256(o.callData),
      o.callGasLimit, o.verificationGasLimit, o.preVerificationGas, o.maxFeePerGas, o.maxPriorityFeePerGas, keccak256(o.paymasterAndData ?? '0x')]);
  }
  const paymasterAndData = o.paymaster ? concat([o.paymaster, half(o.paymasterVerificationGasLimit ?? 0), half(o.paymasterPostOpGasLimit ?? 0), o.paymasterData ?? '0x', ...(o.paymasterSignature ? ['0x22e325a297439656'] : [])]) : '0x';
  const packed = { sender: o.sender, nonce: o.nonce, initCode, callData: o.callData, accountGasLimits: concat([half(o.verificationGasLimit), half(o.callGasLimit)]),
    preVerificationGas: o.preVerificationGas, gasFees: concat([half(o.maxPriorityFeePerGas), half(o.maxFeePerGas)]), paymasterAndData };
  if (version === '0.7') {
    return outer(['address', 'uint256', 'bytes32', 'bytes32', 'bytes32', 'uint256', 'bytes32', 'bytes32'], [packed.sender, packed.nonce, keccak256(initCode), keccak256(packed.callData),
      packed.accountGasLimits, packed.preVerificationGas, packed.gasFees, keccak256(paymasterAndData)]);
  }
  return TypedDataEncoder.hash({ name: 'ERC4337', version: '1', chainId, verifyingContract: at }, members, packed);
}

export function userOperation(r) {
  const version = r.pick(Object.keys(entryPoints)), chainId = r.pick([1, 10, 8453, 2 ** 31, 2 ** 53 - 1]), at = entryPoints[version];
  const address = () => `0x${r.hex(20)}`, bytes = () => `0x${r.hex(r.pick([0, 1, 4, 31, 32, 33, 68, 300]))}`;
  const integer = (bits) => BigInt(`0x${r.hex(32)}`) >> BigInt(256 - r.pick([1, 8, 64, bits - 1, bits]));
  const gas = () => integer(r.chance(1) ? 121 : 120);
  const o = { sender: address(), nonce: integer(256), callData: bytes(), callGasLimit: gas(), verificationGasLimit: gas(), preVerificationGas: gas(), maxFeePerGas: gas(), maxPriorityFeePerGas: gas(), signature: bytes() };
  if (version === '0.6') {
    o.initCode = r.chance(50) ? '0x' : address() + r.hex(r.below(80));
    o.paymasterAndData = r.chance(50) ? '0x' : address() + r.hex(r.below(80));
  } else {
    if (r.chance(40)) Object.assign(o, { factory: address(), factoryData: bytes() });
    if (version > '0.7' && r.chance(40)) {
      Object.assign(o, { factory: r.pick(['0x7702', `0x7702${'00'.repeat(18)}`]), factoryData: bytes(), authorization: { address: address(), chainId, nonce: r.below(1000), r: `0x${r.hex(32)}`, s: `0x${r.hex(32)}`, yParity: r.below(2) } });
    }
    if (r.chance(50)) Object.assign(o, { paymaster: address(), paymasterVerificationGasLimit: gas(), paymasterPostOpGasLimit: gas(), paymasterData: bytes() });
    if (version === '0.9' && o.paymaster && r.chance(50)) o.paymasterSignature = bytes();
  }
  const user_operation = formatUserOperationRequest(o), message = version < '0.8';
  const hash = (f, digest, raw) => attempt(() => (message ? digest(raw(f())) : f()));
  return { chain_id: chainId, user_operation: { entry_point: at, entry_point_version: version, user_operation },
    a: hash(() => byEthers(version, chainId, at, user_operation), ethersMessage, getBytes),
    b: hash(() => getUserOperationHash({ chainId, entryPointAddress: at, entryPointVersion: version, userOperation: o }), viemMessage, (raw) => ({ raw })) };
}
