package pgvacuum

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

const (
	// measured is for how many tables there are values, and named for how many
	// there are findings of one sort.
	measured = 25
	named    = 20
)

// say writes what became of a table.
func (r *run) say(e entry) {
	if e.outcome != done {
		r.env.Printf("%s: %s: %s", e.database.title(e.work.table), e.outcome, e.note)
		return
	}
	before, after := e.work.table, e.after
	line := fmt.Sprintf("%s: %s, %s → %s dead rows, %s → %s, oldest transaction %s → %s back, in %s", e.database.title(before), e.work.past3(),
		humanize.Comma(before.dead()), humanize.Comma(after.dead()), room(e.before.Bytes), room(e.behind.Bytes),
		humanize.Comma(before.oldest()), humanize.Comma(after.oldest()), e.took.Round(time.Millisecond))
	if pages := e.pagesRemoved(); pages > 0 {
		line += fmt.Sprintf(", %s pages given back", humanize.Comma(pages))
	}
	if e.waited > 0 {
		line += fmt.Sprintf(", waited %s for locks", e.waited.Round(time.Millisecond))
	}
	r.env.Printf("%s", line)
}

// String is the outcome in one word or two.
func (o outcome) String() string {
	return [...]string{"done", "clean", "gone", "locked", "not permitted", "canceled", "left", "failed"}[o]
}

// past3 is verb in the past.
func (w work) past3() string {
	switch {
	case w.full:
		return "rewritten"
	case w.vacuum && w.analyze:
		return "vacuumed and analyzed"
	case w.vacuum:
		return "vacuumed"
	case w.toast && w.analyze:
		return "TOAST vacuumed, and analyzed"
	case w.toast:
		return "TOAST vacuumed"
	}
	return "analyzed"
}

// dead is how many dead rows a table has with its TOAST table.
func (t table) dead() int64 { return t.Dead + t.ToastDead }

// oldest is how far back its oldest transaction is.
func (t table) oldest() int64 { return max(t.Age, t.ToastAge) }

// pagesRemoved is by how many pages the heap and its TOAST shrank.
func (e entry) pagesRemoved() int64 {
	block := int64(e.database.settings["block_size"])
	if block <= 0 || e.before.Heap <= 0 {
		return 0
	}
	return max(e.before.Heap-e.behind.Heap, 0) / block
}

// shortcomings are the errors of a run that otherwise came to its end.
func (r *run) shortcomings() []error {
	errs := r.nothingPermitted()
	var broken []string
	for _, e := range r.entries {
		if e.outcome == failed && len(broken) < 3 {
			broken = append(broken, fmt.Sprintf("%s: %s", e.database.title(e.work.table), e.note))
		}
	}
	if n := r.tally()[failed]; n > 0 {
		errs = append(errs, fmt.Errorf("%s failed: %s", count(n, "table"), strings.Join(broken, "; ")))
	}
	return errs
}

// nothingPermitted is the error of a run in which nothing of what is due may be
// done.
func (r *run) nothingPermitted() []error {
	deniedWork, due := 0, 0
	user := ""
	for _, d := range r.plan {
		deniedWork, due = deniedWork+len(d.denied), due+len(d.due)
		user = d.server.User
	}
	n := r.tally()
	if due > 0 && n[denied] < due || deniedWork+n[denied] == 0 {
		return nil
	}
	return []error{jobs.WithHint(fmt.Errorf("user %s may vacuum nothing of what is due: %s", user, count(deniedWork+due, "table")),
		"connect as the owner of the tables or of the database, or, from PostgreSQL 17 on, GRANT pg_maintain TO the user")}
}

// tally counts the entries by outcome.
func (r *run) tally() map[outcome]int {
	out := map[outcome]int{}
	for _, e := range r.entries {
		out[e.outcome]++
	}
	return out
}

// result puts together what the run found and did.
func (r *run) result() jobs.Result {
	out := jobs.Result{Values: r.values()}
	for _, d := range r.plan {
		out.Findings = append(out.Findings, d.findings...)
		out.Findings = append(out.Findings, d.reportBlockers(r.env, r.job.options.BlockerAge.Std())...)
	}
	out.Findings = append(append(out.Findings, r.findings...), r.perTable()...)
	out.Summary = r.summary()
	return out
}

func (r *run) summary() string {
	due, tables := 0, 0
	for _, d := range r.plan {
		due, tables = due+len(d.due)+len(d.denied), tables+d.tables
	}
	if due == 0 {
		return fmt.Sprintf("nothing is due in %s of %s", count(tables, "table"), r.names())
	}
	n := r.tally()
	var parts []string
	for _, o := range []outcome{done, clean, gone, locked, denied, killed, left, failed} {
		number := n[o]
		if o == denied {
			for _, d := range r.plan {
				number += len(d.denied)
			}
		}
		if number > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", number, o))
		}
	}
	v := r.values()
	if removed := int64(v["dead_rows_before"] - v["dead_rows_after"]); removed > 0 {
		parts = append(parts, humanize.Comma(removed)+" dead rows removed")
	}
	if freed := int64(v["before_bytes"] - v["after_bytes"]); freed > 0 {
		parts = append(parts, room(freed)+" given back")
	}
	return jobs.OneLine(fmt.Sprintf("%s due in %s: %s", count(due, "table"), r.names(), strings.Join(parts, ", ")))
}

// names lists the databases for a sentence.
func (r *run) names() string {
	names := make([]string, len(r.plan))
	for i, d := range r.plan {
		names[i] = d.name
	}
	return pg.Listed(names)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return humanize.Comma(int64(n)) + " " + noun + "s"
}
