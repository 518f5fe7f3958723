package ledger

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

const (
	// insertChunk is how many runs one INSERT takes; it stays far below the
	// bound on parameters of both databases.
	insertChunk = 100
	// maxBumps bounds the search for a free slot of a run that a person asked
	// for.
	maxBumps = 100_000
)

// submitted is a request on its way into the table.
type submitted struct {
	id       runner.RunID
	request  runner.Request
	slot     int64
	params   string
	jobs     string
	queuedAt int64
	// manual requests are never duplicates: their slot moves until it is free.
	manual    bool
	duplicate bool
}

func (s *submitted) key() [3]any { return [3]any{s.request.Spec.Workflow, s.slot, s.request.Host} }

// Submit records requests as runs, all or none, in the order of the requests.
// A request with trigger manual or api is never a duplicate: when its slot is
// taken, or a whole second and so possibly the slot of a schedule, it moves on
// by microseconds. Other requests may be submitted again.
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
	answer := make([]runner.Submission, len(list))
	err = l.transact(ctx, what, func(ctx context.Context, s session) error {
		// A repeated transaction starts from scratch.
		work := slices.Clone(list)
		if err := insertSpecs(ctx, s, work); err != nil {
			return err
		}
		if err := insertRuns(ctx, s, work); err != nil {
			return err
		}
		for i, w := range work {
			answer[i] = runner.Submission{Run: w.id, Duplicate: w.duplicate}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
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
			id: ids[i], request: request, slot: request.Slot.UnixMicro(), queuedAt: ticks[i].micros(),
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
	case !slices.Contains([]runner.Trigger{runner.BySchedule, runner.ByCatchUp, runner.ByManual, runner.ByAPI, runner.ByCheck}, r.Trigger):
		return fmt.Errorf("unknown trigger %q", r.Trigger)
	case size > maxParams:
		return fmt.Errorf("the parameters are too long: %d bytes, at most %d", size, maxParams)
	}
	return errors.Join(checkName("the workflow", r.Spec.Workflow), checkText("the host", r.Host, maxName),
		checkText("the workflow's text", r.Spec.Text, maxSpec), checkText("the reason", string(r.Reason), maxName))
}

// insertSpecs records the workflow texts that are new, in the order of their
// digests, so that two transactions never wait for each other.
func insertSpecs(ctx context.Context, s session, list []submitted) error {
	specs := map[string]string{}
	var digests []string
	for _, w := range list {
		if _, seen := specs[w.request.Spec.Digest]; !seen {
			specs[w.request.Spec.Digest] = w.request.Spec.Text
			digests = append(digests, w.request.Spec.Digest)
		}
	}
	slices.Sort(digests)
	for _, digest := range digests {
		if _, err := s.exec(ctx, "INSERT INTO specs (digest, text) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING", digest, specs[digest]); err != nil {
			return err
		}
	}
	return nil
}

// insertRuns records the runs that are new, in the order of their identities,
// and finds the others.
func insertRuns(ctx context.Context, s session, list []submitted) error {
	var scheduled []*submitted
	for i := range list {
		w := &list[i]
		if !w.manual {
			scheduled = append(scheduled, w)
			continue
		}
		if err := insertManual(ctx, s, w); err != nil {
			return err
		}
	}
	slices.SortStableFunc(scheduled, func(a, b *submitted) int {
		return cmp.Or(strings.Compare(a.request.Spec.Workflow, b.request.Spec.Workflow), cmp.Compare(a.slot, b.slot), strings.Compare(a.request.Host, b.request.Host))
	})
	for chunk := range slices.Chunk(scheduled, insertChunk) {
		fresh, err := insertChunkOf(ctx, s, chunk)
		if err != nil {
			return err
		}
		var rest []*submitted
		for _, w := range chunk {
			if !fresh[w.id] {
				rest = append(rest, w)
			}
		}
		if err := findDuplicates(ctx, s, rest); err != nil {
			return err
		}
	}
	return nil
}

// insertManual moves a run's slot on until it is free.
func insertManual(ctx context.Context, s session, w *submitted) error {
	for range maxBumps {
		if w.slot%1_000_000 == 0 {
			w.slot++
		}
		fresh, err := insertChunkOf(ctx, s, []*submitted{w})
		if err != nil || fresh[w.id] {
			return err
		}
		w.slot++
	}
	return fmt.Errorf("no free slot within %d microseconds", maxBumps)
}

// insertChunkOf inserts the runs whose identity is free and returns their IDs.
func insertChunkOf(ctx context.Context, s session, chunk []*submitted) (map[runner.RunID]bool, error) {
	const columns = 21
	args := make([]any, 0, columns*len(chunk))
	for _, w := range chunk {
		finished := sql.NullInt64{Int64: w.queuedAt, Valid: w.request.State.Final()}
		args = append(args, w.id, w.request.Spec.Workflow, w.slot, w.request.Host, w.request.Trigger, w.request.Spec.Digest,
			w.params, w.jobs, bit(w.request.DryRun), cleanLine(w.request.By, maxShortText), w.request.State, w.request.Reason,
			"", "", "", 0, "", "", w.queuedAt, nil, finished)
	}
	rows := strings.TrimSuffix(strings.Repeat("("+marks(columns)+"), ", len(chunk)), ", ")
	query := `INSERT INTO runs (id, workflow, slot, host, trigger, spec, params, jobs, dry_run, requested_by, state, reason,
		message, owner, node, epoch, canceled_by, reopened_by, queued_at, started_at, finished_at) VALUES ` + rows +
		` ON CONFLICT (workflow, slot, host) DO NOTHING RETURNING id`
	fresh := make(map[runner.RunID]bool, len(chunk))
	err := s.each(ctx, query, args, func(rows *sql.Rows) error {
		var id runner.RunID
		err := rows.Scan(&id)
		fresh[id] = true
		return err
	})
	return fresh, err
}

// findDuplicates looks up the runs that hold the identities of list.
func findDuplicates(ctx context.Context, s session, list []*submitted) error {
	if len(list) == 0 {
		return nil
	}
	args := make([]any, 0, 3*len(list))
	for _, w := range list {
		key := w.key()
		args = append(args, key[:]...)
	}
	where := strings.TrimSuffix(strings.Repeat("(workflow = ? AND slot = ? AND host = ?) OR ", len(list)), " OR ")
	found := make(map[[3]any]runner.RunID, len(list))
	err := s.each(ctx, "SELECT id, workflow, slot, host FROM runs WHERE "+where, args, func(rows *sql.Rows) error {
		var id runner.RunID
		var workflow, host string
		var slot int64
		err := rows.Scan(&id, &workflow, &slot, &host)
		found[[3]any{workflow, slot, host}] = id
		return err
	})
	if err != nil {
		return err
	}
	for _, w := range list {
		id, ok := found[w.key()]
		if !ok {
			return fmt.Errorf("%w: the run of %s that was in the way is gone", runner.ErrUnavailable, w.request.Spec.Workflow)
		}
		w.id, w.duplicate = id, true
	}
	return nil
}
