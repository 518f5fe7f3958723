package forecast

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

const (
	// longWait is how long a run may wait for a free place before that is a
	// warning: runs that share the night wait a moment for each other.
	longWait = 5 * time.Minute
	// aYear is how far months are searched for a missing day, and how near the
	// next slot of a schedule without one in the time looked at should be.
	aYear = 366 * 24 * time.Hour
	// nearTimeout is the share of a timeout, in percent, that runs may usually
	// take.
	nearTimeout = 90
)

// conclude orders the findings and cuts each kind to MaxOfKind.
func (out *Forecast) conclude(all []Finding) {
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(
			b.Severity.Rank()-a.Severity.Rank(), a.At.Compare(b.At),
			strings.Compare(string(a.Kind), string(b.Kind)), slices.Compare(a.Workflows, b.Workflows), strings.Compare(a.Text, b.Text),
		)
	})
	listed := map[Kind]int{}
	for _, f := range all {
		if f.Severity.Rank() > out.Worst.Rank() {
			out.Worst = f.Severity
		}
		if listed[f.Kind] < MaxOfKind {
			listed[f.Kind]++
			out.Findings = append(out.Findings, f)
			continue
		}
		if out.Unlisted == nil {
			out.Unlisted = map[Kind]int{}
		}
		out.Unlisted[f.Kind]++
	}
}

// findings makes all findings, in any order.
func (s *simulation) findings() []Finding {
	var all []Finding
	for _, f := range s.flows {
		if f.isNever() {
			continue
		}
		all = append(all, f.aboutWindow()...)
		all = append(all, f.aboutOverlap()...)
		all = append(all, s.aboutPause(f)...)
		all = append(all, f.aboutTimeout()...)
		all = append(all, s.aboutEmpty(f)...)
		all = append(all, s.aboutHazards(f)...)
	}
	all = append(all, s.aboutBusy()...)
	all = append(all, s.locks.findings(KindLock)...)
	all = append(all, s.bases.findings(KindDatabase)...)
	all = append(all, s.aboutTogether()...)
	return append(all, s.aboutUnknown()...)
}

func (f *flow) finding(severity jobs.Severity, kind Kind, at time.Time, count int64) Finding {
	return Finding{Severity: severity, Kind: kind, Workflows: []string{f.Name}, At: at.UTC(), Count: count}
}

func (f *flow) aboutWindow() []Finding {
	n := f.tally.outside + f.tally.short
	if n == 0 {
		return nil
	}
	at := f.tally.outsideAt
	if at.IsZero() || !f.tally.shortAt.IsZero() && f.tally.shortAt.Before(at) {
		at = f.tally.shortAt
	}
	out := f.finding(jobs.Warning, KindWindow, at, n)
	var why []string
	if f.tally.outside > 0 {
		why = append(why, plural(f.tally.outside, "slot")+" outside it")
	}
	if f.tally.short > 0 {
		why = append(why, fmt.Sprintf("%s too close to its end, as a run takes up to %s", plural(f.tally.short, "slot"), span(f.long())))
	}
	out.Text = fmt.Sprintf("%s will be skipped %s by its window %s: %s; first on %s",
		f.Name, times(n), f.Window, strings.Join(why, ", "), f.local(at))
	if !f.often && n == f.count {
		out.Severity = jobs.Critical
		out.Text = fmt.Sprintf("%s will not run at all: its window %s leaves out every slot (%s); first on %s",
			f.Name, f.Window, strings.Join(why, ", "), f.local(at))
	}
	out.Hint = "move the schedule into the window, or widen the window"
	return []Finding{out}
}

