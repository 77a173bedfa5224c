-- +goose Up
-- Budgets of requests, which control planes share. Nobody's evidence, and written often: after a crash of the server
-- it is empty, and they are full again.
CREATE UNLOGGED TABLE rate_budgets (id BYTEA PRIMARY KEY, state BYTEA NOT NULL);
GRANT SELECT, INSERT, UPDATE ON rate_budgets TO sigil_app;

-- +goose Down
DROP TABLE rate_budgets;
