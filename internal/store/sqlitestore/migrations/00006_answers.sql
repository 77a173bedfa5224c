-- +goose Up
-- What was answered to signed documents that came with an Idempotency-Key; status 0: nothing yet.
CREATE TABLE answers (
  organization_id BLOB NOT NULL, key BLOB NOT NULL, document BLOB NOT NULL, status INTEGER NOT NULL, body BLOB, at INTEGER NOT NULL,
  PRIMARY KEY (organization_id, key), UNIQUE (organization_id, document)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE answers;
