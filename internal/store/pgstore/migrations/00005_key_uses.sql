-- +goose Up
CREATE TABLE key_uses (key_id TEXT PRIMARY KEY, used BIGINT NOT NULL);
GRANT SELECT, INSERT, UPDATE ON key_uses TO sigil_app;

-- +goose Down
DROP TABLE key_uses;
