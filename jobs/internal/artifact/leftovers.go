package artifact

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/object"
)

const (
	// abandonedAfter is how long something unfinished must have rested before
	// it is taken for the work of a dead attempt, when nobody can tell whether
	// its process lives.
	abandonedAfter = 24 * time.Hour
	// settledAfter is how long what a dead process sent to a distant store may
	// still be on its way.
	settledAfter = 5 * time.Minute
)

// clearLeftovers removes what dead attempts of this job left in a store. Only
// the end of ctx makes it fail; other trouble becomes a finding.
func (p *Publisher) clearLeftovers(ctx context.Context, env *jobs.Env, s store, out *Outcome) error {
	err := p.sweep(ctx, env, s)
	if err == nil || context.Cause(ctx) != nil {
		return err
	}
	out.Findings = append(out.Findings, jobs.Finding{
		ID: "sweep-failed", Severity: jobs.Warning, Text: fmt.Sprintf("store %s: cannot clear away leftovers: %s", s.name, oneLine(err)),
	})
	return nil
}

// sweep first discards what has no key yet, so that the marker, which says
// whose it was, goes last.
func (p *Publisher) sweep(ctx context.Context, env *jobs.Env, s store) error {
	now := time.Now()
	abandoned, settled := now.Add(-abandonedAfter), now.Add(-settledAfter)
	if _, here := s.Store.(object.Housed); here {
		settled = now
	}
	left, err := object.Leftovers(ctx, s.Store, object.Folder(env.Workflow, env.Job), settled)
	if err != nil {
		return err
	}
	left = slices.DeleteFunc(left, func(l object.Leftover) bool { return !l.Modified.Before(abandoned) && !Dead(l.Process) })
	if err := discardUnfinished(ctx, env, s, left, abandoned, settled); err != nil {
		return err
	}
	for _, l := range left {
		what := fmt.Sprintf("clear away the unfinished artifact %s in store %s (%d objects, %s)", l.Dir, s.name, l.Objects, Bytes(l.Bytes))
		if err := env.Effect(ctx, what, l.Remove); err != nil {
			return err
		}
	}
	return nil
}

// discardUnfinished discards what belongs to the artifacts in left, and what is
// abandoned, whosever it was.
func discardUnfinished(ctx context.Context, env *jobs.Env, s store, left []object.Leftover, abandoned, settled time.Time) error {
	sweeper, ok := s.Store.(object.Sweeper)
	if !ok {
		return nil
	}
	if len(left) == 0 {
		settled = abandoned // then there is no need to look at what is young
	}
	unfinished, err := sweeper.Unfinished(ctx, settled)
	if err != nil {
		return err
	}
	for _, u := range unfinished {
		dead := slices.ContainsFunc(left, func(l object.Leftover) bool { return l.Dir == u.Dir })
		if !dead && !u.Modified.Before(abandoned) {
			continue
		}
		what := fmt.Sprintf("clear away the unfinished %s in store %s (%s)", u.Name, s.name, Bytes(u.Bytes))
		if err := env.Effect(ctx, what, func(ctx context.Context) error { return sweeper.Discard(ctx, u) }); err != nil {
			return err
		}
	}
	return nil
}
