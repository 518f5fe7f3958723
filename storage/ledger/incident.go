package ledger

import (
	"cmp"
	"context"
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
	f.Check, f.Parent = clean(f.Check, maxName), clean(f.Parent, maxFingerprint)
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
		fresh, err := l.raiseAll(ctx, s, []ruling{r})
		opened = fresh > 0
		return err
	})
	return opened && err == nil, err
}

func checkFault(f runner.Fault) error {
	errs := []error{
		checkFingerprint(f.Fingerprint), checkText("the workflow", f.Workflow, maxName), checkText("the reason", f.Reason, maxName), checkText("the run", string(f.Run), maxName),
		checkText("the check", f.Check, maxName), checkText("the fingerprint of the parent", f.Parent, maxFingerprint),
	}
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

// Clear resolves the open incident with that fingerprint, if there is one, or
// notes that it is well for now when it comes and goes. A zero at means now.
func (l *Ledger) Clear(ctx context.Context, fingerprint string, at time.Time) (bool, error) {
	what := fmt.Sprintf("clear %q", clean(fingerprint, maxName))
	if err := checkFingerprint(fingerprint); err != nil {
		return false, fmt.Errorf("%s: %w", what, err)
	}
	r := clearing(fingerprint, cmp.Or(at, time.Now()), "")
	cleared := false
	err := l.transact(ctx, what, func(ctx context.Context, s session) error {
		var err error
		cleared, err = l.clearOne(ctx, s, r)
		return err
	})
	return cleared && err == nil, err
}

// applyRulings does what the rulings say, those of one fingerprint in their
// order. Raises that follow each other become one, and fingerprints go in order
// so that two transactions seldom wait for each other.
func (l *Ledger) applyRulings(ctx context.Context, s session, list []ruling) error {
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
			if _, err := l.clearOne(ctx, s, merged[0]); err != nil {
				return fmt.Errorf("clear %q: %w", merged[0].fingerprint, err)
			}
			merged = merged[1:]
			continue
		}
		n := 1
		for n < min(len(merged), raiseChunk) && merged[n].count > 0 {
			n++
		}
		if _, err := l.raiseAll(ctx, s, merged[:n]); err != nil {
			return fmt.Errorf("raise %q: %w", merged[0].fingerprint, err)
		}
		merged = merged[n:]
	}
	return nil
}
