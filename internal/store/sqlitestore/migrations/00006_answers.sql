-- +goose Up
-- What was answered to signed documents that came with an Idempotency-Key; status 0: nothing yet.
CREATE TABLE answers (
  organization_id BLOB NOT NULL, key BLOB NOT NULL, document BLOB NOT NULL, status INTEGER NOT NULL, body BLOB, at INTEGER NOT NULL,
  PRIMARY KEY (organization_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX answers_by_document ON answers (organization_id, document);

-- +goose Down
DROP TABLE answers;
