package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// commands does what people ask of runs and workflows.
type commands struct{ e *Engine }

var _ web.Commands = commands{}

// Run implements web.Commands.
func (c commands) Run(ctx context.Context, by string, r api.RunRequest) ([]runner.Submission, error) {
	cfg := c.e.Config()
	request, err := Request(cfg, by, r, time.Now())
	if err == nil {
		err = c.e.refusal()
	}
	if err != nil {
		return nil, err
	}
	w, err := cfg.Workflow(r.Workflow)
	if err != nil {
		return nil, noWorkflow(err)
	}
	requests, err := c.e.placed(ctx, request, w, r.On)
	if err != nil {
		return nil, err
	}
	return c.e.submit(ctx, requests...)
}

// submit records requests and has them delivered.
func (e *Engine) submit(ctx context.Context, requests ...runner.Request) ([]runner.Submission, error) {
	leave, err := e.accepted.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	for i := range requests {
		if requests[i].Overlap, err = e.overlap(ctx, requests[i]); err != nil {
			return nil, err
		}
	}
	list, err := e.ledger.Submit(ctx, requests...)
	if err != nil {
		return nil, err
	}
	var ids []runner.RunID
	for _, s := range list {
		if !s.State.Final() {
			e.accepted.add(s.Run)
			ids = append(ids, s.Run)
		}
	}
	if len(ids) == 0 {
		return list, nil
	}
	return list, e.queue.Deliver(context.WithoutCancel(ctx), ids...)
}

// overlap is what a request does about other open runs of its workflow. A
// service takes up every open run, so all of them count. A command in the
// foreground leaves alone what a crash cut short: nobody would ever end it, so
// it must not keep later runs from starting.
func (e *Engine) overlap(ctx context.Context, request runner.Request) (runner.Overlap, error) {
	if e.o.Pending || request.Overlap == runner.OverlapAllow {
		return request.Overlap, nil
	}
	_, beside, err := e.underWay(ctx, request.Spec.Workflow, request.Host)
	if err != nil || beside {
		return request.Overlap, err
	}
	return runner.OverlapAllow, nil
}

// underWay finds an open run of a workflow, or of one node's share in it, that
// somebody works on or will.
func (e *Engine) underWay(ctx context.Context, workflow, host string) (runner.Run, bool, error) {
	open, err := e.ledger.Runs(ctx, runner.Filter{Workflow: workflow, States: []runner.State{runner.Queued, runner.Running}})
	if err != nil {
		return runner.Run{}, false, err
	}
	nodes, err := e.ledger.Nodes(ctx)
	if err != nil {
		return runner.Run{}, false, err
	}
	for _, run := range open {
		if run.Host != host {
			continue
		}
		others := slices.ContainsFunc(nodes, func(n ledger.Node) bool {
			return n.Alive && n.Instance != e.ledger.Instance() && (n.Instance == run.Owner || run.State == runner.Queued)
		})
		if e.o.Pending || others || e.accepted.has(run.ID) {
			return run, true, nil
		}
	}
	return runner.Run{}, false, nil
}

// Cancel implements web.Commands.
func (c commands) Cancel(ctx context.Context, by string, id runner.RunID) (runner.State, error) {
	before, err := c.e.ledger.Cancel(ctx, id, by)
	if err != nil {
		return before, err
	}
	switch {
	case before == runner.Running && !c.e.queue.Interrupt(id, &runner.CanceledError{By: by}):
		err = c.e.takeUp(ctx, id)
	case before == runner.Queued:
		c.e.accepted.remove(id)
		c.e.passOn(context.WithoutCancel(ctx), id)
	}
	return before, err
}

// Retry implements web.Commands.
func (c commands) Retry(ctx context.Context, by string, id runner.RunID, from string) error {
	leave, err := c.e.accepted.enter()
	if err != nil {
		return err
	}
	defer leave()
	if err := c.e.refusal(); err != nil {
		return err
	}
	run, err := c.e.ledger.Run(ctx, string(id))
	if err != nil {
		return err
	}
	attempts, err := c.e.ledger.Attempts(ctx, id)
	if err != nil {
		return err
	}
	again, err := c.e.reopened(ctx, run, from)
	if err != nil {
		return err
	}
	if err := c.e.reopen(ctx, by, run, attempts, again); err != nil {
		return err
	}
	c.e.accepted.add(id)
	return c.e.queue.Deliver(context.WithoutCancel(ctx), id)
}

// Approve implements web.Commands.
func (c commands) Approve(ctx context.Context, by string, id runner.RunID) error {
	if err := c.e.approvable(ctx, id); err != nil {
		return err
	}
	if err := c.e.ledger.Approve(ctx, id, by); err != nil {
		return err
	}
	return c.e.queue.Deliver(context.WithoutCancel(ctx), id)
}

// Pause implements web.Commands.
func (c commands) Pause(ctx context.Context, p runner.Pause) error {
	return Pause(ctx, c.e.Config(), c.e.ledger, p)
}

// PauseOf is the pause that somebody asks for.
func PauseOf(workflow, by string, r api.PauseRequest) runner.Pause {
	p := runner.Pause{Workflow: workflow, By: by, Why: r.Reason, Since: time.Now().UTC()}
	if r.Until != nil {
		p.Until = r.Until.UTC()
	}
	return p
}

// Pause puts a pause that means something on record.
func Pause(ctx context.Context, cfg *configs.Config, control runner.Control, p runner.Pause) error {
	if err := checkPause(cfg, p, time.Now()); err != nil {
		return err
	}
	return control.Pause(ctx, p)
}

// checkPause refuses a pause that means nothing.
func checkPause(cfg *configs.Config, p runner.Pause, now time.Time) error {
	w, err := cfg.Workflow(p.Workflow)
	switch {
	case err != nil:
		return noWorkflow(err)
	case w.Schedule.IsZero() && w.Trigger == nil:
		return api.NewProblem(api.CodeInvalid, "it runs only when somebody asks", fmt.Sprintf("workflow %s has no schedule that could be paused", p.Workflow))
	case !p.Until.IsZero() && !p.Until.After(now):
		return api.NewProblem(api.CodeInvalid, "", "the end of the pause, "+p.Until.Format(time.RFC3339)+", has passed")
	}
	return nil
}

// Unpause implements web.Commands.
func (c commands) Unpause(ctx context.Context, by, workflow string) (bool, error) {
	return c.e.ledger.Unpause(ctx, workflow, by)
}

// notices does what people ask of notices and channels.
type notices struct{ e *Engine }

var _ web.Notices = notices{}

// Retry implements web.Notices.
func (n notices) Retry(ctx context.Context, _, id string) error {
	if err := n.e.ledger.Revive(ctx, id); err != nil {
		return settled(err)
	}
	ring(n.e.owed)
	return nil
}

// Drop implements web.Notices.
func (n notices) Drop(ctx context.Context, by, id, reason string) error {
	why := "dropped by " + by
	if reason != "" {
		why += ": " + reason
	}
	return settled(n.e.ledger.Bury(ctx, id, why))
}

// settled says of a notice that is settled that there is nothing to do.
func settled(err error) error {
	if errors.Is(err, runner.ErrNoticeState) {
		return api.NewProblem(api.CodeSkipped, "", err.Error())
	}
	return err
}

// Test implements web.Notices.
func (n notices) Test(ctx context.Context, by, channel string) (string, error) {
	return TestChannel(ctx, n.e.Config(), channel, by)
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
