package service

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// facts tells how the process that holds the ledger is. d is nil for a command
// in the foreground, which has no calendar.
type facts struct {
	e *Engine
	d *Daemon
}

var _ web.Service = facts{}

// nextSlots is how many coming slots the status names.
const nextSlots = 5

// Status implements web.Service.
func (f facts) Status(ctx context.Context) api.Status {
	cfg := f.e.Config()
	host, err := os.Hostname()
	if err != nil {
		host = cfg.Node
	}
	s := api.Status{
		Version: f.e.o.Version, Node: cfg.Node, Host: host, PID: os.Getpid(), Since: f.e.began,
		Config:  api.ConfigStatus{Path: cfg.Path, Digest: cfg.Digest(), State: api.ConfigOK, LoadedAt: f.e.began},
		Running: f.e.queue.Running(), Queued: f.e.queue.Waiting(),
		Next: []api.NextSlot{}, Problems: []api.StatusCheck{},
	}
	if f.d != nil {
		f.d.describe(ctx, &s)
	}
	for _, c := range f.Checks(ctx) {
		if !c.OK {
			s.Problems = append(s.Problems, c)
		}
	}
	return s
}

// describe adds what only the daemon knows.
func (d *Daemon) describe(ctx context.Context, s *api.Status) {
	s.Draining = d.gate.has(holdDrain) || d.gate.has(holdEnd)
	s.Config = d.reloads.status(d.Config())
	t := d.ticker.Status()
	s.Ticker = api.TickerStatus{LastAt: api.Instant(t.Ticked), LagSeconds: t.Lag.Seconds()}
	if t.Err != nil {
		s.Ticker.Error = jobs.OneLine(t.Err.Error())
	}
	s.Next = comingSlots(d.Config(), time.Now(), nextSlots)
	s.Web = d.web()
	s.Disk = d.space.status(ctx)
	s.Outbox = d.outbox(ctx)
}

// comingSlots are the next slots of a configuration, at most one of each
// workflow.
func comingSlots(cfg *configs.Config, now time.Time, most int) []api.NextSlot {
	list := []api.NextSlot{}
	for _, w := range cfg.Workflows {
		if next, ok := w.Schedule.Next(now); ok {
			list = append(list, api.NextSlot{Workflow: w.Name, Slot: next.UTC()})
		}
	}
	slices.SortStableFunc(list, func(a, b api.NextSlot) int { return a.Slot.Compare(b.Slot) })
	return list[:min(most, len(list))]
}

// outboxPage bounds what the status counts of the outbox.
const outboxPage = 1000

func (d *Daemon) outbox(ctx context.Context) api.OutboxStatus {
	var o api.OutboxStatus
	list, err := d.ledger.Notices(ctx, runner.NoticeFilter{
		States: []runner.NoticeState{runner.NoticePending, runner.NoticeSending, runner.NoticeDead}, Limit: outboxPage,
	})
	if err != nil {
		d.o.Log.WarnContext(ctx, "count the outbox", "error", err)
		return o
	}
	for _, n := range list {
		if n.State == runner.NoticeDead {
			o.Dead++
			continue
		}
		o.Pending++
		if n.Withheld || n.Attempts == 0 && n.NextAt.After(time.Now()) {
			continue // nobody was to send it yet
		}
		at := n.CreatedAt.UTC() // newest first, so the last one is the oldest
		o.OldestAt = &at
	}
	return o
}

