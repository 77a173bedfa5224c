-- +goose Up
-- What was answered to signed documents that came with an Idempotency-Key; status 0: nothing yet.
CREATE TABLE answers (
  organization_id BYTEA NOT NULL, key BYTEA NOT NULL, document BYTEA NOT NULL, status BIGINT NOT NULL, body BYTEA, at BIGINT NOT NULL,
  PRIMARY KEY (organization_id, key)
);
CREATE INDEX answers_by_document ON answers (organization_id, document);
GRANT SELECT, INSERT, UPDATE, DELETE ON answers TO sigil_app;
CREATE POLICY scope ON answers USING (organization_id = (SELECT scope_organization()) OR (SELECT scope_every()));
ALTER TABLE answers ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

-- +goose Down
DROP TABLE answers;
