// Google's clients for Node against the emulated cloud, as a program that a
// deployment would write: credentials come from a configuration file of type
// external_account, endpoints from options, trust from NODE_EXTRA_CA_CERTS and
// GRPC_DEFAULT_SSL_ROOTS_FILE_PATH.
//
//	node clients.mjs CONFIG.json
//
// CONFIG.json: {credentials, endpoint, port, project, key, other}. One line of
// JSON is printed for each call: {face, step, code, ...}; code is 0 for success,
// else what the client gives: the gRPC status, or over REST the HTTP status.
import { readFileSync } from "node:fs";
import { KeyManagementServiceClient } from "@google-cloud/kms";
import { GoogleAuth } from "google-auth-library";

const config = JSON.parse(readFileSync(process.argv[2], "utf8"));
const secret = Buffer.from("0123456789abcdef0123456789abcdef");
const aad = Buffer.from("organization:o:wallet:w:share:tee");

function say(line) {
  process.stdout.write(JSON.stringify(line) + "\n");
}

async function step(face, name, call) {
  try {
    say({ face, step: name, code: 0, ...(await call()) });
  } catch (error) {
    say({ face, step: name, code: typeof error.code === "number" ? error.code : -1, text: String(error.message) });
  }
}

async function session(face) {
  const auth = new GoogleAuth({
    keyFilename: config.credentials,
    projectId: config.project,
    scopes: ["https://www.googleapis.com/auth/cloud-platform"],
  });
  const client = new KeyManagementServiceClient({
    auth, apiEndpoint: config.endpoint, port: config.port, fallback: face === "rest",
  });
  const options = { timeout: 20_000, retry: null };
  let wrapped = Buffer.alloc(113); // for those to whom nothing is encrypted
  await step(face, "encrypt", async () => {
    const [reply] = await client.encrypt({ name: config.key, plaintext: secret, additionalAuthenticatedData: aad }, options);
    wrapped = Buffer.from(reply.ciphertext);
    return { version: reply.name, bytes: wrapped.length };
  });
  const decrypt = (name, ciphertext, data, more = {}) =>
    client.decrypt({ name, ciphertext, additionalAuthenticatedData: data, ...more }, options);
  await step(face, "decrypt", async () => {
    const [reply] = await decrypt(config.key, wrapped, aad);
    return { equal: secret.equals(Buffer.from(reply.plaintext)), primary: reply.usedPrimary };
  });
  await step(face, "wrong AAD", () => decrypt(config.key, wrapped, Buffer.from("other")));
  const flipped = Buffer.from(wrapped);
  flipped[flipped.length - 1] ^= 1;
  await step(face, "flipped bit", () => decrypt(config.key, flipped, aad));
  await step(face, "truncated", () => decrypt(config.key, wrapped.subarray(1), aad));
  await step(face, "wrong checksum", () => decrypt(config.key, wrapped, aad, { ciphertextCrc32c: { value: "1" } }));
  await step(face, "other key", () => decrypt(config.other, wrapped, aad));
  await step(face, "missing key", () => decrypt(config.key + "x", wrapped, aad));
  await step(face, "administration", () => client.createCryptoKeyVersion({ parent: config.key, cryptoKeyVersion: { state: "ENABLED" } }, options));
  await client.close();
}

await session("grpc");
await session("rest");
