package health

import (
	"context"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// drop forgets watches that have ended: who waits for them waits no longer, and
// the incidents of those that are gone for good are cleared.
func (m *Monitor) drop(ctx context.Context, gone []*watch, next map[string]*watch) {
	differ := len(gone) > 0 && m.o.Differ(ctx)
	for _, w := range gone {
		m.mu.Lock()
		waiters := w.waiters
		w.waiters = nil
		m.mu.Unlock()
		for _, waiter := range waiters {
			close(waiter)
		}
		if now := next[w.check.Name]; w.recorded == nil && w.check.Node == "" || now != nil && !now.check.Quiet {
			continue
		}
		if differ && next[w.check.Name] == nil && !asked(next, w.check.Name) {
			continue
		}
		if _, err := m.o.Incidents.Clear(ctx, fingerprint(w.check.Name), time.Now().UTC()); err != nil {
			m.o.Log.WarnContext(ctx, "resolve the incident of a check that is no longer configured", "check", w.check.Name, "error", err)
		}
	}
}

// asked tells whether any node asks the check of which name may be the instance of
// one.
func asked(watches map[string]*watch, name string) bool {
	for other := range watches {
		if runner.CheckBase(other) == runner.CheckBase(name) {
			return true
		}
	}
	return false
}
