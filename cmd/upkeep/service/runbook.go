package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/health/runbook"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// storyFor is how long after its end an incident still takes what a runbook has
// to say about it, beyond the runbook's grace.
const storyFor = 10 * time.Minute

// runbookEvent is the kind of the events that tell what runbooks do.
const runbookEvent = "runbook"

// newRunbooks makes the engine that starts workflows when checks fail. The
// monitor, which tells it so, comes after it.
func (d *Daemon) newRunbooks() *runbook.Engine {
	return runbook.New(runbook.Options{
		Runbooks: func() []runbook.Runbook { return runbooksHere(d.Config()) },
		Locks:    func(name string) []string { return LocksOf(d.Config(), name) },
		Held:     func() error { return d.refusal() },
		Records:  d.ledger, Remedies: d.ledger, Actions: remedies{d.Engine}, Checks: monitored{d, &glanced{}}, Past: d.ledger, Log: d.o.Log,
		Elsewhere: func(check string) bool { return d.monitor.Elsewhere(check) },
	})
}

// runbooksHere are the runbooks as this node follows them: those of checks that
// every node asks by its own instance of the check.
func runbooksHere(cfg *configs.Config) []runbook.Runbook {
	list := cfg.Runbooks()
	for i, b := range list {
		list[i] = here(cfg, b)
	}
	return list
}

// here is a runbook as this node follows it.
func here(cfg *configs.Config, b runbook.Runbook) runbook.Runbook {
	at := slices.IndexFunc(cfg.Checks, func(c configs.Check) bool { return c.Name == b.Trigger.Check })
	if at >= 0 && cfg.Checks[at].EveryNode && shared(cfg) {
		b.Trigger.Check = runner.CheckOn(b.Trigger.Check, cfg.Node)
	}
	return b
}

// monitored reads the monitor of a daemon, with what other nodes see.
type monitored struct {
	d    *Daemon
	seen *glanced
}

// Reports implements runner.CheckReader. What other nodes ask is as old as what
// was last read when the ledger is away.
func (m monitored) Reports(ctx context.Context) []runner.CheckReport {
	if err := (checks{monitor: m.d.monitor, seen: m.seen}).look(ctx); err != nil && ctx.Err() == nil {
		m.d.o.Log.WarnContext(ctx, "look at the checks of other nodes", "error", err)
	}
	return m.d.monitor.Reports(ctx)
}

