package seed

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// usualDays is how far back the past of Usual goes.
const usualDays = 30

// Usual is a system of some workflows with a past of 30 days: most nights went
// well, one backup failed and succeeded when it was tried again, the last weekly
// run failed, mlflow does not answer, and reindex is paused. The workflow import
// waits for a file "release" in o.Dir, and fails while there is one "broken".
func Usual(ctx context.Context, o Options) error {
	return o.begin(ctx, usualConfig(o), func(cfg *configs.Config, b *book) error {
		s := &story{book: b, cfg: cfg, now: o.Now, from: o.Now.AddDate(0, 0, -usualDays), last: map[string]past{}}
		for _, step := range []func(context.Context) error{s.runs, s.incidents, s.samples, s.events, s.pause, s.files(o.Dir)} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// story is the past of Usual while it is told.
type story struct {
	*book

	cfg       *configs.Config
	now, from time.Time
	serial    int
	// last are the latest runs by workflow.
	last map[string]past
}

// past is a run that was told.
type past struct {
	id    runner.RunID
	at    time.Time
	state runner.State
	job   string // that failed
}

// fate is what becomes of one run: of its job, when it is not well.
type fate struct {
	job    string
	state  runner.State
	reason runner.Reason
	text   string
	hint   string
	// again tells that a second attempt did it.
	again bool
}

func (s *story) runs(ctx context.Context) error {
	if err := s.specs(ctx, s.cfg); err != nil {
		return err
	}
	if err := s.calendars(ctx, s.cfg, s.from, s.now); err != nil {
		return err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to undo
	for _, w := range s.cfg.Workflows {
		if w.Schedule.IsZero() {
			continue
		}
		var slots []time.Time
		for slot := range w.Schedule.Slots(s.from, s.now) {
			slots = append(slots, slot.UTC())
		}
		for i, slot := range slots {
			if err := s.tell(ctx, tx, w, slot, fateOf(w.Name, len(slots)-1-i)); err != nil {
				return fmt.Errorf("record a run of %s: %w", w.Name, err)
			}
		}
	}
	return tx.Commit()
}

// fateOf decides what became of the slot that is ago slots before the last one.
func fateOf(workflow string, ago int) fate {
	switch {
	case workflow == "daily" && ago == 9:
		return fate{job: "backup", state: runner.Failed, reason: runner.ReasonError, text: "pg_dump: error: connection to server failed: Connection refused", hint: "look whether PostgreSQL runs: systemctl status postgresql"}
	case workflow == "daily" && ago == 4:
		return fate{job: "backup", state: runner.Failed, reason: runner.ReasonError, text: "pg_dump: error: canceling statement due to lock timeout", again: true}
	case workflow == "daily" && (ago == 2 || ago == 15):
		return fate{job: "space", state: runner.Warned, reason: runner.ReasonFindings, text: "the disk of data has 18 % free, below 20 %"}
	case workflow == "daily" && ago == 20:
		return fate{job: "model-drift", state: runner.Warned, reason: runner.ReasonFindings, text: "drift of feature session_length: PSI 0.27 above 0.2"}
	case workflow == "weekly" && ago == 0:
		return fate{job: "restart-api", state: runner.Failed, reason: runner.ReasonError, text: "ghosteam-v5-api was restarted but does not answer: 503 after 90s", hint: "journalctl -u ghosteam-v5-api --since -10min"}
	case workflow == "offsite" && ago == 30:
		return fate{job: "copy", state: runner.Failed, reason: runner.ReasonTimeout, text: "timed out after 1h"}
	case workflow == "reindex" && ago < 6:
		return fate{state: runner.Skipped, reason: runner.ReasonPaused, text: "paused by anna: a long import is under way"}
	}
	return fate{}
}

// tellJobs records the attempts of a run, and returns when they ended and why
// the run ended as it did.
func tellJobs(ctx context.Context, tx *sql.Tx, w *configs.Workflow, f fate, run *past) (clock time.Time, reason runner.Reason, message string, err error) {
	clock = run.at.Add(300 * time.Millisecond)
	broken := map[string]bool{}
	for _, j := range w.Jobs {
		a := attemptOf(w, j, run.at, clock)
		if need := brokenNeed(j, broken); need != "" {
			a.State, a.Reason, a.Error, a.Result = runner.Skipped, runner.ReasonCondition, "needs "+need+", which failed", jobs.Result{}
			a.FinishedAt, broken[j.Name] = clock, true
		}
		if j.Name == f.job && a.State == runner.Succeeded {
			a.State, a.Reason = f.state, f.reason
			switch {
			case f.state == runner.Warned:
				a.Result.Findings = append(a.Result.Findings, jobs.Finding{ID: "usage:free", Severity: jobs.Warning, Text: f.text})
				run.state, reason, message = runner.Warned, runner.ReasonFindings, f.text
			case f.again:
				a.Error, a.Hint, a.ExitCode, a.Result = f.text, f.hint, 1, jobs.Result{}
				if err := insertAttempt(ctx, tx, run.id, w.Name, a); err != nil {
					return clock, "", "", err
				}
				a = attemptOf(w, j, run.at, a.FinishedAt.Add(time.Minute))
				a.Number = 2
			default:
				a.Error, a.Hint, a.ExitCode, a.Result = f.text, f.hint, 1, jobs.Result{}
				broken[j.Name] = true
				run.state, reason, message, run.job = runner.Failed, f.reason, "job "+j.Name+": "+f.text, j.Name
			}
		}
		clock = a.FinishedAt
		if err := insertAttempt(ctx, tx, run.id, w.Name, a); err != nil {
			return clock, "", "", err
		}
	}
	return clock, reason, message, nil
}

// brokenNeed is what a job needs that failed; empty for nothing.
func brokenNeed(j configs.Job, broken map[string]bool) string {
	for _, need := range j.Needs {
		if broken[need] && j.When == "" {
			return need
		}
	}
	return ""
}

// tell records one run with its attempts.
func (s *story) tell(ctx context.Context, tx *sql.Tx, w *configs.Workflow, slot time.Time, f fate) error {
	s.serial++
	id := runIDOf(slot, s.serial)
	run := past{id: id, at: slot, state: runner.Succeeded}
	clock, reason, message := slot.Add(300*time.Millisecond), runner.Reason(""), ""
	if f.state == runner.Skipped {
		run.state, reason, message = f.state, f.reason, f.text
	} else {
		var err error
		if clock, reason, message, err = tellJobs(ctx, tx, w, f, &run); err != nil {
			return err
		}
	}
	var started any = slot.Add(200 * time.Millisecond).UnixMicro()
	if run.state == runner.Skipped {
		started = nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO runs (id, workflow, slot, host, trigger, spec, params, jobs, dry_run, requested_by, state, reason, message,
			owner, node, epoch, canceled_by, reopened_by, queued_at, started_at, finished_at, overlap, alert, slots)
		VALUES (?, ?, ?, '', 'schedule', ?, '', '', 0, 'cron', ?, ?, ?, '0199aaaa-0000-7000-8000-000000000000', 'db-1', 1, '', '', ?, ?, ?, ?, 1, 1)`,
		id, w.Name, slot.UnixMicro(), w.Spec.Digest, run.state, reason, message, slot.UnixMicro(), started, clock.UnixMicro(), w.Overlap)
	if before, ok := s.last[w.Name]; !ok || before.at.Before(slot) {
		s.last[w.Name] = run
	}
	return err
}

// attemptOf is an attempt that did its work.
func attemptOf(w *configs.Workflow, j configs.Job, slot, clock time.Time) runner.Attempt {
	a := runner.Attempt{Job: j.Name, Kind: j.Kind, Number: 1, State: runner.Succeeded, ExitCode: -1, StartedAt: clock}
	noise := noiseOf(w.Name+j.Name, slot)
	seconds := 2 + 6*noise
	day := float64(slot.Unix()) / 86400
	growth := (day - float64(int(day/365)*365)) * 1.5e6
	switch j.Kind {
	case "pgbackup":
		seconds = 95 + 25*noise
		bytes := 1.6e9 + growth + 2e7*noise
		a.Result = jobs.Result{
			Summary: fmt.Sprintf("42 tables, %.1f GB in %.0f s, proven by reading it back (L2)", bytes/1e9, seconds),
			Values:  map[string]float64{"bytes": bytes, "stored_bytes": bytes / 5.4, "ratio": 5.4, "tables": 42, "rows": float64(int(8.1e6 + growth/200))},
		}
	case "health":
		a.Result = jobs.Result{Summary: "5 checks, all healthy", Values: map[string]float64{"checks": 5, "healthy": 5}}
	case "usage":
		a.Result = jobs.Result{Summary: "data 212 GB, 31 % of the disk is free", Values: map[string]float64{"free_percent": 31 - 3*noise, "bytes": 2.12e11 + growth*40}}
	case "prune":
		deleted := float64(int(40 + 60*noise))
		a.Result = jobs.Result{Summary: fmt.Sprintf("%.0f of 960 files deleted", deleted), Values: map[string]float64{"deleted": deleted, "freed_bytes": deleted * 5.1e6}}
	case "script":
		seconds = 4 + 20*noise
		a.Result = jobs.Result{Summary: "done", Values: map[string]float64{"accuracy_percent": 91 + 4*noise}}
	default:
		seconds = 30 + 30*noise
		a.Result = jobs.Result{Summary: "done"}
	}
	a.FinishedAt = clock.Add(time.Duration(seconds * float64(time.Second)))
	return a
}

// noiseOf is a number from 0 to 1 that is always the same for the same things.
func noiseOf(what string, at time.Time) float64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %d", what, at.Unix()/60) //nolint:errcheck // a hash takes everything
	return float64(h.Sum64()%1000) / 1000
}

// insertAttempt records an attempt and what it wrote.
func insertAttempt(ctx context.Context, tx *sql.Tx, id runner.RunID, workflow string, a runner.Attempt) error {
	result, err := json.Marshal(a.Result)
	if err != nil {
		return err
	}
	output := fmt.Sprintf("%s: begins\n%s: step 1 of 2\n%s: step 2 of 2\n", a.Job, a.Job, a.Job)
	if a.Error != "" {
		output += a.Error + "\n"
	}
	if a.State == runner.Skipped {
		output = ""
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO attempts (run, job, number, kind, workflow, dry_run, epoch, state, reason, error, hint, exit_code,
			started_at, finished_at, result, superseded, output_bytes, output_cut)
		VALUES (?, ?, ?, ?, ?, 0, 1, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 0)`,
		id, a.Job, a.Number, a.Kind, workflow, a.State, a.Reason, a.Error, a.Hint, a.ExitCode,
		a.StartedAt.UnixMicro(), a.FinishedAt.UnixMicro(), string(result), len(output))
	if err != nil || output == "" {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO outputs (run, job, number, codec, head, tail, cut) VALUES (?, ?, ?, 'raw', ?, ?, 0)", id, a.Job, a.Number, []byte(output), []byte{})
	return err
}
