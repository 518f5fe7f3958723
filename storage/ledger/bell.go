package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ghosteam/upkeep/runner"
)

// BellKind is what a Bell is about.
type BellKind string

// The kinds of bells.
const (
	// BellCancel: somebody asked for the end of the run that Run names and that
	// is executed; By says who.
	BellCancel BellKind = "cancel"
	// BellQueued: the run that Run names may be delivered; nobody is known to do
	// it.
	BellQueued BellKind = "queued"
	// BellOwed: notices are owed, or incidents changed.
	BellOwed BellKind = "owed"
	// BellNodes: a node came or left.
	BellNodes BellKind = "nodes"
	// BellChanged: what people look at changed; Topics says what.
	BellChanged BellKind = "changed"
	// BellFreed: named locks are free for those who wait for them.
	BellFreed BellKind = "freed"
	// BellMissed: bells may have rung that nobody heard, because the connection
	// was away. It is rung by the listener itself.
	BellMissed BellKind = "missed"
)

// Bell tells the other nodes at once what is on record anyway. Whoever hears it
// looks there; one that is lost, heard twice or late does no harm, because all
// that it tells is found by looking every now and then too.
type Bell struct {
	Kind BellKind `json:"kind"`
	// Run is what it is about; empty for no run or for many.
	Run runner.RunID `json:"run,omitempty"`
	// By is who asked for a cancel.
	By string `json:"by,omitempty"`
	// Topics are of BellChanged.
	Topics []string `json:"topics,omitempty"`
	// From is the instance that rings, which hears its own bells too.
	From string `json:"from,omitempty"`
}

// bellRope is the channel of bells: it carries the name of the schema, as far as
// it fits into the 63 bytes of a name.
const bellRope = "left('upkeep_' || current_schema(), 63)"

// ring rings a bell when the transaction is durable, and not at all when it is
// not. On SQLite, which has one process, and outside of transactions it does
// nothing.
func (s session) ring(b Bell) {
	if s.bells != nil && !slices.ContainsFunc(*s.bells, func(other Bell) bool { return other.Kind == b.Kind && other.Run == b.Run }) {
		*s.bells = append(*s.bells, b)
	}
}

// pull puts the bells into the transaction.
func (l *Ledger) pull(ctx context.Context, s session, bells []Bell) error {
	for _, b := range bells {
		b.From = l.Instance()
		payload, err := json.Marshal(b)
		if err != nil {
			return fmt.Errorf("write a bell: %w", err)
		}
		if _, err := s.exec(ctx, "SELECT pg_notify("+bellRope+", ?)", string(payload)); err != nil {
			return err
		}
	}
	return nil
}

// Ring rings bells outside of any transaction. On SQLite it does nothing.
func (l *Ledger) Ring(ctx context.Context, bells ...Bell) error {
	if l.d.local {
		return nil
	}
	return l.explain(ctx, "tell the other nodes", l.pull(ctx, session{on: l.write, d: l.d}, bells))
}

// hear reads what came over the rope; false for what is no bell of this version.
func hear(payload string) (b Bell, ok bool) {
	err := json.Unmarshal([]byte(payload), &b)
	return b, err == nil && b.Kind != "" && b.Kind != BellMissed
}
