package ticker

import (
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// by is who asks for the runs of the calendar.
const by = "schedule"

// soon is how near the next slot must be to tell what a missed one would.
const soon = 15 * time.Minute

// moment is what the slots of one round have in common.
type moment struct {
	now time.Time
	// usual is how long the workflows with a window usually take.
	usual map[string]runner.Usual
	// trouble is what kept slots from being decided, and since when.
	trouble trouble
}

// trouble says why the ticker could not decide in time although it ran.
type trouble struct {
	since time.Time // zero for none
	why   string
}

// settled is what a round decided about one calendar.
type settled struct {
	calendar *calendar
	decided  runner.Decided
	// start is the earliest start among the slots on time; zero for none.
	start time.Time
	// missed is how many slots are recorded as missed.
	missed int64
}

// settle turns what a calendar owes into what the ledger is to record.
func (m moment) settle(c *calendar) settled {
	debts, through := c.owed(m.now)
	s := settled{calendar: c, decided: runner.Decided{Cursor: c.cursor(through)}}
	late := 0
	for _, d := range debts {
		if d.account.Folded.Count > 0 {
			s.missed += d.account.Folded.Count
			s.decided.Requests = append(s.decided.Requests, folded(d.rule, d.account.Folded))
		}
		for _, decision := range d.account.Decisions {
			request := m.request(d.rule, decision)
			switch {
			case request.Reason == runner.ReasonMissed:
				s.missed++
			case request.State == "" && request.Trigger == runner.ByCatchUp:
				late++
			case request.State == "" && s.start.IsZero():
				s.start = decision.Slot.Add(d.rule.delay)
			}
			s.decided.Requests = append(s.decided.Requests, request)
		}
	}
	if late > 0 {
		lineUp(s.decided.Requests)
	}
	m.tell(c, s.decided.Requests)
	return s
}

// request turns the decision about one slot into a request.
func (m moment) request(r *rule, d schedule.Decision) runner.Request {
	request := runner.Request{
		Spec: r.Spec, Slot: d.Slot, Host: r.Host, Trigger: runner.BySchedule, Params: r.Params, By: by,
		Overlap: r.Overlap, Approval: r.Approval, Target: r.Target,
	}
	if d.Verdict == schedule.VerdictCatchUp && !r.removed {
		request.Trigger = runner.ByCatchUp
	}
	switch {
	case r.removed:
		skip(&request, runner.ReasonMissed, "it had not started when it was taken out of the schedule")
	case d.Verdict == schedule.VerdictMissed:
		skip(&request, runner.ReasonMissed, d.Why()+m.trouble.about(d.Slot))
	default:
		if why := m.refusal(r); why != "" {
			skip(&request, runner.ReasonWindow, why)
		} else {
			request.Alert, request.StartBy = true, m.startBy(r, d)
		}
	}
	return request
}

// startBy is by when a run that is due must have begun. One that is started
// late still has a minute to find its node.
func (m moment) startBy(r *rule, d schedule.Decision) time.Time {
	if r.StartWithin <= 0 {
		return time.Time{}
	}
	by := d.Slot.Add(r.delay + r.StartWithin)
	if least := m.now.Truncate(time.Second).Add(schedule.DefaultStartDeadline); least.After(by) {
		return least
	}
	return by
}

// folded is the one row of slots that are too many to name.
func folded(r *rule, f schedule.Folded) runner.Request {
	request := runner.Request{
		Spec: r.Spec, Slot: f.First, Host: r.Host, Trigger: runner.BySchedule, Params: r.Params, By: by,
		Overlap: r.Overlap, Approval: r.Approval, Target: r.Target, Slots: f.Count, LastSlot: f.Last,
	}
	skip(&request, runner.ReasonMissed, schedule.Decision{Verdict: schedule.VerdictMissed, Cause: schedule.CauseOverBound}.Why())
	return request
}

func skip(r *runner.Request, reason runner.Reason, why string) {
	r.State, r.Reason, r.Message = runner.Skipped, reason, why
}

// about explains a missed slot that came due while the ticker was kept from
// its work.
func (t trouble) about(slot time.Time) string {
	if t.since.IsZero() || slot.Before(t.since.Truncate(time.Second)) {
		return ""
	}
	return fmt.Sprintf("; upkeep was up, but could start nothing since %s: %s", t.since.Format(stamp), t.why)
}

// stamp is how instants are written for people.
const stamp = "2006-01-02 15:04 MST"

// refusal says why no run of r may start now; empty when one may.
func (m moment) refusal(r *rule) string {
	w, zone := r.Window, r.Schedule.Zone()
	if !w.Open(m.now) {
		opens, ok := w.Opens(m.now)
		if !ok {
			return fmt.Sprintf("the window %s is closed and does not open within 400 days", w)
		}
		return fmt.Sprintf("the window %s is closed; it opens at %s", w, opens.In(zone).Format(stamp))
	}
	usual := m.usual[r.Name].P95
	if w.Fits(m.now, usual) {
		return ""
	}
	closes, _ := w.Closes(m.now)
	return fmt.Sprintf("it usually takes up to %s, and the window %s closes at %s",
		unit.Duration(usual.Round(time.Second)), w, closes.In(zone).Format(stamp))
}

// lineUp lets runs of one calendar that begin together wait for each other
// where they would skip each other.
func lineUp(requests []runner.Request) {
	var runs []*runner.Request
	for i := range requests {
		if requests[i].State == "" {
			runs = append(runs, &requests[i])
		}
	}
	if len(runs) < 2 {
		return
	}
	for _, r := range runs {
		if r.Overlap == runner.OverlapSkip {
			r.Overlap = runner.OverlapQueue
		}
	}
}

// tell lets the newest slot alert when it is missed and nothing else will tell
// soon that the workflow does not run.
func (m moment) tell(c *calendar, requests []runner.Request) {
	if len(requests) == 0 || c.Schedule.IsZero() {
		return
	}
	for i := range requests {
		if requests[i].State == "" {
			return
		}
	}
	newest := &requests[len(requests)-1]
	if newest.Reason != runner.ReasonMissed {
		return
	}
	next, ok := c.Schedule.Next(m.now)
	newest.Alert = !ok || next.Sub(m.now) > soon
}
