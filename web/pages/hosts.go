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

// A workflow that every node runs has a run of each of them under one slot. Where
// a slot is shown as one, it is as good as the worst of them.

// hostsView is one slot on all of its nodes.
type hostsView struct {
	State  badge
	Total  int
	Counts string // such as "1 failed and 2 succeeded"
	Rows   []hostRow
	Rest   string // how those are that are not among the rows
	Slot   time.Time
}

// hostRow is the run of one node.
type hostRow struct {
	Host, Href, Text, Took string
	State                  badge
	At                     *time.Time
	Current                bool
}

const (
	// mostHosts is how many nodes of one slot are listed, mostHostRuns of how many
	// the states are counted.
	mostHosts    = 60
	mostHostRuns = 1000
)

// hosts is the slot of a run on all nodes, nil for a run of no node's own, or
// of one that is alone.
func (v *visit) hosts(r api.RunRecord) (*hostsView, error) {
	if r.Host == "" {
		return nil, nil
	}
	list, err := v.api.RunPage(v.ctx, runner.Filter{Workflow: r.Workflow, Slot: r.Slot.Truncate(time.Second), Limit: mostHostRuns}, false)
	if err != nil {
		return nil, err
	}
	runs := slices.DeleteFunc(list.Runs, func(other api.RunRecord) bool { return other.Host == "" || !other.Slot.Equal(r.Slot) })
	if len(runs) < 2 {
		return nil, nil
	}
	view := hostsOf(runs, r.ID, v.now)
	return &view, nil
}

// hostsOf shows the runs of one slot, those that want a look first, the others by
// the names of their nodes.
func hostsOf(runs []api.RunRecord, current runner.RunID, now time.Time) hostsView {
	view := hostsView{Total: len(runs), State: slotBadge(runs), Counts: countStates(runs), Slot: runs[0].Slot}
	runs = slices.SortedStableFunc(slices.Values(runs), func(a, b api.RunRecord) int {
		return cmp.Or(cmp.Compare(runUrgency(a), runUrgency(b)), cmp.Compare(a.Host, b.Host))
	})
	if len(runs) > mostHosts {
		view.Rest = count(len(runs)-mostHosts, "more node") + ": " + countStates(runs[mostHosts:])
		runs = runs[:mostHosts]
	}
	for _, r := range runs {
		row := hostRow{Host: r.Host, Href: runPath(r.ID), State: runBadge(r.State, r.Interrupted, needsApproval(r.Run)), At: r.StartedAt, Current: r.ID == current}
		switch {
		case r.FinishedAt != nil && r.StartedAt != nil:
			row.Took = tookSeconds(r.DurationSeconds)
		case r.StartedAt != nil:
			row.Took = tookSeconds(now.Sub(*r.StartedAt).Seconds())
		}
		if row.Text = cut(safe(r.Message), longestMessage); row.Text == "" && !r.State.Done() {
			row.Text = because(r.Reason)
		}
		view.Rows = append(view.Rows, row)
	}
	return view
}

func runUrgency(r api.RunRecord) int {
	return urgency(runBadge(r.State, r.Interrupted, needsApproval(r.Run)).Tone)
}

// slotBadge shows a slot on all of its nodes: the worst of them; and where all is
// well but for nodes that left it out, how many those are.
func slotBadge(runs []api.RunRecord) badge {
	worst, left := runs[0], 0
	for _, r := range runs {
		if r.State == runner.Skipped {
			left++
		} else if worst.State == runner.Skipped || runUrgency(r) < runUrgency(worst) {
			worst = r
		}
	}
	b := runBadge(worst.State, worst.Interrupted, needsApproval(worst.Run))
	if left > 0 && left < len(runs) && b.Tone == toneGood {
		return badge{Tone: toneWarn, Glyph: "!", Word: fmt.Sprintf("%d of %d left out", left, len(runs))}
	}
	return b
}

// countStates counts runs by their states, the worst first.
func countStates(runs []api.RunRecord) string {
	counts, first := map[string]int{}, map[string]int{}
	var order []string
	for _, r := range runs {
		b := runBadge(r.State, r.Interrupted, needsApproval(r.Run))
		if r.State == runner.Skipped && r.Reason == runner.ReasonMissed {
			b.Word = string(runner.ReasonMissed)
		}
		if counts[b.Word]++; counts[b.Word] == 1 {
			order, first[b.Word] = append(order, b.Word), urgency(b.Tone)
		}
	}
	slices.SortFunc(order, func(a, b string) int { return cmp.Or(cmp.Compare(first[a], first[b]), strings.Compare(a, b)) })
	for i, word := range order {
		order[i] = fmt.Sprintf("%d %s", counts[word], word)
	}
	return words(order)
}

// slotRows are runs, which come newest first, as rows of a list: those of one
// slot on several nodes are one row.
func (v *visit) slotRows(list []api.RunRecord, most int) []runRow {
	var rows []runRow
	bySlot, at := map[time.Time][]api.RunRecord{}, map[time.Time]int{}
	for _, r := range list {
		if r.Host == "" {
			rows = append(rows, v.runRow(r))
			continue
		}
		slot := r.Slot.UTC()
		if bySlot[slot] = append(bySlot[slot], r); len(bySlot[slot]) == 1 {
			at[slot] = len(rows)
			rows = append(rows, runRow{})
		}
	}
	for slot, runs := range bySlot {
		rows[at[slot]] = v.slotRow(runs)
	}
	return rows[:min(most, len(rows))]
}

