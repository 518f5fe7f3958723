package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// KillLeftovers ends the child processes that a dead process of upkeep left on
// this host for a run: everything that carries the run's mark, its descendants
// and its cgroups. They are asked first and killed after grace. What this
// process itself has under way is spared. since is when the run began. The
// caller must own the run, because another living owner's children would be
// ended as well.
//
// It returns how many processes were ended. Its error says that some could
// not be, or that some that may belong to the run could not be looked at.
func KillLeftovers(ctx context.Context, runID string, since time.Time, grace time.Duration) (ended int, err error) {
	marks := (&Env{RunID: runID}).Marks()[:1]
	if grace <= 0 {
		grace = -1 // the zero value would stand for the default
	}
	swept, err := child.KillMarked(ctx, child.Sweep{Marks: marks, Since: since, Grace: grace})
	if err != nil {
		return swept.Killed, fmt.Errorf("end what run %s left behind: %w", runID, err)
	}
	if swept.Unreadable > 0 {
		return swept.Killed, fmt.Errorf("end what run %s left behind: %d processes that could belong to it may not be looked at", runID, swept.Unreadable)
	}
	return swept.Killed, nil
}
