package main

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/pgtest"
)

const (
	// handful is what many wallets are compared with.
	handful = 1000
	// realWallets are made through the API and verify; the rest are clones.
	realWallets = 150
	// strangers are so many wallets that few of them are asked for twice.
	strangers = 20_000
)

// walletFigures compares few wallets with many on one engine.
type walletFigures struct {
	Engine   string   `json:"engine"`
	Many     int      `json:"many"`
	Settings string   `json:"settings"`
	Bytes    int64    `json:"bytes"`        // of all files
	Fill     float64  `json:"fill_seconds"` // of cloning
	Lookups  []lookup `json:"lookups"`
}

// side is a database with few or with many wallets.
type side struct {
	*installation
	population
	store store.Store
	key   ed25519.PrivateKey // of the organisation's requests

	wallets, any, guests []clone // a thousand; many that are asked for once; the guest's
}

// wallets compares on each engine, one after the other: the disk needn't hold both.
func (r *report) wallets(ctx context.Context, dir string, o options) error {
	many := max(o.wallets, 2*handful) / handful * handful
	for _, engine := range []string{sqlite, postgres} {
		f, err := compareWallets(ctx, filepath.Join(dir, "wallets"), engine, many, o)
		if err != nil {
			return fmt.Errorf("%s: %w", engine, err)
		}
		r.Wallets = append(r.Wallets, *f)
	}
	return nil
}

func compareWallets(ctx context.Context, dir, engine string, many int, o options) (f *walletFigures, err error) {
	p := &program{}
	defer func() { p.end(); err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, err
	}
	f = &walletFigures{Engine: engine, Many: many, Settings: "its default settings"}
	server, err := walletServer(p, dir, engine)
	if err != nil {
		return nil, err
	}
	if server != nil {
		if f.Settings, err = p.settings(server, "fsync", "synchronous_commit", "wal_level", "shared_buffers"); err != nil {
			return nil, err
		}
	}
	var sides [2]*side
	for i, n := range []int{handful, many} {
		in, err := p.install(ctx, o.bin, dir, fmt.Sprintf("%s-%d", engine, i), "", server)
		if err != nil {
			return nil, err
		}
		p.Cleanup(func() { _ = in.down() })
		sides[i] = &side{installation: in, population: population{many: n}}
		if i == 1 {
			sides[i].few = handful
		}
		o.say("%s: filling a database with %d wallets", engine, n)
		began := time.Now()
		if err := sides[i].fill(ctx); err != nil {
			return nil, err
		}
		f.Fill = time.Since(began).Seconds()
	}
	if f.Bytes, err = size(dir); err != nil {
		return nil, err
	}
	if err := f.inStore(ctx, sides, o); err != nil {
		return nil, err
	}
	return f, f.overHTTP(ctx, sides, o)
}

// walletServer starts the server that has both databases, if the engine is one.
// With little in wal_level, tables that are filled as they are made are written
// once; some of the memory is what anybody with as many rows gives it.
func walletServer(p *program, dir, engine string) (*pgtest.Server, error) {
	if engine == sqlite {
		return nil, nil
	}
	dir = filepath.Join(dir, "pg")
	if err := os.Mkdir(dir, 0o711); err != nil {
		return nil, err
	}
	return p.server(dir, "wal_level=minimal", "max_wal_senders=0", "shared_buffers=2GB", "max_wal_size=4GB", "maintenance_work_mem=512MB")
}

// size is what the files of a folder take.
func size(dir string) (total int64, err error) {
	return total, filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return err
	})
}

// fill makes an organisation with real wallets and clones them.
func (s *side) fill(ctx context.Context) error {
	if err := s.up(ctx); err != nil {
		return err
	}
	var err error
	if s.key, err = requestKey(s.stack.Info()); err != nil {
		return err
	}
	if err := s.create(ctx, realWallets-1); err != nil {
		return err
	}
	if s.org, err = canon.ParseUUID(s.stack.Info().OrganizationID); err != nil {
		return err
	}
	if err := s.down(); err != nil {
		return err
	}
	db, err := s.tables()
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := s.clone(ctx, conn, s.engine); err != nil {
		return err
	}
	if err := s.choose(ctx, conn); err != nil {
		return err
	}
	if err := errors.Join(conn.Close(), db.Close()); err != nil || s.engine != sqlite {
		return err
	}
	return flush(filepath.Join(s.cfg.Data, "db"))
}

// choose picks the wallets that are asked for.
func (s *side) choose(ctx context.Context, db *sql.Conn) (err error) {
	if s.wallets, err = s.sample(ctx, db, s.org, handful); err != nil {
		return err
	}
	if s.any, err = s.sample(ctx, db, s.org, strangers); err != nil {
		return err
	}
	if s.guests = s.wallets; s.few > 0 {
		s.guests, err = s.sample(ctx, db, s.guest, handful)
	}
	return err
}

// flush has a folder's files on the disk, so that the kernel doesn't write
// them while others are measured.
func flush(dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// create makes wallets over the API.
func (s *side) create(ctx context.Context, n int) error {
	items := "{}"
	for range n - 1 {
		items += ",{}"
	}
	r, err := prepareOne(s.key, "POST", "/v1/s2s/wallets/bulk", []byte(`{"items":[`+items+`]}`))
	if err != nil {
		return err
	}
	_, err = drive(ctx, s.stack.Info().APIBaseURL, 1, []signedRequest{r})
	return err
}

// again has the database served from another folder: the first one's ports may
// have become somebody else's while it was filled. Who only reads wallets asks
// no workload, so the one there needn't know them.
func (s *side) again(ctx context.Context) error {
	files := filepath.Join(s.cfg.Data, "db")
	s.cfg.Data += "-again"
	if err := os.Mkdir(s.cfg.Data, 0o700); err != nil {
		return err
	}
	if s.server == nil {
		if err := os.Symlink(files, filepath.Join(s.cfg.Data, "db")); err != nil {
			return err
		}
	}
	return s.up(ctx)
}
