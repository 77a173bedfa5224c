// Authorisations of EIP-7702.
import { hashAuthorization as ethers } from 'ethers';
import { hashAuthorization as viem } from 'viem/utils';
import { attempt } from './random.mjs';

export function authorization(r) {
  const chainId = r.pick([0, 1, 10, 8453, 2 ** 31, 2 ** 53 - 1]), nonce = r.pick([0, 1, 127, 128, 255, 256, 2 ** 32, 2 ** 53 - 1, r.below(1 << 30)]);
  const address = r.chance(10) ? '0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045' : `0x${r.hex(20)}`;
  return { authorization: { chain_id: chainId, address, nonce }, a: attempt(() => ethers({ chainId, address, nonce })), b: attempt(() => viem({ chainId, address, nonce })) };
}
