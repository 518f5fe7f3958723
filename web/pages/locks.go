package pages

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// lockRow is a named lock: who holds it, and who waits for it in which order.
type lockRow struct {
	Name, In         string
	State            badge
	Holders, Waiters []lockParty
	// MoreHolders and MoreWaiters are how many there are beside those.
	MoreHolders, MoreWaiters int
}

// lockParty is a job that holds a lock or waits for it.
type lockParty struct {
	Job, Href, Node string
	Since           time.Time
}

const (
	// mostLocks is how many locks are listed, mostParties how many jobs of each.
	mostLocks   = 40
	mostParties = 5
)

// lockRows shows locks, those that somebody waits for first; rest says how those
// are that are left out.
func lockRows(list []api.Lock) (rows []lockRow, rest string) {
	list = slices.SortedStableFunc(slices.Values(list), func(a, b api.Lock) int {
		return cmp.Or(cmp.Compare(lockUrgency(a), lockUrgency(b)), strings.Compare(a.Name, b.Name))
	})
	if len(list) > mostLocks {
		rest = count(len(list)-mostLocks, "more lock")
		list = list[:mostLocks]
	}
	for _, l := range list {
		rows = append(rows, newLockRow(l))
	}
	return rows, rest
}

func lockUrgency(l api.Lock) int {
	switch {
	case len(l.Waiters) > 0:
		return 0
	case len(l.Holders) > 0:
		return 1
	}
	return 2
}

// lockWait is a job of a run that waits for a lock.
type lockWait struct {
	Job, Lock string
	Since     time.Time
	Holders   []lockParty
	// Ahead is how many jobs get the lock before it.
	Ahead int
}

// waitsOf are what jobs of a run wait for.
func waitsOf(run runner.RunID, list []api.Lock) []lockWait {
	var waits []lockWait
	for _, l := range list {
		for i, w := range l.Waiters {
			if w.Run == run {
				waits = append(waits, lockWait{Job: w.Job, Lock: l.Name, Since: w.Since, Holders: newLockRow(l).Holders, Ahead: i})
			}
		}
	}
	return waits
}

func newLockRow(l api.Lock) lockRow {
	row := lockRow{Name: l.Name, In: l.In, State: badge{Tone: toneIdle, Glyph: "–", Word: "free"}}
	switch held := len(l.Holders); {
	case l.Limit > 1 && held > 0:
		row.State = badge{Tone: toneBusy, Glyph: "▶", Word: fmt.Sprintf("%d of %d held", held, l.Limit)}
	case held > 0:
		row.State = badge{Tone: toneBusy, Glyph: "▶", Word: "held"}
	case l.Limit > 1:
		row.State.Word = fmt.Sprintf("all %d free", l.Limit)
	}
	party := func(run runner.RunID, workflow, job, node string, since time.Time) lockParty {
		return lockParty{Job: workflow + "." + job, Href: runPath(run) + "#job-" + job, Node: node, Since: since}
	}
	for _, h := range l.Holders[:min(mostParties, len(l.Holders))] {
		row.Holders = append(row.Holders, party(h.Run, h.Workflow, h.Job, h.Node, h.AcquiredAt))
	}
	for _, w := range l.Waiters[:min(mostParties, len(l.Waiters))] {
		row.Waiters = append(row.Waiters, party(w.Run, w.Workflow, w.Job, w.Node, w.Since))
	}
	row.MoreHolders, row.MoreWaiters = len(l.Holders)-len(row.Holders), len(l.Waiters)-len(row.Waiters)
	return row
}
