package pgstore_test

import (
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/pgstore"
	"github.com/sigilkeys/sigil/internal/store/pgtest"
	"github.com/sigilkeys/sigil/internal/store/storetest"
)

// until waits for something that happens in another process.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in a minute: %s", what)
		}
	}
}

// more waits until so many more commits are acknowledged.
func more(t *testing.T, l *storetest.Load, n int) {
	t.Helper()
	before, _ := l.Answered()
	until(t, "commits", func() bool { now, _ := l.Answered(); return now >= before+n })
}

func openUnsafe(t *testing.T, c pgstore.Config, u pgstore.Unsafe) *pgstore.Store {
	t.Helper()
	s, err := pgstore.OpenUnsafe(t.Context(), c, u)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// The server is killed under load, again and again: what two processes were
// told is true afterwards. The canary acknowledges before the flush.
func TestKillServer(t *testing.T) {
	// What isn't flushed by a commit stays in memory, where a kill finds it.
	server := pgtest.Start(t, pgtest.Options{Settings: []string{"wal_writer_delay=10s"}})
	dsn := server.DSN("sigil_app", migrated(t, server))
	one, two := open(t, pgstore.Config{DSN: dsn, Patience: time.Minute}), open(t, pgstore.Config{DSN: dsn, Patience: time.Minute})
	l := storetest.StartLoad(t, 6, one, two)
	const kills = 5
	for range kills {
		more(t, l, 40)
		server.Kill()
		server.Run()
	}
	more(t, l, 40)
	l.Stop()
	acknowledged, unknown := l.Answered()
	for _, err := range l.Audit(t.Context(), one) {
		t.Error(err)
	}
	t.Logf("%d kills, %d commits acknowledged, %d unknown", kills, acknowledged, unknown)
	if unknown > 0 {
		t.Errorf("%d outcomes stayed unknown, though the server came back in time", unknown)
	}

	// The log's writer may be lucky and flush just before a kill.
	for range 5 {
		if faults := asyncFaults(t, server); len(faults) > 0 {
			t.Logf("caught: %d faults, such as: %v", len(faults), faults[0])
			return
		}
	}
	t.Fatal("a store that acknowledges before the flush isn't caught")
}

// asyncFaults is what a kill does to a store that acknowledges too early.
func asyncFaults(t *testing.T, server *pgtest.Server) []error {
	t.Helper()
	async := openUnsafe(t, pgstore.Config{DSN: server.DSN("sigil_app", migrated(t, server))}, pgstore.Unsafe{AsyncCommit: true})
	l := storetest.StartLoad(t, 4, async)
	more(t, l, 40)
	server.Kill()
	server.Run()
	l.Stop()
	return l.Audit(t.Context(), async)
}

// replicated starts a primary and a standby, and returns the DSN of both.
func replicated(t *testing.T, synchronous bool) (primary, standby *pgtest.Server, dsn string) {
	t.Helper()
	primary = pgtest.Start(t, pgtest.Options{})
	name := migrated(t, primary)
	standby = primary.Standby()
	if synchronous {
		primary.Exec(pgtest.Superuser, `ALTER SYSTEM SET synchronous_standby_names = 'standby'`)
		primary.Exec(pgtest.Superuser, `SELECT pg_reload_conf()`)
		until(t, "synchronous standby", func() bool {
			return primary.Value(pgtest.Superuser, `SELECT COALESCE(MAX(sync_state), '') FROM pg_stat_replication`) == "sync"
		})
	}
	q := url.Values{"host": {filepath.Dir(primary.Socket()) + "," + filepath.Dir(standby.Socket())}, "user": {"sigil_app"}}
	refused(t, pgstore.Config{DSN: standby.DSN("sigil_app", name)}, "read only")
	return primary, standby, "postgres:///" + name + "?" + q.Encode()
}

// The primary dies under load, its synchronous standby takes over: the store
// finds it by itself, and nothing acknowledged is lost.
func TestFailOver(t *testing.T) {
	primary, standby, dsn := replicated(t, true)
	s := open(t, pgstore.Config{DSN: dsn, Patience: time.Minute})
	l := storetest.StartLoad(t, 4, s)
	more(t, l, 50)
	primary.Kill()
	began := time.Now()
	standby.Promote()
	more(t, l, 1)
	t.Logf("first commit %v after the primary's death", time.Since(began).Round(time.Millisecond))
	more(t, l, 50)
	l.Stop()
	for _, err := range l.Audit(t.Context(), s) {
		t.Error(err)
	}
	must(t, s.Ready(t.Context()))
	acknowledged, unknown := l.Answered()
	t.Logf("%d commits acknowledged, %d unknown", acknowledged, unknown)
}

// The canary of TestFailOver: a standby that nobody waited for.
func TestFailOverToStaleStandbyIsCaught(t *testing.T) {
	primary, standby, dsn := replicated(t, false)
	standby.Exec(pgtest.Superuser, `ALTER SYSTEM SET primary_conninfo = ''`)
	standby.Exec(pgtest.Superuser, `SELECT pg_reload_conf()`)
	until(t, "end of replication", func() bool {
		return primary.Value(pgtest.Superuser, `SELECT COUNT(*)::text FROM pg_stat_replication`) == "0"
	})
	s := open(t, pgstore.Config{DSN: dsn, Patience: time.Minute})
	l := storetest.StartLoad(t, 4, s)
	more(t, l, 20)
	primary.Kill()
	standby.Promote()
	l.Stop()
	if faults := l.Audit(t.Context(), s); len(faults) == 0 {
		t.Fatal("lost commits aren't caught")
	}
}

// impatient cancels who waits for a standby, as an administrator might. It
// counts them.
func impatient(t *testing.T, server *pgtest.Server) (cancelled func() int64) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.DSN(pgtest.Superuser, pgtest.Superuser))
	must(t, err)
	var n atomic.Int64
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			tag, err := conn.Exec(ctx, `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
			if err != nil {
				return
			}
			n.Add(tag.RowsAffected())
			time.Sleep(20 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { stop(); <-ended; _ = conn.Close(context.Background()) })
	return n.Load
}

// The server stops waiting for its standby, commits, and only warns: that is
// no acknowledgement. Once there is enough of a quorum again, it becomes one.
func TestStandbyIsGone(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	s := newScene(t, server, pgstore.Unsafe{})
	quorum := func(names string) {
		server.Exec(pgtest.Superuser, `ALTER SYSTEM SET synchronous_standby_names = '`+names+`'`)
		server.Exec(pgtest.Superuser, `SELECT pg_reload_conf()`)
		until(t, "setting", func() bool { return server.Value(pgtest.Superuser, `SHOW synchronous_standby_names`) == names })
	}
	dsn := server.DSN("sigil_app", s.database)
	hasty := open(t, pgstore.Config{DSN: dsn, Patience: 1500 * time.Millisecond})
	patient := open(t, pgstore.Config{DSN: dsn, Patience: time.Minute})
	deaf := openUnsafe(t, pgstore.Config{DSN: dsn}, pgstore.Unsafe{Deaf: true})
	quorum("nobody")
	cancelled := impatient(t, server)
	// Commits wait once the checkpointer has heard of it, too.
	until(t, "a commit that waits", func() bool {
		before := cancelled()
		server.Exec(pgtest.Superuser, `SELECT pg_logical_emit_message(true, 'sigil', '')`)
		return cancelled() > before
	})
	for name, write := range map[string]func() error{
		"Commit": func() error { _, err := hasty.Commit(t.Context(), []store.CommitBatch{s.batch(1)}); return err },
		"PutEvidence": func() error {
			return hasty.PutEvidence(t.Context(), &store.Evidence{ID: [32]byte{1}, Statement: []byte("s")})
		},
		// The row is there by now, so that there is nothing to write.
		"PutEvidence again": func() error {
			return hasty.PutEvidence(t.Context(), &store.Evidence{ID: [32]byte{1}, Statement: []byte("s")})
		},
	} {
		if err := write(); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("%s without a quorum: %v", name, err)
		}
	}
	if _, err := deaf.Commit(t.Context(), []store.CommitBatch{s.batch(2)}); err != nil {
		t.Errorf("the canary should be content with a warning: %v", err)
	}
	done := make(chan error, 1)
	go func() {
		out, err := patient.Commit(context.Background(), []store.CommitBatch{s.batch(3)})
		if err == nil && (!out[0][0].Won || !out[0][1].Won) {
			err = errors.New("lost to itself")
		}
		done <- err
	}()
	// Its first attempt is visible, and isn't acknowledged.
	until(t, "the first attempt", func() bool {
		_, err := s.direct.Decision(t.Context(), s.org, s.batch(3).Decisions[0].ID)
		return err == nil
	})
	before := cancelled()
	until(t, "more attempts", func() bool { return cancelled() > before+2 })
	select {
	case err := <-done:
		t.Errorf("acknowledged without a quorum: %v", err)
	default:
	}
	quorum("")
	if err := <-done; err != nil {
		t.Error(err)
	}
}
