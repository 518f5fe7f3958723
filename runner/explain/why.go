package explain

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// pageOfRows is how many rows are read at once.
const pageOfRows = 1000

// inquiry is a question with what the ledger says.
type inquiry struct {
	Question
	zone  *time.Location
	pause *runner.Pause
	// cursors are those of the workflow, by host.
	cursors map[string]runner.Cursor
	// node tells that there is a calendar of any name: the service has run.
	node bool
	// bySlot are the rows by slot, in microseconds; folded those that stand for
	// more than one slot.
	bySlot map[int64][]runner.Run
	folded []runner.Run
	told   map[runner.RunID]bool // of folded: those that some answer is about
	asked  []runner.Run
}

// Why explains the slots of a workflow in a stretch of time.
func Why(ctx context.Context, reader Reader, q Question) (Answer, error) {
	if q.Limit <= 0 {
		q.Limit = DefaultLimit
	}
	a := Answer{Workflow: q.Workflow.Name, From: q.From, Until: q.Until, Counts: map[Verdict]int{}}
	if !q.From.Before(q.Until) {
		return a, fmt.Errorf("explain %s: the time asked for is empty: it ends at %s and begins at %s", q.Workflow.Name, q.Until, q.From)
	}
	in := &inquiry{Question: q, zone: q.Workflow.Zone, bySlot: map[int64][]runner.Run{}, told: map[runner.RunID]bool{}, cursors: map[string]runner.Cursor{}}
	if in.zone == nil {
		in.zone = q.Workflow.Schedule.Zone()
	}
	slots := in.scheduled()
	until := q.Until
	if len(slots) > q.Limit {
		slots = slots[:q.Limit]
		until = slots[q.Limit-1].Add(time.Microsecond)
		a.Unlisted = q.Workflow.Schedule.Count(slots[q.Limit-1], q.Until.Add(-1))
	}
	if err := in.read(ctx, reader, until); err != nil {
		return a, fmt.Errorf("explain %s: %w", q.Workflow.Name, err)
	}
	for _, slot := range in.merged(slots) {
		answer := in.answer(slot)
		a.Slots = append(a.Slots, answer)
		a.Counts[answer.Verdict]++
	}
	a.Asked = in.asked
	a.Notes = in.notes(&a)
	return a, nil
}

// scheduled returns the slots of the schedule, one more than the limit at most.
func (in *inquiry) scheduled() []time.Time {
	var slots []time.Time
	for slot := range in.Workflow.Schedule.Slots(in.From.Add(-1), in.Until.Add(-1)) {
		slots = append(slots, slot)
		if len(slots) > in.Limit {
			break
		}
	}
	return slots
}

// read asks the ledger for everything that the answer needs.
func (in *inquiry) read(ctx context.Context, reader Reader, until time.Time) error {
	pauses, err := reader.Pauses(ctx)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(pauses, func(p runner.Pause) bool { return p.Workflow == in.Workflow.Name }); i >= 0 {
		in.pause = &pauses[i]
	}
	hosts := []string{in.Node}
	for _, h := range in.Workflow.Hosts {
		if in.about(h.Name) && h.Name != in.Node {
			hosts = append(hosts, h.Name)
		}
	}
	for _, host := range hosts {
		cursors, err := reader.Cursors(ctx, host)
		if err != nil {
			return err
		}
		in.node = in.node || len(cursors) > 0
		for _, c := range cursors {
			if c.Workflow == in.Workflow.Name {
				in.cursors[c.Host] = c
			}
		}
	}
	return in.rows(ctx, reader, until)
}

// about tells whether the answer is about the share of a host.
func (in *inquiry) about(host string) bool { return in.Only == "" || host == in.Only || host == "" }

