-- +goose Up
CREATE TABLE organizations (
  id BLOB PRIMARY KEY, genesis BLOB NOT NULL, digest BLOB NOT NULL UNIQUE, state BLOB NOT NULL, created BIGINT NOT NULL
);
CREATE TABLE grants (
  digest BLOB PRIMARY KEY, organization_id BLOB NOT NULL REFERENCES organizations (id), id BLOB NOT NULL, key_id TEXT NOT NULL UNIQUE,
  envelope BLOB NOT NULL, created BIGINT NOT NULL, revoked BIGINT NOT NULL DEFAULT 0, UNIQUE (organization_id, id)
);
CREATE TABLE revocations (
  grant_digest BLOB PRIMARY KEY REFERENCES grants (digest), organization_id BLOB NOT NULL, envelope BLOB NOT NULL, at BIGINT NOT NULL
);
CREATE TABLE wallets (
  id BLOB PRIMARY KEY, organization_id BLOB NOT NULL REFERENCES organizations (id), record BLOB NOT NULL, label TEXT NOT NULL,
  receipt BLOB NOT NULL, created BIGINT NOT NULL
);
CREATE INDEX wallets_by_organization ON wallets (organization_id, created, id);
CREATE TABLE batches (
  id INTEGER PRIMARY KEY, instance BLOB NOT NULL, number BIGINT NOT NULL, signed BLOB NOT NULL, hashes BLOB NOT NULL, UNIQUE (instance, number)
);
-- One row per decision, in the order of their commits. The two unique indexes are what makes a request id
-- and an Idempotency-Key mean one decision for ever.
CREATE TABLE decisions (
  id BLOB NOT NULL UNIQUE, organization_id BLOB NOT NULL, key_id BLOB NOT NULL, request_id BLOB NOT NULL, idempotency BLOB,
  leaf BLOB NOT NULL, result_kind BIGINT NOT NULL, result BLOB, explanation TEXT NOT NULL,
  batch BIGINT NOT NULL, idx BIGINT NOT NULL
);
CREATE UNIQUE INDEX decisions_by_request ON decisions (request_id, key_id);
CREATE UNIQUE INDEX decisions_by_idempotency ON decisions (idempotency, key_id) WHERE idempotency IS NOT NULL;
CREATE TABLE evidence (
  id BLOB PRIMARY KEY, statement BLOB NOT NULL, token TEXT NOT NULL, release_digest TEXT NOT NULL, version TEXT NOT NULL, stored BIGINT NOT NULL
);

-- +goose Down
DROP TABLE evidence;
DROP TABLE decisions;
DROP TABLE batches;
DROP TABLE wallets;
DROP TABLE revocations;
DROP TABLE grants;
DROP TABLE organizations;