// slotRow is one slot on all of its nodes.
func (v *visit) slotRow(runs []api.RunRecord) runRow {
	hosts := hostsOf(runs, "", v.now)
	worst := slices.MinFunc(runs, func(a, b api.RunRecord) int {
		return cmp.Or(cmp.Compare(runUrgency(a), runUrgency(b)), cmp.Compare(a.Host, b.Host))
	})
	row := v.runRow(worst)
	if len(runs) < 2 {
		return row
	}
	row.Host, row.Message, row.Why, row.State, row.Hosts = "", "", "", hosts.State, &hosts
	longest := 0.0
	for _, r := range runs {
		if r.StartedAt != nil && r.StartedAt.Before(row.At) {
			row.At = *r.StartedAt
		}
		longest = max(longest, r.DurationSeconds)
	}
	if longest > 0 && !slices.ContainsFunc(runs, func(r api.RunRecord) bool { return !r.State.Final() }) {
		row.Took = tookSeconds(longest)
	}
	return row
}

// foldRecent makes one mark of the runs of one slot on several nodes: the worst
// of them, as long as the longest. Runs come newest first and stay so.
func foldRecent(list []api.RecentRun) []api.RecentRun {
	var out []api.RecentRun
	at := map[time.Time]int{}
	for _, r := range list {
		i, known := at[r.Slot.UTC()]
		if !known {
			at[r.Slot.UTC()] = len(out)
			out = append(out, r)
			continue
		}
		longest := max(out[i].DurationSeconds, r.DurationSeconds)
		if worseState(r.State, out[i].State) {
			out[i] = r
		}
		out[i].DurationSeconds = longest
	}
	return out
}

// withSlot sets the newest run of a workflow that every node runs to the worst one
// of its newest slot.
func withSlot(w api.Workflow) api.Workflow {
	if w.Last == nil || len(w.Recent) < 2 || w.Recent[0].ID != w.Last.ID {
		return w
	}
	worst := w.Recent[0]
	for _, r := range w.Recent[1:] {
		if r.Slot.Equal(worst.Slot) && worseState(r.State, worst.State) {
			worst = r
		}
	}
	if worst.ID != w.Last.ID {
		last := api.Last{ID: worst.ID, State: worst.State, Reason: worst.Reason, QueuedAt: worst.Slot, StartedAt: worst.StartedAt, DurationSeconds: worst.DurationSeconds}
		if worst.StartedAt != nil && worst.State.Final() {
			last.FinishedAt = new(worst.StartedAt.Add(time.Duration(worst.DurationSeconds * float64(time.Second))))
		}
		w.Last = &last
	}
	return w
}

// worseState tells whether a state of one node outdoes that of another for their
// slot. A node that left it out says nothing about it.
func worseState(a, b runner.State) bool {
	switch {
	case a == runner.Skipped:
		return false
	case b == runner.Skipped:
		return true
	}
	return urgency(badgeOf(a).Tone) < urgency(badgeOf(b).Tone)
}

// foldSlots makes one slot of those of several nodes.
func foldSlots(list []api.CalendarSlot) []api.CalendarSlot {
	var out []api.CalendarSlot
	at := map[time.Time]int{}
	for _, s := range list {
		i, known := at[s.Slot.UTC()]
		switch {
		case !known || s.State == "":
			at[s.Slot.UTC()] = len(out)
			out = append(out, s)
		case worseState(s.State, out[i].State):
			out[i] = s
		}
	}
	return out
}

// withHosts sets the newest run of workflows that every node runs to the worst
// newest one of a node, so that one node's success hides no other's failure.
// Runs come newest first.
func withHosts(list []api.Workflow, runs []api.RunRecord) []api.Workflow {
	type place struct{ workflow, host string }
	seen := map[place]bool{}
	worst := map[string]api.RunRecord{}
	for _, r := range runs {
		at := place{r.Workflow, r.Host}
		if r.Host == "" || seen[at] || r.State == runner.Skipped {
			continue
		}
		seen[at] = true
		if other, known := worst[r.Workflow]; !known || runUrgency(r) < runUrgency(other) {
			worst[r.Workflow] = r
		}
	}
	if len(worst) == 0 {
		return list
	}
	list = slices.Clone(list)
	for i, w := range list {
		r, known := worst[w.Name]
		if !known || w.Last == nil || w.Last.ID == r.ID || runUrgency(r) >= urgency(runBadge(w.Last.State, w.Last.Interrupted, false).Tone) {
			continue
		}
		list[i].Last = &api.Last{
			ID: r.ID, State: r.State, Reason: r.Reason, QueuedAt: r.QueuedAt, StartedAt: r.StartedAt, FinishedAt: r.FinishedAt, DurationSeconds: r.DurationSeconds, Interrupted: r.Interrupted,
		}
	}
	return list
}
