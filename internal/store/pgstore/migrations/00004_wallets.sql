-- +goose Up
-- state is 1 where archived is a time: an equality, which both engines' planners take an index for.
ALTER TABLE wallets ADD COLUMN archived BIGINT NOT NULL DEFAULT 0;
ALTER TABLE wallets ADD COLUMN state BIGINT NOT NULL DEFAULT 0;
CREATE INDEX wallets_by_state ON wallets (organization_id, state, created, id);
CREATE INDEX wallets_by_label ON wallets (organization_id, state, label, created, id);
-- How many there are is asked for with every page, and counting them takes longer the more there are.
CREATE TABLE wallet_counts (organization_id BYTEA NOT NULL, state BIGINT NOT NULL, n BIGINT NOT NULL, PRIMARY KEY (organization_id, state));
INSERT INTO wallet_counts (organization_id, state, n) SELECT organization_id, state, COUNT(*) FROM wallets GROUP BY organization_id, state;
-- As its owner: sigil_app counts by storing wallets, and in no other way.
-- +goose StatementBegin
CREATE FUNCTION count_wallets() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = sigil, pg_temp AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    UPDATE wallet_counts SET n = n - 1 WHERE organization_id = OLD.organization_id AND state = OLD.state;
  END IF;
  INSERT INTO wallet_counts (organization_id, state, n) VALUES (NEW.organization_id, NEW.state, 1)
    ON CONFLICT (organization_id, state) DO UPDATE SET n = wallet_counts.n + 1;
  RETURN NULL;
END;
$$;
-- +goose StatementEnd
CREATE TRIGGER wallets_counted AFTER INSERT ON wallets FOR EACH ROW EXECUTE FUNCTION count_wallets();
CREATE TRIGGER wallets_recounted AFTER UPDATE OF state ON wallets FOR EACH ROW WHEN (NEW.state <> OLD.state) EXECUTE FUNCTION count_wallets();
CREATE TABLE wallet_addresses (
  organization_id BYTEA NOT NULL, address TEXT NOT NULL, wallet BYTEA NOT NULL, PRIMARY KEY (organization_id, address, wallet)
);
-- Wallets whose addresses aren't listed yet: addresses follow from their records, which no query reads.
CREATE TABLE unaddressed (wallet BYTEA PRIMARY KEY);
INSERT INTO unaddressed (wallet) SELECT id FROM wallets;
-- What a wallet is called, and whether it is put away, is for people and may change; its record may not.
GRANT UPDATE (label, archived, state) ON wallets TO sigil_app;
GRANT SELECT ON wallet_counts TO sigil_app;
GRANT SELECT, INSERT ON wallet_addresses TO sigil_app;
GRANT SELECT, DELETE ON unaddressed TO sigil_app;

-- +goose Down
DROP TABLE unaddressed;
DROP TABLE wallet_addresses;
DROP TRIGGER wallets_recounted ON wallets;
DROP TRIGGER wallets_counted ON wallets;
DROP FUNCTION count_wallets();
DROP TABLE wallet_counts;
DROP INDEX wallets_by_label;
DROP INDEX wallets_by_state;
REVOKE UPDATE (label, archived, state) ON wallets FROM sigil_app;
ALTER TABLE wallets DROP COLUMN state;
ALTER TABLE wallets DROP COLUMN archived;