func (f *flow) aboutOverlap() []Finding {
	n, at := f.tally.met, f.tally.metAt
	if n == 0 {
		if f.tally.sometimes == 0 {
			return nil
		}
		out := f.finding(jobs.Info, KindOverlap, f.tally.sometimesAt, f.tally.sometimes)
		out.Text = fmt.Sprintf("%s usually takes %s, but one run in twenty %s or more: then it still runs at its next slot (overlap: %s)",
			f.Name, span(f.usual.Median), span(f.long()), f.Overlap)
		return []Finding{out}
	}
	out := f.finding(jobs.Warning, KindOverlap, at, n)
	out.Text = fmt.Sprintf("%s usually takes %s and is due again before that: ", f.Name, span(f.usual.Median))
	out.Hint = "run it less often, or make it quicker"
	switch f.Overlap {
	case runner.OverlapQueue:
		out.Text += fmt.Sprintf("%s will wait, up to %s (overlap: queue); first on %s", plural(n, "slot"), span(f.tally.wait), f.local(at))
	case runner.OverlapAllow:
		out.Severity, out.Hint = jobs.Info, ""
		out.Text += fmt.Sprintf("it will run beside itself %s (overlap: allow); first on %s", times(n), f.local(at))
	case runner.OverlapSkip:
		out.Text += fmt.Sprintf("%s will be skipped (overlap: skip); first on %s", plural(n, "slot"), f.local(at))
	}
	return []Finding{out}
}

func (s *simulation) aboutPause(f *flow) []Finding {
	if f.pause == nil {
		return nil
	}
	through := s.in.Until
	if !f.pause.Until.IsZero() && f.pause.Until.Before(through) {
		through = f.pause.Until
	}
	n := f.Schedule.Count(s.in.Now, through.Add(-f.Delay))
	if n == 0 {
		return nil
	}
	at, _ := f.Schedule.Next(s.in.Now)
	out := f.finding(jobs.Info, KindPause, at, n)
	out.Text = fmt.Sprintf("%s is paused by %s since %s (%s): %s will be skipped", f.Name, f.pause.By, f.local(f.pause.Since), f.pause.Why, plural(n, "slot"))
	out.Hint = "upkeep unpause " + f.Name
	switch {
	case f.pause.Until.IsZero():
		out.Severity = jobs.Warning
		out.Text += ", and the pause has no end"
	case n == f.count:
		out.Severity = jobs.Warning
		out.Text += ", which are all until " + f.local(s.in.Until)
	default:
		out.Text += "; the pause ends on " + f.local(f.pause.Until)
	}
	return []Finding{out}
}

func (f *flow) aboutTimeout() []Finding {
	if f.Timeout <= 0 || f.usual.Runs == 0 || f.long()*100 < f.Timeout*nearTimeout {
		return nil
	}
	out := f.finding(jobs.Warning, KindTimeout, time.Time{}, 1)
	out.Text = fmt.Sprintf("%s has taken up to %s, and its timeout is %s", f.Name, span(f.long()), span(f.Timeout))
	out.Hint = "raise the timeout, or make the workflow quicker"
	return []Finding{out}
}

func (s *simulation) aboutEmpty(f *flow) []Finding {
	if f.count > 0 {
		return nil
	}
	out := f.finding(jobs.Info, KindEmpty, time.Time{}, 1)
	next, ok := f.Schedule.Next(s.in.Until)
	switch {
	case !ok:
		out.Severity = jobs.Warning
		out.Text = f.Name + " has no slot any more"
	case next.Sub(s.in.Now) > aYear:
		out.Severity = jobs.Warning
		out.Text = fmt.Sprintf("%s has no slot for more than a year: the next one is on %s", f.Name, f.local(next))
	default:
		out.Text = fmt.Sprintf("%s has no slot before %s: the next one is on %s", f.Name, f.local(s.in.Until), f.local(next))
	}
	return []Finding{out}
}

// aboutHazards tells of clock changes in the time looked at, and of months
// without a day within a year.
func (s *simulation) aboutHazards(f *flow) []Finding {
	year := s.in.Now.Add(aYear)
	if s.in.Until.After(year) {
		year = s.in.Until
	}
	var all []Finding
	var months []string
	var first time.Time
	for _, h := range f.Schedule.Hazards(s.in.Now, year) {
		if h.Kind == schedule.HazardNoDay {
			if len(months) == 0 {
				first = h.At
			}
			months = append(months, f.zoned(h.At).Format("January 2006"))
			continue
		}
		if h.At.After(s.in.Until) {
			continue
		}
		out := f.finding(jobs.Info, KindClock, h.At, 1)
		out.Text = f.Name + ": " + h.Text
		if f.lost(h) {
			out.Severity = jobs.Warning
			out.Hint = "dst: once runs it right after the gap"
		}
		all = append(all, out)
	}
	if len(months) > 0 {
		out := f.finding(jobs.Warning, KindMonth, first, int64(len(months)))
		named := months[:min(len(months), MaxNamed)]
		out.Text = fmt.Sprintf("%s runs %s: there is no such day in %s", f.Name, f.Schedule.Describe(), list(named, len(months)-len(named)))
		out.Hint = "-1 is the last day of every month"
		all = append(all, out)
	}
	return all
}

