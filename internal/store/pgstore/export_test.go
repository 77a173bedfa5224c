package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5/stdlib"
)

// Unsafe opens a store with defences taken away: canaries, which tests must
// catch.
type Unsafe struct {
	AsyncCommit bool // acknowledges before the flush
	Deaf        bool // doesn't hear warnings of the server
	Careless    bool // takes an unknown outcome for none
}

// OpenUnsafe is Open without what u names.
func OpenUnsafe(ctx context.Context, c Config, u Unsafe) (*Store, error) {
	cfg, err := parse(c.DSN)
	if err != nil {
		return nil, err
	}
	if u.AsyncCommit {
		cfg.ConnConfig.RuntimeParams["synchronous_commit"] = "off"
	} else {
		cfg.AfterConnect = checkServer
	}
	if u.Deaf {
		cfg.ConnConfig.OnNotice = nil
	}
	s, err := open(ctx, c, cfg)
	if err == nil {
		s.careless = u.Careless
	}
	return s, err
}

// MigrateTo migrates to an older version, as an earlier program did.
func MigrateTo(ctx context.Context, dsn string, version int64) error {
	cfg, err := parse(dsn)
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*cfg.ConnConfig)
	defer db.Close()
	p, err := provider(db)
	if err != nil {
		return err
	}
	_, err = p.UpTo(ctx, version)
	return err
}

// CheckDSN says what is wrong with a DSN.
func CheckDSN(dsn string) error {
	_, err := parse(dsn)
	return err
}
