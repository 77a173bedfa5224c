package sqlrows

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
)

// collect reads all rows of a query.
func collect[T any](ctx context.Context, r *Rows, scope Scope, scan func(Scanner) (*T, error), query string, args ...any) ([]T, error) {
	rows, err := r.read(scope).QueryContext(ctx, query, args...)
	if err != nil {
		return nil, r.failed(err)
	}
	defer rows.Close()
	items := []T{}
	for rows.Next() {
		item, err := scan(rows)
		if err != nil {
			return nil, r.failed(err)
		}
		items = append(items, *item)
	}
	if err := rows.Err(); err != nil {
		return nil, r.failed(err)
	}
	return items, nil
}

// Unfolded implements store.Store.
func (r *Rows) Unfolded(ctx context.Context, after int64, limit int) ([]int64, error) {
	scan := func(row Scanner) (*int64, error) { var v int64; err := row.Scan(&v); return &v, err }
	return collect(ctx, r, Every, scan, `SELECT batch FROM unfolded WHERE batch > $1 ORDER BY batch LIMIT $2`, after, limit)
}

// DecisionsOf implements store.Store.
func (r *Rows) DecisionsOf(ctx context.Context, batch int64) ([]store.Decision, error) {
	return collect(ctx, r, Every, ScanDecision, `SELECT `+DecisionColumns+` FROM decisions WHERE batch = $1
		AND NOT EXISTS (SELECT 1 FROM ledger_entries WHERE receipt = decisions.id) ORDER BY idx`, batch)
}

// Fold implements store.Store.
func (r *Rows) Fold(ctx context.Context, batches []int64, ledgers []store.Growth) error {
	return r.write(ctx, Write{
		Scope: Every,
		Do: func(ctx context.Context, tx Tx) error {
			if err := r.folded(ctx, tx, batches); err != nil {
				return err
			}
			var events []store.Event
			for i := range ledgers {
				if err := r.grow(ctx, tx, &ledgers[i]); err != nil {
					return err
				}
				added, err := eventsOf(ctx, tx, `SELECT d.key_id, d.leaf FROM ledger_entries e JOIN decisions d ON d.id = e.receipt
					WHERE e.organization_id = $1 AND e.idx >= $2 ORDER BY e.idx`, ledgers[i].Organization[:], int64(ledgers[i].From))
				if err != nil {
					return err
				}
				events = append(events, added...)
			}
			return addEvents(ctx, tx, events...)
		},
		Stands: func(ctx context.Context) (bool, error) {
			said := false
			for i := range ledgers {
				g := &ledgers[i]
				if len(g.Receipts) == 0 {
					continue
				}
				index, err := r.EntryOf(ctx, g.Organization, g.Receipts[0])
				if err != nil || index != g.From {
					return false, unlessNotFound(err)
				}
				said = true
			}
			return said, nil
		},
	})
}

// folded takes batches off the list, each of which must be there.
func (r *Rows) folded(ctx context.Context, tx Tx, batches []int64) error {
	for chunk := range slices.Chunk(batches, r.PerInsert) {
		args := make([]any, len(chunk))
		for i, b := range chunk {
			args[i] = b
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM unfolded WHERE batch IN `+marks(1, len(args)), args...)
		if err := changed(len(chunk), res, err); err != nil {
			return err
		}
	}
	return nil
}

// marks is a list of arguments in parentheses, the first of which is $from.
func marks(from, n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = "$" + strconv.Itoa(from+i)
	}
	return "(" + strings.Join(list, ", ") + ")"
}

// insert adds rows with a few statements, of so many rows at most: each is a
// round trip to the server.
func insert(ctx context.Context, tx Tx, most int, into string, rows [][]any, conflict string) error {
	for chunk := range slices.Chunk(rows, most) {
		var text []string
		var args []any
		for _, row := range chunk {
			text = append(text, marks(len(args)+1, len(row)))
			args = append(args, row...)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO `+into+` VALUES `+strings.Join(text, ", ")+conflict, args...); err != nil {
			return err
		}
	}
	return nil
}

// once requires that a statement changed one row: others mean that somebody
// else was faster.
func once(res interface{ RowsAffected() (int64, error) }, err error) error {
	return changed(1, res, err)
}

func changed(want int, res interface{ RowsAffected() (int64, error) }, err error) error {
	if err != nil {
		return err
	}
	switch n, err := res.RowsAffected(); {
	case err != nil:
		return err
	case n != int64(want):
		return store.ErrExists
	}
	return nil
}

