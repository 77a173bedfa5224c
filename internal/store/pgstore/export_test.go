package pgstore

import "context"

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
