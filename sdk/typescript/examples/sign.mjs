// The snippet, with its values from the environment; prints one JSON line.
import { SigilS2S } from '@sigilkeys/sdk';

const apiBaseUrl = process.env.SIGIL_API_BASE_URL;
const walletId = process.env.SIGIL_WALLET_ID;

const sigil = new SigilS2S({ apiBaseUrl, secretKey: process.env.SIGIL_SECRET_KEY });
const { signature, ...rest } = await sigil.sign({ walletId, network: 'base', message: 'audit-log-2026-06' });

console.log(JSON.stringify({ signature, ...rest }));
