package web

import (
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// everyNode is how Workflow.RunsOn begins when each node has a share of its own.
const everyNode = "every"

// namesOf are the names of workflows.
func namesOf(list []Workflow) []string {
	names := make([]string, len(list))
	for i, w := range list {
		names[i] = w.Name
	}
	return names
}

// Shared are the names of the workflows whose freshness follows from the shares
// of the nodes.
func Shared(list []Workflow) []string {
	var names []string
	for _, w := range list {
		if w.FreshWithin > 0 && strings.HasPrefix(w.RunsOn, everyNode) {
			names = append(names, w.Name)
		}
	}
	return names
}

// Fresh tells whether a workflow did its work recently enough; nil when that is
// not asked for or cannot be told. Until it is as old as that itself, its
// beginning, which is since, counts as a success. A workflow that every node runs
// is fresh when the share of each of them is: what one does is no excuse for
// another.
func Fresh(w Workflow, success, since time.Time, shares []runner.Share, now time.Time) *bool {
	last := success
	if since.After(last) {
		last = since
	}
	if label, every := strings.CutPrefix(w.RunsOn, everyNode); every {
		label, last = strings.TrimSpace(label), time.Time{}
		for _, s := range shares {
			if s.Workflow != w.Name || label != "" && !slices.Contains(s.Labels, label) {
				continue
			}
			if last.IsZero() || s.Fresh().Before(last) {
				last = s.Fresh()
			}
		}
	}
	if w.FreshWithin <= 0 || last.IsZero() {
		return nil
	}
	fresh := now.Sub(last) <= w.FreshWithin
	return &fresh
}
