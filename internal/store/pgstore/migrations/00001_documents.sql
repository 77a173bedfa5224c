-- +goose Up
CREATE TABLE organizations (
  id BYTEA PRIMARY KEY, genesis BYTEA NOT NULL, digest BYTEA NOT NULL UNIQUE, state BYTEA NOT NULL, created BIGINT NOT NULL
);
CREATE TABLE grants (
  digest BYTEA PRIMARY KEY, organization_id BYTEA NOT NULL REFERENCES organizations (id), id BYTEA NOT NULL, key_id TEXT NOT NULL UNIQUE,
  envelope BYTEA NOT NULL, created BIGINT NOT NULL, revoked BIGINT NOT NULL DEFAULT 0, UNIQUE (organization_id, id)
);
CREATE TABLE revocations (
  grant_digest BYTEA PRIMARY KEY REFERENCES grants (digest), organization_id BYTEA NOT NULL, envelope BYTEA NOT NULL, at BIGINT NOT NULL
);
CREATE TABLE evidence (
  id BYTEA PRIMARY KEY, statement BYTEA NOT NULL, token TEXT NOT NULL, release_digest TEXT NOT NULL, version TEXT NOT NULL, stored BIGINT NOT NULL
);
GRANT SELECT, INSERT ON organizations, grants, revocations, evidence TO sigil_app;
GRANT UPDATE (revoked) ON grants TO sigil_app;
GRANT SELECT ON goose_db_version TO sigil_app;

-- +goose Down
REVOKE ALL ON goose_db_version FROM sigil_app;
DROP TABLE evidence;
DROP TABLE revocations;
DROP TABLE grants;
DROP TABLE organizations;
