package reports

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// ownIncidents are those of checks that are no consequence of another one: what
// a parent's incident says would count twice.
func (m *measurement) ownIncidents(ctx context.Context) ([]runner.Incident, error) {
	if m.own != nil {
		return *m.own, nil
	}
	all, err := m.from.incidents(ctx, m.window)
	if err != nil {
		return nil, err
	}
	var list []runner.Incident
	for _, i := range all {
		if i.Check != "" && i.Parent == "" && !strings.HasPrefix(i.Suppressed, "parent") {
			list = append(list, i)
		}
	}
	m.own = &list
	return list, nil
}

// detection is how long a fault is there before it becomes an incident. The last
// good answer bounds its beginning from below, so that the time until the
// incident opened, from there, is the most that it took: that decides.
func (m *measurement) detection(ctx context.Context) (Figure, error) {
	f := m.figure(MTTD, "mean time to detection", Aim{Target: m.plan.MTTD.Seconds(), Unit: Seconds})
	f.Source, f.Of = "incidents of checks", "incidents"
	list, err := m.ownIncidents(ctx)
	if err != nil {
		return f, err
	}
	var most, least, delays []float64
	at := []time.Time{}
	for _, i := range list {
		if !m.window.holds(i.OpenedAt) || i.LastGood.IsZero() && i.FirstBad.IsZero() {
			continue
		}
		begin := i.LastGood
		if begin.IsZero() {
			begin = i.FirstBad // it was never well while anybody looked
		}
		high := i.OpenedAt.Sub(begin).Seconds()
		low := high
		if !i.FirstBad.IsZero() {
			low = i.OpenedAt.Sub(i.FirstBad).Seconds()
		}
		most, least, at = append(most, high), append(least, low), append(at, i.OpenedAt)
		delay, told, err := m.delivery(ctx, i)
		if err != nil {
			return f, err
		}
		text := fmt.Sprintf("%s: detected within %s to %s", i.Title, Seconds.Format(low), Seconds.Format(high))
		if i.Said() {
			text = fmt.Sprintf("%s: detected %s after it began, as somebody said", i.Title, Seconds.Format(high))
		}
		if told {
			delays = append(delays, delay.Seconds())
			text += fmt.Sprintf(", told after %s more", Seconds.Format(delay.Seconds()))
		}
		f.Rows = append(f.Rows, Row{At: begin, Until: i.OpenedAt, What: i.Fingerprint, ID: i.ID, Text: text})
	}
	f.worstCase(m.plan)
	f.N = int64(len(most))
	if len(most) == 0 {
		f.short("no incident of a check was opened in the window", "")
		return f, nil
	}
	f.set(mean(most))
	f.Low, f.High = mean(least), mean(most)
	f.detail("from the first bad answer", Seconds.Format(mean(least)))
	f.detail("slowest", Seconds.Format(quantile(most, 1)))
	if len(delays) > 0 {
		f.detail("until told", Seconds.Format(mean(delays)))
	}
	f.trend(m.window, meanOf(at, most))
	if f.Verdict == Missed {
		f.Next = "ask the checks more often, or lower fail_after"
	}
	return f, nil
}

// worstCase adds what the configuration promises.
func (f *Figure) worstCase(p Plan) {
	worst := Check{}
	for _, name := range p.UptimeChecks {
		if c := p.check(name); c.Worst > worst.Worst {
			worst = c
		}
	}
	if worst.Worst > 0 {
		f.detail("worst case", fmt.Sprintf("%s (check %s, by its configuration)", Seconds.Format(worst.Worst.Seconds()), worst.Name))
	}
}

// delivery is how long after its opening the first channel took the notice.
func (m *measurement) delivery(ctx context.Context, i runner.Incident) (delay time.Duration, told bool, err error) {
	list, err := m.from.notices(ctx, i.ID)
	if err != nil {
		return 0, false, err
	}
	for _, n := range list {
		if n.Action != runner.NoticeOpen || n.State != runner.NoticeSent || n.EndedAt.IsZero() {
			continue
		}
		if d := n.EndedAt.Sub(i.OpenedAt); !told || d < delay {
			delay, told = max(0, d), true
		}
	}
	return delay, told, nil
}

// meanOf makes a trend of values at instants.
func meanOf(at []time.Time, values []float64) func(window) (float64, bool) {
	return func(w window) (float64, bool) {
		var inner []float64
		for i, t := range at {
			if w.holds(t) {
				inner = append(inner, values[i])
			}
		}
		return mean(inner), len(inner) > 0
	}
}

// resolution is how long a fault lasts: from the first bad answer to the first
// of the good ones that ended it. What is still open lasts at least as long as
// it has been open.
func (m *measurement) resolution(ctx context.Context) (Figure, error) {
	f := m.figure(MTTR, "mean time to resolution", Aim{Target: m.plan.MTTR.Seconds(), Unit: Seconds})
	f.Source, f.Of = "incidents of checks", "incidents"
	list, err := m.ownIncidents(ctx)
	if err != nil {
		return f, err
	}
	var lengths []float64
	var at []time.Time
	open, oldest := 0, time.Duration(0)
	for _, i := range list {
		begin := i.FirstBad
		if begin.IsZero() {
			begin = i.OpenedAt
		}
		end, text := m.now, i.Title+": still open, at least "
		if i.State == runner.IncidentResolved {
			if end, err = m.recovered(ctx, i); err != nil {
				return f, err
			}
			text = i.Title + ": "
		} else {
			open++
			oldest = max(oldest, m.now.Sub(begin))
		}
		length := max(0, end.Sub(begin))
		lengths, at = append(lengths, length.Seconds()), append(at, i.OpenedAt)
		f.Rows = append(f.Rows, Row{At: begin, Until: end, What: i.Fingerprint, ID: i.ID, Text: text + Seconds.Format(length.Seconds())})
	}
	f.N = int64(len(lengths))
	if len(lengths) == 0 {
		f.short("no incident of a check was open in the window", "")
		return f, nil
	}
	f.set(mean(lengths))
	f.detail("median", Seconds.Format(median(lengths)))
	f.detail("p90", Seconds.Format(quantile(lengths, 0.9)))
	if open > 0 {
		f.High = math.Inf(1) // nobody knows how long
		f.Text = "at least " + f.Text
		f.Why = fmt.Sprintf("%s still open, for %s or more", plural(open, "incident"), Seconds.Format(oldest.Seconds()))
		f.Next = "`upkeep incident list` shows what is open"
	}
	f.trend(m.window, meanOf(at, lengths))
	return f, nil
}

// recovered is when the last bad answer of a resolved incident was followed by a
// good one. Where single answers are no longer on record it is when it was
// resolved.
func (m *measurement) recovered(ctx context.Context, i runner.Incident) (time.Time, error) {
	from := i.FirstBad
	if from.IsZero() {
		from = i.OpenedAt
	}
	list, err := m.from.series(ctx, upSeries(i.Instance()), from, i.ResolvedAt.Add(time.Microsecond))
	if err != nil {
		return time.Time{}, err
	}
	good := i.ResolvedAt
	for _, s := range slices.Backward(list) {
		switch {
		case s.Length > 0:
			return i.ResolvedAt, nil
		case s.Sum == 0:
			return good, nil
		default:
			good = s.At
		}
	}
	return i.ResolvedAt, nil
}
