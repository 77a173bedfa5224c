package signing

import (
	"context"

	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/internal/tracing"
)

// TraceWith sets what traces decisions; before the first, or never.
func (s *Service) TraceWith(t *tracing.Tracer) { s.tracer = t }

// Decide has the TEE decide the call and returns what is committed. The same
// request again gets the same outcome.
func (s *Service) Decide(ctx context.Context, c *Call) (*Outcome, error) {
	ctx, span := s.tracer.Start(ctx, "signing.Decide")
	out, err := s.decide(ctx, c)
	span.End(err != nil)
	return out, err
}

// askTraced is ask with the TEE's part of the time: waiting for a link, the
// decision, and being gathered into a batch.
func (s *Service) askTraced(ctx context.Context, c *Call) (*teelink.Outcome, error) {
	ctx, span := s.tracer.Call(ctx, "tee.Decide")
	o, err := s.ask(ctx, c)
	if err == nil {
		span.Count("sigil.batch_items", len(o.Batch.Items))
	}
	span.End(err != nil)
	return o, err
}

// wait waits for a batch's commit.
func (s *Service) wait(ctx context.Context, t *ticket) error {
	ctx, span := s.tracer.Start(ctx, "signing.Commit")
	select {
	case <-t.done:
		span.End(t.err != nil)
		return nil
	case <-ctx.Done():
		span.End(true)
		return ctx.Err()
	}
}
