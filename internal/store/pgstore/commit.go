package pgstore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/sqlrows"
)

// begin names the isolation: a decision that lost to another transaction must
// see the winner afterwards.
const begin = `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE`

// insertAll stores everything in one statement. A decision that conflicts is
// left out, and so is its wallet. All commits insert in one order, so that two
// with the same request ids wait for each other, but not in a circle; of two
// with one id in the same commit the first wins. A wallet of a decision with
// another one's id finds no row of d.
const insertAll = `
WITH b AS (
  INSERT INTO batches (instance, number, signed, hashes)
  SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::bytea[])
  RETURNING id, instance, number
), d AS (
  INSERT INTO decisions (` + sqlrows.DecisionColumns + `)
  SELECT x.id, x.organization_id, x.key_id, x.request_id, x.idempotency, x.leaf, x.result_kind, x.result, x.explanation, b.id, x.idx
  FROM unnest($5::bytea[], $6::bytea[], $7::bytea[], $8::bytea[], $9::bytea[], $10::bytea[], $11::bigint[], $12::bytea[], $13::bytea[], $14::bigint[], $15::bytea[], $16::bigint[])
    WITH ORDINALITY AS x(id, organization_id, key_id, request_id, idempotency, leaf, result_kind, result, explanation, idx, instance, number, position)
  JOIN b ON b.instance = x.instance AND b.number = x.number
  ORDER BY x.request_id, x.key_id, x.position
  ON CONFLICT DO NOTHING
  RETURNING id, batch, idx
), w AS (
  INSERT INTO wallets (id, organization_id, record, label, receipt, created)
  SELECT x.id, x.organization_id, x.record, x.label, x.receipt, x.created
  FROM unnest($17::bytea[], $18::bytea[], $19::bytea[], $20::bytea[], $21::bytea[], $22::bigint[], $23::bytea[], $24::bigint[], $25::bytea[], $26::bigint[])
    AS x(id, organization_id, record, label, receipt, created, decision, idx, instance, number)
  JOIN b ON b.instance = x.instance AND b.number = x.number
  JOIN d ON d.id = x.decision AND d.batch = b.id AND d.idx = x.idx
  RETURNING id
), a AS (
  INSERT INTO wallet_addresses (organization_id, address, wallet)
  SELECT x.organization_id, x.address, x.wallet
  FROM unnest($27::bytea[], $28::text[], $29::bytea[]) AS x(organization_id, address, wallet)
  JOIN w ON w.id = x.wallet
), u AS (
  INSERT INTO unfolded (batch) SELECT id FROM b
)
SELECT b.instance, b.number, b.id, d.idx FROM b LEFT JOIN d ON d.batch = b.id`

// columns are the arguments of insertAll.
type columns struct {
	instance, signed, hashes [][]byte
	number                   []int64

	id, organization, key, request, idempotency, leaf, result, explanation, of [][]byte
	kind, index, ofNumber                                                      []int64

	wallet, walletOrganization, record, label, receipt, walletDecision, walletOf [][]byte
	created, walletIndex, walletNumber                                           []int64

	addressOrganization, addressOf [][]byte
	address                        []string
}

func layOut(batches []store.CommitBatch) *columns {
	c := &columns{}
	for i := range batches {
		b := &batches[i]
		instance, number := b.Batch.Instance[:], int64(b.Batch.Number)
		c.instance, c.number = append(c.instance, instance), append(c.number, number)
		c.signed, c.hashes = append(c.signed, b.Batch.Signed), append(c.hashes, sqlrows.JoinHashes(b.Batch.Hashes))
		for j := range b.Decisions {
			d := &b.Decisions[j]
			c.id, c.organization = append(c.id, d.ID[:]), append(c.organization, d.Organization[:])
			c.key, c.request = append(c.key, sqlrows.KeyColumn(d.KeyID)), append(c.request, d.RequestID[:])
			c.idempotency, c.leaf = append(c.idempotency, sqlrows.IdempotencyColumn(d.Idempotency)), append(c.leaf, d.Leaf)
			c.kind, c.result = append(c.kind, int64(d.ResultKind)), append(c.result, d.Result)
			c.explanation, c.index = append(c.explanation, []byte(d.Explanation)), append(c.index, int64(j))
			c.of, c.ofNumber = append(c.of, instance), append(c.ofNumber, number)
			if w := b.Wallets[j]; w != nil {
				c.wallet, c.walletOrganization = append(c.wallet, w.ID[:]), append(c.walletOrganization, w.Organization[:])
				c.record, c.label = append(c.record, w.Record), append(c.label, []byte(w.Label))
				c.receipt, c.created = append(c.receipt, w.Receipt[:]), append(c.created, sqlrows.Micros(w.Created))
				c.walletDecision, c.walletIndex = append(c.walletDecision, d.ID[:]), append(c.walletIndex, int64(j))
				c.walletOf, c.walletNumber = append(c.walletOf, instance), append(c.walletNumber, number)
				for _, a := range w.Addresses {
					c.addressOrganization, c.address, c.addressOf = append(c.addressOrganization, w.Organization[:]), append(c.address, a), append(c.addressOf, w.ID[:])
				}
			}
		}
	}
	return c
}

