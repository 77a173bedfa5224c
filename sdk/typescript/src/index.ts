export { SigilS2S } from './client.js';
export type { CreatedWallet, SigilS2SOptions, SignOptions, SignOutcome, SignResult, SignAuthorizationOptions, SignDocumentResult, SignTransactionOptions, SignTransactionResult, SignTypedDataOptions, Verified, Wallet, WalletList } from './client.js';
export { SigilApiError, SigilAuthError, SigilConfigError, SigilError, SigilNetworkError, SigilPolicyError, SigilVerificationError } from './errors.js';
export type { VerificationCode } from './errors.js';
export type { Attested } from './evidence.js';
export type { Receipt } from './view.js';
export type { TypedData } from './typeddata.js';
export type { Authorization } from './networks.js';
