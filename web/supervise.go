package web

import (
	"context"
	"errors"
	"time"

	"github.com/ghosteam/upkeep/web/access"
)

// superviseEvery is how often a request under way is looked at whether who
// asked still may: a stream lasts as long as a run.
const superviseEvery = 5 * time.Second

// errNoLonger ends the requests of those whose token was revoked meanwhile, and
// the like.
var errNoLonger = errors.New("who asked may no longer")

// supervise returns a context that ends when the pass would not be given again.
// The context must end with the request.
func supervise(ctx context.Context, pass access.Pass) context.Context {
	ctx, end := context.WithCancelCause(ctx)
	var timer *time.Timer
	timer = time.AfterFunc(time.Hour, func() {
		if ctx.Err() != nil {
			return
		}
		if !pass.Still(ctx) {
			end(errNoLonger)
			return
		}
		timer.Reset(superviseEvery)
	})
	context.AfterFunc(ctx, func() { timer.Stop() })
	timer.Reset(superviseEvery)
	return ctx
}
