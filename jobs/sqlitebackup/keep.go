package sqlitebackup

import (
	"context"

	"github.com/ghosteam/upkeep/jobs"
)

var _ jobs.Keeper = (*Job)(nil)

// Prune applies the retention of the job's options beside a run.
func (j *Job) Prune(ctx context.Context, env *jobs.Env, p jobs.Pruning) ([]jobs.Retained, error) {
	return j.publisher.Prune(ctx, env, p)
}
