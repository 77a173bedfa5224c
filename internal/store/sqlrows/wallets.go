package sqlrows

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
)

const walletColumns = `organization_id, id, record, label, receipt, created, archived`

func scanWallet(row Scanner) (*store.Wallet, error) {
	w := &store.Wallet{}
	var org, id, receipt, label []byte
	var created, archived int64
	if err := row.Scan(&org, &id, &w.Record, &label, &receipt, &created, &archived); err != nil {
		return nil, err
	}
	w.Organization, w.ID, w.Receipt, w.Label, w.Created, w.Archived = UUID(org), UUID(id), UUID(receipt), string(label), fromMicros(created), fromMicros(archived)
	return w, nil
}

// Wallet implements store.Store.
func (r *Rows) Wallet(ctx context.Context, org, id canon.UUID) (*store.Wallet, error) {
	w, err := scanWallet(r.read(One(org)).QueryRowContext(ctx, walletByID, id[:], org[:]))
	if err != nil {
		return nil, r.failed(err)
	}
	return w, nil
}

// where gathers conditions and their arguments, numbered in order.
type where struct {
	text []string
	args []any
}

// add takes a condition with one argument, which stands where ? does.
func (w *where) add(condition string, arg any) {
	w.args = append(w.args, arg)
	w.text = append(w.text, strings.Replace(condition, "?", "$"+strconv.Itoa(len(w.args)), 1))
}

// page adds a page's bounds to the arguments, and returns their text.
func (w *where) page(p store.Page) string {
	w.args = append(w.args, p.Limit, p.Offset)
	return ` LIMIT $` + strconv.Itoa(len(w.args)-1) + ` OFFSET $` + strconv.Itoa(len(w.args))
}

func (w *where) String() string { return strings.Join(w.text, " AND ") }

// walletsWhere lays out a filter, but for an address.
func (r *Rows) walletsWhere(org canon.UUID, f *store.WalletFilter) *where {
	w := &where{}
	w.add(`organization_id = ?`, org[:])
	switch {
	case f.Archived == store.Live:
		w.text = append(w.text, `state = 0`)
	case f.Archived == store.Archived:
		w.text = append(w.text, `state = 1`)
	case f.LabelPrefix != "": // the index begins with it
		w.text = append(w.text, `state IN (0, 1)`)
	}
	if f.LabelPrefix != "" {
		w.add(`label >= ?`, r.text(f.LabelPrefix))
		if end := after(f.LabelPrefix); end != "" {
			w.add(`label < ?`, r.text(end))
		}
	}
	if !f.After.IsZero() {
		w.add(`created > ?`, Micros(f.After))
	}
	if !f.Before.IsZero() {
		w.add(`created < ?`, Micros(f.Before))
	}
	return w
}

// after is the first string that is greater than all with the prefix; "" where
// there is none.
func after(prefix string) string {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return string(b[:i+1])
		}
	}
	return ""
}

// Wallets implements store.Store.
func (r *Rows) Wallets(ctx context.Context, org canon.UUID, f store.WalletFilter, p store.Page) ([]store.Wallet, int, error) {
	if f.Address != "" {
		return r.walletsByAddress(ctx, org, &f, p)
	}
	w := r.walletsWhere(org, &f)
	var total int
	var err error
	if f == (store.WalletFilter{Archived: f.Archived}) {
		// All that are in a state: counted already, by triggers.
		total, err = r.count(ctx, One(org), `SELECT COALESCE(SUM(n), 0) FROM wallet_counts`, w)
	} else {
		total, err = r.count(ctx, One(org), `SELECT COUNT(*) FROM wallets`, w)
	}
	if err != nil {
		return nil, 0, err
	}
	rows, order := w.String(), ` ORDER BY created, id`
	bounds := w.page(p)
	text := `SELECT ` + walletColumns + ` FROM wallets WHERE ` + rows + order + bounds
	if p.Offset > 0 || f.LabelPrefix != "" {
		// The index alone finds the page: rows that are skipped, or only sorted, aren't read.
		text = `SELECT ` + walletColumns + ` FROM wallets WHERE id IN (SELECT id FROM wallets WHERE ` + rows + order + bounds + `)` + order
	}
	items, err := collect(ctx, r, One(org), scanWallet, text, w.args...)
	return items, total, err
}

// maxSharing bounds the wallets of an organisation that share an address: by
// rights there is one.
const maxSharing = 1000

