package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// mostSilences bounds what Silences returns.
const mostSilences = 1000

const silenceColumns = "id, workflow, checked, reason, severity, why, made_by, since, until, ended_at"

func listSilences(ctx context.Context, s session, rest string, args ...any) ([]runner.Silence, error) {
	var list []runner.Silence
	err := s.each(ctx, "SELECT "+silenceColumns+" FROM silences "+rest, args, func(rows *sql.Rows) error {
		var v runner.Silence
		var since, until, ended sql.NullInt64
		err := rows.Scan(&v.ID, &v.Workflow, &v.Check, &v.Reason, &v.Severity, &v.Why, &v.By, &since, &until, &ended)
		v.Since, v.Until, v.EndedAt = instant(since), instant(until), instant(ended)
		list = append(list, v)
		return err
	})
	return list, err
}

// silencesAt returns the silences in force at an instant, those first that last
// longest.
func silencesAt(ctx context.Context, s session, at time.Time) ([]runner.Silence, error) {
	list, err := listSilences(ctx, s, "WHERE until > ? AND since <= ? AND (ended_at IS NULL OR ended_at > ?) ORDER BY until DESC, id", at.UnixMicro(), at.UnixMicro(), at.UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("look for silences: %w", err)
	}
	return list, nil
}

// nextSilence returns when the next silence begins or ends after an instant;
// zero for never.
func nextSilence(ctx context.Context, s session, at time.Time) (time.Time, error) {
	var since, until sql.NullInt64
	const query = `SELECT (SELECT MIN(since) FROM silences WHERE until > ? AND since > ? AND ended_at IS NULL),
		(SELECT MIN(until) FROM silences WHERE until > ? AND ended_at IS NULL)`
	err := s.row(ctx, query, at.UnixMicro(), at.UnixMicro(), at.UnixMicro()).Scan(&since, &until)
	return sooner(instant(since), instant(until)), err
}

// selects tells whether a silence is for a fault.
func selects(v runner.Silence, f runner.Fault) bool {
	fits := func(pattern, text string) bool {
		return pattern == "" || text != "" && doublestar.MatchUnvalidated(pattern, text)
	}
	return fits(v.Workflow, f.Workflow) && fits(v.Check, f.Check) && fits(v.Reason, f.Reason) &&
		(v.Severity == "" || v.Severity == string(f.Severity))
}

// Silence records a silence. Repeating it with the same ID changes nothing; one
// without an ID gets one. A zero Since means now. Once it has begun, nothing more
// is taken from the outbox about what it selects.
func (l *Ledger) Silence(ctx context.Context, v runner.Silence) (string, error) {
	const what = "record a silence"
	now := time.Now()
	v.Since = cmp.Or(v.Since, now)
	if err := checkSilence(v); err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	if v.ID == "" {
		ids, _, err := newRunIDs(now, 1)
		if err != nil {
			return "", fmt.Errorf("%s: make an ID: %w", what, err)
		}
		v.ID = string(ids[0])
	}
	err := l.transact(ctx, what, func(ctx context.Context, s session) error {
		s.owe()
		fresh, err := s.exec(ctx, "INSERT INTO silences ("+silenceColumns+", ended_by) VALUES ("+marks(11)+") ON CONFLICT (id) DO NOTHING",
			v.ID, v.Workflow, v.Check, v.Reason, v.Severity, cleanLine(v.Why, maxLine), cleanLine(v.By, maxShortText),
			v.Since.UnixMicro(), v.Until.UnixMicro(), nil, "")
		if err != nil || fresh == 0 || v.Since.After(now) {
			return err
		}
		return l.quieten(ctx, s, v, now.UTC())
	})
	if err != nil {
		return "", err
	}
	return v.ID, nil
}

// quieten lets a silence take effect on what is open.
func (l *Ledger) quieten(ctx context.Context, s session, v runner.Silence, now time.Time) error {
	var ids []string
	err := s.each(ctx, "SELECT "+heldColumns+" FROM incidents WHERE state = 'open' ORDER BY fingerprint", nil, func(rows *sql.Rows) error {
		i, err := scanHeld(rows)
		if err == nil && selects(v, i.Fault) {
			ids = append(ids, i.ID)
		}
		return err
	})
	if err != nil {
		return err
	}
	r := new(record)
	for _, id := range ids {
		i, err := holdIncident(ctx, s, "i.id = ?", id)
		if err != nil {
			return err
		}
		if i.State != runner.IncidentOpen {
			continue
		}
		if err := l.settleHeld(ctx, s, i, now, r); err != nil {
			return err
		}
	}
	return r.write(ctx, s, now)
}

func checkSilence(v runner.Silence) error {
	errs := []error{checkID(v.ID), checkText("the reason", v.Reason, maxName), checkText("the workflow", v.Workflow, maxName), checkText("the check", v.Check, maxName)}
	for _, pattern := range []string{v.Workflow, v.Check, v.Reason} {
		if !doublestar.ValidatePattern(pattern) {
			errs = append(errs, fmt.Errorf("%q is not a pattern", clean(pattern, maxName)))
		}
	}
	if !slices.Contains([]string{"", string(jobs.Info), string(jobs.Warning), string(jobs.Critical)}, v.Severity) {
		errs = append(errs, fmt.Errorf("unknown severity %q", clean(v.Severity, maxName)))
	}
	if v.Workflow != "" && v.Check != "" {
		errs = append(errs, errors.New("no fault is one of a workflow and of a check"))
	}
	if v.Why == "" || v.By == "" {
		errs = append(errs, errors.New("it is not said who wants it and why"))
	}
	if !v.Until.After(v.Since) {
		errs = append(errs, errors.New("it ends before it begins"))
	}
	return errors.Join(errs...)
}

// EndSilence ends a silence now. One that has ended stays as it is. What it
// kept back is told with the next Settle.
func (l *Ledger) EndSilence(ctx context.Context, id, by string) error {
	what := "end silence " + clean(id, maxName)
	if checkText("the ID", id, maxName) != nil {
		return fmt.Errorf("%s: %w", what, runner.ErrNotFound)
	}
	return l.transact(ctx, what, func(ctx context.Context, s session) error {
		s.owe()
		now := time.Now().UnixMicro()
		var until int64
		err := s.row(ctx, "SELECT until FROM silences WHERE id = ?", id).Scan(&until)
		if errors.Is(err, sql.ErrNoRows) {
			return runner.ErrNotFound
		}
		if err != nil || until <= now {
			return err
		}
		_, err = s.exec(ctx, "UPDATE silences SET ended_at = ?, ended_by = ? WHERE id = ? AND ended_at IS NULL", now, cleanLine(by, maxShortText), id)
		return err
	})
}

// Silences returns the silences that have not ended at now, or all, the newest
// first, at most 1,000.
func (r *Reader) Silences(ctx context.Context, now time.Time, all bool) ([]runner.Silence, error) {
	limit := fmt.Sprintf(" LIMIT %d", mostSilences)
	var list []runner.Silence
	var err error
	if all {
		list, err = listSilences(ctx, r.reading(), "ORDER BY id DESC"+limit)
	} else {
		// The index is by their ends; few have not ended.
		list, err = listSilences(ctx, r.reading(), "WHERE until > ? AND (ended_at IS NULL OR ended_at > ?) ORDER BY until DESC"+limit, now.UnixMicro(), now.UnixMicro())
		slices.SortFunc(list, func(a, b runner.Silence) int { return strings.Compare(b.ID, a.ID) })
	}
	return list, r.explain(ctx, "list the silences", err)
}
