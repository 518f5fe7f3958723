package ledger

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// runColumns are what scanRun reads, from runs r joined with specs s.
const runColumns = `r.id, r.workflow, r.slot, r.host, r.trigger, r.spec, s.text, r.params, r.jobs, r.dry_run, r.requested_by,
	r.state, r.reason, r.message, r.owner, r.node, r.epoch, r.canceled_by, r.reopened_by, r.queued_at, r.started_at, r.finished_at,
	r.overlap, r.approval, r.approved_by, r.alert, r.slots, r.last_slot, r.target, r.start_by`

// scanner is a row or the current one of several.
type scanner interface{ Scan(dest ...any) error }

func scanRun(row scanner) (runner.Run, error) {
	var r runner.Run
	var slot int64
	var params, names string
	var queued, started, finished, lastSlot, startBy sql.NullInt64
	err := row.Scan(&r.ID, &r.Spec.Workflow, &slot, &r.Host, &r.Trigger, &r.Spec.Digest, &r.Spec.Text, &params, &names, &r.DryRun, &r.By,
		&r.State, &r.Reason, &r.Message, &r.Owner, &r.Node, &r.Epoch, &r.CanceledBy, &r.ReopenedBy, &queued, &started, &finished,
		&r.Overlap, &r.Approval, &r.ApprovedBy, &r.Alert, &r.Slots, &lastSlot, &r.Target, &startBy)
	if err != nil {
		return r, err
	}
	r.Slot, r.LastSlot = time.UnixMicro(slot).UTC(), instant(lastSlot)
	r.StartBy = instant(startBy)
	r.QueuedAt, r.StartedAt, r.FinishedAt = instant(queued), instant(started), instant(finished)
	if err := unpack(params, &r.Params); err != nil {
		return r, fmt.Errorf("parameters of run %s: %w", r.ID, err)
	}
	if err := unpack(names, &r.Jobs); err != nil {
		return r, fmt.Errorf("jobs of run %s: %w", r.ID, err)
	}
	return r, nil
}

// attemptColumns are what scanAttempt reads, from attempts a.
const attemptColumns = `a.run, a.job, a.kind, a.number, a.epoch, a.state, a.reason, a.error, a.hint, a.exit_code,
	a.started_at, a.finished_at, a.result, a.planned, a.superseded, a.output_bytes, a.output_cut`

func scanAttempt(row scanner) (runner.Attempt, error) {
	var a runner.Attempt
	var started, finished sql.NullInt64
	var result string
	err := row.Scan(&a.Run, &a.Job, &a.Kind, &a.Number, &a.Epoch, &a.State, &a.Reason, &a.Error, &a.Hint, &a.ExitCode,
		&started, &finished, &result, &a.Planned, &a.Superseded, &a.OutputBytes, &a.OutputCut)
	if err != nil {
		return a, err
	}
	a.StartedAt, a.FinishedAt = instant(started), instant(finished)
	a.Result = decodeResult(result)
	return a, nil
}

// instant is the inverse of micros.
func instant(stored sql.NullInt64) time.Time {
	if !stored.Valid {
		return time.Time{}
	}
	return time.UnixMicro(stored.Int64).UTC()
}

// micros returns how t is stored: NULL for the zero time.
func micros(t time.Time) sql.NullInt64 {
	if t.IsZero() {
		return sql.NullInt64{}
	}
	return sql.NullInt64{Int64: t.UnixMicro(), Valid: true}
}

// pack stores a list or a map as JSON; the empty string stands for none.
func pack[T map[string]string | []string](values T) (string, error) {
	if len(values) == 0 {
		return "", nil
	}
	text, err := json.Marshal(values)
	return string(text), err
}

// unpack is the inverse of pack.
func unpack(text string, into any) error {
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), into)
}

// bit stores a truth value the same way in both databases.
func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
