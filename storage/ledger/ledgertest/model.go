package ledgertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

// modelRow is a run as the model knows it.
type modelRow struct {
	Key     runner.CalendarKey
	Hour    int
	State   runner.State
	Reason  runner.Reason
	Overlap runner.Overlap
	DryRun  bool
}

// model does what the ledger must do with slots, in the simplest way.
type model struct {
	rows    []modelRow
	cursors map[runner.CalendarKey]runner.Cursor
	paused  map[string]bool
}

// submit returns the state and the reason of a request's row and whether it
// was there already.
func (m *model) submit(row modelRow, scheduled bool) (int, bool) {
	open := false
	for i, r := range m.rows {
		if r.Key == row.Key && r.Hour == row.Hour {
			return i, true
		}
		open = open || r.Key == row.Key && !r.DryRun && !r.State.Final()
	}
	switch {
	case row.State == runner.Skipped:
	case scheduled && m.paused[row.Key.Workflow]:
		row.State, row.Reason = runner.Skipped, runner.ReasonPaused
	case open && row.Overlap == runner.OverlapSkip && !row.DryRun:
		row.State, row.Reason = runner.Skipped, runner.ReasonOverlap
	}
	m.rows = append(m.rows, row)
	return len(m.rows) - 1, false
}

func (m *model) move(c runner.Cursor) {
	known, found := m.cursors[c.CalendarKey]
	if !found || known.Schedule != c.Schedule || known.Through.Before(c.Through) {
		m.cursors[c.CalendarKey] = c
	}
}

// contest is one comparison of the ledger with the model.
type contest struct {
	*rapid.T
	s      *site
	m      *model
	prefix string
	// ids are the runs of the model's rows; claims those that are running.
	ids    []runner.RunID
	claims map[int]runner.Claim
}

func (c *contest) key() runner.CalendarKey {
	return runner.CalendarKey{
		Workflow: c.prefix + rapid.SampledFrom([]string{"x", "y", "z"}).Draw(c.T, "workflow"),
		Host:     rapid.SampledFrom([]string{"", "", "a"}).Draw(c.T, "host"),
	}
}

func (c *contest) row(key runner.CalendarKey, hour int) (modelRow, runner.Request) {
	row := modelRow{
		Key: key, Hour: hour, State: runner.Queued, DryRun: rapid.IntRange(0, 4).Draw(c.T, "dry") == 0,
		Overlap: rapid.SampledFrom([]runner.Overlap{runner.OverlapSkip, runner.OverlapSkip, runner.OverlapAllow, runner.OverlapQueue}).Draw(c.T, "overlap"),
	}
	r := Request(key.Workflow, Midnight().Add(time.Duration(hour)*time.Hour))
	r.Host, r.Overlap, r.DryRun = key.Host, row.Overlap, row.DryRun
	if rapid.IntRange(0, 4).Draw(c.T, "missed") == 0 {
		row.State, row.Reason = runner.Skipped, runner.ReasonMissed
		r.State, r.Reason = row.State, row.Reason
	}
	return row, r
}

// check compares the answer to one request with the model.
func (c *contest) check(row modelRow, scheduled bool, answer runner.Submission) {
	i, again := c.m.submit(row, scheduled)
	if !again {
		c.ids = append(c.ids, answer.Run)
	}
	got := runner.Submission{Run: c.ids[i], Host: row.Key.Host, Duplicate: again, State: c.m.rows[i].State, Reason: c.m.rows[i].Reason}
	answer.Message = ""
	if diff := cmp.Diff(got, answer); diff != "" {
		c.Fatalf("the answer to %+v differs (-want +got):\n%s", row, diff)
	}
}

func (c *contest) decide(*rapid.T) {
	var list []runner.Decided
	var rows []modelRow
	for range rapid.IntRange(1, 3).Draw(c.T, "calendars") {
		key := c.key()
		first := rapid.IntRange(0, 12).Draw(c.T, "first")
		d := runner.Decided{Cursor: runner.Cursor{
			CalendarKey: key, Schedule: rapid.SampledFrom([]string{"a", "a", "a", "b"}).Draw(c.T, "schedule"), Through: hour(first + 2), Since: Midnight(),
		}}
		for i := range rapid.IntRange(0, 3).Draw(c.T, "slots") {
			row, r := c.row(key, first+i)
			rows, d.Requests = append(rows, row), append(d.Requests, r)
		}
		list = append(list, d)
	}
	answers, err := c.s.Decide(c.s.ctx, list...)
	if err != nil || len(answers) != len(rows) {
		c.Fatalf("Decide: %d answers, %v", len(answers), err)
	}
	for i, row := range rows {
		c.check(row, true, answers[i])
	}
	// Of several cursors of one calendar in one call the last one counts.
	last := map[runner.CalendarKey]runner.Cursor{}
	for _, d := range list {
		last[d.Cursor.CalendarKey] = d.Cursor
	}
	for _, cursor := range last {
		c.m.move(cursor)
	}
}

