package ticker_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
	"github.com/ghosteam/upkeep/runner/ticker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// slotKey is the identity of a run.
type slotKey struct {
	workflow, host string
	slot           int64
}

// row is a run on record.
type row struct {
	runner.Request
	id runner.RunID
	at time.Time
}

// fakeLedger keeps what the contract says in memory. It is a queue and a
// backlog as well: a run is pending until it is delivered.
type fakeLedger struct {
	mu        sync.Mutex
	now       func() time.Time
	rows      map[slotKey]*row
	cursors   map[runner.CalendarKey]runner.Cursor
	delivered map[runner.RunID]int
	pending   []runner.RunID
	usual     map[string]runner.Usual
	successes map[string]time.Time
	paused    []runner.Pause

	// before and after are asked at each Decide, around its commit.
	before, after func() error
	// away fails everything; reads counts the questions by name.
	away  error
	reads map[string]int
	// deliver is asked at each delivery.
	deliver func() error
	decides int
	doubled int
}

func newLedger() *fakeLedger {
	return &fakeLedger{
		now: time.Now, rows: map[slotKey]*row{}, cursors: map[runner.CalendarKey]runner.Cursor{},
		delivered: map[runner.RunID]int{}, reads: map[string]int{},
	}
}

// lock counts a question and answers whether the ledger is away.
func (l *fakeLedger) lock(question string) (unlock func(), err error) {
	l.mu.Lock()
	l.reads[question]++
	return l.mu.Unlock, l.away
}

func (l *fakeLedger) Cursors(_ context.Context, host string) ([]runner.Cursor, error) {
	unlock, err := l.lock("cursors")
	defer unlock()
	var out []runner.Cursor
	for _, c := range l.cursors {
		if c.Host == "" || c.Host == host {
			out = append(out, c)
		}
	}
	return out, err
}

func (l *fakeLedger) CursorsOf(_ context.Context, workflows []string) ([]runner.Cursor, error) {
	unlock, err := l.lock("cursors of")
	defer unlock()
	var out []runner.Cursor
	for _, name := range workflows {
		if c, known := l.cursors[runner.CalendarKey{Workflow: name}]; known {
			out = append(out, c)
		}
	}
	return out, err
}

func (l *fakeLedger) Decide(_ context.Context, decided ...runner.Decided) ([]runner.Submission, error) {
	unlock, err := l.lock("decide")
	defer unlock()
	if err != nil {
		return nil, err
	}
	if l.before != nil {
		if err := l.before(); err != nil {
			return nil, err
		}
	}
	l.decides++
	var out []runner.Submission
	for _, d := range decided {
		old, known := l.cursors[d.Cursor.CalendarKey]
		if !known || old.Schedule != d.Cursor.Schedule || d.Cursor.Through.After(old.Through) {
			if known {
				d.Cursor.Since = old.Since
			}
			l.cursors[d.Cursor.CalendarKey] = d.Cursor
		}
		for _, r := range d.Requests {
			out = append(out, l.record(r))
		}
	}
	if l.after != nil {
		return out, l.after()
	}
	return out, nil
}

func (l *fakeLedger) record(r runner.Request) runner.Submission {
	key := slotKey{r.Spec.Workflow, r.Host, r.Slot.Unix()}
	if known := l.rows[key]; known != nil {
		l.doubled++
		return runner.Submission{Run: known.id, Duplicate: true, State: known.State}
	}
	if r.State == "" {
		r.State = runner.Queued
	}
	made := &row{Request: r, id: runner.RunID(fmt.Sprintf("run-%09d", len(l.rows))), at: l.now()}
	l.rows[key] = made
	if r.State == runner.Queued {
		l.pending = append(l.pending, made.id)
	}
	return runner.Submission{Run: made.id, State: r.State}
}

func (l *fakeLedger) Usual(context.Context, []string) (map[string]runner.Usual, error) {
	unlock, err := l.lock("usual")
	defer unlock()
	return maps.Clone(l.usual), err
}

