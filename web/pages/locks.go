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
	Name, In string
	State    badge
	// Unknown says why it is not known who has it in the database.
	Unknown          string
	Holders, Waiters []lockParty
	// MoreHolders and MoreWaiters are how many there are beside those.
	MoreHolders, MoreWaiters int
}

// lockParty is a job that holds a lock or waits for it, or a tool other than
// upkeep that holds it, which has no Href.
type lockParty struct {
	Job, Href, Node string
	Since           time.Time
	// In is the database where a job waits that is past the ledger.
	In string
	// Until is when another tool loses the lock; nil for never.
	Until *time.Time
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
	case len(l.Waiters)+pending(l) > 0:
		return 0
	case len(l.Holders)+len(l.Others) > 0 || l.Unknown != "":
		return 1
	}
	return 2
}

// pending is how many jobs that hold a lock in the ledger wait for it in the
// database.
func pending(l api.Lock) (n int) {
	for _, h := range l.Holders {
		if h.Waits {
			n++
		}
	}
	return n
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
		wait := func(job string, since time.Time, ahead int) {
			waits = append(waits, lockWait{Job: job, Lock: l.Name, Since: since, Holders: newLockRow(l).Holders, Ahead: ahead})
		}
		for _, h := range l.Holders {
			if h.Run == run && h.Waits {
				wait(h.Job, h.AcquiredAt, 0)
			}
		}
		for i, w := range l.Waiters {
			if w.Run == run {
				wait(w.Job, w.Since, pending(l)+i)
			}
		}
	}
	return waits
}

func newLockRow(l api.Lock) lockRow {
	row := lockRow{Name: l.Name, In: l.In, Unknown: l.Unknown, State: badge{Tone: toneIdle, Glyph: "–", Word: "free"}}
	switch held := len(l.Holders) - pending(l) + len(l.Others); {
	case l.Limit > 1 && held > 0:
		row.State = badge{Tone: toneBusy, Glyph: "▶", Word: fmt.Sprintf("%d of %d held", held, l.Limit)}
	case held > 0:
		row.State = badge{Tone: toneBusy, Glyph: "▶", Word: "held"}
	case l.Unknown != "":
		row.State = badge{Tone: toneWarn, Glyph: "?", Word: "unknown"}
	case l.Limit > 1:
		row.State.Word = fmt.Sprintf("all %d free", l.Limit)
	}
	party := func(run runner.RunID, workflow, job, node string, since time.Time) lockParty {
		return lockParty{Job: workflow + "." + job, Href: runPath(run) + "#job-" + job, Node: node, Since: since}
	}
	for _, o := range l.Others {
		row.Holders = append(row.Holders, lockParty{Job: o.Called(), Until: o.ExpiresAt})
	}
	for _, h := range l.Holders {
		p := party(h.Run, h.Workflow, h.Job, h.Node, h.AcquiredAt)
		if h.Waits {
			p.In = l.In
			row.Waiters = append(row.Waiters, p)
		} else {
			row.Holders = append(row.Holders, p)
		}
	}
	for _, w := range l.Waiters {
		row.Waiters = append(row.Waiters, party(w.Run, w.Workflow, w.Job, w.Node, w.Since))
	}
	row.Holders, row.MoreHolders = firstParties(row.Holders)
	row.Waiters, row.MoreWaiters = firstParties(row.Waiters)
	return row
}

// firstParties are as many as are shown; rest is how many are not.
func firstParties(list []lockParty) (shown []lockParty, rest int) {
	shown = list[:min(mostParties, len(list))]
	return shown, len(list) - len(shown)
}
