package executor

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// inWindow tells whether the run is bound to the workflow's window: those that
// people ask for, and those that they retry, are not.
func (r *run) inWindow() bool {
	return !r.plan.Window.IsZero() && r.record.ReopenedBy == "" &&
		(r.record.Trigger == runner.BySchedule || r.record.Trigger == runner.ByCatchUp)
}

// outsideWindow says why a run that has not begun must not: it waited for its
// turn until its window had closed.
func (r *run) outsideWindow(earlier []runner.Attempt) string {
	at := time.Now()
	if len(earlier) > 0 || !r.inWindow() || r.plan.Window.Open(at) {
		return ""
	}
	text := fmt.Sprintf("it came to its turn outside the window %s", r.plan.Window)
	if opens, ok := r.plan.Window.Opens(at); ok {
		text += ", which opens again at " + r.clock(opens)
	}
	return text
}

// clock writes an instant in the zone of the workflow.
func (r *run) clock(at time.Time) string {
	zone := r.plan.Zone
	if zone == nil {
		zone = time.UTC
	}
	return at.In(zone).Format("2006-01-02 15:04 MST")
}

// windowLook bounds how long the close of a window goes unnoticed when the
// clock jumps or the machine sleeps, because timers count time awake.
const windowLook = 30 * time.Second

// bindToWindow ends the run, or notes it, when its window closes. The function
// that it returns ends the binding.
func (r *run) bindToWindow() (stop func()) {
	if !r.inWindow() {
		return func() {}
	}
	closes, ok := r.plan.Window.Closes(time.Now())
	if !ok {
		return func() {}
	}
	closed := &runner.WindowError{Window: r.plan.Window.String()}
	if !r.plan.Window.Open(time.Now()) {
		r.windowClosed(closed)
		return func() {}
	}
	if r.plan.Zone != nil {
		closes = closes.In(r.plan.Zone)
	}
	closed.Closed = closes
	var mu sync.Mutex
	var timer *time.Timer
	stopped := false
	var look func()
	look = func() {
		mu.Lock()
		defer mu.Unlock()
		rest := closes.Sub(time.Now().Round(0))
		switch {
		case stopped:
		case rest > 0:
			timer = time.AfterFunc(min(rest, windowLook), look)
		default:
			r.windowClosed(closed)
		}
	}
	look()
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		if timer != nil {
			timer.Stop()
		}
	}
}

// windowClosed does what the workflow wants when its window closes.
func (r *run) windowClosed(closed *runner.WindowError) {
	if r.plan.Window.OnClose() == schedule.OnCloseStop {
		r.halt.end(closed)
		return
	}
	r.log.Warn("the run goes on although its window has closed", "window", closed.Window)
	text := "it went on although " + closed.Error()
	r.notes.add(text)
	r.tell(runner.RunNoted{Run: r.record.ID, Text: text, At: now()})
}

// notes are sentences about a run, from several goroutines.
type notes struct {
	mu    sync.Mutex
	texts []string
}

func (n *notes) add(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.texts = append(n.texts, text)
}

// addTo appends the notes to the message of the run's end.
func (n *notes) addTo(message string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	texts := n.texts
	if message != "" {
		texts = append([]string{message}, texts...)
	}
	return strings.Join(texts, "; ")
}
