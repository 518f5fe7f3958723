package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

const (
	// longestEvent bounds one event of a stream.
	longestEvent = 64 << 20
	// silentAfter is how long a stream may be silent before it counts as dead;
	// a living daemon says more often that it is there.
	silentAfter = time.Minute
	// knockEvery is how often Follow looks whether a daemon is back.
	knockEvery = 250 * time.Millisecond
)

// Follow calls tell with the events of a run until it has ended, in the order
// and with the meaning that they have for an observer beside the executor:
// what happened before is told first, nothing twice, and progress only from
// then on. It returns nil after runner.RunEnded. When the daemon goes away it
// waits for it to come back, because a run goes on after a restart, and
// returns ErrNoDaemon or what else is wrong after Options.Patience.
func (c *Client) Follow(ctx context.Context, id runner.RunID, tell func(runner.Event)) error {
	t := &teller{tell: tell, started: map[runner.AttemptKey]bool{}, ended: map[runner.AttemptKey]runner.State{}}
	lastHeard := time.Now()
	for {
		over, err := c.stream(ctx, id, func(e *api.Event) {
			lastHeard = time.Now()
			if e != nil {
				t.hear(*e)
			}
		})
		switch {
		case over:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && !errors.Is(err, runner.ErrUnavailable):
			return err
		case time.Since(lastHeard) >= c.o.Patience:
			if err == nil {
				err = fmt.Errorf("%w: it stopped", ErrNoDaemon)
			}
			return fmt.Errorf("follow run %s: %w", id, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(knockEvery):
		}
	}
}

// stream reads one stream to its end; over tells that the run has ended. hear
// gets each event, and nil for each other sign of life.
func (c *Client) stream(ctx context.Context, id runner.RunID, hear func(*api.Event)) (over bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dead := time.AfterFunc(c.o.Within, func() { cancel(ErrSilent) })
	defer dead.Stop()
	response, err := c.send(ctx, call{method: http.MethodGet, path: path("runs", string(id), "events")})
	if err != nil {
		return false, err
	}
	defer response.Body.Close() //nolint:errcheck // only read
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(make([]byte, 64<<10), longestEvent)
	for dead.Reset(silentAfter); lines.Scan(); dead.Reset(silentAfter) {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			hear(nil)
			continue // a name, which the data repeats, a comment or the end of an event
		}
		var event api.Event
		if err := json.Unmarshal(data, &event); err != nil {
			return false, fmt.Errorf("follow run %s: the daemon's event makes no sense: %w", id, err)
		}
		hear(&event)
		if event.Kind == api.EventRunEnded {
			return true, nil
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, c.lost(ctx, err)
	}
	return false, nil
}

// teller turns a stream with its snapshots into events, each told once.
type teller struct {
	tell    func(runner.Event)
	epoch   int64 // of the last RunStarted
	started map[runner.AttemptKey]bool
	ended   map[runner.AttemptKey]runner.State
	// early is a snapshot of a run that was claimed just now: its jobs are known
	// with the next event.
	early *api.Event
}

// hear takes one event of the stream.
func (t *teller) hear(v api.Event) {
	if early := t.early; early != nil {
		t.early = nil
		if v.Kind == api.EventRunStarted {
			t.hear(v)
			v = *early
		} else {
			t.snapshot(*early)
		}
	}
	if v.Kind == api.EventSnapshot {
		if t.tooEarly(v) {
			t.early = &v
			return
		}
		t.snapshot(v)
		return
	}
	e, ok := v.Runner()
	if !ok {
		return
	}
	switch e := e.(type) {
	case runner.RunStarted:
		t.start(e)
	case runner.AttemptStarted:
		t.begin(e.Attempt)
	case runner.AttemptEnded:
		t.end(e.Attempt)
	default:
		t.tell(e)
	}
}

// tooEarly tells whether a snapshot is of a moment between the claim of a run
// and its beginning.
func (t *teller) tooEarly(v api.Event) bool {
	return v.Run != nil && v.Run.State == runner.Running && v.Run.Epoch > t.epoch && len(v.Jobs) == 0 &&
		!slices.ContainsFunc(v.Attempts, func(a api.AttemptRecord) bool { return a.Epoch >= v.Run.Epoch })
}

// start tells the beginning of a run under a new epoch.
func (t *teller) start(e runner.RunStarted) {
	if e.Run.Epoch <= t.epoch {
		return
	}
	t.epoch = e.Run.Epoch
	for _, a := range e.Done {
		t.started[a.Key()], t.ended[a.Key()] = true, a.State
	}
	t.tell(e)
}

func (t *teller) begin(a runner.Attempt) {
	if t.started[a.Key()] {
		return
	}
	t.started[a.Key()] = true
	t.tell(runner.AttemptStarted{Attempt: a})
}

func (t *teller) end(a runner.Attempt) {
	if t.ended[a.Key()] == a.State {
		return
	}
	t.ended[a.Key()] = a.State
	t.tell(runner.AttemptEnded{Attempt: a, Findings: a.Result.Findings})
}

// snapshot tells what of it is new.
func (t *teller) snapshot(v api.Event) {
	if v.Run == nil || v.Run.Epoch == 0 {
		return // nobody has claimed the run yet
	}
	run := v.Run.Runner()
	attempts := make([]runner.Attempt, 0, len(v.Attempts))
	for _, a := range v.Attempts {
		if attempt := a.Runner(); !attempt.Superseded {
			attempts = append(attempts, attempt)
		}
	}
	if run.State != runner.Queued {
		t.start(runner.RunStarted{Run: run, Jobs: jobsOf(v.Jobs, attempts), Done: done(run.Epoch, attempts)})
	}
	for _, a := range attempts {
		if !t.started[a.Key()] && (a.State == runner.Running || a.Epoch >= run.Epoch && api.Began(a)) {
			t.begin(begun(a))
		}
		if a.State != runner.Running && (t.started[a.Key()] || a.Epoch >= run.Epoch) {
			t.end(a)
		}
	}
}

// begun is an attempt as it was when it began.
func begun(a runner.Attempt) runner.Attempt {
	return runner.Attempt{
		Run: a.Run, Job: a.Job, Kind: a.Kind, Number: a.Number, Epoch: a.Epoch, State: runner.Running,
		ExitCode: -1, StartedAt: a.StartedAt,
	}
}

// done are the latest attempts of jobs that an earlier claim finished.
func done(epoch int64, attempts []runner.Attempt) []runner.Attempt {
	var out []runner.Attempt
	for _, a := range attempts {
		if a.Epoch < epoch && a.State.Done() {
			out = append(out, a)
		}
	}
	return out
}

// jobsOf are the jobs of the plan, or those that attempts tell of when the
// daemon does not know the plan.
func jobsOf(names []api.JobName, attempts []runner.Attempt) []runner.JobName {
	var out []runner.JobName
	for _, n := range names {
		out = append(out, runner.JobName(n))
	}
	if len(out) > 0 {
		return out
	}
	seen := map[string]bool{}
	for _, a := range attempts {
		if !seen[a.Job] {
			seen[a.Job] = true
			out = append(out, runner.JobName{Name: a.Job, Kind: a.Kind})
		}
	}
	return out
}
