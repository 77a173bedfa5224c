-- +goose Up
CREATE TABLE key_uses (key_id TEXT PRIMARY KEY, used BIGINT NOT NULL) WITHOUT ROWID;

-- +goose Down
DROP TABLE key_uses;
