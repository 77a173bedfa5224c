import { SigilS2S } from '@sigilkeys/sdk';

const apiBaseUrl = process.env.SIGIL_API_BASE_URL!;
const walletId = process.env.SIGIL_WALLET_ID!;

const sigil = new SigilS2S({ apiBaseUrl, secretKey: process.env.SIGIL_SECRET_KEY! });
const { signature, verified } = await sigil.sign({ walletId, network: 'base', message: 'audit-log-2026-06' });

console.log(signature, verified.attested.hardware, verified.attested.imageDigest);
