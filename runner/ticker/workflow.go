package ticker

import (
	"context"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// noRule is the Schedule of a cursor whose workflow is not started by the
// calendar.
const noRule = "none"

// Workflow is what the ticker knows of a workflow on this node.
type Workflow struct {
	// Name is unique among the workflows of one ticker.
	Name string
	// Host is the node's name for workflows that every node runs, otherwise
	// empty.
	Host string
	// Target says which nodes may execute its runs; with Host it means nothing.
	Target runner.Target
	// StartWithin is how long after its start a run may wait for a node before
	// it is missed; 0 means for ever.
	StartWithin time.Duration
	// Schedule says when it is due; the zero Schedule never.
	Schedule schedule.Schedule
	// Policy decides about slots that were not started in time.
	Policy schedule.Policy
	// Jitter is the most by which a start is delayed; the delay is stable, in
	// whole seconds.
	Jitter time.Duration
	// Window is when runs may start; the zero Window is always open.
	Window schedule.Window
	// Overlap, Approval, Spec and Params go into its requests.
	Overlap  runner.Overlap
	Approval bool
	Spec     runner.Spec
	Params   map[string]string
	// FreshWithin is how long it may go without a success; 0 means for ever.
	FreshWithin time.Duration
}

func (w Workflow) key() runner.CalendarKey {
	return runner.CalendarKey{Workflow: w.Name, Host: w.Host}
}

// idle tells that the ticker has nothing to do for w.
func (w Workflow) idle() bool { return w.Schedule.IsZero() && w.FreshWithin <= 0 }

// RuleOf returns words that change when the slots of s do: what cursors call
// the schedule.
func RuleOf(s schedule.Schedule) string {
	if s.IsZero() {
		return noRule
	}
	text := s.String()
	if dst := s.Rule().DST; dst != schedule.DSTOnce {
		text += " dst " + string(dst)
	}
	return text
}

// Chore is something that is to be done again and again beside the sweep, such
// as retention.
type Chore struct {
	// Name is for the log.
	Name string
	// Every is how often, First how long after the start of the ticker the
	// first turn is; a First of 0 means at once.
	Every, First time.Duration
	// Do does it in a goroutine of its own. A turn that is due while the last
	// one is still under way is left out. ctx ends with the ticker, which waits
	// for Do to return. Errors and panics are logged.
	Do func(ctx context.Context) error
}

func checkWorkflows(list []Workflow, node string) error {
	known := make(map[string]bool, len(list))
	for _, w := range list {
		switch {
		case w.Name == "":
			return fmt.Errorf("a workflow has no name")
		case known[w.Name]:
			return fmt.Errorf("workflow %s is there twice", w.Name)
		case w.Host != "" && w.Host != node:
			return fmt.Errorf("workflow %s is for the host %s, this is %s", w.Name, w.Host, node)
		case !w.Target.Valid():
			return fmt.Errorf("workflow %s: %q names no nodes", w.Name, w.Target)
		case w.StartWithin < 0:
			return fmt.Errorf("workflow %s: to start within %s is impossible", w.Name, w.StartWithin)
		case w.Jitter < 0:
			return fmt.Errorf("workflow %s: its jitter %s is negative", w.Name, w.Jitter)
		case w.FreshWithin < 0:
			return fmt.Errorf("workflow %s: fresh within %s is negative", w.Name, w.FreshWithin)
		}
		known[w.Name] = true
	}
	return nil
}
