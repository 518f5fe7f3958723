package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// submitted is a request on its way into the table.
type submitted struct {
	id      runner.RunID
	request runner.Request
	// state, reason and message are those of the run: as asked for, as
	// overlaps and pauses decide, or as the existing run has them.
	state    runner.State
	reason   runner.Reason
	message  string
	slot     int64
	params   string
	jobs     string
	queuedAt int64
	// manual requests are never duplicates: their slot moves until it is free.
	manual    bool
	duplicate bool
}

func (s *submitted) key() [3]any { return [3]any{s.request.Spec.Workflow, s.slot, s.request.Host} }

func (s *submitted) calendar() runner.CalendarKey {
	return runner.CalendarKey{Workflow: s.request.Spec.Workflow, Host: s.request.Host}
}

// skip records why the run is not to run at all.
func (s *submitted) skip(reason runner.Reason, message string) {
	s.state, s.reason, s.message = runner.Skipped, reason, message
}

// Submit records requests as runs, all or none, in the order of the requests.
// A request with trigger manual or api is never a duplicate: when its slot is
// taken, or a whole second and so possibly the slot of a schedule, it moves on
// by microseconds. Other requests may be submitted again. A request with
// OverlapSkip becomes Skipped when a run of its workflow and host that is not
// dry is open, also one that an earlier request of the same call brought.
func (l *Ledger) Submit(ctx context.Context, requests ...runner.Request) ([]runner.Submission, error) {
	if len(requests) == 0 {
		return nil, nil
	}
	what := fmt.Sprintf("record %d runs", len(requests))
	if len(requests) == 1 {
		what = "record a run of " + clean(requests[0].Spec.Workflow, maxName)
	}
	list, err := prepareRequests(requests)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	var answer []runner.Submission
	err = l.transact(ctx, what, func(ctx context.Context, s session) error {
		// A repeated transaction starts from scratch.
		work := slices.Clone(list)
		if err := l.record(ctx, s, work, nil); err != nil {
			return err
		}
		answer = answers(work)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// record makes the runs of list. pauses keep those from running that a
// schedule asked for.
func (l *Ledger) record(ctx context.Context, s session, list []submitted, pauses []runner.Pause) error {
	if err := insertSpecs(ctx, s, list); err != nil {
		return err
	}
	if err := decideBudgets(ctx, s, list); err != nil {
		return err
	}
	if err := decideStates(ctx, s, list, pauses); err != nil {
		return err
	}
	if err := insertRuns(ctx, s, list); err != nil {
		return err
	}
	return l.judgeSkipped(ctx, s, list)
}

func answers(list []submitted) []runner.Submission {
	answer := make([]runner.Submission, len(list))
	for i, w := range list {
		answer[i] = runner.Submission{Run: w.id, Host: w.request.Host, Duplicate: w.duplicate, State: w.state, Reason: w.reason, Message: w.message}
	}
	return answer
}

func prepareRequests(requests []runner.Request) ([]submitted, error) {
	ids, ticks, err := newRunIDs(time.Now(), len(requests))
	if err != nil {
		return nil, fmt.Errorf("make run IDs: %w", err)
	}
	list := make([]submitted, len(requests))
	for i, request := range requests {
		if err := checkRequest(&request); err != nil {
			return nil, err
		}
		s := submitted{
			id: ids[i], request: request, state: request.State, reason: request.Reason, message: cleanLine(request.Message, maxLine), slot: request.Slot.UnixMicro(), queuedAt: ticks[i].micros(),
			manual: request.Trigger == runner.ByManual || request.Trigger == runner.ByAPI,
		}
		if s.params, err = pack(request.Params); err != nil {
			return nil, fmt.Errorf("parameters: %w", err)
		}
		if s.jobs, err = pack(request.Jobs); err != nil {
			return nil, fmt.Errorf("jobs: %w", err)
		}
		list[i] = s
	}
	return list, nil
}

// checkRequest refuses what must not become a run and completes the rest.
func checkRequest(r *runner.Request) error {
	digest := sha256.Sum256([]byte(r.Spec.Text))
	sum := hex.EncodeToString(digest[:])
	if r.Spec.Digest == "" {
		r.Spec.Digest = sum
	}
	if r.State == "" {
		r.State = runner.Queued
	}
	if r.Overlap == "" {
		r.Overlap = runner.OverlapAllow
	}
	if r.Slots == 0 {
		r.Slots = 1
	}
	size := 0
	for name, value := range r.Params {
		size += len(name) + len(value)
		if err := errors.Join(checkName("a parameter", name), checkText("parameter "+name, value, maxParams)); err != nil {
			return err
		}
	}
	for _, name := range r.Jobs {
		if err := checkName("a job", name); err != nil {
			return err
		}
	}
	switch {
	case r.Spec.Digest != sum:
		return fmt.Errorf("the digest %.12s… is not that of the workflow's text (%.12s…)", r.Spec.Digest, sum)
	case r.Slot.IsZero():
		return errors.New("the request has no slot")
	case r.State != runner.Queued && r.State != runner.Skipped:
		return fmt.Errorf("a run cannot begin in state %q", r.State)
	case !slices.Contains(runner.Triggers(), r.Trigger):
		return fmt.Errorf("unknown trigger %q", r.Trigger)
	case !slices.Contains([]runner.Overlap{runner.OverlapSkip, runner.OverlapQueue, runner.OverlapAllow}, r.Overlap):
		return fmt.Errorf("unknown overlap %q", r.Overlap)
	case r.Slots < 1 || r.Slots > 1 && !r.LastSlot.After(r.Slot) || r.Slots == 1 && !r.LastSlot.IsZero() && !r.LastSlot.Equal(r.Slot):
		return fmt.Errorf("a run cannot stand for %d slots from %s to %s", r.Slots, r.Slot.UTC(), r.LastSlot.UTC())
	case !r.Place().Valid():
		return fmt.Errorf("%q says of no node whether it may execute the run", r.Place())
	case size > maxParams:
		return fmt.Errorf("the parameters are too long: %d bytes, at most %d", size, maxParams)
	}
	return errors.Join(checkName("the workflow", r.Spec.Workflow), checkText("the host", r.Host, maxName), checkText("the target", string(r.Target), maxName+len("label:")),
		checkText("the workflow's text", r.Spec.Text, maxSpec), checkText("the reason", string(r.Reason), maxName))
}
