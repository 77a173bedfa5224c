package signing

import (
	"context"
	"errors"

	"github.com/sigilkeys/sigil/internal/teelink"
)

// Checkpoint has the connected workload sign a ledger's head, and hands it the
// state record if it wants it.
func (l *Link) Checkpoint(ctx context.Context, state []byte, in *teelink.Checkpoint) (string, error) {
	c, err := l.Client(ctx)
	if err != nil {
		return "", err
	}
	note, err := c.Checkpoint(ctx, in)
	var refused *teelink.RemoteError
	if errors.As(err, &refused) && refused.Code == "objects_missing" {
		if err := c.Put(ctx, []teelink.Object{{Kind: teelink.ObjectStateRecord, Bytes: state}}); err != nil {
			return "", err
		}
		note, err = c.Checkpoint(ctx, in)
	}
	return note, err
}
