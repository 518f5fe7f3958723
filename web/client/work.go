package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/ghosteam/upkeep/web/api"
)

// VerifyArtifacts has artifacts proven anew. It calls tell with how it goes, and
// returns what came of it; the error may come beside that. The end of ctx stops
// the work.
func (c *Client) VerifyArtifacts(ctx context.Context, r api.VerifyRequest, tell func(api.WorkEvent)) (api.Worked, error) {
	return c.work(ctx, "verify", r, tell)
}

// DrillArtifacts has it proven that artifacts can be restored, as
// VerifyArtifacts does.
func (c *Client) DrillArtifacts(ctx context.Context, r api.DrillRequest, tell func(api.WorkEvent)) (api.Worked, error) {
	return c.work(ctx, "drill", r, tell)
}

// RestoreArtifact has put back what an artifact holds, as VerifyArtifacts does.
func (c *Client) RestoreArtifact(ctx context.Context, r api.RestoreRequest, tell func(api.WorkEvent)) (api.Worked, error) {
	return c.work(ctx, "restore", r, tell)
}

// PruneArtifacts asks what retention removes, or has it do that, as
// VerifyArtifacts does.
func (c *Client) PruneArtifacts(ctx context.Context, r api.PruneRequest, tell func(api.WorkEvent)) (api.Worked, error) {
	return c.work(ctx, "prune", r, tell)
}

// work reads a stream to its last event.
func (c *Client) work(ctx context.Context, verb string, body any, tell func(api.WorkEvent)) (api.Worked, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dead := time.AfterFunc(c.o.Within, func() { cancel(ErrSilent) })
	defer dead.Stop()
	response, err := c.send(ctx, call{method: http.MethodPost, path: path("artifacts", verb), body: body})
	if err != nil {
		return api.Worked{}, err
	}
	defer response.Body.Close() //nolint:errcheck // only read
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(make([]byte, 64<<10), longestEvent)
	var done *api.WorkEvent
	for dead.Reset(silentAfter); lines.Scan(); dead.Reset(silentAfter) {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue // a name, which the data repeats, a comment or the end of an event
		}
		var event api.WorkEvent
		if err := json.Unmarshal(data, &event); err != nil {
			return api.Worked{}, fmt.Errorf("the daemon's event makes no sense: %w", err)
		}
		if event.Kind == api.WorkDone {
			done = &event // with the end of the stream it is in the audit, too
			continue
		}
		tell(event)
	}
	if done != nil {
		return outcome(*done)
	}
	err = lines.Err()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, ErrSilent) {
		return api.Worked{}, cause
	}
	return api.Worked{}, c.lost(ctx, err)
}

// outcome is what the last event of a work says.
func outcome(done api.WorkEvent) (api.Worked, error) {
	var result api.Worked
	if done.Result != nil {
		result = *done.Result
	}
	if done.Problem != nil {
		return result, done.Problem
	}
	return result, nil
}
