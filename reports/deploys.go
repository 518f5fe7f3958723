package reports

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// deployKind is the kind of the events that `upkeep event deploy` records. Their
// text reads VERSION RESULT, and behind a colon what else there is to say.
const deployKind = "deploy"

// How deploys end.
const (
	deployOK       = "ok"
	deployFailed   = "failed"
	deployRollback = "rollback"
)

// deploy is one version of one subject that was brought into production.
type deploy struct {
	subject, version string
	// at is when it was first heard of; result the last that was heard.
	at     time.Time
	result string
	id     string
	notes  []string
	// failed says why it counts as failed; suspected tells that nobody said so.
	failed    string
	suspected bool
}

// deploys reads the deploys of a window in the order of time. What is recorded
// of a version later, such as that it was rolled back, is no deploy of its own.
func (m *measurement) deploys(ctx context.Context, w window) ([]deploy, error) {
	events, err := m.from.happenings(ctx, w, deployKind)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(events, func(a, b runner.Happening) int { return a.At.Compare(b.At) })
	var list []deploy
	for _, e := range events {
		version, result, note := readDeploy(e.Text)
		at := slices.IndexFunc(list, func(d deploy) bool { return d.subject == e.Subject && d.version == version })
		if at >= 0 && (result == deployOK) && list[at].result != deployOK {
			at = -1 // the same version once more, after it had failed
		}
		if at < 0 {
			list = append(list, deploy{subject: e.Subject, version: version, at: e.At, id: e.ID})
			at = len(list) - 1
		}
		d := &list[at]
		d.result = result
		if note != "" {
			d.notes = append(d.notes, note)
		}
		if result != deployOK {
			d.failed = result
		}
	}
	return list, nil
}

// readDeploy takes the text of a deploy apart. A text of another form is that of
// a deploy that went well.
func readDeploy(text string) (version, result, note string) {
	head, note, _ := strings.Cut(text, ": ")
	version, result, _ = strings.Cut(strings.TrimSpace(head), " ")
	if result != deployFailed && result != deployRollback {
		result = deployOK
	}
	return version, result, strings.TrimSpace(note)
}

// leastDays is on how many working days something must be on record before the
// frequency of deploys tells anything.
const leastDays = 5

// deployFrequency is on which share of the working days a version was brought
// into production.
func (m *measurement) deployFrequency(ctx context.Context) (Figure, error) {
	f := m.figure(DeployFrequency, "deployment frequency (working days)", Aim{Above: true, Equal: true, Target: m.plan.DeployTarget, Unit: Share})
	f.Source, f.Of = "events deploy", "working days"
	list, err := m.deploys(ctx, m.window)
	if err != nil {
		return f, err
	}
	begin := m.window.from
	before, err := m.from.Events.Happenings(ctx, runner.HappeningFilter{Kinds: []string{deployKind}, Until: m.window.from, Limit: 1})
	if err != nil {
		return f, err
	}
	if len(list) == 0 && len(before) == 0 {
		f.Source = "none"
		f.without("no deploy is on record", "let the pipeline record them: `upkeep event deploy --version X`")
		return f, nil
	}
	if len(before) == 0 {
		begin = list[0].at // before that nobody recorded them
	}
	deployed := map[time.Time]bool{}
	good := 0
	for _, d := range list {
		f.Rows = append(f.Rows, d.row())
		if d.failed == "" {
			good++
			deployed[dayOf(d.at, m.plan.Zone)] = true
		}
	}
	share := func(w window) (float64, int, int) {
		days, with := 0, 0
		for day := dayOf(w.from, m.plan.Zone); day.Before(w.until); day = day.AddDate(0, 0, 1) {
			if weekend(day) || !day.Before(dayOf(m.now, m.plan.Zone)) && !deployed[day] {
				continue // today is not over
			}
			days++
			if deployed[day] {
				with++
			}
		}
		return float64(with) / float64(max(days, 1)), days, with
	}
	value, days, with := share(window{begin, m.now})
	f.N = int64(days)
	f.set(value)
	f.Text = fmt.Sprintf("%d of %s", with, plural(days, "working day"))
	f.detail("deploys", fmt.Sprintf("%d, %d of them good", len(list), good))
	f.trend(m.window, func(w window) (float64, bool) {
		value, days, _ := share(w)
		return value, days > 0 && !w.until.Before(begin)
	})
	if days < leastDays {
		f.short(fmt.Sprintf("deploys are on record for %s; %d are the least", plural(days, "working day"), leastDays), "")
	}
	return f, nil
}

