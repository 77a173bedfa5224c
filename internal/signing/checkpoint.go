package signing

import (
	"context"
	"errors"

	"github.com/sigilkeys/sigil/internal/teelink"
)

// checkpoint has a workload sign a ledger's head, and hands it the state record
// if it wants it.
func checkpoint(ctx context.Context, c *teelink.Client, state []byte, in *teelink.Checkpoint) (string, error) {
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
