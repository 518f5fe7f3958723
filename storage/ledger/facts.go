package ledger

import (
	"context"
	"time"
)

// NodeFacts are what an instance says of itself to those who look at all nodes.
type NodeFacts struct {
	// Config is the digest of what its configuration has in common with those of
	// the others, Path the file that it was read from.
	Config, Path string
	// Draining tells that it takes nothing new.
	Draining bool
	// Web is the address of its pages; empty when they are for its own machine
	// alone, or there are none.
	Web string
}

// Announce puts on record what this instance says of itself, and from time to
// time that it is still there. It is to be called every few seconds: what is on
// record already is not written again. An instance that is not registered
// announces it when it registers.
func (l *Ledger) Announce(ctx context.Context, facts NodeFacts) error {
	facts.Config, facts.Path, facts.Web = cleanLine(facts.Config, maxShortText), cleanLine(facts.Path, maxLine), cleanLine(facts.Web, maxShortText)
	due := l.mayBeForgotten()
	l.mu.Lock()
	known := l.told && l.facts == facts
	l.facts, l.told = facts, known
	l.mu.Unlock()
	if known && !due {
		return nil
	}
	changed := int64(0)
	err := l.transact(ctx, "announce node "+l.o.Node, func(ctx context.Context, s session) error {
		var err error
		changed, err = s.exec(ctx, "UPDATE nodes SET config = ?, config_path = ?, draining = ?, web = ? WHERE instance = ?",
			facts.Config, facts.Path, bit(facts.Draining), facts.Web, l.Instance())
		if err == nil && changed > 0 && due {
			err = l.see(ctx, s)
		}
		return err
	})
	if err == nil && changed > 0 {
		l.announced(facts, due)
	}
	return err
}

// toAnnounce are the facts to register with.
func (l *Ledger) toAnnounce() NodeFacts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.facts
}

// announced notes that facts are on record, unless there are newer ones, and
// whether the member was seen.
func (l *Ledger) announced(facts NodeFacts, seen bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = l.facts == facts
	if seen {
		l.seen = time.Now()
	}
}

// mayBeForgotten tells whether it is time to note that the member is
// there. Where nobody else can be, its coming and going is enough.
func (l *Ledger) mayBeForgotten() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.o.Member && l.o.LeaseTTL > 0 && time.Since(l.seen) >= seenEvery
}
