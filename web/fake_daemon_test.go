package web_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// startedID is the run that fake starts.
const startedID = runner.RunID("019ab000-0000-7000-8000-00000000beef")

// commands is the side of fake that changes runs; the names collide with those
// of the reader.
type commands struct{ f *fake }

func (c commands) Run(ctx context.Context, by string, r api.RunRequest) ([]runner.Submission, error) {
	f := c.f
	if f.hold != nil {
		f.mu.Lock()
		f.waiting++
		f.mu.Unlock()
		select {
		case <-f.hold:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if err := f.note("run %s %v needs=%v params=%v dry=%v alert=%v trigger=%s by %s", r.Workflow, r.Jobs, r.WithNeeds, r.Params, r.DryRun, r.Alert, r.Trigger, by); err != nil {
		return nil, err
	}
	if r.Workflow == "panics" {
		panic("a fault with hunter2 in it")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	id := runner.RunID(fmt.Sprintf("%s%04x", startedID[:32], len(f.calls)))
	if r.On == "every" {
		return []runner.Submission{{Run: id, Host: "db-1"}, {Run: id + "2", Host: "db-2"}}, nil
	}
	return []runner.Submission{{Run: id}}, nil
}

func (c commands) Cancel(_ context.Context, by string, id runner.RunID) (runner.State, error) {
	err := c.f.note("cancel %s by %s", id, by)
	run, _ := c.f.Run(context.Background(), string(id))
	return run.State, err
}

func (c commands) Retry(_ context.Context, by string, id runner.RunID, from string) error {
	return c.f.note("retry %s from %q by %s", id, from, by)
}

func (c commands) Approve(_ context.Context, by string, id runner.RunID) error {
	return c.f.note("approve %s by %s", id, by)
}

func (c commands) Pause(_ context.Context, p runner.Pause) error {
	f := c.f
	if err := f.note("pause %s because %q by %s", p.Workflow, p.Why, p.By); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pauses[p.Workflow] = p
	return nil
}

func (c commands) Unpause(_ context.Context, by, workflow string) (bool, error) {
	f := c.f
	if err := f.note("unpause %s by %s", workflow, by); err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, was := f.pauses[workflow]
	delete(f.pauses, workflow)
	return was, nil
}

// notices is the side of fake that changes notices.
type notices struct{ f *fake }

func (n notices) Retry(_ context.Context, by, id string) error {
	return n.f.note("retry notice %s by %s", id, by)
}

func (n notices) Drop(_ context.Context, by, id, reason string) error {
	return n.f.note("drop notice %s because %q by %s", id, reason, by)
}

func (n notices) Test(_ context.Context, by, channel string) (string, error) {
	return "250 ok", n.f.note("test %s by %s", channel, by)
}

func (f *fake) Status(context.Context) api.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	running := 1
	select {
	case <-f.idle:
		running = 0
	default:
	}
	return api.Status{
		Version: "1.2.3", Node: "db-1", Host: "db-1", PID: 7, Since: day(1), Draining: f.draining, Running: running, Queued: 2,
		Config: api.ConfigStatus{Path: "/etc/upkeep/upkeep.yaml", Digest: "abc", State: api.ConfigDegraded, Reason: "line 3", LoadedAt: day(1)},
		Next:   []api.NextSlot{{Workflow: "daily", Slot: day(2)}},
		Ticker: api.TickerStatus{LagSeconds: 0.5}, Outbox: api.OutboxStatus{Pending: 3},
	}
}

func (f *fake) Checks(context.Context) []api.StatusCheck {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.checks)
}

func (f *fake) Drain(_ context.Context, by string) error {
	if err := f.note("drain by %s", by); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.draining = true
	return nil
}

func (f *fake) Undrain(_ context.Context, by string) (bool, error) {
	if err := f.note("undrain by %s", by); err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.draining
	f.draining = false
	return was, nil
}

func (f *fake) Idle(ctx context.Context) error {
	select {
	case <-f.idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (f *fake) Reload(_ context.Context, by string) (api.Reload, error) {
	return api.Reload{Config: f.Status(context.Background()).Config, Changed: true}, f.note("reload by %s", by)
}

// catalog is the configuration of fake.
type catalog struct{ f *fake }

func (c catalog) Workflows() []web.Workflow {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	return slices.Clone(c.f.workflows)
}

func (c catalog) Plan(_ context.Context, workflow string, from, until time.Time, limit int) (api.Plan, error) {
	err := c.f.note("plan %q %d", workflow, limit)
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	c.f.planned = [2]time.Time{from, until}
	return c.f.plan, err
}

func (c catalog) Why(_ context.Context, workflow, date, node string) (api.Why, error) {
	err := c.f.note("why %q %q %q", workflow, date, node)
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	return c.f.why, err
}

func (c catalog) Nodes(context.Context) ([]api.Node, error) {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	return slices.Clone(c.f.nodes), c.f.fail
}

func (c catalog) Locks(context.Context) ([]api.Lock, error) {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	holder := api.LockOwner{LockHolder: api.LockHolder{Lock: "db-heavy", Run: "r1", Workflow: "daily", Job: "dump", Owner: "i-1", Node: "db-1", AcquiredAt: day(1)}}
	waiter := api.LockWaiter{Run: "r2", Workflow: "weekly", Job: "vacuum", Owner: "i-1", Node: "db-1", Since: day(2), Passed: 1}
	return []api.Lock{
		{Name: "db-heavy", Limit: 2, Holders: []api.LockOwner{holder}, Waiters: []api.LockWaiter{waiter}},
		{Name: "gpu", Limit: 1, In: "cache", Holders: []api.LockOwner{{LockHolder: holder.LockHolder, Waits: true}}, Others: []api.OtherOwner{{Name: "train.sh", ExpiresAt: new(day(3))}, {}}},
		{Name: "tape", Limit: 1, In: "cache", Unknown: "it does not answer"},
	}, c.f.fail
}

func (c catalog) Members(context.Context) ([]api.Member, error) {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	var list []api.Member
	for _, n := range c.f.nodes {
		list = append(list, api.Member{Name: n.Name, State: api.MemberAlive, Host: n.Host, PID: n.PID, FirstSeen: day(1), LastSeen: day(2), Running: 1, Config: "abc"})
	}
	return list, c.f.fail
}

func (c catalog) Forget(_ context.Context, name string) error {
	if name == "alive" {
		return api.NewProblem(api.CodeSkipped, "stop upkeep there first", "the node alive is alive: process 7 on db-1")
	}
	return c.f.note("forget %s", name)
}

// day is the n-th day of a month, at noon.
func day(n int) time.Time { return time.Date(2026, time.November, n, 12, 0, 0, 123456000, time.UTC) }
