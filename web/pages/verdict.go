package pages

import (
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// verdictView is the answer in one sentence.
type verdictView struct {
	Tone                      tone
	Glyph, Headline, Sentence string
}

// tally is what the verdict counts.
type tally struct {
	// ran is how many workflows had a run in the last day; failed and warned
	// are among those.
	ran, failed, warned int
	// old failed before that and have not run since, oldAge ago at the last.
	old                                     []string
	oldAge                                  time.Duration
	failedNames, staleNames                 []string
	interrupted, approvals, critical, warns int
}

func (n night) tally() tally {
	var t tally
	for _, w := range n.workflows {
		if w.Fresh != nil && !*w.Fresh {
			t.staleNames = append(t.staleNames, w.Name)
		}
		if w.Last != nil {
			t.add(w.Name, *w.Last, n.now.Sub(w.Last.QueuedAt))
		}
	}
	for _, r := range n.running {
		if needsApproval(r.Run) {
			t.approvals++
		}
	}
	for _, i := range n.incidents {
		switch i.Severity {
		case jobs.Critical:
			t.critical++
		case jobs.Warning:
			t.warns++
		default:
		}
	}
	return t
}

// add counts the newest run of a workflow.
func (t *tally) add(name string, last api.Last, age time.Duration) {
	recent := age <= nightLength
	if recent && last.State.Final() && last.State != runner.Skipped {
		t.ran++
	}
	switch {
	case last.Interrupted:
		t.interrupted++
	case bad(last.State) && recent:
		t.failed, t.failedNames = t.failed+1, append(t.failedNames, name)
	case bad(last.State):
		t.old, t.oldAge = append(t.old, name), age
	case last.State == runner.Warned && recent:
		t.warned++
	}
}

// bad tells whether a run did not do its work.
func bad(s runner.State) bool { return s == runner.Failed || s == runner.Lost }

// needsApproval tells whether a run starts when somebody approves it.
func needsApproval(r api.Run) bool {
	return r.State == runner.Queued && r.Approval && r.ApprovedBy == ""
}

// verdict says in one sentence how it is and why.
func (n night) verdict() verdictView {
	t := n.tally()
	switch {
	case len(n.workflows) == 0:
		return verdictView{toneIdle, "i", "Nothing is configured yet", "There is no workflow in " + n.status.Config.Path + "."}
	case t.failed+t.interrupted+t.critical+len(t.old)+len(t.staleNames) > 0:
		return verdictView{toneBad, "✗", t.trouble(), n.sentence(t)}
	case t.warned+t.warns+t.approvals > 0 || len(notesOf(n.status)) > 0:
		return verdictView{toneWarn, "!", "Nothing failed, but something wants a look", n.sentence(t)}
	case !n.ran():
		return verdictView{toneIdle, "…", "Nothing has run yet", n.first()}
	}
	return verdictView{toneGood, "✓", "All is well", n.sentence(t)}
}

// trouble names the worst that there is.
func (t tally) trouble() string {
	switch {
	case t.failed > 0:
		return "Failed in the last 24 hours: " + named(t.failedNames)
	case t.interrupted > 0:
		return count(t.interrupted, "run") + " stopped halfway, and nobody works on it"
	case len(t.old) == 1:
		return t.old[0] + " failed " + ago(t.oldAge) + " and has not run since"
	case len(t.old) > 0:
		return named(t.old) + " failed and have not run since"
	case len(t.staleNames) > 0:
		return "Not succeeded for too long: " + named(t.staleNames)
	}
	return count(t.critical, "critical incident") + " " + isAre(t.critical) + " open"
}

// named joins names, or counts them when they are many.
func named(list []string) string {
	if len(list) > 3 {
		return count(len(list), "workflow")
	}
	return words(list)
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// sentence says how the last day went, and then what else there is.
func (n night) sentence(t tally) string {
	var parts []string
	add := func(number int, format string, args ...any) {
		if number > 0 {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(len(t.staleNames), "overdue: %s", named(t.staleNames))
	add(t.interrupted, "%s interrupted", count(t.interrupted, "run"))
	add(t.approvals, "%s for approval", waiting(t.approvals))
	if open := len(n.incidents); open >= mostCounted {
		add(open, "at least %d incidents are open", open)
	} else if open > 0 {
		add(open, "%s %s open", count(open, "incident"), isAre(open))
	} else {
		parts = append(parts, "no incident is open")
	}
	rest := strings.Join(parts, "; ")
	return lastDay(t, len(n.workflows)) + ". " + strings.ToUpper(rest[:1]) + rest[1:] + "."
}

// lastDay says how the runs of the last day went.
func lastDay(t tally, all int) string {
	who := count(t.ran, "workflow")
	if t.ran == all && all > 1 {
		who = "all " + who
	}
	switch {
	case t.ran == 0:
		return "In the last 24 hours nothing ran"
	case t.failed == 0 && t.warned == 0 && t.ran == 1:
		return "In the last 24 hours " + who + " ran, and it succeeded"
	case t.failed == 0 && t.warned == 0:
		return "In the last 24 hours " + who + " ran, and every one succeeded"
	case t.failed == 0:
		return fmt.Sprintf("In the last 24 hours %s ran, %d with warnings", who, t.warned)
	case t.warned == 0:
		return fmt.Sprintf("In the last 24 hours %s ran, of which %d failed", who, t.failed)
	}
	return fmt.Sprintf("In the last 24 hours %s ran, of which %d failed and %d warned", who, t.failed, t.warned)
}

func waiting(n int) string {
	if n == 1 {
		return "1 run waits"
	}
	return fmt.Sprintf("%d runs wait", n)
}

// first says when something will run.
func (n night) first() string {
	if len(n.status.Next) == 0 {
		return "No workflow has a schedule; `upkeep run` starts one, and so does the page of each."
	}
	next := n.status.Next[0]
	return fmt.Sprintf("The first slot is that of %s, %s.", next.Workflow, ago(n.now.Sub(next.Slot)))
}
