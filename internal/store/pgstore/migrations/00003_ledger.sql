-- +goose Up
-- Batches whose decisions are in no ledger yet.
CREATE TABLE unfolded (batch BIGINT PRIMARY KEY);
INSERT INTO unfolded (batch) SELECT id FROM batches;
CREATE INDEX decisions_by_batch ON decisions (batch, idx);
CREATE TABLE ledgers (organization_id BYTEA PRIMARY KEY, size BIGINT NOT NULL, note TEXT NOT NULL, noted BIGINT NOT NULL);
CREATE INDEX ledgers_unnoted ON ledgers (organization_id) WHERE size > noted;
CREATE TABLE ledger_entries (
  organization_id BYTEA NOT NULL, idx BIGINT NOT NULL, receipt BYTEA NOT NULL UNIQUE, PRIMARY KEY (organization_id, idx)
);
CREATE TABLE ledger_tiles (
  organization_id BYTEA NOT NULL, level BIGINT NOT NULL, idx BIGINT NOT NULL, hashes BYTEA NOT NULL, PRIMARY KEY (organization_id, level, idx)
);
GRANT SELECT, INSERT, DELETE ON unfolded TO sigil_app;
GRANT SELECT, INSERT ON ledger_entries TO sigil_app;
GRANT SELECT, INSERT, UPDATE ON ledgers, ledger_tiles TO sigil_app;

-- +goose Down
DROP TABLE ledger_tiles;
DROP TABLE ledger_entries;
DROP TABLE ledgers;
DROP INDEX decisions_by_batch;
DROP TABLE unfolded;
