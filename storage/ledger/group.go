package ledger

import (
	"context"
	"database/sql"
	"slices"
	"sync"
	"time"
)

const (
	// maxMembers bounds how many members one transaction has.
	maxMembers = 64
	// maxGroupTime is how long a transaction takes members in: the first one
	// waits for the last.
	maxGroupTime = 10 * time.Millisecond
)

// group lets callers that write at the same time share a transaction and its
// commit. SQLite has one writer, and what a commit costs is waiting for the
// disk, which takes as long for one as for many. It is safe for use by several
// goroutines. A goroutine of its own lives while there is something to write.
type group struct {
	db *sql.DB
	d  *dialect

	mu sync.Mutex
	// waiting are the members that had no turn yet, in the order of their turns.
	waiting []*member
	// leading tells that lead runs.
	leading bool
	// joined counts all members that ever were.
	joined uint64
}

// member is one caller's part of a transaction.
type member struct {
	ctx    context.Context
	do     func(context.Context, session) error
	number uint64
	// over is closed once what follows does not change any more.
	over     chan struct{}
	err      error
	owes     bool
	panicked string
}

// transact runs do in a transaction and returns when it is durable, or had no
// effect at all. owes tells that do left notices to be sent. The end of ctx
// ends the waiting for a turn and do, but not a statement: SQLite would roll
// the whole transaction back with it (https://www.sqlite.org/c3ref/interrupt.html).
func (g *group) transact(ctx context.Context, do func(context.Context, session) error) (owes bool, err error) {
	m := &member{ctx: ctx, do: do, over: make(chan struct{})}
	g.join(m) //nolint:contextcheck // the transaction is not the caller's alone
	select {
	case <-m.over:
	case <-ctx.Done():
		if g.withdraw(m) {
			return false, context.Cause(ctx)
		}
		<-m.over
	}
	if m.panicked != "" {
		panic(m.panicked)
	}
	return m.owes, m.err
}

func (g *group) join(m *member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.joined++
	m.number = g.joined
	g.waiting = append(g.waiting, m)
	if !g.leading {
		g.leading = true
		go g.lead()
	}
}

// withdraw takes back a member that had no turn yet; false when it had.
func (g *group) withdraw(m *member) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := slices.Index(g.waiting, m)
	if at < 0 {
		return false
	}
	g.waiting = slices.Delete(g.waiting, at, at+1)
	return true
}

// next returns the member whose turn it is; nil for none.
func (g *group) next() *member {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		return nil
	}
	m := g.waiting[0]
	g.waiting[0] = nil
	g.waiting = g.waiting[1:]
	return m
}

// again gives members a turn before all others.
func (g *group) again(list []*member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = slices.Concat(list, g.waiting)
}

// more tells whether somebody waits, and else ends the leading.
func (g *group) more() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leading = len(g.waiting) > 0
	if !g.leading {
		g.waiting = nil
	}
	return g.leading
}

// upTo takes the members off the queue that joined before a moment.
func (g *group) upTo(number uint64) (list []*member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.waiting) > 0 && g.waiting[0].number <= number {
		list, g.waiting = append(list, g.waiting[0]), g.waiting[1:]
	}
	return list
}

// lead runs one transaction after the other while somebody waits. Members hear
// how theirs ended when the connection is free again, so that whoever has an
// answer may close the ledger.
func (g *group) lead() {
	for g.more() {
		for _, m := range g.together() {
			close(m.over)
		}
	}
}

// together runs one transaction and returns the members that are over.
func (g *group) together() (over []*member) {
	g.mu.Lock()
	last := g.joined
	g.mu.Unlock()
	t, err := g.begin()
	if err != nil {
		over = g.upTo(last)
		for _, m := range over {
			m.err = err
		}
		return over
	}
	t.fill()
	t.end()
	return t.over
}