func (s *simulation) aboutBusy() []Finding {
	b := s.busy
	if b.count == 0 {
		return nil
	}
	out := Finding{Severity: jobs.Info, Kind: KindBusy, At: b.first.UTC(), Count: b.count}
	out.Workflows, out.Others = sorted(b.names)
	out.Text = fmt.Sprintf("more than max_running %d runs would be under way: %s wait, the longest %s (%s on %s)",
		s.in.MaxRunning, plural(b.count, "run"), span(b.longest), b.worst.Name, b.worst.local(b.worstAt))
	if b.longest >= longWait {
		out.Severity = jobs.Warning
		out.Hint = "spread the schedules, or raise max_running"
	}
	return []Finding{out}
}

// findings tells which things are wanted by several at once. A lock makes one
// of them wait; a database serves both, more slowly.
func (s shared) findings(kind Kind) []Finding {
	var all []Finding
	for name, c := range s {
		if c.count == 0 {
			continue
		}
		out := Finding{Severity: jobs.Info, Kind: kind, At: c.first.UTC(), Count: c.count}
		out.Workflows, out.Others = sorted(c.names)
		who := list(out.Workflows, out.Others)
		first := fmt.Sprintf("first %s and %s on %s", c.firstBy[0].Name, c.firstBy[1].Name, c.firstBy[1].local(c.first))
		if kind == KindLock {
			out.Severity = jobs.Warning
			out.Text = fmt.Sprintf("%s want the lock %s at the same time, %s: one waits for the other, up to %s; %s",
				who, name, times(c.count), span(c.longest), first)
			out.Hint = "move one of them by at least " + span(c.longest)
		} else {
			out.Text = fmt.Sprintf("%s use the database %s at the same time, %s, for up to %s; %s",
				who, name, times(c.count), span(c.longest), first)
		}
		all = append(all, out)
	}
	return all
}

func (s *simulation) aboutTogether() []Finding {
	var all []Finding
	for _, g := range s.together.groups {
		out := Finding{
			Severity: jobs.Info, Kind: KindTogether, Workflows: g.names, Others: g.others, At: g.first.UTC(), Count: g.count,
			Hint: "jitter: 10m spreads starts",
		}
		out.Text = fmt.Sprintf("%s start in the same minute %s, first on %s", list(g.names, g.others), times(g.count), localTime(g.first, g.zone))
		all = append(all, out)
	}
	return all
}

// aboutUnknown tells what the forecast does not know.
func (s *simulation) aboutUnknown() []Finding {
	var all []Finding
	names := map[string]bool{}
	for _, f := range s.flows {
		if f.count > 0 && f.usual.Median == 0 {
			names[f.Name] = true
		}
	}
	if len(names) > 0 {
		out := Finding{Severity: jobs.Info, Kind: KindUnknown, Count: int64(len(names))}
		out.Workflows, out.Others = sorted(names)
		verb := "have"
		if len(names) == 1 {
			verb = "has"
		}
		out.Text = fmt.Sprintf("%s %s no finished run on record: how long they take is not known and counts as nothing", list(out.Workflows, out.Others), verb)
		all = append(all, out)
	}
	if !s.cut.IsZero() {
		all = append(all, Finding{
			Severity: jobs.Info, Kind: KindUnknown, At: s.cut.UTC(), Count: 1,
			Text: "from " + localTime(s.cut, time.UTC) + " on, workflows that run often were left out of the simulation: there are too many slots",
			Hint: "look at fewer days",
		})
	}
	return all
}
