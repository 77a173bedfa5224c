-- +goose Up
-- Batches whose decisions are in no ledger yet.
CREATE TABLE unfolded (batch BIGINT PRIMARY KEY);
INSERT INTO unfolded (batch) SELECT id FROM batches;
CREATE INDEX decisions_by_batch ON decisions (batch, idx);
CREATE TABLE ledgers (organization_id BLOB PRIMARY KEY, size BIGINT NOT NULL, note TEXT NOT NULL, noted BIGINT NOT NULL);
CREATE INDEX ledgers_unnoted ON ledgers (organization_id) WHERE size > noted;
CREATE TABLE ledger_entries (
  organization_id BLOB NOT NULL, idx BIGINT NOT NULL, receipt BLOB NOT NULL UNIQUE, PRIMARY KEY (organization_id, idx)
) WITHOUT ROWID;
CREATE TABLE ledger_tiles (
  organization_id BLOB NOT NULL, level BIGINT NOT NULL, idx BIGINT NOT NULL, hashes BLOB NOT NULL, PRIMARY KEY (organization_id, level, idx)
);

-- +goose Down
DROP TABLE ledger_tiles;
DROP TABLE ledger_entries;
DROP TABLE ledgers;
DROP INDEX decisions_by_batch;
DROP TABLE unfolded;
