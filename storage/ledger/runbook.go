package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

var _ runner.Remedies = (*Ledger)(nil)

// PutRemedy records a remedy, in the place of what is on record of its run.
func (l *Ledger) PutRemedy(ctx context.Context, r runner.Remedy) error {
	what := fmt.Sprintf("record what run %s did for its check", clean(string(r.Run), maxName))
	outcomes := []runner.Outcome{
		runner.OutcomeOpen, runner.OutcomeFixed, runner.OutcomeNotFixed, runner.OutcomeWorse, runner.OutcomeObserved, runner.OutcomeDropped,
	}
	err := errors.Join(checkName("the workflow", r.Workflow), checkName("the check", r.Check), checkText("the run", string(r.Run), maxName))
	switch {
	case err != nil:
	case !slices.Contains(outcomes, r.Outcome):
		err = fmt.Errorf("unknown outcome %q", r.Outcome)
	case (r.Outcome == runner.OutcomeOpen) != r.DecidedAt.IsZero():
		err = errors.New("an outcome, and only that, has a time")
	case r.BegunAt.IsZero():
		err = errors.New("it is not said when it began")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	names := make([]string, len(r.Failing))
	for i, name := range r.Failing {
		names[i] = clean(name, maxName)
	}
	failing, err := pack(names)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return l.transact(ctx, what, func(ctx context.Context, s session) error {
		if _, err := lockRun(ctx, s, r.Run); err != nil {
			return err
		}
		_, err := s.exec(ctx, `INSERT INTO remedies (run, workflow, check_name, health, report, failing, since, begun_at, outcome, why, decided_at, relapsed_at, disabled)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (run) DO UPDATE SET workflow = excluded.workflow, check_name = excluded.check_name, health = excluded.health, report = excluded.report,
			failing = excluded.failing, since = excluded.since, begun_at = excluded.begun_at, outcome = excluded.outcome, why = excluded.why,
			decided_at = excluded.decided_at, relapsed_at = excluded.relapsed_at, disabled = excluded.disabled`,
			r.Run, r.Workflow, r.Check, clean(string(r.Health), maxName), cleanLine(r.Report, maxLine), failing, micros(r.Since), micros(r.BegunAt),
			string(r.Outcome), cleanLine(r.Why, maxLine), micros(r.DecidedAt), micros(r.RelapsedAt), bit(r.Disabled))
		return err
	})
}

// Acted adds to the timeline of any incident that a runbook was started or ended
// for it, or why not. Within a minute it may be repeated.
func (l *Ledger) Acted(ctx context.Context, incident, runbook, text string) error {
	return l.work(ctx, "add what a runbook did to incident", incident, runbook, func(ctx context.Context, s session, i *heldIncident, r *record) error {
		entry := runner.Entry{At: time.Now().UTC(), Kind: runner.EntryRunbook, Text: text, By: runbook}
		if repeated, err := said(ctx, s, i, entry); err != nil || repeated {
			return err
		}
		r.entry(i, entry.At, entry.Kind, text, runbook)
		return nil
	})
}

// Remedies returns the remedies that f selects, the newest run first.
func (r *Reader) Remedies(ctx context.Context, f runner.RemedyFilter) ([]runner.Remedy, error) {
	const what = "list what runbooks did"
	limit, err := pageSize(f.Limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if unstorable(f.Workflow) {
		return nil, nil // no workflow has such a name
	}
	q := new(query)
	q.add("SELECT run, workflow, check_name, health, report, failing, since, begun_at, outcome, why, decided_at, relapsed_at, disabled FROM remedies WHERE begun_at >= ?", sinceMicros(f.Since))
	if f.Workflow != "" {
		q.add(" AND workflow = ?", f.Workflow)
	}
	q.add(" ORDER BY run DESC LIMIT ?", limit)
	var list []runner.Remedy
	err = r.reading().each(ctx, q.text.String(), q.args, func(rows *sql.Rows) error {
		remedy, err := scanRemedy(rows)
		list = append(list, remedy)
		return err
	})
	return list, r.explain(ctx, what, err)
}

// sinceMicros is the first microsecond that is not before t; the zero time is
// before all.
func sinceMicros(t time.Time) int64 {
	if t.IsZero() {
		return -1 << 62
	}
	return ceilMicro(t)
}

func scanRemedy(row scanner) (runner.Remedy, error) {
	var r runner.Remedy
	var failing string
	var since, begun, decided, relapsed sql.NullInt64
	err := row.Scan(&r.Run, &r.Workflow, &r.Check, &r.Health, &r.Report, &failing, &since, &begun, &r.Outcome, &r.Why, &decided, &relapsed, &r.Disabled)
	if err != nil {
		return r, err
	}
	r.Since, r.BegunAt, r.DecidedAt, r.RelapsedAt = instant(since), instant(begun), instant(decided), instant(relapsed)
	if err := unpack(failing, &r.Failing); err != nil {
		return r, fmt.Errorf("failing checks of run %s: %w", r.Run, err)
	}
	return r, nil
}
