package reports

import (
	"context"
	"fmt"
	"time"
)

// accuracy is the share of predictions that were right, as a job found it last.
func (m *measurement) accuracy(ctx context.Context) (Figure, error) {
	aim := m.plan.Accuracy
	f := m.figure(Accuracy, "prediction accuracy", Aim{Above: true, Target: aim.Target, Unit: Share})
	f.Of = "labeled predictions"
	if aim.Job != (JobName{}) {
		answers, err := m.from.answers(ctx, aim.Job, m.window)
		if err != nil {
			return f, err
		}
		f.Source = fmt.Sprintf("job %s, value %s", aim.Job, aim.Value)
		if values := valuesOf(answers, aim.Value); len(values) > 0 {
			m.judgeAccuracy(&f, values)
			return f, nil
		}
		f.without("no result of the job has this value in the window", "see `upkeep history --workflow "+aim.Job.Workflow+"`")
		return f, nil
	}
	list, err := m.from.series(ctx, aim.Value, m.window.from, m.window.until)
	if err != nil {
		return f, err
	}
	if len(list) == 0 {
		f.Source = "none"
		f.without("no job finds it out", "name the job that judges the model: kpis: {accuracy: {job: daily.model-performance}}")
		return f, nil
	}
	f.Source, f.Of = "series "+aim.Value, "samples"
	f.Rows, f.N = rowsOfMinutes(aim.Value, list), samples(list)
	last := list[len(list)-1]
	f.set(last.Mean())
	f.trend(m.window, func(w window) (float64, bool) {
		n, total := int64(0), 0.0
		for _, s := range list {
			if w.holds(s.At) {
				n, total = n+s.Count, total+s.Sum
			}
		}
		return total / float64(max(n, 1)), n > 0
	})
	f.stale(m.now, last.At.Add(last.Length), aim.StaleAfter)
	return f, nil
}

// judgeAccuracy judges the latest result.
func (m *measurement) judgeAccuracy(f *Figure, values []measured) {
	aim := m.plan.Accuracy
	last := values[len(values)-1]
	f.Rows = rowsOfValues(aim.Job, Share, values)
	f.trendOfValues(m.window, values)
	f.set(last.value)
	result := last.from.attempt.Result
	for _, name := range []string{"model", "version", "labels_through"} {
		if text := result.Outputs[name]; text != "" {
			f.detail(name, text)
		}
	}
	count, counted := result.Values[aim.Count]
	if !counted {
		count, counted = result.Values["samples"]
	}
	if counted {
		f.N = int64(count)
		f.Low, f.High = wilson(last.value*count, count)
		f.detail("95 % interval", fmt.Sprintf("%s to %s", Share.Format(f.Low), Share.Format(f.High)))
	}
	switch {
	case counted && count < leastSamples:
		f.short(fmt.Sprintf("it rests on %s; %d are the least", plural(f.N, "prediction"), leastSamples), "")
	case aim.Cautious && !counted:
		f.short("the result does not say on how many predictions it rests", "let the job give the value "+aim.Count)
	case aim.Cautious:
		f.Verdict = f.Aim.verdict(f.Low)
		f.Why = fmt.Sprintf("judged by the lower end of the 95 %% interval, %s", Share.Format(f.Low))
	}
	f.stale(m.now, last.at, aim.StaleAfter)
}

// clockChange is by how much a day is longer on which the clock is set back: a
// job of every day keeps to a target of 24 hours on that day too.
const clockChange = time.Hour

// drift is the longest time in which nobody looked for drift.
func (m *measurement) drift(ctx context.Context) (Figure, error) {
	aim := m.plan.Drift
	f := m.figure(DriftDetection, "data drift detection", Aim{Target: aim.Target.Seconds(), Unit: Seconds})
	f.Of = "evaluations"
	if aim.Job == (JobName{}) {
		f.Source = "none"
		f.without("no job looks for drift", "name it: kpis: {drift_detection: {job: daily.model-drift}}")
		return f, nil
	}
	f.Source = "job " + aim.Job.String()
	answers, err := m.from.answers(ctx, aim.Job, m.window.back(m.window.length()))
	if err != nil {
		return f, err
	}
	var inside int64
	previous := time.Time{} // of what came before the window
	var slots []time.Time
	for _, a := range answers {
		if a.slot.Before(m.window.from) {
			previous = a.slot
			continue
		}
		inside++
		slots = append(slots, a.slot)
		f.Rows = append(f.Rows, Row{At: a.slot, Until: a.attempt.FinishedAt, What: aim.Job.String(), ID: string(a.run.ID), Text: a.attempt.Result.Summary})
	}
	if !previous.IsZero() {
		slots = append([]time.Time{previous}, slots...)
	}
	f.N = inside
	if len(slots) == 0 {
		f.short("the job never did its work in the window", "see `upkeep history --workflow "+aim.Job.Workflow+"`")
		return f, nil
	}
	longest := longestGap(slots, m.now)
	f.set(longest.Seconds())
	if longest <= aim.Target+clockChange {
		f.Verdict = Met
	}
	f.trend(m.window, func(w window) (float64, bool) {
		gap, ok := gapIn(slots, w)
		return gap.Seconds(), ok
	})
	f.slowestFinding(answers, m.window)
	switch {
	case len(slots) == 1 && f.Verdict == Met:
		f.short("one evaluation has no gap before it", "")
	case f.Verdict == Missed:
		f.Why = fmt.Sprintf("nobody looked for %s", duration(longest.Seconds()))
		f.Next = "let the job run every day, and see why it did not: `upkeep why " + aim.Job.Workflow + "`"
	}
	return f, nil
}

