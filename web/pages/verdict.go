package pages

import (
	"fmt"
	"strings"

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
	ran, failed, warned, stale, interrupted, approvals int
	failedNames, staleNames                            []string
	critical, warnings                                 int
}

func (n night) tally() tally {
	var t tally
	for _, w := range n.workflows {
		if w.Fresh != nil && !*w.Fresh {
			t.stale, t.staleNames = t.stale+1, append(t.staleNames, w.Name)
		}
		last := w.Last
		if last == nil {
			continue
		}
		if n.now.Sub(last.QueuedAt) <= nightLength && last.State.Final() && last.State != runner.Skipped {
			t.ran++
		}
		switch {
		case last.Interrupted:
			t.interrupted++
		case bad(last.State):
			t.failed, t.failedNames = t.failed+1, append(t.failedNames, w.Name)
		case last.State == runner.Warned:
			t.warned++
		}
	}
	for _, r := range n.running {
		if needsApproval(r.Run) {
			t.approvals++
		}
	}
	for _, i := range n.incidents {
		switch i.Severity {
		case "critical":
			t.critical++
		case "warning":
			t.warnings++
		}
	}
	return t
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
	case t.failed+t.stale+t.interrupted+t.critical > 0:
		return verdictView{toneBad, "✗", t.trouble(), n.sentence(t)}
	case t.warned+t.warnings+t.approvals > 0 || len(notesOf(n.status)) > 0:
		return verdictView{toneWarn, "!", "All ran, but something wants a look", n.sentence(t)}
	case !n.ran():
		return verdictView{toneIdle, "…", "Nothing has run yet", n.first()}
	case t.ran == 0:
		return verdictView{toneGood, "✓", "All is well", n.sentence(t)}
	}
	return verdictView{toneGood, "✓", "All is well: the last 24 hours went as planned", n.sentence(t)}
}

// trouble names the worst that there is.
func (t tally) trouble() string {
	switch {
	case t.failed > 0:
		return named(t.failedNames) + " failed"
	case t.interrupted > 0:
		return count(t.interrupted, "run") + " stopped halfway, and nobody works on it"
	case t.stale > 0:
		return named(t.staleNames) + " has not succeeded for too long"
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

// sentence gives the numbers behind a verdict.
func (n night) sentence(t tally) string {
	all := len(n.workflows)
	parts := []string{fmt.Sprintf("%d of %s ran in the last 24 hours", t.ran, count(all, "workflow"))}
	if t.ran == all {
		parts[0] = fmt.Sprintf("All %s ran in the last 24 hours", count(all, "workflow"))
		if all == 1 {
			parts[0] = "The one workflow ran in the last 24 hours"
		}
	}
	add := func(number int, format string, args ...any) {
		if number > 0 {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(t.failed, "the newest run of %d failed", t.failed)
	add(t.warned, "%d ended with warnings", t.warned)
	add(t.stale, "%d %s overdue", t.stale, isAre(t.stale))
	add(t.interrupted, "%s interrupted", count(t.interrupted, "run"))
	add(t.approvals, "%s for approval", waiting(t.approvals))
	if open := len(n.incidents); open > 0 {
		add(open, "%s open", count(open, "incident"))
	} else {
		parts = append(parts, "no incident is open")
	}
	return strings.Join(parts, "; ") + "."
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
