-- +goose Up
-- Labels and explanations are bytes: PostgreSQL's text has no NUL, and one row with one would fail the
-- commit of everybody who shares the transaction.
CREATE TABLE wallets (
  id BYTEA PRIMARY KEY, organization_id BYTEA NOT NULL REFERENCES organizations (id), record BYTEA NOT NULL, label BYTEA NOT NULL,
  receipt BYTEA NOT NULL, created BIGINT NOT NULL
);
CREATE INDEX wallets_by_organization ON wallets (organization_id, created, id);
-- An instance signs a number once: batches_once is what tells a commit of unknown outcome from none.
CREATE TABLE batches (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, instance BYTEA NOT NULL, number BIGINT NOT NULL, signed BYTEA NOT NULL, hashes BYTEA NOT NULL,
  CONSTRAINT batches_once UNIQUE (instance, number)
);
-- One row per decision. The two unique indexes are what makes a request id and an Idempotency-Key mean one
-- decision for ever, whichever replica it came to.
CREATE TABLE decisions (
  id BYTEA NOT NULL UNIQUE, organization_id BYTEA NOT NULL, key_id BYTEA NOT NULL, request_id BYTEA NOT NULL, idempotency BYTEA,
  leaf BYTEA NOT NULL, result_kind BIGINT NOT NULL, result BYTEA, explanation BYTEA NOT NULL,
  batch BIGINT NOT NULL, idx BIGINT NOT NULL
);
CREATE UNIQUE INDEX decisions_by_request ON decisions (request_id, key_id);
CREATE UNIQUE INDEX decisions_by_idempotency ON decisions (idempotency, key_id) WHERE idempotency IS NOT NULL;
GRANT SELECT, INSERT ON wallets, batches, decisions TO sigil_app;

-- +goose Down
DROP TABLE decisions;
DROP TABLE batches;
DROP TABLE wallets;