// LocksOf returns the named locks that the jobs of a workflow need. What cannot
// be made now, such as for lack of a secret, tells no more than its locks:.
func LocksOf(cfg *configs.Config, workflow string) []string {
	w, err := cfg.Workflow(workflow)
	if err != nil {
		return nil
	}
	var keys []string
	for _, j := range w.Jobs {
		keys = append(keys, j.Locks...)
		if job, _, err := j.Build(nil); err == nil {
			if exclusive, ok := job.(jobs.Exclusive); ok {
				keys = append(keys, exclusive.LockKeys()...)
			}
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// remedies does what runbooks ask for, in the name of upkeep.
type remedies struct{ e *Engine }

var _ runbook.Actions = remedies{}

// Start implements runbook.Actions.
func (r remedies) Start(ctx context.Context, b runbook.Runbook, why string) (runner.Submission, error) {
	request, err := Request(r.e.Config(), why, api.RunRequest{Workflow: b.Name, Trigger: runner.ByCheck, DryRun: b.Mode == runbook.Observe}, time.Now())
	if err == nil {
		err = r.e.refusal()
	}
	if err != nil {
		return runner.Submission{}, err
	}
	request.Overlap, request.Approval = runner.OverlapSkip, b.Mode == runbook.Approve
	request.Budget = &runner.Budget{Cooldown: b.Limits.Cooldown, Max: b.Limits.Max, Per: b.Limits.Per}
	if cfg := r.e.Config(); b.Trigger.Check != runner.CheckBase(b.Trigger.Check) {
		request.Host = cfg.Node // what this node alone sees is cured here
	} else if w, err := cfg.Workflow(b.Name); err == nil && w.EveryNode {
		request.Host = cfg.Node
	}
	list, err := r.e.submit(ctx, request)
	if err != nil {
		return runner.Submission{}, err
	}
	return list[0], nil
}

// Drop implements runbook.Actions.
func (r remedies) Drop(ctx context.Context, run runner.RunID, why string) error {
	_, err := commands(r).Cancel(ctx, why, run)
	return err
}

// Disable implements runbook.Actions.
func (r remedies) Disable(ctx context.Context, b runbook.Runbook, run runner.RunID, why string) error {
	now := time.Now().UTC()
	if err := r.e.ledger.Pause(ctx, runner.Pause{Workflow: b.Name, By: "upkeep", Why: why, Since: now}); err != nil {
		return err
	}
	_, err := r.e.ledger.Raise(ctx, runner.Fault{
		Fingerprint: runbook.Fingerprint(b.Name), Workflow: b.Name, Severity: jobs.Critical, Reason: alerts.ReasonFailed, Run: run, At: now,
		Title:    jobs.OneLine(fmt.Sprintf("the runbook %s does not help against %s and is paused: %s", b.Name, b.Trigger, why)),
		Channels: r.e.Config().Alarm().Channels(jobs.Critical, b.Name, alerts.ReasonFailed),
	})
	return err
}

// Enable implements runbook.Actions.
func (r remedies) Enable(ctx context.Context, b runbook.Runbook) error {
	_, err := r.e.ledger.Clear(ctx, runbook.Fingerprint(b.Name), time.Now().UTC())
	return err
}

// Tell implements runbook.Actions.
func (r remedies) Tell(ctx context.Context, b runbook.Runbook, text string) error {
	now := time.Now().UTC()
	err := r.e.ledger.Record(ctx, runner.Happening{Kind: runbookEvent, Subject: b.Name, Text: text, By: r.e.Config().Node, At: now})
	if err != nil {
		return err
	}
	told, err := r.e.ledger.Incidents(ctx, runner.IncidentFilter{Fingerprint: runbook.CheckFingerprint(b.Trigger.Check), Limit: 1})
	if err != nil || len(told) == 0 || told[0].State != runner.IncidentOpen && now.Sub(told[0].ResolvedAt) > b.Limits.Grace+storyFor {
		return err
	}
	return r.e.ledger.Acted(ctx, told[0].ID, b.Name, text)
}

// Ask implements runbook.Actions.
func (r remedies) Ask(ctx context.Context, b runbook.Runbook, run runner.RunID, text string) error {
	waits, err := r.e.ledger.Run(ctx, string(run))
	if err != nil {
		return err
	}
	cfg := r.e.Config()
	command := fmt.Sprintf("upkeep -c %s", cfg.Path)
	var notices []runner.Notice
	for _, channel := range cfg.Alarm().Channels(jobs.Warning, b.Name, alerts.ReasonFailed) {
		notices = append(notices, runner.Notice{
			// However often it is asked for, it is owed once.
			ID: runner.DerivedID(waits.QueuedAt, "approval", string(run), channel), Channel: channel, Action: runner.NoticeRemind, Subject: b.Name + " waits for approval",
			Text: fmt.Sprintf("%s\n\nLook at what it would do: %s runbook plan %s\nLet it go: %s approve %s\nTurn it down: %s cancel %s\n", text, command, b.Name, command, run, command, run),
		})
	}
	return r.e.ledger.Owe(ctx, notices...)
}

// approvable refuses to let a runbook go while somebody else holds what it
// needs: it would wait, and act when nobody looks any more.
func (e *Engine) approvable(ctx context.Context, id runner.RunID) error {
	run, err := e.ledger.Run(ctx, string(id))
	if err != nil || run.Trigger != runner.ByCheck {
		return ignoreMissing(err)
	}
	holders, err := e.ledger.Locks(ctx)
	if err != nil {
		return err
	}
	needs := LocksOf(e.Config(), run.Spec.Workflow)
	for _, h := range holders {
		if slices.Contains(needs, h.Lock) && h.Run != run.ID {
			return api.NewProblem(api.CodeSkipped, "approve it when that has ended", fmt.Sprintf("%s.%s holds %s, which %s needs", h.Workflow, h.Job, h.Lock, run.Spec.Workflow))
		}
	}
	return nil
}

// ignoreMissing leaves it to the next step to say that a run is not there.
func ignoreMissing(err error) error {
	if errors.Is(err, runner.ErrNotFound) {
		return nil
	}
	return err
}
