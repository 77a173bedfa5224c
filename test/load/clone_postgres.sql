-- Fills a PostgreSQL database as a superuser. Where wal_level is minimal, new
-- files of tables are flushed instead of logged; as a replica, triggers rest,
-- of which one would write as many versions of one row as there are wallets.
SET statement_timeout = 0;
SET session_replication_role = replica;
SET work_mem = '512MB';
BEGIN;
CREATE TEMP TABLE kept (place BIGINT PRIMARY KEY, wallet BYTEA, record BYTEA, receipt BYTEA) ON COMMIT DROP;
INSERT INTO kept (place, wallet) VALUES :kept;
UPDATE kept SET record = w.record, receipt = w.receipt FROM wallets w WHERE w.id = kept.wallet;
CREATE TEMP TABLE found ON COMMIT DROP AS SELECT * FROM wallet_addresses;
TRUNCATE wallets, wallet_addresses, wallet_counts;
INSERT INTO organizations SELECT :guest, genesis, :guest, state, created FROM organizations WHERE id = :org;
WITH w AS (
  INSERT INTO wallets (id, organization_id, record, label, receipt, created)
  SELECT COALESCE(k.wallet, uuid_send(gen_random_uuid())), CASE WHEN i % :stride = 0 THEN :guest ELSE :org END, COALESCE(k.record, a.record),
    convert_to('wallet-' || lpad(i::text, 9, '0'), 'UTF8'), COALESCE(k.receipt, a.receipt), :first + 1000 * i
  FROM generate_series(1::bigint, :total::bigint) i CROSS JOIN (SELECT * FROM kept LIMIT 1) a LEFT JOIN kept k ON k.place = i
  RETURNING organization_id, id
)
INSERT INTO wallet_addresses (organization_id, address, wallet)
  SELECT w.organization_id, x.address, w.id
  FROM w CROSS JOIN LATERAL (VALUES ('0x' || encode(w.id, 'hex') || '00000000'), ('S' || encode(w.id, 'hex') || '00000000000'),
    ('bc1q' || encode(w.id, 'hex') || '000000'), ('bcrt1q' || encode(w.id, 'hex') || '000000'), ('tb1q' || encode(w.id, 'hex') || '000000')) x(address)
  WHERE w.id NOT IN (SELECT wallet FROM kept) ORDER BY 1, 2;
INSERT INTO wallet_addresses SELECT * FROM found;
INSERT INTO wallet_counts (organization_id, state, n) VALUES (:org, 0, :many), (:guest, 0, :few);
COMMIT;
SET session_replication_role = origin;
VACUUM (ANALYZE) wallets;
VACUUM (ANALYZE) wallet_addresses;
CHECKPOINT;
