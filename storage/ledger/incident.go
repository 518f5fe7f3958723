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

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

var _ runner.Incidents = (*Ledger)(nil)

// maxFingerprint leaves room for the names of a workflow and of a node.
const maxFingerprint = maxShortText

// ruling is one thing to do to the incidents of a fingerprint: raise it, as
// often as count says, or, with count 0, clear it.
type ruling struct {
	fingerprint string
	count       int64
	// first is the occurrence that opens the incident when none is open, last
	// the latest one.
	first, last runner.Fault
	// clearedAt and by, the run that did it, belong to the clearing.
	clearedAt time.Time
	by        runner.RunID
}

// rulingOf makes the verdict on a run storable. It never fails: whatever the
// texts of a verdict are, the run must be able to end.
func rulingOf(run runner.Run, v runner.Verdict) (ruling, bool) {
	switch {
	case v.Raise != nil && v.Raise.Fingerprint != "":
		return raising(*v.Raise, cmp.Or(run.FinishedAt, time.Now())), true
	case v.Clear != "":
		return clearing(v.Clear, cmp.Or(run.FinishedAt, time.Now()), run.ID), true
	}
	return ruling{}, false
}

// raising makes a fault storable; now is its time when it has none.
func raising(f runner.Fault, now time.Time) ruling {
	f.Fingerprint = clean(f.Fingerprint, maxFingerprint)
	f.Workflow, f.Run = clean(f.Workflow, maxName), runner.RunID(clean(string(f.Run), maxName))
	f.Reason, f.Title = cleanLine(f.Reason, maxName), cleanLine(f.Title, maxLine)
	if !slices.Contains([]jobs.Severity{jobs.Info, jobs.Warning, jobs.Critical}, f.Severity) {
		f.Severity = jobs.Critical
	}
	if f.At.IsZero() {
		f.At = now
	}
	var channels []string
	for _, name := range f.Channels {
		if name = clean(name, maxName); name != "" && !slices.Contains(channels, name) {
			channels = append(channels, name)
		}
	}
	f.Channels = channels
	return ruling{fingerprint: f.Fingerprint, count: 1, first: f, last: f}
}

func clearing(fingerprint string, at time.Time, by runner.RunID) ruling {
	return ruling{fingerprint: clean(fingerprint, maxFingerprint), clearedAt: at, by: by}
}

// Raise opens an incident or adds an occurrence to the open one. Repeating it
// after an error counts the occurrence again, but owes nothing twice.
func (l *Ledger) Raise(ctx context.Context, f runner.Fault) (bool, error) {
	what := fmt.Sprintf("raise %q", clean(f.Fingerprint, maxName))
	if err := checkFault(f); err != nil {
		return false, fmt.Errorf("%s: %w", what, err)
	}
	r := raising(f, time.Now())
	opened := false
	err := l.transact(ctx, what, func(ctx context.Context, s session) error {
		fresh, err := raiseAll(ctx, s, []ruling{r})
		opened = len(fresh) > 0
		return err
	})
	return opened && err == nil, err
}

func checkFault(f runner.Fault) error {
	errs := []error{checkFingerprint(f.Fingerprint), checkText("the workflow", f.Workflow, maxName), checkText("the reason", f.Reason, maxName), checkText("the run", string(f.Run), maxName)}
	for _, channel := range f.Channels {
		errs = append(errs, checkName("a channel", channel))
	}
	if !slices.Contains([]jobs.Severity{jobs.Info, jobs.Warning, jobs.Critical}, f.Severity) {
		errs = append(errs, fmt.Errorf("unknown severity %q", f.Severity))
	}
	return errors.Join(errs...)
}

func checkFingerprint(fingerprint string) error {
	if fingerprint == "" {
		return errors.New("the fault has no fingerprint")
	}
	return checkText("the fingerprint", fingerprint, maxFingerprint)
}

// Clear resolves the open incident with that fingerprint, if there is one, and
// owes its channels a notice. A zero at means now.
func (l *Ledger) Clear(ctx context.Context, fingerprint string, at time.Time) (bool, error) {
	what := fmt.Sprintf("clear %q", clean(fingerprint, maxName))
	if err := checkFingerprint(fingerprint); err != nil {
		return false, fmt.Errorf("%s: %w", what, err)
	}
	r := clearing(fingerprint, cmp.Or(at, time.Now()), "")
	cleared := false
	err := l.transact(ctx, what, func(ctx context.Context, s session) error {
		var err error
		cleared, err = clearOne(ctx, s, r)
		return err
	})
	return cleared && err == nil, err
}

// applyRulings does what the rulings say, those of one fingerprint in their
// order. Raises that follow each other become one, and fingerprints go in order
// so that two transactions seldom wait for each other.
func applyRulings(ctx context.Context, s session, list []ruling) error {
	slices.SortStableFunc(list, func(a, b ruling) int { return strings.Compare(a.fingerprint, b.fingerprint) })
	var merged []ruling
	for _, r := range list {
		if n := len(merged) - 1; n >= 0 && merged[n].fingerprint == r.fingerprint && merged[n].count > 0 && r.count > 0 {
			merged[n].count, merged[n].last = merged[n].count+r.count, r.last
			continue
		}
		merged = append(merged, r)
	}
	for len(merged) > 0 {
		if merged[0].count == 0 {
			if _, err := clearOne(ctx, s, merged[0]); err != nil {
				return fmt.Errorf("clear %q: %w", merged[0].fingerprint, err)
			}
			merged = merged[1:]
			continue
		}
		n := 1
		for n < min(len(merged), raiseChunk) && merged[n].count > 0 {
			n++
		}
		if _, err := raiseAll(ctx, s, merged[:n]); err != nil {
			return fmt.Errorf("raise %q: %w", merged[0].fingerprint, err)
		}
		merged = merged[n:]
	}
	return nil
}

