package sqlitebackup

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// Undo exchanges the file t.To and the one that the last restore with Replace
// put aside.
func (artifacts) Undo(ctx context.Context, env *jobs.Env, t jobs.Target) (jobs.Restored, error) {
	r := replacement{env: env, target: t.To}
	gone := missing(t.To)
	if !gone {
		if err := r.look(ctx); err != nil {
			return jobs.Restored{}, err
		}
	}
	if err := r.sweep(ctx); err != nil {
		return jobs.Restored{}, err
	}
	olds, err := r.olds()
	if err != nil {
		return jobs.Restored{}, err
	}
	if len(olds) == 0 || r.old != nil && len(olds) == 1 && os.SameFile(olds[0].info, r.old) {
		return jobs.Restored{}, fmt.Errorf("%w: there is no file %s…", jobs.ErrNothingReplaced, r.target+oldMark)
	}
	last := olds[len(olds)-1]
	what := fmt.Sprintf("%s is again what it was until %s UTC", r.target, last.at.Format(time.DateTime))
	if gone {
		err := env.Effect(ctx, fmt.Sprintf("rename %s to %s", last.path, r.target), func(context.Context) error { return appear(last.path, r.target) })
		return jobs.Restored{Summary: what}, err
	}
	if err := r.nameAside(); err != nil {
		return jobs.Restored{}, err
	}
	if err := r.settle(ctx, last.path); err != nil {
		return jobs.Restored{}, err
	}
	free, err := takeLease(ctx, last.path)
	if err != nil {
		return jobs.Restored{}, err
	}
	defer free.free() //nolint:errcheck // only read
	if err := r.exchange(ctx, last.path); err != nil {
		return jobs.Restored{}, fmt.Errorf("undo the replacement of %s: %w", r.target, err)
	}
	verb := "is"
	if env.DryRun() {
		verb = "would be"
	}
	return jobs.Restored{Summary: what + fmt.Sprintf("; what was there %s kept as %s: the same command puts it back", verb, r.aside)}, nil
}
