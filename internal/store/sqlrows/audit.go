package sqlrows

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/policy"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/receipt"
)

const eventColumns = `organization_id, at, id, kind, success, key_id, wallet, network, code`

// maxRows bounds one INSERT: SQLite and PostgreSQL take 32,766 arguments.
const maxRows = 200

// addEvents writes events and counts them, in the transaction of what they
// tell of.
func addEvents(ctx context.Context, tx Tx, events ...store.Event) error {
	type key struct {
		org     canon.UUID
		kind    store.EventKind
		success bool
	}
	counts := map[key]int{}
	rows := make([][]any, len(events))
	for i := range events {
		e := &events[i]
		counts[key{e.Organization, e.Kind, e.Success}]++
		var wallet []byte
		if !e.Wallet.IsZero() {
			wallet = e.Wallet[:]
		}
		rows[i] = []any{e.Organization[:], Micros(e.At), e.ID[:], int64(e.Kind), number(e.Success), KeyColumn(e.KeyID), wallet, e.Network, e.Code}
	}
	if err := insert(ctx, tx, maxRows, `audit (`+eventColumns+`)`, rows, ` ON CONFLICT DO NOTHING`); err != nil {
		return fmt.Errorf("insert audit events: %w", err)
	}
	keys := make([]key, 0, len(counts))
	for k := range counts {
		keys = append(keys, k)
	}
	// In one order everywhere, so that two don't wait for each other.
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(bytes.Compare(a.org[:], b.org[:]), cmp.Compare(a.kind, b.kind), cmp.Compare(number(a.success), number(b.success)))
	})
	for _, k := range keys {
		if _, err := tx.ExecContext(ctx, `INSERT INTO audit_counts (organization_id, kind, success, n) VALUES ($1, $2, $3, $4)
			ON CONFLICT (organization_id, kind, success) DO UPDATE SET n = audit_counts.n + excluded.n`, k.org[:], int64(k.kind), number(k.success), counts[k]); err != nil {
			return fmt.Errorf("count audit events: %w", err)
		}
	}
	return nil
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// eventsOf returns the events of decisions, whose keys and leaves the query
// finds. All of them follow from the leaves.
func eventsOf(ctx context.Context, tx Tx, query string, args ...any) ([]store.Event, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var events []store.Event
	for rows.Next() {
		var key, record []byte
		if err := rows.Scan(&key, &record); err != nil {
			return nil, err
		}
		// Commit stores no leaf that doesn't decode.
		if l, err := receipt.DecodeLeaf(record); err == nil {
			events = append(events, event(l, hex.EncodeToString(key)))
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return events, rows.Close()
}

func event(l *receipt.Leaf, keyID string) store.Event {
	e := store.Event{Organization: l.Organization, ID: l.ID, At: time.UnixMicro(int64(l.Time)), Kind: store.EventSigned, Success: l.Decision == receipt.Allow,
		KeyID: keyID, Wallet: l.Wallet, Network: l.Network}
	switch {
	case l.Kind == receipt.KindCreateWallet:
		e.Kind = store.EventWalletCreated
	case l.Method == policy.MethodSignTransaction:
		e.Kind = store.EventTransactionSigned
	case l.Method == policy.MethodSignTypedData:
		e.Kind = store.EventTypedDataSigned
	case l.Method == policy.MethodSignAuthorization:
		e.Kind = store.EventAuthorizationSigned
	case l.Method == policy.MethodSignUserOperation:
		e.Kind = store.EventUserOperationSigned
	}
	if !e.Success {
		e.Code = l.Reason
	}
	return e
}

// AuditOlder implements store.Store.
func (r *Rows) AuditOlder(ctx context.Context, limit int) (int, error) {
	scan := func(row Scanner) (*int64, error) { var v int64; err := row.Scan(&v); return &v, err }
	batches, err := collect(ctx, r, Every, scan, `SELECT batch FROM unaudited ORDER BY batch DESC LIMIT $1`, limit)
	if err != nil || len(batches) == 0 {
		return 0, err
	}
	return len(batches), r.write(ctx, Write{Scope: Every, Do: func(ctx context.Context, tx Tx) error {
		for _, b := range batches {
			if err := once(tx.ExecContext(ctx, `DELETE FROM unaudited WHERE batch = $1`, b)); err != nil {
				return err
			}
			events, err := eventsOf(ctx, tx, `SELECT key_id, leaf FROM decisions WHERE batch = $1 ORDER BY idx`, b)
			if err != nil {
				return err
			}
			if err := addEvents(ctx, tx, events...); err != nil {
				return err
			}
		}
		return nil
	}})
}

func scanEvent(row Scanner) (*store.Event, error) {
	e := &store.Event{}
	var org, id, key, wallet []byte
	var at, success int64
	if err := row.Scan(&org, &at, &id, &e.Kind, &success, &key, &wallet, &e.Network, &e.Code); err != nil {
		return nil, err
	}
	e.Organization, e.At, e.ID, e.Success, e.KeyID, e.Wallet = UUID(org), fromMicros(at), UUID(id), success == 1, hex.EncodeToString(key), UUID(wallet)
	return e, nil
}

// Events implements store.Store.
func (r *Rows) Events(ctx context.Context, org canon.UUID, f store.EventFilter, p store.Page) ([]store.Event, int, error) {
	w := &where{}
	w.add(`organization_id = ?`, org[:])
	// Numbers that choose an index stand in the text (walletsWhere).
	if f.Kind != 0 {
		w.text = append(w.text, `kind = `+strconv.Itoa(int(f.Kind)))
	}
	if f.Kind > store.EventSigned { // as the index says it
		w.text = append(w.text, `kind <> 1`)
	}
	if f.Success != nil {
		w.text = append(w.text, `success = `+strconv.FormatInt(number(*f.Success), 10))
	}
	table, count := `audit_counts`, `COALESCE(SUM(n), 0)`
	if !f.Wallet.IsZero() || f.KeyID != "" || !f.Since.IsZero() || !f.Until.IsZero() {
		table, count = `audit`, `COUNT(*)`
	}
	if !f.Wallet.IsZero() {
		w.add(`wallet = ?`, f.Wallet[:])
	}
	if f.KeyID != "" {
		w.add(`key_id = ?`, KeyColumn(f.KeyID))
	}
	if !f.Since.IsZero() {
		w.add(`at >= ?`, Micros(f.Since))
	}
	if !f.Until.IsZero() {
		w.add(`at < ?`, Micros(f.Until))
	}
	total, err := r.count(ctx, One(org), `SELECT `+count+` FROM `+table, w)
	if err != nil {
		return nil, 0, err
	}
	bounds := w.page(p)
	items, err := collect(ctx, r, One(org), scanEvent, `SELECT `+eventColumns+` FROM audit WHERE `+w.String()+` ORDER BY at DESC, id DESC, kind DESC`+bounds, w.args...)
	return items, total, err
}