// rows reads the runs page by page. A page begins with the last slot of the one
// before, and folded runs reach into several pages, so runs come again.
func (in *inquiry) rows(ctx context.Context, reader Reader, until time.Time) error {
	seen := map[runner.RunID]bool{}
	from, page := in.From, pageOfRows
	for {
		runs, err := reader.Slots(ctx, in.Workflow.Name, from, until, page)
		if err != nil {
			return err
		}
		added := false
		for _, r := range runs {
			if !seen[r.ID] {
				seen[r.ID], added = true, true
				in.sort(r)
			}
		}
		if len(runs) < page {
			return nil
		}
		last := runs[len(runs)-1].Slot
		if !added || !last.After(from) {
			page *= 2 // more rows than a page share a slot
		} else {
			from = last
		}
	}
}

// sort puts a run where the answer looks for it.
func (in *inquiry) sort(r runner.Run) {
	switch {
	case !in.about(r.Host):
	case r.Slots > 1:
		in.folded = append(in.folded, r)
	case r.Trigger == runner.BySchedule || r.Trigger == runner.ByCatchUp || in.takes(r):
		in.bySlot[r.Slot.UnixMicro()] = append(in.bySlot[r.Slot.UnixMicro()], r)
	case len(in.asked) < in.Limit:
		in.asked = append(in.asked, r)
	}
}

// takes tells whether a run that somebody asked for has the very instant of a
// slot, and so the slot's row.
func (in *inquiry) takes(r runner.Run) bool {
	return in.Workflow.Schedule.Count(r.Slot.Add(-time.Second), r.Slot) == 1 && r.Slot.Truncate(time.Second).Equal(r.Slot)
}

// moment is one slot to be answered.
type moment struct {
	at        time.Time
	scheduled bool
}

// merged adds the slots that only the ledger has.
func (in *inquiry) merged(slots []time.Time) []moment {
	known := make(map[int64]bool, len(slots))
	all := make([]moment, 0, len(slots))
	for _, slot := range slots {
		known[slot.UnixMicro()] = true
		all = append(all, moment{slot, true})
	}
	for at := range in.bySlot {
		if !known[at] {
			all = append(all, moment{time.UnixMicro(at).UTC(), false})
		}
	}
	slices.SortFunc(all, func(a, b moment) int { return a.at.Compare(b.at) })
	return all
}

// answer explains one slot.
func (in *inquiry) answer(m moment) SlotAnswer {
	a := SlotAnswer{Slot: m.at, Local: in.local(m.at), Unscheduled: !m.scheduled}
	a.Runs = in.bySlot[m.at.UnixMicro()]
	if stand := in.standsFor(m.at, a.Runs); len(stand) > 0 {
		a.Runs = append(slices.Clone(a.Runs), stand...)
	}
	ofHost := slices.ContainsFunc(a.Runs, func(r runner.Run) bool { return r.Host != "" })
	switch {
	case ofHost || len(in.Workflow.Hosts) > 0:
		in.tellHosts(&a, m.at)
	case len(a.Runs) > 0:
		a.Verdict, a.Sentence, a.Next = in.row(a.Runs[0])
	default:
		a.Verdict, a.Sentence, a.Next = in.absent(m.at, Host{Delay: in.Workflow.Delay})
	}
	if a.Unscheduled {
		a.Sentence += " (the present schedule does not have this slot)"
	}
	return a
}

// standsFor returns the rows that stand for many slots, this one among them, of
// hosts that have no row of their own.
func (in *inquiry) standsFor(at time.Time, own []runner.Run) []runner.Run {
	var found []runner.Run
	for _, r := range in.folded {
		if at.Before(r.Slot) || at.After(r.LastSlot) {
			continue
		}
		if !slices.ContainsFunc(own, func(o runner.Run) bool { return o.Host == r.Host }) {
			found = append(found, r)
			in.told[r.ID] = true
		}
	}
	return found
}

// local writes an instant as the clock of the zone shows it.
func (in *inquiry) local(t time.Time) string {
	return t.In(in.zone).Format("Mon 2006-01-02 15:04:05 MST")
}
