package executor

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// watchEvery is how often the owner of runs looks into the ledger for what
// others ask of them.
const watchEvery = time.Second

// watch looks for cancels and later owners of the runs under way, by one read
// for all of them. While nothing runs it does nothing.
type watch struct {
	ledger Ledger
	holds  func(runner.Claim) error
	log    *slog.Logger

	mu   sync.Mutex
	runs map[*run]struct{}
	// stop ends the looking; nil while there is nobody to look after.
	stop func()
}

// add begins to look after a run.
func (w *watch) add(r *run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.runs == nil {
		w.runs = map[*run]struct{}{}
	}
	w.runs[r] = struct{}{}
	if w.stop != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		w.look(ctx)
	}()
	w.stop = func() {
		cancel()
		<-over
	}
}

// remove forgets a run. With the last one, the looking is over when it returns.
func (w *watch) remove(r *run) {
	w.mu.Lock()
	delete(w.runs, r)
	var stop func()
	if len(w.runs) == 0 {
		stop, w.stop = w.stop, nil
	}
	w.mu.Unlock()
	if stop != nil {
		stop()
	}
}

func (w *watch) look(ctx context.Context) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		runs, claims := w.list()
		for i, c := range claims {
			w.tell(runs[i], w.holds(c))
		}
		causes, err := w.ledger.Watch(ctx, claims...)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			w.log.DebugContext(ctx, "look for cancels", "error", err)
		}
		for i, cause := range causes {
			w.tell(runs[i], cause)
		}
	}
}

// list returns the runs that are looked after, and their claims.
func (w *watch) list() (runs []*run, claims []runner.Claim) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for r := range w.runs {
		runs, claims = append(runs, r), append(claims, r.claim)
	}
	return runs, claims
}

// tell ends a run because of cause, unless it ended by itself meanwhile.
func (w *watch) tell(r *run, cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, known := w.runs[r]
	switch {
	case !known || cause == nil:
	case errors.Is(cause, runner.ErrStale):
		r.halt.end(runner.ErrSuperseded)
	default:
		r.halt.end(cause)
	}
}
