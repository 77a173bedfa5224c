package pgstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sigilkeys/sigil/internal/store"
)

var (
	errWarned     = errors.New("the server committed with a warning")
	errRolledBack = errors.New("the server rolled the transaction back")
)

// verdict is what an error says about the transaction that met it.
type verdict int

const (
	unknown verdict = iota // it may or may not have happened
	final                  // it didn't happen, and won't
	again                  // it didn't happen; another try may go well
)

// judge reads an error. committing says that COMMIT had been sent, from when
// on silence says nothing about the outcome.
func judge(err error, committing bool) verdict {
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, errWarned):
		return unknown
	case errors.Is(err, errRolledBack), errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrExists):
		return final
	case errors.As(err, &pg):
		return judgeCode(pg.Code, committing)
	case !committing:
		return again
	}
	// pgconn.SafeToRetry isn't asked: it is true of the "conn closed" that pgx
	// reports when a connection ends while the answer to COMMIT is read.
	return unknown
}

func judgeCode(code string, committing bool) verdict {
	switch {
	case slices.Contains([]string{
		"40001", "40P01", // serialization failure, deadlock
		"55P03", "25P03", // a lock, or we, took too long
		"53300", "57P03", // too many connections, starting or stopping
		"25006", // a standby, or a primary that was
	}, code):
		return again
	case strings.HasPrefix(code, "57P"), strings.HasPrefix(code, "08"): // being shut down; connection lost
		if committing {
			return unknown
		}
		return again
	}
	return final
}

func exists(err error) bool {
	var pg *pgconn.PgError
	return errors.Is(err, store.ErrExists) || errors.As(err, &pg) && pg.Code == "23505"
}

// fault translates an error for callers of the store.
func fault(err error) error {
	if exists(err) {
		return fmt.Errorf("%w: %w", store.ErrExists, err)
	}
	return err
}

// retry runs one write until its outcome is known, or patience ends.
//
// After an attempt of unknown outcome the same write is tried again. If the
// first one is still under way in the server, the second waits for it at a
// unique index; if it happened, the second meets its rows, and stands tells
// them from somebody else's. If neither says so in time, it is ErrUnknown.
func (s *Store) retry(ctx context.Context, once func(context.Context) (committing bool, err error), stands func(context.Context) (bool, error)) error {
	patient, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	doubt := false
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		attempt, stop := context.WithTimeout(patient, s.attempt)
		committing, err := once(attempt)
		if err != nil && doubt && exists(err) && stands != nil {
			var happened bool
			if happened, err = s.settled(attempt, stands, err); happened {
				err = nil
			}
		}
		stop()
		if err == nil {
			return nil
		}
		switch judge(err, committing) {
		case unknown:
			doubt = !s.careless
		case final:
			if doubt && !errors.Is(err, errOthers) {
				return fmt.Errorf("%w: %w", store.ErrUnknown, err)
			}
			return fault(err)
		}
		select {
		case <-time.After(wait):
		case <-patient.Done():
			if doubt {
				return fmt.Errorf("%w: %w", store.ErrUnknown, err)
			}
			return fault(err)
		}
	}
}

// errOthers marks a conflict with rows that are somebody else's.
var errOthers = errors.New("the rows are of another write")

// settled asks stands, after everything that is visible is as durable as a
// commit. Otherwise err stays, marked as a conflict if stands denies.
func (s *Store) settled(ctx context.Context, stands func(context.Context) (bool, error), conflict error) (bool, error) {
	if err := s.flush(ctx); err != nil {
		return false, fmt.Errorf("flush before looking: %w", err)
	}
	happened, err := stands(ctx)
	switch {
	case err != nil:
		return false, fmt.Errorf("look what became of a write: %w", err)
	case !happened:
		return false, fmt.Errorf("%w: %w", errOthers, conflict)
	}
	return true, nil
}