// Checks implements web.Service.
func (f facts) Checks(ctx context.Context) []api.StatusCheck {
	list := []api.StatusCheck{f.ledgerCheck(ctx)}
	if f.d == nil {
		return list
	}
	d := f.d
	ticking := api.StatusCheck{Name: "ticker", OK: d.ticker.Alive(), Fatal: true, Text: "the clock of the schedule goes"}
	if !ticking.OK {
		ticking.Text = "the clock of the schedule stands still"
	}
	config := api.StatusCheck{Name: "config", OK: true, Text: "the configuration on disk was in force at the last look"}
	if since, err := d.reloads.degraded(); err != nil {
		config.OK, config.Text = false, fmt.Sprintf("the configuration was refused at %s, the one before stays in force: %s", since.Format(time.RFC3339), firstLine(err))
	}
	disk := api.StatusCheck{Name: "disk", OK: !d.gate.has(holdSpace), Fatal: true, Text: "there is room beside the ledger"}
	if !disk.OK {
		disk.Text = "the disk of the ledger is full: no run starts until there is room"
	}
	drain := api.StatusCheck{Name: "drain", OK: true, Text: "runs start"}
	if since, drained := d.gate.held(holdDrain); drained {
		drain.OK, drain.Text = false, fmt.Sprintf("it was drained at %s, nothing new starts; `upkeep drain --end` ends that", since.Format(time.RFC3339))
	}
	outbox := api.StatusCheck{Name: "outbox", OK: true, Fatal: true, Text: "nothing is owed for long"}
	if stuck := d.stuckOutbox(ctx); stuck != "" {
		outbox.OK, outbox.Text = false, stuck
	}
	list = append(list, ticking, config, disk, drain, outbox)
	if _, front, wanted := d.server.front.status(); wanted {
		list = append(list, front)
	}
	if cluster, others := f.clusterCheck(ctx); others {
		list = append(list, cluster)
	}
	return list
}

// stuckAfter is how long a notice may be owed before the daemon is degraded.
const stuckAfter = 5 * time.Minute

func (f facts) ledgerCheck(ctx context.Context) api.StatusCheck {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Second, fmt.Errorf("no answer within %s", time.Second))
	defer cancel()
	c := api.StatusCheck{Name: "ledger", OK: true, Fatal: true, Text: "the ledger answers"}
	if _, err := f.e.ledger.Runs(ctx, runner.Filter{Limit: 1}); err != nil {
		c.OK, c.Text = false, jobs.OneLine(err.Error())
	}
	return c
}

// Drain implements web.Service.
func (f facts) Drain(ctx context.Context, by string) error {
	if f.d == nil {
		return api.NewProblem(api.CodeSkipped, "it ends by itself when its run has ended", "the process that holds the ledger is no service: "+f.e.o.Command)
	}
	if f.d.gate.shut(holdDrain) {
		f.d.o.Log.InfoContext(ctx, "upkeep is drained: nothing new starts", "by", by, "running", f.e.queue.Running())
		f.d.happened(ctx, "drain", "upkeep", "drained by "+by)
		f.d.announceNow(ctx)
	}
	return nil
}

// Undrain implements web.Service.
func (f facts) Undrain(ctx context.Context, by string) (bool, error) {
	if f.d == nil || !f.d.gate.open(holdDrain) {
		return false, nil
	}
	if _, err := f.d.ledger.Clear(ctx, f.d.ownFault(alerts.FingerprintDrain), time.Now().UTC()); err != nil {
		f.d.o.Log.WarnContext(ctx, "resolve the incident of the drain", "error", err)
	}
	f.d.o.Log.InfoContext(ctx, "the drain is over: runs start again", "by", by)
	f.d.happened(ctx, "drain", "upkeep", "the drain was ended by "+by)
	f.d.announceNow(ctx)
	return true, nil
}

// Idle implements web.Service.
func (f facts) Idle(ctx context.Context) error {
	if f.d != nil {
		if err := f.d.bench.idle(ctx); err != nil {
			return err
		}
	}
	return f.e.idle(ctx)
}

// Reload implements web.Service.
func (f facts) Reload(ctx context.Context, by string) (api.Reload, error) {
	if f.d == nil {
		return api.Reload{}, api.NewProblem(api.CodeSkipped, "it reads the configuration at each start", "the process that holds the ledger is no service: "+f.e.o.Command)
	}
	before := f.e.Config().Digest()
	answer := api.Reload{Problems: []string{}}
	if err := f.d.Reload(ctx, by); err != nil {
		answer.Problems = problemLines(err)
	} else {
		for _, w := range f.e.Config().Warnings {
			answer.Problems = append(answer.Problems, w.String())
		}
	}
	answer.Config = f.d.reloads.status(f.e.Config())
	answer.Changed = f.e.Config().Digest() != before
	return answer, nil
}