func (l *fakeLedger) Successes(context.Context, []string) (map[string]time.Time, error) {
	unlock, err := l.lock("successes")
	defer unlock()
	return maps.Clone(l.successes), err
}

func (l *fakeLedger) Pauses(context.Context) ([]runner.Pause, error) {
	unlock, err := l.lock("pauses")
	defer unlock()
	return slices.Clone(l.paused), err
}

func (l *fakeLedger) Pending(_ context.Context, after runner.RunID, limit int) ([]runner.RunID, error) {
	unlock, err := l.lock("pending")
	defer unlock()
	at, found := slices.BinarySearch(l.pending, after)
	if found {
		at++
	}
	return slices.Clone(l.pending[at:min(at+limit, len(l.pending))]), err
}

func (l *fakeLedger) Deliver(_ context.Context, ids ...runner.RunID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deliver != nil {
		if err := l.deliver(); err != nil {
			return err
		}
	}
	for _, id := range ids {
		l.delivered[id]++
		if at, found := slices.BinarySearch(l.pending, id); found {
			l.pending = slices.Delete(l.pending, at, at+1)
		}
	}
	return nil
}

// cursor returns the cursor of a workflow without host.
func (l *fakeLedger) cursor(workflow string) runner.Cursor {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cursors[runner.CalendarKey{Workflow: workflow}]
}

// cursorOf returns the cursor of a node's share in a workflow.
func (l *fakeLedger) cursorOf(workflow, host string) (runner.Cursor, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, known := l.cursors[runner.CalendarKey{Workflow: workflow, Host: host}]
	return c, known
}

// set changes the ledger under its lock.
func (l *fakeLedger) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// of returns the rows of a workflow, oldest slot first.
func (l *fakeLedger) of(workflow string) []row {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []row
	for key, r := range l.rows {
		if key.workflow == workflow {
			out = append(out, *r)
		}
	}
	slices.SortFunc(out, func(a, b row) int { return cmp.Or(a.Slot.Compare(b.Slot), cmp.Compare(a.Host, b.Host)) })
	return out
}

// line writes rows as the tests compare them.
func lines(rows []row) []string {
	var out []string
	for _, r := range rows {
		text := r.Slot.Format("02 15:04:05") + " " + string(r.Trigger)
		if r.State != runner.Queued {
			text += " " + string(r.State) + "/" + string(r.Reason)
		}
		if r.Slots > 1 {
			text += fmt.Sprintf(" %d to %s", r.Slots, r.LastSlot.Format("02 15:04:05"))
		}
		if r.Overlap == runner.OverlapQueue {
			text += " queue"
		}
		if r.Alert {
			text += " alert"
		}
		out = append(out, text)
	}
	return out
}

var errAway = fmt.Errorf("dial: connection refused: %w", runner.ErrUnavailable)

var errPoison = errors.New("constraint failed")

func parse(t testing.TB, rule schedule.Rule) schedule.Schedule {
	t.Helper()
	s, err := schedule.Parse(rule)
	if err != nil {
		t.Fatalf("Parse(%+v): %v", rule, err)
	}
	return s
}

func every(t testing.TB, interval time.Duration) schedule.Schedule {
	return parse(t, schedule.Rule{Every: interval})
}

// workflow returns one with overlap skip that names itself in its spec.
func workflow(name string, s schedule.Schedule) ticker.Workflow {
	return ticker.Workflow{Name: name, Schedule: s, Overlap: runner.OverlapSkip, Spec: runner.Spec{Workflow: name}}
}

func options(l *fakeLedger, workflows ...ticker.Workflow) ticker.Options {
	return ticker.Options{Ledger: l, Queue: l, Backlog: l, Node: "here", Workflows: workflows}
}

// pass lets time pass in a bubble, and everything that is due happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// running is a ticker whose Run is under way.
type running struct {
	*ticker.Ticker
	// kill ends the context of Run, end waits for Run as well.
	kill, end func()
}

func start(t testing.TB, o ticker.Options) running {
	t.Helper()
	tick, err := ticker.New(o)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tick.Run(ctx) }()
	end := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(end)
	return running{tick, cancel, end}
}
