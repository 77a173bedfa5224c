-- The roles and the schema of Sigil, once for a database, by somebody who may
-- create roles and is connected to that database:
--
--   sigil database roles | psql -d sigil
--
-- sigil_owner owns the tables and runs `sigil database migrate`, nothing else.
-- sigil_app is what `sigil serve` runs as: it reads and adds rows, and can't
-- change or delete documents, wallets' records, decisions or evidence. It marks
-- grants as revoked, labels and archives wallets, and keeps ledgers' heads and
-- tiles, counts, limits, repeated answers and what waits to be done;
-- docs/OPERATIONS.md has the list. It sees rows of the organisation alone that
-- its transaction names. Passwords, certificates or memberships (GRANT
-- sigil_app TO …) are yours to add.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sigil_owner') THEN
    CREATE ROLE sigil_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sigil_app') THEN
    CREATE ROLE sigil_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
  END IF;
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO sigil_owner, sigil_app', current_database());
END
$$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA IF NOT EXISTS sigil AUTHORIZATION sigil_owner;
REVOKE ALL ON SCHEMA sigil FROM PUBLIC;
GRANT USAGE ON SCHEMA sigil TO sigil_app;
