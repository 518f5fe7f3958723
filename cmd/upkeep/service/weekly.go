package service

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

const (
	// weeklyPage and mostWeekly bound what the digest of the week reads: runs of
	// a page, and runs at all.
	weeklyPage = 1000
	mostWeekly = 100_000
	// mostListed bounds what it lists of one thing.
	mostListed = 20
)

// weekly is the digest of the week under the configuration in force. A command
// in the foreground sends none: it is there for moments only.
func (e *Engine) weekly() alerts.Weekly {
	w := e.Config().Weekly
	if !e.o.Pending {
		return alerts.Weekly{}
	}
	return alerts.Weekly{Schedule: w.Schedule, To: w.To, Report: e.weeklyReport}
}

// week is what happened between two instants.
type week struct {
	from, until time.Time
	zone        *time.Location
	runs        int
	states      map[runner.State]int
	// failed are the runs that did not do their work, newest first, by workflow.
	failed map[string][]runner.Run
	// incidents are those that opened in the week, open all that are open.
	opened, resolved int
	open             []runner.Incident
	backups          []weekBackup
}

// weekBackup is what a job last put into a store. Backups count as made only
// when they were read back.
type weekBackup struct {
	workflow, job string
	at            time.Time
	bytes         int64
}

// weeklyReport says what happened in [from, until).
func (e *Engine) weeklyReport(ctx context.Context, from, until time.Time) (subject, text string, err error) {
	w := &week{from: from, until: until, zone: e.Config().Timezone, states: map[runner.State]int{}, failed: map[string][]runner.Run{}}
	if err := w.readRuns(ctx, e.ledger); err != nil {
		return "", "", err
	}
	if err := w.readIncidents(ctx, e.ledger); err != nil {
		return "", "", err
	}
	if err := w.readBackups(ctx, e); err != nil {
		return "", "", err
	}
	return w.subject(), w.text(), nil
}

func (w *week) readRuns(ctx context.Context, l *ledger.Ledger) error {
	filter := runner.Filter{Since: w.from, Until: w.until, Limit: weeklyPage}
	for w.runs < mostWeekly {
		runs, err := l.Runs(ctx, filter)
		if err != nil {
			return fmt.Errorf("read the runs of the week: %w", err)
		}
		for _, run := range runs {
			if run.DryRun {
				continue
			}
			w.runs++
			w.states[run.State]++
			if run.State == runner.Failed || run.State == runner.Lost {
				w.failed[run.Spec.Workflow] = append(w.failed[run.Spec.Workflow], run)
			}
		}
		if len(runs) < filter.Limit {
			return nil
		}
		filter.Before = runs[len(runs)-1].ID
	}
	return nil
}

func (w *week) readIncidents(ctx context.Context, l *ledger.Ledger) error {
	filter := runner.IncidentFilter{Limit: weeklyPage}
	for {
		list, err := l.Incidents(ctx, filter)
		if err != nil {
			return fmt.Errorf("read the incidents of the week: %w", err)
		}
		for _, i := range list {
			if !i.OpenedAt.Before(w.from) && i.OpenedAt.Before(w.until) {
				w.opened++
			}
			if !i.ResolvedAt.Before(w.from) && i.ResolvedAt.Before(w.until) {
				w.resolved++
			}
			if i.State == runner.IncidentOpen {
				w.open = append(w.open, i)
			}
		}
		if len(list) < filter.Limit {
			return nil
		}
		filter.Before = list[len(list)-1].ID
	}
}

// readBackups reads the latest success of every job that makes artifacts.
func (w *week) readBackups(ctx context.Context, e *Engine) error {
	for _, workflow := range e.Config().Workflows {
		for _, job := range workflow.Jobs {
			past, err := e.ledger.Past(ctx, workflow.Name, job.Name, "", 1)
			if err != nil {
				return fmt.Errorf("read the last success of %s.%s: %w", workflow.Name, job.Name, err)
			}
			if len(past) == 0 || len(past[0].Result.Artifacts) == 0 {
				continue
			}
			last := weekBackup{workflow: workflow.Name, job: job.Name, at: past[0].FinishedAt}
			for _, a := range past[0].Result.Artifacts {
				last.bytes += a.Bytes
			}
			w.backups = append(w.backups, last)
		}
	}
	return nil
}

func (w *week) subject() string {
	bad := w.states[runner.Failed] + w.states[runner.Lost]
	line := fmt.Sprintf("the week: %d runs, %d failed", w.runs, bad)
	if n := len(w.open); n > 0 {
		line += fmt.Sprintf(", %d incidents open", n)
	}
	return line
}

func (w *week) text() string {
	var b strings.Builder
	stamp := func(t time.Time) string { return t.In(w.zone).Format("Mon 2006-01-02 15:04") }
	fmt.Fprintf(&b, "From %s to %s\n\nRuns: %d\n", stamp(w.from), stamp(w.until), w.runs)
	for _, state := range []runner.State{runner.Succeeded, runner.Warned, runner.Failed, runner.Lost, runner.Canceled, runner.Skipped, runner.Running, runner.Queued} {
		if n := w.states[state]; n > 0 {
			fmt.Fprintf(&b, "  %-10s %d\n", state, n)
		}
	}
	b.WriteString("\nFailures:\n")
	var names []string
	for name := range w.failed {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return len(w.failed[b]) - len(w.failed[a]) })
	for _, name := range names[:min(len(names), mostListed)] {
		last := w.failed[name][0]
		fmt.Fprintf(&b, "  %s: %d, the last on %s: %s\n", name, len(w.failed[name]), stamp(last.QueuedAt), last.Message)
	}
	if len(names) == 0 {
		b.WriteString("  none\n")
	}
	fmt.Fprintf(&b, "\nIncidents: %d opened, %d resolved, %d open now\n", w.opened, w.resolved, len(w.open))
	for _, i := range w.open[:min(len(w.open), mostListed)] {
		fmt.Fprintf(&b, "  %s, since %s: %s\n", i.Severity, stamp(i.OpenedAt), i.Title)
	}
	if len(w.backups) > 0 {
		b.WriteString("\nLatest backups:\n")
	}
	for _, x := range w.backups {
		fmt.Fprintf(&b, "  %s.%s: %s, %s\n", x.workflow, x.job, stamp(x.at), humanize.IBytes(uint64(max(x.bytes, 0))))
	}
	return b.String()
}