func dayOf(t time.Time, zone *time.Location) time.Time {
	t = t.In(zone)
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, zone)
}

func weekend(t time.Time) bool { return t.Weekday() == time.Saturday || t.Weekday() == time.Sunday }

func (d deploy) row() Row {
	text := d.version + " " + cmp.Or(d.failed, deployOK)
	if len(d.notes) > 0 {
		text += ": " + strings.Join(d.notes, "; ")
	}
	return Row{At: d.at, What: "deploy " + d.subject, ID: d.id, Text: text}
}

// changeFailure is which share of the deploys did harm: those that failed, were
// rolled back or name an incident in their note, and those that are suspected
// because an incident opened shortly after.
func (m *measurement) changeFailure(ctx context.Context) (Figure, error) {
	f := m.figure(ChangeFailure, "change failure rate", Aim{Target: m.plan.FailureTarget, Unit: Share})
	f.Source, f.Of = "events deploy, incidents of checks", "deploys"
	list, err := m.deploys(ctx, m.window)
	if err != nil {
		return f, err
	}
	if len(list) == 0 {
		f.Source = "none"
		f.without("no deploy is on record in the window", "let the pipeline record them: `upkeep event deploy --version X`")
		return f, nil
	}
	incidents, err := m.ownIncidents(ctx)
	if err != nil {
		return f, err
	}
	blame(list, incidents, m.plan.SuspectWithin)
	failed, suspected := 0, 0
	for _, d := range list {
		if d.failed != "" {
			failed++
		}
		if d.suspected {
			suspected++
		}
		f.Rows = append(f.Rows, d.row())
	}
	f.N = int64(len(list))
	f.set(float64(failed) / float64(len(list)))
	f.Low, f.High = wilson(float64(failed), float64(len(list)))
	f.Text = fmt.Sprintf("%d/%d", failed, len(list))
	f.trend(m.window, func(w window) (float64, bool) {
		n, bad := 0.0, 0.0
		for _, d := range list {
			if w.holds(d.at) {
				n++
				if d.failed != "" {
					bad++
				}
			}
		}
		return bad / max(n, 1), n > 0
	})
	if suspected > 0 {
		f.detail("suspected", fmt.Sprintf("%s, by an incident within %s", plural(suspected, "deploy"), duration(m.plan.SuspectWithin.Seconds())))
	}
	if len(list) < m.plan.LeastDeploys {
		f.short(fmt.Sprintf("%s in the window; %d are the least", plural(len(list), "deploy"), m.plan.LeastDeploys), "")
	}
	return f, nil
}

// blame finds the deploys to which incidents belong: the one whose note names
// it, or else the last one before it when that is not long ago.
func blame(list []deploy, incidents []runner.Incident, suspectWithin time.Duration) {
	for _, i := range incidents {
		if named := slices.IndexFunc(list, func(d deploy) bool { return strings.Contains(strings.Join(d.notes, " "), i.ID) }); named >= 0 {
			list[named].failed, list[named].suspected = cmp.Or(list[named].failed, "incident "+i.ID), false
			continue
		}
		begin := i.FirstBad
		if begin.IsZero() {
			begin = i.OpenedAt
		}
		for k := len(list) - 1; k >= 0; k-- {
			d := &list[k]
			if d.at.After(begin) {
				continue
			}
			if i.OpenedAt.Sub(d.at) <= suspectWithin && d.failed == "" {
				d.failed, d.suspected = "suspected, incident "+i.ID, true
			}
			break
		}
	}
}