func (c *contest) submit(*rapid.T) {
	row, r := c.row(c.key(), rapid.IntRange(0, 15).Draw(c.T, "hour"))
	answers, err := c.s.Submit(c.s.ctx, r)
	if err != nil {
		c.Fatalf("Submit: %v", err)
	}
	c.check(row, false, answers[0])
}

// advance moves one open run on.
func (c *contest) advance(*rapid.T) {
	var open []int
	for i, r := range c.m.rows {
		if !r.State.Final() {
			open = append(open, i)
		}
	}
	if len(open) == 0 {
		return
	}
	i := rapid.SampledFrom(open).Draw(c.T, "run")
	row := &c.m.rows[i]
	if claim, found := c.claims[i]; found {
		row.State = rapid.SampledFrom([]runner.State{runner.Succeeded, runner.Failed}).Draw(c.T, "end")
		c.s.finish(claim, row.State)
		return
	}
	claim, _, err := c.s.Claim(c.s.ctx, c.ids[i])
	blocked := false
	for k, r := range c.m.rows {
		first := c.ids[k] < c.ids[i] || r.State == runner.Running
		blocked = blocked || k != i && r.Key == row.Key && !r.State.Final() && !r.DryRun && first && row.Overlap == runner.OverlapQueue && !row.DryRun
	}
	if blocked != (err != nil) {
		c.Fatalf("Claim of %+v: %v, blocked is %t", *row, err, blocked)
	}
	if err == nil {
		c.claims[i], row.State = claim, runner.Running
	}
}

func (c *contest) pause(*rapid.T) {
	name := c.key().Workflow
	if c.m.paused[name] {
		if was, err := c.s.Unpause(c.s.ctx, name, "anna"); err != nil || !was {
			c.Fatalf("Unpause: %t, %v", was, err)
		}
	} else if err := c.s.Pause(c.s.ctx, runner.Pause{Workflow: name, By: "anna", Why: "rest"}); err != nil {
		c.Fatalf("Pause: %v", err)
	}
	c.m.paused[name] = !c.m.paused[name]
}

// compare looks at everything that is on record.
func (c *contest) compare(*rapid.T) {
	for i, want := range c.m.rows {
		run, err := c.s.Run(c.s.ctx, string(c.ids[i]))
		if err != nil {
			c.Fatalf("Run: %v", err)
		}
		got := modelRow{
			Key: runner.CalendarKey{Workflow: run.Spec.Workflow, Host: run.Host}, Hour: int(run.Slot.Sub(Midnight()).Hours()),
			State: run.State, Reason: run.Reason, Overlap: run.Overlap, DryRun: run.DryRun,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			c.Fatalf("row %d differs (-want +got):\n%s", i, diff)
		}
	}
	cursors := map[runner.CalendarKey]runner.Cursor{}
	list, err := c.s.Cursors(c.s.ctx, "a")
	if err != nil {
		c.Fatalf("Cursors: %v", err)
	}
	for _, cursor := range list {
		if len(cursor.Workflow) > len(c.prefix) && cursor.Workflow[:len(c.prefix)] == c.prefix {
			cursors[cursor.CalendarKey] = cursor
		}
	}
	if diff := cmp.Diff(c.m.cursors, cursors); diff != "" {
		c.Fatalf("the cursors differ (-want +got):\n%s", diff)
	}
}

// testDecideModel plays random histories on the ledger and on the model.
func testDecideModel(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	round, rows, skipped := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		c := &contest{
			T: rt, s: s, prefix: fmt.Sprintf("r%d-", round), claims: map[int]runner.Claim{},
			m: &model{cursors: map[runner.CalendarKey]runner.Cursor{}, paused: map[string]bool{}},
		}
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			rapid.SampledFrom([]func(*rapid.T){c.decide, c.decide, c.submit, c.advance, c.advance, c.pause}).Draw(rt, "step")(rt)
		}
		c.compare(rt)
		for _, r := range c.m.rows {
			rows++
			if r.Reason == runner.ReasonOverlap || r.Reason == runner.ReasonPaused {
				skipped++
			}
		}
	})
	if rows == 0 || skipped == 0 {
		t.Errorf("of %d rows %d were skipped: the histories show nothing", rows, skipped)
	}
}
