-- +goose Up
-- What was answered to signed documents that came with an Idempotency-Key; status 0: nothing yet.
CREATE TABLE answers (
  organization_id BYTEA NOT NULL, key BYTEA NOT NULL, document BYTEA NOT NULL, status BIGINT NOT NULL, body BYTEA, at BIGINT NOT NULL,
  PRIMARY KEY (organization_id, key), UNIQUE (organization_id, document)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON answers TO sigil_app;

-- +goose Down
DROP TABLE answers;
