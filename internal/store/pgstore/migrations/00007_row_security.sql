-- +goose Up
-- A second fence between organisations, behind the conditions of the queries: a statement sees and writes rows
-- of whom its transaction names in the setting sigil.organization. That is an organisation's id in hex;
-- "key:" and the id of an API key, to find out whose it is; or "every", for work across organisations. Where
-- it is missing, or anything else, there are no rows. Tables that aren't here hold no organisation's rows:
-- evidence, which is public; batches, which cover decisions of many; goose_db_version.
--
-- A program from before names nobody, and would take a revoked key for one that isn't.
-- +goose StatementBegin
DO $$
BEGIN
  FOR i IN 1..50 LOOP -- one that has just been stopped may still be leaving
    PERFORM pg_stat_clear_snapshot();
    IF NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'sigil' AND usename <> current_user) THEN
      RETURN;
    END IF;
    PERFORM pg_sleep(0.1);
  END LOOP;
  RAISE EXCEPTION 'control planes of an earlier release are connected, which would find no rows any more: stop them first';
END;
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION scope_organization() RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN current_setting('sigil.organization', true) ~ '^[0-9a-f]{32}$' THEN decode(current_setting('sigil.organization', true), 'hex') END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION scope_key() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN current_setting('sigil.organization', true) ~ '^key:[0-9a-f]{32}$' THEN substr(current_setting('sigil.organization', true), 5) END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION scope_every() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT COALESCE(current_setting('sigil.organization', true) = 'every', false)
$$;
-- +goose StatementEnd
-- Each function is asked once for a statement, since it stands in a SELECT of its own.
CREATE POLICY scope ON organizations USING (id = (SELECT scope_organization()) OR (SELECT scope_every()));
CREATE POLICY scope ON grants USING (organization_id = (SELECT scope_organization()) OR (SELECT scope_every()) OR key_id = (SELECT scope_key()))
  WITH CHECK (organization_id = (SELECT scope_organization()) OR (SELECT scope_every()));
CREATE POLICY scope ON revocations USING (organization_id = (SELECT scope_organization()) OR (SELECT scope_every()));
CREATE POLICY scope ON wallets USING (organization_id = (SELECT scope_organization()) OR (SELECT scope_every()));
CREATE POLICY scope ON wallet_counts USING (organization_id = (SELECT scope_organization()) OR (SELECT scope_every()));
CREATE POLICY scope ON wallet_addresses USING (organization_id = (SELECT scope_organization()) OR (SELECT scope_every()));
CREATE POLICY scope ON decisions USING (organization_id = (SELECT scope_organization()) OR (SELECT scope_every()) OR key_id = decode((SELECT scope_key()), 'hex'))
  WITH CHECK (organization_id = (SELECT scope_organization()) OR (SELECT scope_every()));
CREATE POLICY scope ON ledgers USING (organization_id = (SELECT scope_organization()) OR (SELECT scope_every()));
CREATE POLICY scope ON ledger_entries USING (organization_id = (SELECT scope_organization()) OR (SELECT scope_every()));
CREATE POLICY scope ON ledger_tiles USING (organization_id = (SELECT scope_organization()) OR (SELECT scope_every()));
CREATE POLICY scope ON audit USING (organization_id = (SELECT scope_organization()) OR (SELECT scope_every()));
CREATE POLICY scope ON audit_counts USING (organization_id = (SELECT scope_organization()) OR (SELECT scope_every()));
-- Whoever sees a key's grant.
CREATE POLICY scope ON key_uses USING ((SELECT scope_every()) OR EXISTS (SELECT FROM grants WHERE grants.key_id = key_uses.key_id))
  WITH CHECK ((SELECT scope_every()));
-- What waits, of all organisations.
CREATE POLICY scope ON unfolded USING ((SELECT scope_every()));
CREATE POLICY scope ON unaudited USING ((SELECT scope_every()));
CREATE POLICY scope ON unaddressed USING ((SELECT scope_every()));
-- FORCE: for the owner too, whose functions triggers run, and who migrates and restores as "every".
ALTER TABLE organizations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE grants ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE revocations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE wallets ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE wallet_counts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE wallet_addresses ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE decisions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE ledgers ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE ledger_entries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE ledger_tiles ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE audit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_counts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE key_uses ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE unfolded ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE unaudited ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE unaddressed ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

-- +goose Down
ALTER TABLE organizations NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY scope ON organizations;
ALTER TABLE grants NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY scope ON grants;
ALTER TABLE revocations NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY scope ON revocations;
ALTER TABLE wallets NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY scope ON wallets;
ALTER TABLE wallet_counts NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY scope ON wallet_counts;
ALTER TABLE wallet_addresses NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY scope ON wallet_addresses;
ALTER TABLE decisions NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY scope ON decisions;
ALTER TABLE ledgers NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY scope ON ledgers;
ALTER TABLE ledger_entries NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY scope ON ledger_entries;
ALTER TABLE ledger_tiles NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY scope ON ledger_tiles;
ALTER TABLE audit NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY scope ON audit;
ALTER TABLE audit_counts NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY scope ON audit_counts;
ALTER TABLE key_uses NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY scope ON key_uses;
ALTER TABLE unfolded NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY scope ON unfolded;
ALTER TABLE unaudited NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY scope ON unaudited;
ALTER TABLE unaddressed NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY scope ON unaddressed;
DROP FUNCTION scope_every();
DROP FUNCTION scope_key();
DROP FUNCTION scope_organization();
