package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/object"
)

// endedAttempt is a runner.End in the form in which it is stored.
type endedAttempt struct {
	a         runner.Attempt
	result    string
	artifacts []object.Info
	events    []runner.Happening
	output    runner.Output
	codec     string
	wrote     bool
	// mirrored tells that pieces of what it wrote may be on record.
	mirrored bool
}

func (l *Ledger) prepareEnd(c runner.Claim, e runner.End) (endedAttempt, error) {
	out := endedAttempt{a: e.Attempt, output: bounded(e.Output)}
	var err error
	var stored jobs.Result
	if out.result, stored, err = encodeResult(e.Attempt.Result); err != nil {
		return out, fmt.Errorf("encode the result: %w", err)
	}
	out.artifacts, out.events = stored.Artifacts, eventsOf(c, e.Attempt, stored.Events)
	out.mirrored = l.hasMirrored(c.Run, e.Attempt)
	out.wrote = len(out.output.Head)+len(out.output.Tail) > 0 || out.output.Cut > 0
	kept := int64(len(out.output.Head) + len(out.output.Tail))
	out.a.OutputBytes, out.a.OutputCut = max(e.Attempt.OutputBytes, kept+out.output.Cut), out.output.Cut
	out.codec, out.output.Head, out.output.Tail, err = l.codec.pack(out.output)
	return out, err
}

// upsertAttempt inserts an attempt or overwrites the one of the same identity
// if that began under the same claim; the caller adds what to overwrite. The
// output of a dead process is found after its attempt became Lost, so a Lost
// attempt of an earlier claim may be ended as Lost once more.
const upsertAttempt = `INSERT INTO attempts (run, job, number, kind, workflow, dry_run, epoch, state, reason, error, hint, exit_code,
		started_at, finished_at, result, superseded, planned, output_bytes, output_cut)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?)
	ON CONFLICT (run, job, number) DO UPDATE SET `

func attemptValues(f fencedRun, a runner.Attempt, result string) []any {
	return []any{
		f.claim.Run, a.Job, a.Number, a.Kind, f.workflow, bit(f.dryRun), f.claim.Epoch, a.State, a.Reason,
		clean(a.Error, maxError), clean(a.Hint, maxLine), a.ExitCode, micros(a.StartedAt), micros(a.FinishedAt), result,
		cleanLine(a.Planned, maxShortText), a.OutputBytes, a.OutputCut,
	}
}

// errOtherAttempt reports a program error: an attempt number was used twice.
var errOtherAttempt = errors.New("an attempt with this number is on record already")

// errNoAttempt reports a program error: the job does not run.
var errNoAttempt = errors.New("no attempt of the job is running")

func recordBegin(ctx context.Context, s session, f fencedRun, a runner.Attempt) error {
	const query = upsertAttempt + "started_at = excluded.started_at WHERE attempts.epoch = excluded.epoch AND attempts.state = excluded.state"
	changed, err := s.exec(ctx, query, attemptValues(f, a, "{}")...)
	if err == nil && changed == 0 {
		err = errOtherAttempt
	}
	return err
}

// recordPlanned marks a running attempt: it may end upkeep itself.
func recordPlanned(ctx context.Context, s session, f fencedRun, job, what string) error {
	changed, err := s.exec(ctx, "UPDATE attempts SET planned = ? WHERE run = ? AND job = ? AND epoch = ? AND state = ?",
		cleanLine(what, maxShortText), f.claim.Run, job, f.claim.Epoch, runner.Running)
	if err == nil && changed == 0 {
		err = errNoAttempt
	}
	return err
}

func (e endedAttempt) record(ctx context.Context, s session, f fencedRun) error {
	const query = upsertAttempt + `state = excluded.state, reason = excluded.reason, error = excluded.error, hint = excluded.hint,
		exit_code = excluded.exit_code, started_at = COALESCE(excluded.started_at, attempts.started_at), finished_at = excluded.finished_at,
		result = excluded.result, output_bytes = excluded.output_bytes, output_cut = excluded.output_cut
		WHERE attempts.epoch = excluded.epoch AND attempts.state IN ('running', excluded.state)
			OR attempts.epoch < excluded.epoch AND attempts.state = 'lost' AND excluded.state = 'lost'`
	changed, err := s.exec(ctx, query, attemptValues(f, e.a, e.result)...)
	if err != nil {
		return err
	}
	if changed == 0 {
		return errOtherAttempt
	}
	// The locks of an earlier claim's attempt went with its owner; what the job
	// holds now belongs to a later attempt.
	if late := e.a.Epoch != 0 && e.a.Epoch < f.claim.Epoch; !late {
		if err := dropLocks(ctx, s, "run = ? AND job = ?", f.claim.Run, e.a.Job); err != nil {
			return err
		}
		if f.waits {
			if _, err := s.exec(ctx, "DELETE FROM lock_waits WHERE run = ? AND job = ?", f.claim.Run, e.a.Job); err != nil {
				return err
			}
		}
	}
	if e.wrote {
		if err := e.recordOutput(ctx, s, f); err != nil {
			return fmt.Errorf("output: %w", err)
		}
	}
	if e.mirrored {
		if err := dropPieces(ctx, s, runner.AttemptKey{Run: f.claim.Run, Job: e.a.Job, Number: e.a.Number}); err != nil {
			return fmt.Errorf("pieces of the output: %w", err)
		}
	}
	for _, artifact := range e.artifacts {
		if _, err := s.exec(ctx, `INSERT INTO artifacts (run, job, number, store, key, bytes, sha256, modified) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (run, job, number, store, key) DO NOTHING`, f.claim.Run, e.a.Job, e.a.Number,
			artifact.Store, artifact.Key, artifact.Bytes, artifact.SHA256, micros(artifact.Modified)); err != nil {
			return fmt.Errorf("artifact %s: %w", artifact.Key, err)
		}
	}
	if f.dryRun {
		return nil
	}
	if err := insertEvents(ctx, s, e.events); err != nil {
		return fmt.Errorf("events: %w", err)
	}
	return nil
}

func (e endedAttempt) recordOutput(ctx context.Context, s session, f fencedRun) error {
	// A nil slice would be NULL.
	head, tail := append([]byte{}, e.output.Head...), append([]byte{}, e.output.Tail...)
	_, err := s.exec(ctx, `INSERT INTO outputs (run, job, number, codec, head, tail, cut) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (run, job, number) DO UPDATE SET codec = excluded.codec, head = excluded.head, tail = excluded.tail, cut = excluded.cut`,
		f.claim.Run, e.a.Job, e.a.Number, e.codec, head, tail, e.output.Cut)
	return err
}
