package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// lastRun names the newest run of all.
const lastRun = "last"

// leastID is how much of a run's ID must be given. IDs begin with the time, so
// that runs of the same quarter of an hour share more than that.
const leastID = 6

// findRun finds a run by what a person typed: an ID, the beginning of one, a
// workflow's name for its newest run, or `last`.
func findRun(ctx context.Context, reader runner.Reader, text string) (runner.Run, error) {
	if text == lastRun {
		runs, err := reader.Runs(ctx, runner.Filter{Limit: 1})
		if err == nil && len(runs) == 0 {
			err = notFoundf("`upkeep run WORKFLOW` runs one now", "there is no last run: nothing has run yet")
		}
		if err != nil {
			return runner.Run{}, err
		}
		return runs[0], nil
	}
	if looksLikeID(text) {
		run, err := reader.Run(ctx, text)
		if ambiguous, ok := errors.AsType[*runner.AmbiguousError](err); ok {
			return run, tellCandidates(ctx, reader, ambiguous)
		}
		if err == nil || !errors.Is(err, runner.ErrNotFound) {
			return run, err
		}
	}
	latest, err := reader.Latest(ctx, []string{text})
	if err != nil {
		return runner.Run{}, err
	}
	run, ok := latest[text]
	if !ok {
		return runner.Run{}, notFoundf(fmt.Sprintf("`upkeep history` lists the runs; RUN is an ID, at least its first %d characters, a workflow's name or `%s`", leastID, lastRun),
			"there is no run %q, and no workflow of that name has run", text)
	}
	return run, nil
}

// tellCandidates adds the runs that an ambiguous beginning of an ID fits.
func tellCandidates(ctx context.Context, reader runner.Reader, ambiguous *runner.AmbiguousError) error {
	var lines []string
	for _, id := range ambiguous.IDs {
		run, err := reader.Run(ctx, string(id))
		if err != nil {
			return errors.Join(ambiguous, err)
		}
		lines = append(lines, fmt.Sprintf("  %s  %s %s, %s", id, run.Spec.Workflow, run.State, stamp(run.QueuedAt)))
	}
	return jobs.WithHint(fmt.Errorf("%w\n%s", ambiguous, strings.Join(lines, "\n")), "give more characters of the ID")
}

// looksLikeID tells a run ID or the beginning of one from a workflow's name.
func looksLikeID(text string) bool {
	return len(text) >= leastID && strings.Trim(strings.ToLower(text), "0123456789abcdef-") == ""
}
