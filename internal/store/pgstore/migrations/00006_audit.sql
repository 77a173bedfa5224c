-- +goose Up
-- What happened, for people to search: decisions come with the fold of their batch, the rest with its own row.
CREATE TABLE audit (
  organization_id BYTEA NOT NULL, at BIGINT NOT NULL, id BYTEA NOT NULL, kind BIGINT NOT NULL, success BIGINT NOT NULL,
  key_id BYTEA NOT NULL, wallet BYTEA, network TEXT NOT NULL, code TEXT NOT NULL, PRIMARY KEY (organization_id, at, id, kind)
);
CREATE INDEX audit_by_key ON audit (organization_id, key_id, at, id);
CREATE INDEX audit_by_wallet ON audit (organization_id, wallet, at, id) WHERE wallet IS NOT NULL;
-- All but signatures, and all that was denied: few of many.
CREATE INDEX audit_rare ON audit (organization_id, kind, at, id) WHERE kind <> 1;
CREATE INDEX audit_denied ON audit (organization_id, at, id) WHERE success = 0;
CREATE TABLE audit_counts (organization_id BYTEA NOT NULL, kind BIGINT NOT NULL, success BIGINT NOT NULL, n BIGINT NOT NULL, PRIMARY KEY (organization_id, kind, success));
INSERT INTO audit (organization_id, at, id, kind, success, key_id, wallet, network, code)
  SELECT id, created, id, 5, 1, ''::bytea, NULL::bytea, '', '' FROM organizations
  UNION ALL SELECT organization_id, created, id, 3, 1, decode(key_id, 'hex'), NULL, '', '' FROM grants
  UNION ALL SELECT organization_id, revoked, id, 4, 1, decode(key_id, 'hex'), NULL, '', '' FROM grants WHERE revoked <> 0;
INSERT INTO audit_counts (organization_id, kind, success, n) SELECT organization_id, kind, success, COUNT(*) FROM audit GROUP BY organization_id, kind, success;
-- Batches that were folded before.
CREATE TABLE unaudited (batch BIGINT PRIMARY KEY);
INSERT INTO unaudited (batch) SELECT id FROM batches WHERE id NOT IN (SELECT batch FROM unfolded);
GRANT SELECT, INSERT ON audit TO sigil_app;
GRANT SELECT, INSERT, UPDATE ON audit_counts TO sigil_app;
GRANT SELECT, DELETE ON unaudited TO sigil_app;

-- +goose Down
DROP TABLE unaudited;
DROP TABLE audit_counts;
DROP TABLE audit;