// raiseChunk is how many incidents one INSERT takes.
const raiseChunk = 50

// raiseAll opens incidents or adds to open ones, each of another fingerprint,
// and returns the IDs of those that it opened, for which it owes notices.
func raiseAll(ctx context.Context, s session, list []ruling) (map[string]bool, error) {
	const columns = 14
	now := time.Now()
	ids, _, err := newRunIDs(now, len(list))
	if err != nil {
		return nil, fmt.Errorf("make IDs: %w", err)
	}
	args := make([]any, 0, columns*len(list))
	channels := make(map[string][]string, len(list))
	for i, r := range list {
		packed, err := pack(r.first.Channels)
		if err != nil {
			return nil, fmt.Errorf("channels: %w", err)
		}
		channels[string(ids[i])] = r.first.Channels
		f := r.last
		args = append(args, ids[i], r.fingerprint, f.Workflow, f.Severity, f.Reason, f.Title, f.Run, packed,
			runner.IncidentOpen, r.count, r.first.At.UnixMicro(), f.At.UnixMicro(), nil, "")
	}
	// The condition on the state is that of the index incidents_open, word for
	// word. An incident that was open keeps its ID.
	query := `INSERT INTO incidents (id, fingerprint, workflow, severity, reason, title, run, channels, state, count,
			opened_at, last_at, resolved_at, resolver) VALUES ` + tuples(len(list), columns) + `
		ON CONFLICT (fingerprint) WHERE state = 'open' DO UPDATE SET workflow = excluded.workflow, severity = excluded.severity,
			reason = excluded.reason, title = excluded.title, run = excluded.run, count = incidents.count + excluded.count,
			last_at = CASE WHEN excluded.last_at > incidents.last_at THEN excluded.last_at ELSE incidents.last_at END
		RETURNING id, fingerprint, channels`
	opened := map[string]bool{}
	var widened []widening
	err = s.each(ctx, query, args, func(rows *sql.Rows) error {
		var w widening
		var told string
		if err := rows.Scan(&w.id, &w.fingerprint, &told); err != nil {
			return err
		}
		if _, ours := channels[w.id]; ours {
			opened[w.id] = true
			return nil
		}
		if err := unpack(told, &w.told); err != nil {
			return fmt.Errorf("channels: %w", err)
		}
		widened = append(widened, w)
		return nil
	})
	if err != nil {
		return nil, err
	}
	notices, err := widen(ctx, s, widened, list)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if id := string(ids[i]); opened[id] {
			for _, channel := range channels[id] {
				notices = append(notices, runner.Notice{Incident: id, Channel: channel, Action: runner.NoticeOpen})
			}
		}
	}
	return opened, insertNotices(ctx, s, notices, now)
}

// widening is an open incident that occurred again, with who was told of it.
type widening struct {
	id, fingerprint string
	told            []string
}

// widen adds the channels that an occurrence names and that were not told of
// the open incident, such as those of a route that was added since, and returns
// what they are owed.
func widen(ctx context.Context, s session, open []widening, list []ruling) ([]runner.Notice, error) {
	var notices []runner.Notice
	for _, w := range open {
		told := len(w.told)
		for _, r := range list {
			if r.fingerprint != w.fingerprint {
				continue
			}
			for _, channel := range r.last.Channels {
				if !slices.Contains(w.told, channel) {
					w.told = append(w.told, channel)
					notices = append(notices, runner.Notice{Incident: w.id, Channel: channel, Action: runner.NoticeOpen})
				}
			}
		}
		if len(w.told) == told {
			continue
		}
		packed, err := pack(w.told)
		if err != nil {
			return nil, fmt.Errorf("channels: %w", err)
		}
		if _, err := s.exec(ctx, "UPDATE incidents SET channels = ? WHERE id = ?", packed, w.id); err != nil {
			return nil, err
		}
	}
	return notices, nil
}

// clearOne resolves the open incident of a fingerprint, if there is one.
func clearOne(ctx context.Context, s session, r ruling) (bool, error) {
	now := time.Now()
	var id, packed string
	at := r.clearedAt.UnixMicro()
	// An end before the latest occurrence comes from a clock that is behind.
	err := s.row(ctx, `UPDATE incidents SET state = 'resolved', resolver = ?, resolved_at = CASE WHEN last_at > ? THEN last_at ELSE ? END
		WHERE fingerprint = ? AND state = 'open' RETURNING id, channels`, r.by, at, at, r.fingerprint).Scan(&id, &packed)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var channels []string
	if err := unpack(packed, &channels); err != nil {
		return false, fmt.Errorf("channels of incident %s: %w", id, err)
	}
	// From here on the row of the incident is ours: notices that are given back
	// meanwhile wait for it and see that it has ended.
	untold := map[string]bool{}
	err = s.each(ctx, `UPDATE notices SET state = 'superseded', ended_at = ?
		WHERE incident = ? AND action = 'open' AND state IN ('pending', 'dead') RETURNING channel`,
		[]any{now.UnixMicro(), id}, func(rows *sql.Rows) error {
			var channel string
			err := rows.Scan(&channel)
			untold[channel] = true
			return err
		})
	if err != nil {
		return false, err
	}
	notices := make([]runner.Notice, len(channels))
	for i, channel := range channels {
		notices[i] = runner.Notice{Incident: id, Channel: channel, Action: runner.NoticeResolve, Combined: untold[channel]}
	}
	return true, insertNotices(ctx, s, notices, now)
}
