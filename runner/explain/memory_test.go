package explain_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// memory is a ledger that holds what a test puts into it.
type memory struct {
	runs    []runner.Run
	folded  []runner.Run // those of runs that stand for several slots
	sorted  bool         // runs are in order of their slots
	pauses  []runner.Pause
	cursors []runner.Cursor
	// broken fails every read.
	broken bool
	// reads counts the pages that were read.
	reads int
	next  int
}

var errAway = errors.New("the ledger is away")

// Slots follows the obligations of runner.SlotReader, the limit too.
func (m *memory) Slots(_ context.Context, workflow string, from, until time.Time, limit int) ([]runner.Run, error) {
	if m.broken {
		return nil, errAway
	}
	m.reads++
	if !m.sorted {
		slices.SortStableFunc(m.runs, func(a, b runner.Run) int { return a.Slot.Compare(b.Slot) })
		m.sorted = true
	}
	low, _ := slices.BinarySearchFunc(m.runs, from, func(r runner.Run, at time.Time) int { return r.Slot.Compare(at) })
	high, _ := slices.BinarySearchFunc(m.runs, until, func(r runner.Run, at time.Time) int { return r.Slot.Compare(at) })
	var found []runner.Run
	for _, r := range m.folded {
		if r.Spec.Workflow == workflow && r.Slot.Before(from) && !r.LastSlot.Before(from) {
			found = append(found, r)
		}
	}
	for _, r := range m.runs[low:max(low, high)] {
		if r.Spec.Workflow == workflow {
			found = append(found, r)
		}
	}
	return found[:min(len(found), limit)], nil
}

func (m *memory) Pauses(context.Context) ([]runner.Pause, error) {
	if m.broken {
		return nil, errAway
	}
	return m.pauses, nil
}

func (m *memory) Cursors(_ context.Context, host string) ([]runner.Cursor, error) {
	return slices.DeleteFunc(slices.Clone(m.cursors), func(c runner.Cursor) bool { return c.Host != "" && c.Host != host }), nil
}

// add records a run of a workflow with an ID of its own.
func (m *memory) add(workflow string, slot time.Time, change func(*runner.Run)) {
	m.next++
	r := runner.Run{ID: runner.RunID(fmt.Sprintf("run-%d", m.next)), State: runner.Succeeded}
	r.Request = runner.Request{Spec: runner.Spec{Workflow: workflow}, Slot: slot, Trigger: runner.BySchedule}
	r.QueuedAt, r.StartedAt, r.FinishedAt = slot, slot, slot.Add(12*time.Minute)
	if change != nil {
		change(&r)
	}
	m.runs, m.sorted = append(m.runs, r), false
	if r.Slots > 1 {
		m.folded = append(m.folded, r)
	}
}