func (r *Rows) grow(ctx context.Context, tx Tx, g *store.Growth) error {
	size := int64(g.From) + int64(len(g.Receipts))
	if g.From == 0 {
		if err := once(tx.ExecContext(ctx, `INSERT INTO ledgers (organization_id, size, note, noted) VALUES ($1, $2, '', 0) ON CONFLICT DO NOTHING`, g.Organization[:], size)); err != nil {
			return err
		}
	} else if err := once(tx.ExecContext(ctx, `UPDATE ledgers SET size = $1 WHERE organization_id = $2 AND size = $3`, size, g.Organization[:], int64(g.From))); err != nil {
		return err
	}
	entries := make([][]any, len(g.Receipts))
	for i, id := range g.Receipts {
		entries[i] = []any{g.Organization[:], int64(g.From) + int64(i), id[:]}
	}
	if err := insert(ctx, tx, r.PerInsert, `ledger_entries (organization_id, idx, receipt)`, entries, ``); err != nil {
		return fmt.Errorf("insert ledger entries: %w", err)
	}
	tiles := make([][]any, len(g.Tiles))
	for i, t := range g.Tiles {
		tiles[i] = []any{g.Organization[:], t.Level, int64(t.Index), t.Hashes}
	}
	if err := insert(ctx, tx, r.PerInsert, `ledger_tiles (organization_id, level, idx, hashes)`, tiles, ` ON CONFLICT (organization_id, level, idx) DO UPDATE SET hashes = excluded.hashes`); err != nil {
		return fmt.Errorf("insert ledger tiles: %w", err)
	}
	return nil
}

const ledgerColumns = `organization_id, size, note, noted`

func scanLedger(row Scanner) (*store.Ledger, error) {
	l := &store.Ledger{}
	var org []byte
	var size, noted int64
	if err := row.Scan(&org, &size, &l.Note, &noted); err != nil {
		return nil, err
	}
	l.Organization, l.Size, l.Noted = UUID(org), uint64(size), uint64(noted)
	return l, nil
}

// Ledger implements store.Store.
func (r *Rows) Ledger(ctx context.Context, org canon.UUID) (*store.Ledger, error) {
	l, err := scanLedger(r.read(One(org)).QueryRowContext(ctx, `SELECT `+ledgerColumns+` FROM ledgers WHERE organization_id = $1`, org[:]))
	if err != nil {
		return nil, r.failed(err)
	}
	return l, nil
}

// Unnoted implements store.Store.
func (r *Rows) Unnoted(ctx context.Context, after canon.UUID, limit int) ([]store.Ledger, error) {
	return collect(ctx, r, Every, scanLedger, `SELECT `+ledgerColumns+` FROM ledgers WHERE size > noted AND organization_id > $1 ORDER BY organization_id LIMIT $2`, after[:], limit)
}

// PutNote implements store.Store.
func (r *Rows) PutNote(ctx context.Context, org canon.UUID, size uint64, note string) error {
	return r.write(ctx, Write{Scope: One(org), Do: func(ctx context.Context, tx Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE ledgers SET note = $1, noted = $2 WHERE organization_id = $3 AND noted < $4 AND size >= $5`,
			note, int64(size), org[:], int64(size), int64(size))
		return err
	}})
}

// Tile implements store.Store.
func (r *Rows) Tile(ctx context.Context, org canon.UUID, level int, index uint64) (*store.Tile, error) {
	t := &store.Tile{Level: level, Index: index}
	row := r.read(One(org)).QueryRowContext(ctx, `SELECT hashes FROM ledger_tiles WHERE organization_id = $1 AND level = $2 AND idx = $3`, org[:], level, int64(index))
	if err := row.Scan(&t.Hashes); err != nil {
		return nil, r.failed(err)
	}
	return t, nil
}

// Entries implements store.Store.
func (r *Rows) Entries(ctx context.Context, org canon.UUID, from uint64, limit int) ([]store.Decision, error) {
	return collect(ctx, r, One(org), ScanDecision, `SELECT d.id, d.organization_id, d.key_id, d.request_id, d.idempotency, d.leaf, d.result_kind, d.result, d.explanation, d.batch, d.idx
		FROM ledger_entries e JOIN decisions d ON d.id = e.receipt WHERE e.organization_id = $1 AND e.idx >= $2 ORDER BY e.idx LIMIT $3`, org[:], int64(from), limit)
}

// EntryOf implements store.Store.
func (r *Rows) EntryOf(ctx context.Context, org, receipt canon.UUID) (uint64, error) {
	var index int64
	if err := r.read(One(org)).QueryRowContext(ctx, `SELECT idx FROM ledger_entries WHERE receipt = $1 AND organization_id = $2`, receipt[:], org[:]).Scan(&index); err != nil {
		return 0, r.failed(err)
	}
	return uint64(index), nil
}
