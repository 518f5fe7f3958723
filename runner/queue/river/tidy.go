package river

import (
	"context"
	"time"
)

// tidyEvery is how often what leads nowhere is removed.
const tidyEvery = time.Hour

// tidy removes pointers for targets that nobody serves: of runs that have
// expired or were canceled long ago. One whose run still waits comes back with
// the next sweep. What is in another state than ours is nobody's.
func (q *Queue) tidy(ctx context.Context) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		for _, statement := range []string{
			"DELETE FROM river_job WHERE created_at < now() - interval '1 day'",
			// A node's queue is touched every 10 minutes.
			"DELETE FROM river_queue WHERE updated_at < now() - interval '7 days'",
		} {
			if _, err := q.options.Pool.Exec(ctx, statement); err != nil && ctx.Err() == nil {
				q.quiet.problem(ctx, "remove what leads nowhere", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}
