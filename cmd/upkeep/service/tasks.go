package service

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/ticker"
)

const (
	// pruneEvery is how often the history is pruned.
	pruneEvery = time.Hour
	// pruneFirst is how long after the start that is done first: what is due
	// then has more right to the disk.
	pruneFirst = 2 * time.Minute
	// settleFor is how long after the start its garbage is given back.
	settleFor = 3 * time.Second
	// statusEvery is how often the service supervisor gets a new status line.
	statusEvery = 30 * time.Second
	// statusFirst is how long after the start it gets the first: then the clock
	// knows what comes next.
	statusFirst = time.Second
	// forgottenAfter is how long a drain may last before somebody is told.
	forgottenAfter = time.Hour
	// socketEvery is how often the control socket is looked for.
	socketEvery = 15 * time.Second
	// remindEvery is how often somebody is reminded of a pause.
	remindEvery = 7 * 24 * time.Hour
)

// calendars are the workflows that the clock starts.
func calendars(cfg *configs.Config) []ticker.Workflow {
	var list []ticker.Workflow
	for _, w := range cfg.Workflows {
		host := ""
		if w.EveryNode {
			if host = cfg.Node; !w.Fits(cfg.Labels) {
				continue
			}
		}
		list = append(list, ticking(w, host))
	}
	return list
}

// ticking is a workflow, or a node's share in it, as the clock takes it.
func ticking(w *configs.Workflow, host string) ticker.Workflow {
	params, err := w.Arguments(nil)
	if err != nil {
		// The loader sees to it that a workflow with a schedule has a default
		// for every parameter; one without needs none here.
		params = nil
	}
	return ticker.Workflow{
		Name: w.Name, Host: host, Target: w.Target(), StartWithin: w.StartWithin(), Schedule: w.Schedule, Policy: w.Policy, Jitter: w.Jitter, Overlap: w.Overlap,
		Window: w.Window, Spec: w.Spec, Params: params, Approval: w.Approval, FreshWithin: w.FreshWithin,
	}
}

// remind tells those who are told of upkeep's own faults that a workflow has
// been paused for long.
func (d *Daemon) remind(ctx context.Context, pauses []runner.Pause) error {
	now := time.Now().UTC()
	var errs []error
	for _, p := range pauses {
		last := p.Since
		if p.RemindedAt.After(last) {
			last = p.RemindedAt
		}
		if now.Sub(last) < remindEvery {
			continue
		}
		until := "until somebody ends the pause"
		if !p.Until.IsZero() {
			until = "until " + p.Until.Format("2006-01-02 15:04 UTC")
		}
		subject := fmt.Sprintf("%s has been paused for %d days", p.Workflow, int(now.Sub(p.Since).Hours()/24))
		text := fmt.Sprintf("%s paused it on %s: %s\nIt stays paused %s.\n\nEnd the pause with: upkeep unpause %s\n",
			p.By, p.Since.Format("2006-01-02 15:04 UTC"), p.Why, until, p.Workflow)
		var notices []runner.Notice
		for _, channel := range d.Config().Alarm().Channels(jobs.Warning, p.Workflow, "paused") {
			// Every node reminds; the ID lets one of them do it.
			id := runner.DerivedID(last.Add(remindEvery), "paused", p.Workflow, channel)
			notices = append(notices, runner.Notice{ID: id, Channel: channel, Action: runner.NoticeRemind, Subject: subject, Text: text})
		}
		d.o.Log.WarnContext(ctx, "a workflow is still paused", "workflow", p.Workflow, "by", p.By, "since", p.Since, "why", p.Why)
		if err := d.ledger.Owe(ctx, notices...); err != nil {
			errs = append(errs, err)
			continue // it is tried again with the next sweep
		}
		errs = append(errs, d.ledger.Reminded(ctx, p.Workflow, now))
	}
	return errors.Join(errs...)
}

// pruneHistory forgets runs that the configuration does not want kept.
func (d *Daemon) pruneHistory(ctx context.Context) error {
	pruned, err := PruneHistory(ctx, d.Config(), d.ledger, time.Now(), false)
	if pruned.Total() > 0 {
		d.o.Log.InfoContext(ctx, "the history is pruned", "runs", pruned.Total(), "freed", humanize.IBytes(uint64(max(pruned.Bytes, 0))))
	}
	return err
}

// watchDrain tells, once, that a drain was probably forgotten.
func (d *Daemon) watchDrain(ctx context.Context) error {
	since, drained := d.gate.held(holdDrain)
	if !drained || time.Since(since) < forgottenAfter || d.drainTold.Equal(since) {
		return nil
	}
	if _, err := d.raiseOwn(ctx, d.Config().Alarm().Drained(since, time.Now().UTC())); err != nil {
		return err
	}
	d.drainTold = since
	d.o.Log.WarnContext(ctx, "upkeep is still drained: nothing starts", "since", since)
	return nil
}

// giveBack returns memory to the system that was only needed for a while, as
// for reading a large configuration: an idle service has no other reason to
// collect it.
func giveBack(context.Context) error {
	debug.FreeOSMemory()
	return nil
}

// tellStatus gives the supervisor one line about how things are.
func (d *Daemon) tellStatus(context.Context) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d running, %d waiting", d.queue.Running(), d.queue.Waiting())
	if next := d.ticker.Status().Next; !next.IsZero() {
		fmt.Fprintf(&b, ", next start %s", next.In(d.Config().Timezone).Format("2006-01-02 15:04:05 MST"))
	}
	if why := d.gate.why(); len(why) > 0 {
		fmt.Fprintf(&b, "; nothing new starts: %s", strings.Join(why, ", "))
	}
	if since, err := d.reloads.degraded(); err != nil {
		fmt.Fprintf(&b, "; degraded since %s: %s", since.Format(time.RFC3339), firstLine(err))
	}
	d.supervisor.status("%s", b.String())
	return nil
}

// firstLine is an error in one line.
func firstLine(err error) string {
	if problems, ok := errors.AsType[configs.Problems](err); ok && len(problems.Errors()) > 0 {
		p := problems.Errors()[0]
		more := ""
		if n := len(problems.Errors()); n > 1 {
			more = fmt.Sprintf(" (and %d more)", n-1)
		}
		return fmt.Sprintf("%s:%d:%d: %s%s", p.File, p.Line, p.Col, p.Message, more)
	}
	return jobs.OneLine(err.Error())
}
