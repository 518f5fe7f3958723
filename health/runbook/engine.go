package runbook

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Actions is what an Engine has done in its name. Its methods follow the
// obligations of runner.Ledger.
type Actions interface {
	// Start asks for a run of a runbook in its mode; why says in one line what
	// started it.
	Start(ctx context.Context, b Runbook, why string) (runner.Submission, error)
	// Drop ends a run that waits for approval.
	Drop(ctx context.Context, run runner.RunID, why string) error
	// Disable pauses a runbook that does not help, and raises the fault of it.
	// It may be repeated.
	Disable(ctx context.Context, b Runbook, run runner.RunID, why string) error
	// Enable ends the fault of a runbook that somebody no longer pauses. It may be
	// repeated.
	Enable(ctx context.Context, b Runbook) error
	// Tell puts on record what happened, also in the story of the check's
	// incident.
	Tell(ctx context.Context, b Runbook, text string) error
	// Ask tells people that a run waits for their approval.
	Ask(ctx context.Context, b Runbook, run runner.RunID, text string) error
}

// Options configure an Engine. All are required but Elsewhere and Log.
type Options struct {
	// Runbooks returns those in force. It is called for every answer of a check.
	Runbooks func() []Runbook
	// Locks returns the named locks that the jobs of a runbook need.
	Locks func(name string) []string
	// Held says why nothing new starts at present; nil when things do.
	Held     func() error
	Records  Records
	Remedies runner.Remedies
	Actions  Actions
	Checks   runner.CheckReader
	// Elsewhere tells whether another node asks a check, which then looks after
	// its runbooks; nil for never.
	Elsewhere func(check string) bool
	// Past has what the checks said before this process.
	Past runner.SampleReader
	// Log is told how it goes; nil for nobody.
	Log *slog.Logger
}

// lookEvery is how often runs that are under way, and pauses, are looked at when
// no check answers.
const lookEvery = 5 * time.Second

// Engine starts runbooks. It implements runner.CheckObserver and is safe for
// use by several goroutines.
type Engine struct {
	o    Options
	bell chan struct{}

	mu      sync.Mutex
	watches map[string]*watch

	// The rest belongs to the goroutine of Run.
	cases map[string]*history
}

var _ runner.CheckObserver = (*Engine)(nil)

// New returns an engine. Run makes it work.
func New(o Options) *Engine {
	if o.Elsewhere == nil {
		o.Elsewhere = func(string) bool { return false }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Engine{o: o, bell: make(chan struct{}, 1), watches: map[string]*watch{}, cases: map[string]*history{}}
}

// Checked implements runner.CheckObserver.
func (e *Engine) Checked(_ context.Context, report runner.CheckReport) {
	seen := false
	for _, b := range e.o.Runbooks() {
		if b.Trigger.Check == report.Name {
			e.see(b, report)
			seen = true
		}
	}
	if !seen {
		return
	}
	select {
	case e.bell <- struct{}{}:
	default:
	}
}

// Run starts what is due and judges what was started, until ctx ends. It is
// called once.
func (e *Engine) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.bell:
		case <-tick.C:
		}
		for _, b := range e.o.Runbooks() {
			if err := e.look(ctx, b); err != nil && ctx.Err() == nil {
				e.o.Log.WarnContext(ctx, "look after a runbook; it is tried again", "runbook", b.Name, "error", err)
			}
		}
	}
}

// look does what is to be done about one runbook. What another node looks after
// is forgotten: when this one takes the check over, it goes on from what stands on
// record.
func (e *Engine) look(ctx context.Context, b Runbook) error {
	if e.o.Elsewhere(b.Trigger.Check) {
		e.forget(b)
		return nil
	}
	h, err := e.history(ctx, b)
	if err != nil {
		return err
	}
	if h.disabled {
		if err := e.enabled(ctx, b, h); err != nil {
			return err
		}
	}
	if err := e.recall(ctx, b); err != nil {
		return err
	}
	w := e.watched(b)
	switch {
	case h.open:
		return e.follow(ctx, b, h, w)
	case w.due(b.Trigger):
		return e.consider(ctx, b, h, w)
	}
	return nil
}

// enabled looks whether somebody let a runbook that was disabled run again.
func (e *Engine) enabled(ctx context.Context, b Runbook, h *history) error {
	pauses, err := e.o.Records.Pauses(ctx)
	if err != nil {
		return err
	}
	for _, p := range pauses {
		if p.Workflow == b.Name {
			return nil
		}
	}
	if err := e.o.Actions.Enable(ctx, b); err != nil {
		return err
	}
	h.disabled = false
	return nil
}
