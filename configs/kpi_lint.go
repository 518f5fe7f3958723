package configs

import (
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/reports"
)

// clockChange is by how much a day and a week are longer when the clock is set
// back.
const clockChange = time.Hour

// lintKPIs looks for targets that the configuration itself cannot reach. Those
// of jobs hold whether or not somebody wrote them down, because these jobs serve
// nothing else.
func (l *loader) lintKPIs() {
	p := l.config.KPIs
	l.lintDistance(p.Drift.Job, p.Drift.Target+clockChange, "seldom-drift",
		fmt.Sprintf("a drift is to be found within %s", unit.Duration(p.Drift.Target)), "put the job into a daily workflow")
	l.lintDistance(p.Retraining.Job, 7*24*time.Hour+clockChange, "seldom-retraining", "that is to be asked every week", "put the job into a weekly workflow")
	if _, given := l.node.Get("kpis"); !given {
		return
	}
	l.lintDetection(p)
	l.lintProbedLatency(p)
	l.lintHealthJobs(p)
}

// lintDistance looks for a schedule that is rarer than a target.
func (l *loader) lintDistance(of reports.JobName, most time.Duration, rule, aim, hint string) {
	w, ok := l.config.byName[of.Workflow]
	if !ok || w.Schedule.IsZero() {
		return
	}
	job, ok := w.Job(of.Job)
	if !ok {
		return
	}
	if distance, known := longestDistance(w); known && distance > most {
		l.warn(job.at, rule, job.path, fmt.Sprintf("the job runs every %s, but %s", unit.Duration(distance), aim), hint)
	}
}

// longestDistance returns the longest time between two of the next slots.
func longestDistance(w *Workflow) (longest time.Duration, known bool) {
	previous, ok := w.Schedule.Next(time.Now())
	for range 60 {
		next, more := w.Schedule.Next(previous)
		if !ok || !more {
			break
		}
		longest, known = max(longest, next.Sub(previous)), true
		previous = next
	}
	return longest, known
}

// lintDetection looks for checks that may take longer to see a fault than the
// mean is to be.
func (l *loader) lintDetection(p reports.Plan) {
	for _, name := range p.UptimeChecks {
		c := p.Checks[slices.IndexFunc(p.Checks, func(c reports.Check) bool { return c.Name == name })]
		if c.Worst < p.MTTD {
			continue
		}
		place, path := l.kpiAt("mttd"), "kpis.mttd"
		if item, ok := l.w.checks.Lookup(name); ok {
			place, path = at(item.Node, "every", item.At), "checks."+name+".every"
		}
		l.warn(place, "slow-detection", path,
			fmt.Sprintf("it may take %s until a fault of the check %s is on record, but faults are to be detected within %s", unit.Duration(c.Worst), name, unit.Duration(p.MTTD)),
			"ask it more often, or lower fail_after")
	}
}

// lintProbedLatency looks for checks of the application that say nothing about
// how slow it may be, though that is a figure.
func (l *loader) lintProbedLatency(p reports.Plan) {
	if p.Response.Histogram != "" {
		return // the requests themselves tell
	}
	for _, name := range p.Response.Checks {
		item, ok := l.w.checks.Lookup(name)
		if !ok || item.Value.Kind != "http" {
			continue
		}
		if !hasOption(item, "latency") {
			l.warn(at(item.Node, "kind", item.At), "unlevelled", "checks."+name+".with.latency",
				fmt.Sprintf("the check says nothing about how slow an answer may be, but 95 of 100 are to take less than %s", unit.Duration(p.Response.Target)),
				fmt.Sprintf("with: {latency: {warn: %s}}", unit.Duration(p.Response.Target)))
		}
	}
}

func hasOption(item *decode.Item[checkField], key string) bool {
	if item.Value.With == nil {
		return false
	}
	_, given := item.Value.With.Get(key)
	return given
}

// lintHealthJobs looks for jobs that look at the health now and then where no
// check does it all the time.
func (l *loader) lintHealthJobs(p reports.Plan) {
	if len(p.UptimeChecks) > 0 {
		return
	}
	for _, w := range l.config.Workflows {
		distance, known := longestDistance(w)
		for _, job := range w.Jobs {
			if job.Kind == "health" && known && distance > p.MTTD {
				l.warn(job.at, "slow-detection", job.path,
					fmt.Sprintf("health is looked at every %s, but faults are to be detected within %s, and no check has the impact outage", unit.Duration(distance), unit.Duration(p.MTTD)),
					"give the checks that users depend on impact: outage; they are asked all the time")
			}
		}
	}
}
