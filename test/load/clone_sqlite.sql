-- Fills a SQLite database that nothing else uses. Rows come in the order of all
-- indexes but that of the ids, which fits into the cache; addresses come sorted.
-- Nothing is flushed until the end.
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -1500000;
CREATE TEMP TABLE kept (place INTEGER PRIMARY KEY, wallet BLOB UNIQUE, record BLOB, receipt BLOB);
INSERT INTO temp.kept (place, wallet) VALUES :kept;
UPDATE temp.kept SET (record, receipt) = (SELECT w.record, w.receipt FROM wallets w WHERE w.id = kept.wallet);
DROP TRIGGER wallets_counted;
DELETE FROM wallets;
DELETE FROM wallet_counts;
INSERT INTO organizations SELECT :guest, genesis, :guest, state, created FROM organizations WHERE id = :org;
INSERT INTO wallets (id, organization_id, record, label, receipt, created)
  WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < :total)
  SELECT COALESCE(k.wallet, randomblob(16)), CASE WHEN s.i % :stride = 0 THEN :guest ELSE :org END, COALESCE(k.record, a.record),
    printf('wallet-%09d', s.i), COALESCE(k.receipt, a.receipt), :first + 1000 * s.i
  FROM s CROSS JOIN (SELECT * FROM temp.kept LIMIT 1) a LEFT JOIN temp.kept k ON k.place = s.i;
INSERT INTO wallet_addresses (organization_id, address, wallet)
  SELECT :org, '0x' || lower(hex(id)) || '00000000', id FROM wallets INDEXED BY wallets_by_organization WHERE organization_id = :org AND id NOT IN (SELECT wallet FROM temp.kept) ORDER BY id;
INSERT INTO wallet_addresses (organization_id, address, wallet)
  SELECT :org, 'S' || lower(hex(id)) || '00000000000', id FROM wallets INDEXED BY wallets_by_organization WHERE organization_id = :org AND id NOT IN (SELECT wallet FROM temp.kept) ORDER BY id;
INSERT INTO wallet_addresses (organization_id, address, wallet)
  SELECT :org, 'bc1q' || lower(hex(id)) || '000000', id FROM wallets INDEXED BY wallets_by_organization WHERE organization_id = :org AND id NOT IN (SELECT wallet FROM temp.kept) ORDER BY id;
INSERT INTO wallet_addresses (organization_id, address, wallet)
  SELECT :org, 'bcrt1q' || lower(hex(id)) || '000000', id FROM wallets INDEXED BY wallets_by_organization WHERE organization_id = :org AND id NOT IN (SELECT wallet FROM temp.kept) ORDER BY id;
INSERT INTO wallet_addresses (organization_id, address, wallet)
  SELECT :org, 'tb1q' || lower(hex(id)) || '000000', id FROM wallets INDEXED BY wallets_by_organization WHERE organization_id = :org AND id NOT IN (SELECT wallet FROM temp.kept) ORDER BY id;
INSERT INTO wallet_addresses (organization_id, address, wallet)
  SELECT :guest, '0x' || lower(hex(id)) || '00000000', id FROM wallets INDEXED BY wallets_by_organization WHERE organization_id = :guest ORDER BY id;
INSERT INTO wallet_addresses (organization_id, address, wallet)
  SELECT :guest, 'S' || lower(hex(id)) || '00000000000', id FROM wallets INDEXED BY wallets_by_organization WHERE organization_id = :guest ORDER BY id;
INSERT INTO wallet_addresses (organization_id, address, wallet)
  SELECT :guest, 'bc1q' || lower(hex(id)) || '000000', id FROM wallets INDEXED BY wallets_by_organization WHERE organization_id = :guest ORDER BY id;
INSERT INTO wallet_addresses (organization_id, address, wallet)
  SELECT :guest, 'bcrt1q' || lower(hex(id)) || '000000', id FROM wallets INDEXED BY wallets_by_organization WHERE organization_id = :guest ORDER BY id;
INSERT INTO wallet_addresses (organization_id, address, wallet)
  SELECT :guest, 'tb1q' || lower(hex(id)) || '000000', id FROM wallets INDEXED BY wallets_by_organization WHERE organization_id = :guest ORDER BY id;
INSERT INTO wallet_counts (organization_id, state, n) VALUES (:org, 0, :many), (:guest, 0, :few);
:trigger;
PRAGMA journal_mode = WAL;