// walletsByAddress finds the few wallets with an address one by one: planners
// that know no statistics would rather look through all wallets.
func (r *Rows) walletsByAddress(ctx context.Context, org canon.UUID, f *store.WalletFilter, p store.Page) ([]store.Wallet, int, error) {
	scan := func(row Scanner) (*canon.UUID, error) {
		var id []byte
		err := row.Scan(&id)
		u := UUID(id)
		return &u, err
	}
	ids, err := collect(ctx, r, One(org), scan, `SELECT wallet FROM wallet_addresses WHERE organization_id = $1 AND address = $2 LIMIT $3`, org[:], f.Address, maxSharing)
	if err != nil {
		return nil, 0, err
	}
	list := []store.Wallet{}
	for _, id := range ids {
		w, err := r.Wallet(ctx, org, id)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return nil, 0, err
		case matches(w, f):
			list = append(list, *w)
		}
	}
	slices.SortFunc(list, func(a, b store.Wallet) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return bytes.Compare(a.ID[:], b.ID[:])
	})
	from := min(p.Offset, len(list))
	return list[from:min(from+p.Limit, len(list))], len(list), nil
}

func matches(w *store.Wallet, f *store.WalletFilter) bool {
	return (f.Archived == store.AnyState || (f.Archived == store.Archived) == !w.Archived.IsZero()) &&
		strings.HasPrefix(w.Label, f.LabelPrefix) && (f.After.IsZero() || w.Created.After(f.After)) && (f.Before.IsZero() || w.Created.Before(f.Before))
}

func (r *Rows) count(ctx context.Context, scope Scope, query string, w *where) (n int, err error) {
	if err := r.read(scope).QueryRowContext(ctx, query+` WHERE `+w.String(), w.args...).Scan(&n); err != nil {
		return 0, r.failed(err)
	}
	return n, nil
}

// pageOf reads one page of the rows that a filter leaves, and counts them.
func pageOf[T any](ctx context.Context, r *Rows, scope Scope, table, columns string, w *where, order string, p store.Page, scan func(Scanner) (*T, error)) ([]T, int, error) {
	total, err := r.count(ctx, scope, `SELECT COUNT(*) FROM `+table, w)
	if err != nil {
		return nil, 0, err
	}
	bounds := w.page(p)
	items, err := collect(ctx, r, scope, scan, `SELECT `+columns+` FROM `+table+` WHERE `+w.String()+` ORDER BY `+order+bounds, w.args...)
	return items, total, err
}

// SetWallet implements store.Store.
func (r *Rows) SetWallet(ctx context.Context, org, id canon.UUID, c store.WalletChange) error {
	return r.write(ctx, Write{Scope: One(org), Do: func(ctx context.Context, tx Tx) error {
		if c.Label != nil {
			if err := found(tx.ExecContext(ctx, `UPDATE wallets SET label = $1 WHERE id = $2 AND organization_id = $3`, r.text(*c.Label), id[:], org[:])); err != nil {
				return err
			}
		}
		if c.Archived != nil {
			state := 0
			if !c.Archived.IsZero() {
				state = 1
			}
			return found(tx.ExecContext(ctx, `UPDATE wallets SET archived = $1, state = $2 WHERE id = $3 AND organization_id = $4`, Micros(*c.Archived), state, id[:], org[:]))
		}
		return nil
	}})
}

func found(res interface{ RowsAffected() (int64, error) }, err error) error {
	if err = once(res, err); errors.Is(err, store.ErrExists) {
		return store.ErrNotFound
	}
	return err
}

// Unaddressed implements store.Store.
func (r *Rows) Unaddressed(ctx context.Context, limit int) ([]store.Wallet, error) {
	return collect(ctx, r, Every, scanWallet, `SELECT `+walletColumns+` FROM wallets WHERE id IN (SELECT wallet FROM unaddressed ORDER BY wallet LIMIT $1)`, limit)
}

// PutAddresses implements store.Store.
func (r *Rows) PutAddresses(ctx context.Context, wallets []store.Wallet) error {
	return r.write(ctx, Write{Scope: Every, Do: func(ctx context.Context, tx Tx) error {
		for i := range wallets {
			w := &wallets[i]
			for _, a := range w.Addresses {
				if _, err := tx.ExecContext(ctx, InsertAddress, w.Organization[:], a, w.ID[:]); err != nil {
					return err
				}
			}
			if _, err := tx.ExecContext(ctx, `DELETE FROM unaddressed WHERE wallet = $1`, w.ID[:]); err != nil {
				return err
			}
		}
		return nil
	}})
}
