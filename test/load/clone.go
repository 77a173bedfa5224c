package main

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sigilkeys/sigil/internal/canon"
)

//go:embed clone_sqlite.sql
var cloneSQLite string

//go:embed clone_postgres.sql
var clonePostgres string

// front is how many of an organisation's real wallets stay its first ones: the
// control plane verifies what it shows, so its first page may hold no clones.
const front = 50

// population is an organisation with many wallets: real ones, and clones of
// one of them between. Rows are in the order of creation, as they would have
// come, each a millisecond after the last.
type population struct {
	org   canon.UUID
	many  int        // wallets of org
	guest canon.UUID // another organisation, whose wallets came evenly in between
	few   int        // wallets of guest; they divide many

	origin int64 // created of place 0
	real   []canon.UUID
	places []int64 // of the real ones
}

// total is how many rows there are, and every how many-th is the guest's.
func (p *population) total() (total, stride int64) {
	total = int64(p.many + p.few)
	if p.few == 0 {
		return total, total + 1
	}
	return total, total / int64(p.few)
}

// place is where the organisation's k-th wallet stands, from 1 on.
func (p *population) place(k int) int64 {
	_, stride := p.total()
	return int64(k) + int64(k-1)/(stride-1)
}

// spread gives the real wallets their places: some in front, the others all over.
func (p *population) spread() {
	for i := range p.real {
		k := i + 1
		if k > front {
			k = front + (k-front)*((p.many-front)/(len(p.real)-front))
		}
		p.places = append(p.places, p.place(k))
	}
}

// clone makes the organisation's few wallets many, over one connection to a
// database of either engine that has no other organisation.
func (p *population) clone(ctx context.Context, db *sql.Conn, engine string) error {
	if p.few > 0 && p.many%p.few != 0 || p.many < 4*front {
		return fmt.Errorf("%d wallets: give a multiple of %d", p.many, max(p.few, 4*front))
	}
	if err := p.read(ctx, db); err != nil {
		return err
	}
	p.guest = canon.UUID{0xff, 1}
	p.spread()
	script, literal, trigger := clonePostgres, `'\x%x'::bytea`, ""
	if engine == sqlite {
		script, literal = cloneSQLite, `X'%x'`
		if err := db.QueryRowContext(ctx, `SELECT sql FROM sqlite_master WHERE name = 'wallets_counted'`).Scan(&trigger); err != nil {
			return err
		}
	}
	var kept []string
	for i, id := range p.real {
		kept = append(kept, fmt.Sprintf(`(%d, `+literal+`)`, p.places[i], id[:]))
	}
	total, stride := p.total()
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	fill := strings.NewReplacer(":org", fmt.Sprintf(literal, p.org[:]), ":guest", fmt.Sprintf(literal, p.guest[:]), ":kept", strings.Join(kept, ", "),
		":total", number(total), ":stride", number(stride), ":first", number(p.origin), ":many", number(int64(p.many)), ":few", number(int64(p.few)), ":trigger", trigger)
	for text := range strings.SplitSeq(strings.TrimSpace(script), ";\n") {
		if _, err := db.ExecContext(ctx, fill.Replace(text)); err != nil {
			return fmt.Errorf("clone wallets: %.80s: %w", text, err)
		}
	}
	return nil
}

// read learns the real wallets in the order of their creation.
func (p *population) read(ctx context.Context, db *sql.Conn) error {
	rows, err := db.QueryContext(ctx, `SELECT id, created FROM wallets ORDER BY created, id`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id []byte
		var created int64
		if err := rows.Scan(&id, &created); err != nil {
			return err
		}
		if len(p.real) == 0 {
			total, _ := p.total()
			p.origin = created - 1000*total
		}
		p.real = append(p.real, canon.UUID(id))
	}
	if len(p.real) <= front || len(p.real) > p.many/2 {
		return fmt.Errorf("%d real wallets are no start for %d", len(p.real), p.many)
	}
	return rows.Err()
}

// clone is one that was made.
type clone struct {
	id    canon.UUID
	place int64
}

func (c clone) label() string   { return fmt.Sprintf("wallet-%09d", c.place) }
func (c clone) address() string { return "0x" + hex.EncodeToString(c.id[:]) + "00000000" }

// sample returns up to n clones of an organisation, from all over.
func (p *population) sample(ctx context.Context, db *sql.Conn, org canon.UUID, n int) ([]clone, error) {
	_, stride := p.total()
	has, place := p.many, p.place
	if org == p.guest {
		has, place = p.few, func(k int) int64 { return int64(k) * stride }
	}
	var out []clone
	for k := max(1, has/n); k <= has && len(out) < n; k += max(1, has/n) {
		at := place(k)
		if slices.Contains(p.places, at) {
			continue // real
		}
		var id []byte
		if err := db.QueryRowContext(ctx, `SELECT id FROM wallets WHERE organization_id = $1 AND created = $2`, org[:], p.origin+1000*at).Scan(&id); err != nil {
			return nil, fmt.Errorf("clone %d of %d: %w", k, has, err)
		}
		out = append(out, clone{canon.UUID(id), at})
	}
	return out, nil
}
