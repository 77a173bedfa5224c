-- +goose Up
-- state is 1 where archived is a time: an equality, which both engines' planners take an index for.
ALTER TABLE wallets ADD COLUMN archived BIGINT NOT NULL DEFAULT 0;
ALTER TABLE wallets ADD COLUMN state BIGINT NOT NULL DEFAULT 0;
CREATE INDEX wallets_by_state ON wallets (organization_id, state, created, id);
CREATE INDEX wallets_by_label ON wallets (organization_id, state, label, created, id);
-- How many there are is asked for with every page, and counting them takes longer the more there are.
CREATE TABLE wallet_counts (organization_id BLOB NOT NULL, state BIGINT NOT NULL, n BIGINT NOT NULL, PRIMARY KEY (organization_id, state)) WITHOUT ROWID;
INSERT INTO wallet_counts (organization_id, state, n) SELECT organization_id, state, COUNT(*) FROM wallets GROUP BY organization_id, state;
-- +goose StatementBegin
CREATE TRIGGER wallets_counted AFTER INSERT ON wallets BEGIN
  INSERT INTO wallet_counts (organization_id, state, n) VALUES (NEW.organization_id, NEW.state, 1)
    ON CONFLICT (organization_id, state) DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER wallets_recounted AFTER UPDATE OF state ON wallets WHEN NEW.state <> OLD.state BEGIN
  UPDATE wallet_counts SET n = n - 1 WHERE organization_id = OLD.organization_id AND state = OLD.state;
  INSERT INTO wallet_counts (organization_id, state, n) VALUES (NEW.organization_id, NEW.state, 1)
    ON CONFLICT (organization_id, state) DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
CREATE TABLE wallet_addresses (
  organization_id BLOB NOT NULL, address TEXT NOT NULL, wallet BLOB NOT NULL, PRIMARY KEY (organization_id, address, wallet)
) WITHOUT ROWID;
-- Wallets whose addresses aren't listed yet: addresses follow from their records, which no query reads.
CREATE TABLE unaddressed (wallet BLOB PRIMARY KEY);
INSERT INTO unaddressed (wallet) SELECT id FROM wallets;

-- +goose Down
DROP TABLE unaddressed;
DROP TABLE wallet_addresses;
DROP TRIGGER wallets_recounted;
DROP TRIGGER wallets_counted;
DROP TABLE wallet_counts;
DROP INDEX wallets_by_label;
DROP INDEX wallets_by_state;
ALTER TABLE wallets DROP COLUMN state;
ALTER TABLE wallets DROP COLUMN archived;
