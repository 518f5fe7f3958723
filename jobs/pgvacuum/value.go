package pgvacuum

import (
	"fmt"

	"github.com/ghosteam/upkeep/jobs"
)

// values are the numbers of the whole run, and of the tables that were done,
// the most urgent first.
func (r *run) values() map[string]float64 {
	out := map[string]float64{}
	for _, name := range []string{
		"tables", "tables_due", "tables_vacuumed", "tables_analyzed", "tables_locked", "tables_denied", "tables_failed", "tables_left",
		"dead_rows_before", "dead_rows_after", "before_bytes", "after_bytes", "oldest_transaction_age", "work_seconds", "lock_wait_seconds", "blocker_seconds",
	} {
		out[name] = 0
	}
	for _, d := range r.plan {
		out["tables"] += float64(d.tables)
		out["tables_due"] += float64(len(d.due) + len(d.denied))
		out["tables_denied"] += float64(len(d.denied))
		out["oldest_transaction_age"] = max(out["oldest_transaction_age"], float64(d.age))
		for _, b := range d.blockers {
			out["blocker_seconds"] = max(out["blocker_seconds"], b.Seconds)
		}
	}
	tables := 0
	for _, e := range r.entries {
		out["work_seconds"] += e.took.Seconds()
		out["lock_wait_seconds"] += e.waited.Seconds()
		switch e.outcome {
		case done:
			r.add(out, e)
			if tables++; tables <= measured {
				of(out, e)
			}
		case locked:
			out["tables_locked"]++
		case denied:
			out["tables_denied"]++
		case failed:
			out["tables_failed"]++
		case left, killed:
			out["tables_left"]++
		default: // nothing had to be done
		}
	}
	return out
}

// add counts a table that was done.
func (r *run) add(out map[string]float64, e entry) {
	if e.work.vacuum || e.work.toast {
		out["tables_vacuumed"]++
	}
	if e.work.analyze {
		out["tables_analyzed"]++
	}
	out["dead_rows_before"] += float64(e.work.table.dead())
	out["dead_rows_after"] += float64(e.after.dead())
	out["before_bytes"] += float64(e.before.Bytes)
	out["after_bytes"] += float64(e.behind.Bytes)
}

// of adds the numbers of one table under a name that no other has.
func of(out map[string]float64, e entry) {
	const first = "dead_rows_before."
	base := e.database.title(e.work.table)
	name := jobs.NameFrom(first + base)[len(first):]
	for n := 2; ; n++ {
		if _, taken := out[jobs.NameFrom(first+name)]; !taken {
			break
		}
		name = fmt.Sprintf("%.200s-%d", jobs.NameFrom(first + base)[len(first):], n)
	}
	for measure, value := range map[string]float64{
		"dead_rows_before":  float64(e.work.table.dead()),
		"dead_rows_after":   float64(e.after.dead()),
		"before_bytes":      float64(e.before.Bytes),
		"after_bytes":       float64(e.behind.Bytes),
		"frozen_age_before": float64(e.work.table.oldest()),
		"frozen_age_after":  float64(e.after.oldest()),
		"pages_removed":     float64(e.pagesRemoved()),
		"work_seconds":      e.took.Seconds(),
		"lock_wait_seconds": e.waited.Seconds(),
	} {
		out[jobs.NameFrom(measure+"."+name)] = value
	}
}

// perTable are the findings about tables that were not done.
func (r *run) perTable() []jobs.Finding {
	var out []jobs.Finding
	seen := map[outcome]int{}
	taken := map[string]bool{}
	add := func(o outcome, severity jobs.Severity, d *database, w work, text string) {
		if seen[o]++; seen[o] > named {
			return
		}
		base := jobs.FindingIDFrom(o.id() + ":" + d.name + "/" + w.table.label())
		id := base
		for n := 2; taken[id]; n++ { // names may differ only in what an ID leaves out
			id = fmt.Sprintf("%.240s-%d", base, n)
		}
		taken[id] = true
		out = append(out, jobs.Finding{ID: id, Severity: severity, Text: r.env.OneLine(d.title(w.table) + ": " + text)})
	}
	for _, d := range r.plan {
		for _, w := range d.denied {
			add(denied, jobs.Warning, d, w, fmt.Sprintf("%s may not vacuum it, because it belongs to %s", d.server.User, w.table.Owner))
		}
	}
	leftWork := 0
	var first entry
	for _, e := range r.entries {
		switch e.outcome {
		case locked, denied, killed:
			add(e.outcome, jobs.Warning, e.database, e.work, e.note)
		case failed:
			add(e.outcome, jobs.Critical, e.database, e.work, e.note)
		case left:
			if leftWork++; leftWork == 1 {
				first = e
			}
		default: // all is well
		}
	}
	for _, o := range []outcome{locked, denied, killed, failed} {
		if more := seen[o] - named; more > 0 {
			out = append(out, jobs.Finding{ID: o.id() + "-more", Severity: jobs.Warning, Text: fmt.Sprintf("%s more: %s", count(more, "table"), o)})
		}
	}
	if leftWork > 0 {
		out = append(out, jobs.Finding{ID: "left", Severity: jobs.Warning, Text: r.env.OneLine(fmt.Sprintf(
			"%s left for the next run, the most urgent %s (score %.2f): %s", count(leftWork, "table"), first.database.title(first.work.table), first.work.score, first.note))})
	}
	return out
}

// id is the first part of a finding's.
func (o outcome) id() string {
	return jobs.FindingIDFrom([]string{"done", "clean", "gone", "locked", "denied", "canceled", "left", "failed"}[o])
}