func (c *columns) args() []any {
	return []any{
		c.instance, c.number, c.signed, c.hashes,
		c.id, c.organization, c.key, c.request, c.idempotency, c.leaf, c.kind, c.result, c.explanation, c.index, c.of, c.ofNumber,
		c.wallet, c.walletOrganization, c.record, c.label, c.receipt, c.created, c.walletDecision, c.walletIndex, c.walletOf, c.walletNumber,
		c.addressOrganization, c.address, c.addressOf,
	}
}

// place is where a decision stands; row -1 stands for none.
type place struct {
	row   int64
	index int
}

// Commit implements store.Store: the one commit point of decisions.
func (s *Store) Commit(ctx context.Context, batches []store.CommitBatch) ([][]store.Commit, error) {
	if len(batches) == 0 {
		return nil, nil
	}
	// An interrupted commit would only be unknown; callers bound their waiting.
	ctx = context.WithoutCancel(ctx)
	args := layOut(batches).args()
	var out [][]store.Commit
	err := s.retry(ctx, func(ctx context.Context) (committing bool, err error) {
		out, committing, err = s.commitOnce(ctx, batches, args)
		return committing, err
	}, func(ctx context.Context) (happened bool, err error) {
		out, err = s.committed(ctx, batches)
		return out != nil, err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Store) commitOnce(ctx context.Context, batches []store.CommitBatch, args []any) (out [][]store.Commit, committing bool, err error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, false, err
	}
	defer conn.Release() // closes a connection that is inside a transaction
	// What earlier statements warned of is theirs.
	_ = takeWarning(conn.Conn().PgConn())
	rows, won, err := s.insert(ctx, conn, batches, args)
	if err != nil {
		return nil, false, fmt.Errorf("insert: %w", err)
	}
	if out, err = results(ctx, transacting{conn}, batches, rows, won); err != nil {
		return nil, false, err
	}
	return out, true, end(ctx, conn)
}

// end commits.
func end(ctx context.Context, conn *pgxpool.Conn) error {
	tag, err := conn.Exec(ctx, `COMMIT`)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if tag.String() != "COMMIT" {
		return errRolledBack
	}
	return takeWarning(conn.Conn().PgConn())
}

// insert begins and inserts in one round trip. It returns the row of each
// batch, and which decisions are stored.
func (s *Store) insert(ctx context.Context, conn *pgxpool.Conn, batches []store.CommitBatch, args []any) ([]int64, map[place]bool, error) {
	type key struct {
		instance [32]byte
		number   uint64
	}
	at := map[key]int{}
	for i := range batches {
		at[key{batches[i].Batch.Instance, batches[i].Batch.Number}] = i
	}
	rows, won := make([]int64, len(batches)), map[place]bool{}
	b := &pgx.Batch{}
	b.Queue(begin)
	s.queueScope(b, sqlrows.Every)
	b.Queue(insertAll, args...).Query(func(list pgx.Rows) error {
		var instance []byte
		var number, row int64
		var index *int
		_, err := pgx.ForEachRow(list, []any{&instance, &number, &row, &index}, func() error {
			rows[at[key{[32]byte(instance), uint64(number)}]] = row
			if index != nil {
				won[place{row, *index}] = true
			}
			return nil
		})
		return err
	})
	return rows, won, conn.SendBatch(ctx, b).Close()
}

// results says what became of each decision, and finds the winners of those
// that lost.
func results(ctx context.Context, q sqlrows.Reader, batches []store.CommitBatch, rows []int64, won map[place]bool) ([][]store.Commit, error) {
	out := make([][]store.Commit, len(batches))
	for i := range batches {
		out[i] = make([]store.Commit, len(batches[i].Decisions))
		for j := range batches[i].Decisions {
			d := &batches[i].Decisions[j]
			d.Batch, d.Index = rows[i], j
			if won[place{rows[i], j}] {
				out[i][j] = store.Commit{Won: true, Stored: d}
				continue
			}
			var err error
			if out[i][j].Stored, err = winner(ctx, q, d); err != nil {
				return nil, fmt.Errorf("find the earlier decision: %w", err)
			}
		}
	}
	return out, nil
}

func winner(ctx context.Context, q sqlrows.Reader, d *store.Decision) (*store.Decision, error) {
	w, err := sqlrows.ScanDecision(q.QueryRowContext(ctx, sqlrows.ByRequest, d.RequestID[:], sqlrows.KeyColumn(d.KeyID)))
	if errors.Is(err, sql.ErrNoRows) && d.Idempotency != [32]byte{} {
		w, err = sqlrows.ScanDecision(q.QueryRowContext(ctx, sqlrows.ByIdempotency, d.Idempotency[:], sqlrows.KeyColumn(d.KeyID)))
	}
	if errors.Is(err, sql.ErrNoRows) {
		return nil, store.ErrNotFound
	}
	return w, err
}

// committed looks up what an earlier attempt did. Batches are stored all
// together or not at all, and only their own transaction has their bytes; nil
// says that it didn't happen.
func (s *Store) committed(ctx context.Context, batches []store.CommitBatch) ([][]store.Commit, error) {
	every := s.reader(sqlrows.Every)
	rows := make([]int64, len(batches))
	var ids [][]byte
	for i := range batches {
		b := &batches[i].Batch
		var signed []byte
		err := every.QueryRowContext(ctx, `SELECT id, signed FROM batches WHERE instance = $1 AND number = $2`, b.Instance[:], int64(b.Number)).Scan(&rows[i], &signed)
		if errors.Is(err, sql.ErrNoRows) || err == nil && !bytes.Equal(signed, b.Signed) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for j := range batches[i].Decisions {
			ids = append(ids, batches[i].Decisions[j].ID[:])
		}
	}
	list, err := every.QueryContext(ctx, `SELECT batch, idx FROM decisions WHERE id = ANY($1::bytea[])`, ids)
	if err != nil {
		return nil, err
	}
	defer list.Close()
	won := map[place]bool{}
	for list.Next() {
		var p place
		if err := list.Scan(&p.row, &p.index); err != nil {
			return nil, err
		}
		won[p] = true
	}
	if err := errors.Join(list.Err(), list.Close()); err != nil {
		return nil, err
	}
	return results(ctx, every, batches, rows, won)
}

// mark writes to the log and nowhere else: the commit after it waits for the
// flush, and for the synchronous standby, even where no row was written.
const mark = `SELECT pg_logical_emit_message(true, 'sigil', '')`

// flush returns when everything that is visible is as durable as a commit.
func (s *Store) flush(ctx context.Context) error {
	_, err := s.writeOnce(ctx, sqlrows.Write{Do: func(context.Context, sqlrows.Tx) error { return nil }})
	return err
}

// write runs one transaction of sqlrows.
func (s *Store) write(ctx context.Context, w sqlrows.Write) error {
	return s.retry(ctx, func(ctx context.Context) (bool, error) { return s.writeOnce(ctx, w) }, w.Stands)
}

func (s *Store) writeOnce(ctx context.Context, w sqlrows.Write) (committing bool, err error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Release()
	_ = takeWarning(conn.Conn().PgConn())
	err = s.begin(ctx, conn, w.Scope)
	if err == nil {
		err = w.Do(ctx, transacting{conn})
	}
	if err == nil {
		_, err = conn.Exec(ctx, mark)
	}
	if err != nil {
		_, _ = conn.Exec(ctx, `ROLLBACK`) // the first error is the one to report
		return false, err
	}
	return true, end(ctx, conn)
}