// longestGap is the longest time between two instants, and since the last.
func longestGap(list []time.Time, now time.Time) time.Duration {
	longest := now.Sub(list[len(list)-1])
	for i := 1; i < len(list); i++ {
		longest = max(longest, list[i].Sub(list[i-1]))
	}
	return longest
}

// gapIn is the longest gap that ends in a window.
func gapIn(list []time.Time, w window) (longest time.Duration, ok bool) {
	for i := 1; i < len(list); i++ {
		if w.holds(list[i]) {
			longest, ok = max(longest, list[i].Sub(list[i-1])), true
		}
	}
	return longest, ok
}

// slowestFinding tells how long a drift was there before it was first found,
// when the script knows since when.
func (f *Figure) slowestFinding(answers []answer, w window) {
	seen := map[string]bool{}
	slowest := 0.0
	for _, a := range answers {
		since := a.attempt.Result.Outputs["drift_since"]
		age, known := a.attempt.Result.Values["drift_age_seconds"]
		if since == "" || !known || seen[since] {
			continue
		}
		seen[since] = true
		if w.holds(a.slot) {
			slowest = max(slowest, age)
		}
	}
	if slowest == 0 {
		return
	}
	f.detail("found after", Seconds.Format(slowest))
	if slowest > f.Value {
		f.set(slowest)
		f.Why = "a drift was there for so long before it was found"
	}
}

// retraining is in how many weeks somebody looked whether to retrain.
func (m *measurement) retraining(ctx context.Context) (Figure, error) {
	of := m.plan.Retraining.Job
	f := m.figure(Retraining, "retraining evaluation (weeks)", Aim{Above: true, Equal: true, Target: 1, Unit: Share})
	f.Of = "weeks"
	if of == (JobName{}) {
		f.Source = "none"
		f.without("no job evaluates whether to retrain", "name it: kpis: {retraining: {job: weekly.retraining}}")
		return f, nil
	}
	f.Source = "job " + of.String()
	answers, err := m.from.answers(ctx, of, m.window.back(7*24*time.Hour))
	if err != nil {
		return f, err
	}
	runs, err := m.from.runs(ctx, of.Workflow, m.window)
	if err != nil {
		return f, err
	}
	begin := m.window.from
	if len(answers) == 0 || answers[0].slot.After(begin) {
		// It did not exist before: weeks of that time are nobody's fault.
		if len(runs) > 0 && runs[0].QueuedAt.After(begin) {
			begin = runs[0].QueuedAt
		}
	}
	done := map[time.Time]bool{}
	for _, a := range answers {
		done[weekOf(a.attempt.FinishedAt, m.plan.Zone)] = true
		if m.window.holds(a.attempt.FinishedAt) {
			f.Rows = append(f.Rows, Row{At: a.attempt.FinishedAt, What: of.String(), ID: string(a.run.ID), Text: weekName(a.attempt.FinishedAt, m.plan.Zone) + ": " + a.attempt.Result.Summary})
		}
	}
	weeks, evaluated := m.weeksSince(begin, done)
	f.N = int64(weeks)
	if weeks == 0 {
		f.short("no whole week is on record", "")
		return f, nil
	}
	f.set(float64(evaluated) / float64(weeks))
	f.Text = fmt.Sprintf("%d of %s", evaluated, plural(weeks, "week"))
	f.trend(m.window, func(w window) (float64, bool) {
		for _, a := range answers {
			if w.holds(a.attempt.FinishedAt) {
				return 1, true
			}
		}
		return 0, false
	})
	if f.Verdict == Missed {
		f.Why = fmt.Sprintf("%s without an evaluation", plural(weeks-evaluated, "week"))
		f.Next = "let the job run every week, and see why it did not: `upkeep why " + of.Workflow + "`"
	}
	return f, nil
}

// weeksSince counts the weeks since an instant, and those of them in which
// something was done; done has their Mondays. A week that is not over, or not all
// behind the instant, counts once something was.
func (m *measurement) weeksSince(begin time.Time, done map[time.Time]bool) (weeks, with int) {
	for monday := weekOf(begin, m.plan.Zone); monday.Before(m.now); monday = monday.AddDate(0, 0, 7) {
		whole := !monday.Before(begin) && !monday.AddDate(0, 0, 7).After(m.now)
		if done[monday] {
			with++
		}
		if whole || done[monday] {
			weeks++
		}
	}
	return weeks, with
}

// weekOf is the Monday on which the ISO week of an instant begins.
func weekOf(t time.Time, zone *time.Location) time.Time {
	t = t.In(zone)
	back := (int(t.Weekday()) + 6) % 7
	return time.Date(t.Year(), t.Month(), t.Day()-back, 0, 0, 0, 0, zone)
}

func weekName(t time.Time, zone *time.Location) string {
	year, week := t.In(zone).ISOWeek()
	return fmt.Sprintf("%d-W%02d", year, week)
}
