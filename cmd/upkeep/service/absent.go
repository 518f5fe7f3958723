package service

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/ticker"
	"github.com/ghosteam/upkeep/storage/ledger"
)

const (
	// expireEvery is how often runs are looked for that no node has begun in
	// time.
	expireEvery = 15 * time.Second
	// strandAfter is how long a run that began waits for a node that may go on
	// with it: long enough for a machine to be restarted.
	strandAfter = 15 * time.Minute
	// absentEvery is how often the slots of nodes are looked for that are not
	// there.
	absentEvery = 30 * time.Second
	// yield is how much longer the next node waits than the one before it in the
	// order of those who may record the slots of an absent node.
	yield = time.Minute
	// mostAbsent bounds how many requests are recorded at once.
	mostAbsent = 1000
)

// expire records that runs were not begun in time, or that nobody goes on with
// them.
func (e *Engine) expire(ctx context.Context) error {
	expired, err := e.ledger.Expire(ctx)
	for _, id := range expired {
		e.o.Log.WarnContext(ctx, "no node began a run in time", "run", string(id))
	}
	if err != nil || !e.shared() {
		return err
	}
	ended, err := e.ledger.Strand(ctx, strandAfter)
	for _, id := range ended {
		e.o.Log.WarnContext(ctx, "no node could go on with a run", "run", string(id))
	}
	return err
}

// standIn records the slots of nodes that are not there and that they could no
// longer run. Every node that is there may do it; the first of an order does,
// and the others only when it is late.
func (e *Engine) standIn(ctx context.Context) error {
	cfg := e.Config()
	var shared []*configs.Workflow
	for _, w := range cfg.Workflows {
		if w.EveryNode && !w.Schedule.IsZero() {
			shared = append(shared, w)
		}
	}
	if cfg.Ledger.Dialect == "sqlite" || len(shared) == 0 {
		return nil
	}
	members, err := e.ledger.Members(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(members, func(m ledger.Member) bool { return !m.Alive }) {
		return nil
	}
	late := time.Duration(rankOf(members, cfg.Node)) * yield
	cursors, err := e.cursorsOf(ctx, members)
	if err != nil {
		return err
	}
	for _, w := range shared {
		if err := e.decideAbsent(ctx, w, members, cursors, late); err != nil {
			return err
		}
	}
	return nil
}

// cursorsOf returns the cursors of the nodes that are not there.
func (e *Engine) cursorsOf(ctx context.Context, members []ledger.Member) (map[runner.CalendarKey]runner.Cursor, error) {
	cursors := map[runner.CalendarKey]runner.Cursor{}
	for _, m := range members {
		if m.Alive {
			continue
		}
		list, err := e.ledger.Cursors(ctx, m.Name)
		if err != nil {
			return nil, err
		}
		for _, c := range list {
			cursors[c.CalendarKey] = c
		}
	}
	return cursors, nil
}

// decideAbsent records what the absent nodes missed of one workflow; late is how
// much longer this node leaves that to others. Of the nodes that missed the same,
// one alert tells.
func (e *Engine) decideAbsent(ctx context.Context, w *configs.Workflow, members []ledger.Member, cursors map[runner.CalendarKey]runner.Cursor, late time.Duration) error {
	now := time.Now()
	var decided []runner.Decided
	var away []string
	size := 0
	for _, m := range members {
		if m.Alive || !w.Fits(m.Labels) || size > mostAbsent {
			continue // the rest is for the next round
		}
		share := ticking(w, m.Name)
		cursor, known := cursors[runner.CalendarKey{Workflow: w.Name, Host: m.Name}]
		d, ok := ticker.Absent(share, cursor, known, now.Add(-late))
		if ok && len(d.Requests) == 0 {
			// A calendar begins now, whoever finds it: begun in the past, it would owe
			// slots of before the workflow was there.
			d, ok = ticker.Absent(share, cursor, known, now)
		}
		if !ok {
			continue
		}
		decided, size = append(decided, d), size+len(d.Requests)
		if len(d.Requests) > 0 {
			away = append(away, m.Name)
		}
	}
	if len(decided) == 0 {
		return nil
	}
	tellOnce(decided, away)
	if _, err := e.ledger.Decide(ctx, decided...); err != nil {
		return err
	}
	if len(away) > 0 {
		e.o.Log.WarnContext(ctx, "slots were missed on nodes that are not there", "workflow", w.Name, "nodes", strings.Join(away, ","), "rows", size)
	}
	return nil
}

// tellOnce leaves one alert of those of several nodes.
func tellOnce(decided []runner.Decided, away []string) {
	told := false
	for _, d := range decided {
		if len(d.Requests) == 0 {
			continue
		}
		newest := &d.Requests[len(d.Requests)-1]
		if newest.Alert = newest.Alert && !told; newest.Alert && len(away) > 1 {
			newest.Message += fmt.Sprintf("; the same on %s", strings.Join(away[1:], ", "))
		}
		told = true
	}
}

// rankOf is the place of a node in the order of those that are there, 0 for the
// first. It is the same on each of them.
func rankOf(members []ledger.Member, node string) int {
	var there []string
	for _, m := range members {
		if m.Alive {
			there = append(there, m.Name)
		}
	}
	return placeIn("absent nodes", there, node)
}
