package mlflow

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
)

const (
	// page is how many runs or experiments are asked for at once.
	page = 1000
	// batch is how many experiments one search of runs may name.
	batch = 100
	// longestRun is how long a run that failed lately may have been under way:
	// the search goes by when runs began.
	longestRun = 30 * 24 * time.Hour
	// folders bounds how many folders of artifacts are listed in one run.
	folders = 2000
)

// experiments asks about runs. Its error is a fault of the server.
func (s *survey) experiments(ctx context.Context) error {
	ids, names, err := s.chosen(ctx)
	if err != nil {
		return s.unanswered("experiments", err)
	}
	s.report.Values["experiments"] = float64(len(ids))
	if len(ids) == 0 {
		return nil
	}
	if err := s.failed(ctx, ids, names); err != nil {
		return err
	}
	if err := s.stale(ctx, ids, names); err != nil {
		return err
	}
	return s.deleted(ctx, ids)
}

// chosen returns the IDs of the experiments of the options, and their names.
func (s *survey) chosen(ctx context.Context) (ids []string, names map[string]string, err error) {
	names = map[string]string{}
	if slices.Contains(s.options.Runs.Names, "*") {
		all, err := s.allExperiments(ctx)
		if err != nil {
			return nil, nil, err
		}
		for _, e := range all {
			if e.Lifecycle != deleted {
				ids, names[e.ID] = append(ids, e.ID), e.Name
			}
		}
		return ids, names, nil
	}
	for _, name := range s.options.Runs.Names {
		var answer struct {
			Experiment experiment `json:"experiment"`
		}
		err := s.client.get(ctx, "experiments/get-by-name", url.Values{"experiment_name": {name}}, &answer)
		switch e := answer.Experiment; {
		case err != nil && isMissing(err):
			s.report.Add("experiment:"+name+":missing", jobs.Warning, "there is no experiment %q", name)
		case err != nil:
			return nil, nil, err
		case e.Lifecycle == deleted:
			s.report.Add("experiment:"+name+":missing", jobs.Warning, "the experiment %q is deleted", name)
		default:
			ids, names[e.ID] = append(ids, e.ID), e.Name
		}
	}
	return ids, names, nil
}

func (s *survey) allExperiments(ctx context.Context) ([]experiment, error) {
	var all []experiment
	token := ""
	for {
		var answer struct {
			Experiments []experiment `json:"experiments"`
			Next        string       `json:"next_page_token"`
		}
		body := map[string]any{"max_results": page, "view_type": "ACTIVE_ONLY"}
		if token != "" {
			body["page_token"] = token
		}
		if err := s.client.post(ctx, "experiments/search", body, &answer); err != nil {
			return nil, err
		}
		all = append(all, answer.Experiments...)
		if answer.Next == "" || answer.Next == token || len(all) > s.options.Runs.MaxRuns {
			return all, nil
		}
		token = answer.Next
	}
}

// searching is one search of runs.
type searching struct {
	view, filter string
	// begun bounds when the runs began; zero for no bound. Servers that cannot
	// compare it are asked without.
	begun time.Time
}

// runs searches runs, newest first, and gives each to see. more tells that there
// are more than the options allow to look at.
func (s *survey) runs(ctx context.Context, ids []string, q searching, see func(oneRun)) (more bool, err error) {
	seen := 0
	for chunk := range slices.Chunk(ids, batch) {
		token := ""
		for {
			answer, err := s.runPage(ctx, chunk, &q, token)
			if err != nil {
				return false, err
			}
			for _, r := range answer.Runs {
				if seen++; seen > s.options.Runs.MaxRuns {
					return true, nil
				}
				see(r)
			}
			if answer.Next == "" || answer.Next == token {
				break
			}
			token = answer.Next
		}
	}
	return false, nil
}

// runAnswer is one page of runs.
type runAnswer struct {
	Runs []oneRun `json:"runs"`
	Next string   `json:"next_page_token"`
}

// runPage asks for one page. It takes the bound out of q when the server cannot
// compare it, because a token is good for the same question only.
func (s *survey) runPage(ctx context.Context, ids []string, q *searching, token string) (runAnswer, error) {
	var answer runAnswer
	filters := slices.DeleteFunc([]string{q.filter, ""}, func(f string) bool { return f == "" })
	if !q.begun.IsZero() {
		filters = append(filters, fmt.Sprintf("attributes.start_time > %d", q.begun.UnixMilli()))
	}
	body := map[string]any{
		"experiment_ids": ids, "run_view_type": q.view, "max_results": page,
		"filter": strings.Join(filters, " and "), "order_by": []string{"attributes.start_time DESC"},
	}
	if token != "" {
		body["page_token"] = token
	}
	err := s.client.post(ctx, "runs/search", body, &answer)
	if err != nil && !isFault(err) && !isRefused(err) && !isUnknownEndpoint(err) && !q.begun.IsZero() && token == "" {
		q.begun = time.Time{}
		return s.runPage(ctx, ids, q, token)
	}
	return answer, err
}

// failed counts runs that failed lately.
func (s *survey) failed(ctx context.Context, ids []string, names map[string]string) error {
	o := s.options.Runs
	since := s.now.Add(-o.FailedWithin.Std())
	count, last := 0, oneRun{}
	// A run that is KILLED was ended by somebody who wanted it.
	q := searching{view: "ACTIVE_ONLY", filter: "attributes.status = 'FAILED'", begun: since.Add(-longestRun)}
	more, err := s.runs(ctx, ids, q, func(r oneRun) {
		if ended(r).Before(since) {
			return
		}
		if count++; count == 1 || ended(r).After(ended(last)) {
			last = r
		}
	})
	if err != nil {
		return s.unanswered("failed_runs", err)
	}
	s.report.Values["failed_runs"] = float64(count)
	s.partly("failed_runs", more)
	severity := jobs.Severity("")
	switch {
	case o.FailedCrit > 0 && count >= o.FailedCrit:
		severity = jobs.Critical
	case o.FailedWarn > 0 && count >= o.FailedWarn:
		severity = jobs.Warning
	default:
		return nil
	}
	s.report.Add("runs:failed", severity, "%d runs failed within %s, the last one %s", count, o.FailedWithin, describeRun(last, names))
	return nil
}

// ended is when a run ended, or began when it does not say.
func ended(r oneRun) time.Time {
	if at := r.Info.End.instant(); !at.IsZero() {
		return at
	}
	return r.Info.Start.instant()
}

func describeRun(r oneRun, names map[string]string) string {
	text := r.id()
	if r.Info.Name != "" {
		text = fmt.Sprintf("%q (%s)", r.Info.Name, text)
	}
	return text + " of experiment " + names[r.Info.Experiment]
}

// partly notes that more runs exist than were looked at.
func (s *survey) partly(what string, more bool) {
	if more {
		s.report.Unseen(what, jobs.Warning, fmt.Sprintf("there are more than %d runs (max_runs), and the rest was not looked at", s.options.Runs.MaxRuns))
	}
}

// stale looks for runs that are RUNNING for too long.
func (s *survey) stale(ctx context.Context, ids []string, names map[string]string) error {
	limit := s.options.Runs.StaleAfter
	under, late, oldest := 0, 0, oneRun{}
	more, err := s.runs(ctx, ids, searching{view: "ACTIVE_ONLY", filter: "attributes.status = 'RUNNING'"}, func(r oneRun) {
		under++
		begun := r.Info.Start.instant()
		if begun.IsZero() {
			return
		}
		if oldest.id() == "" || begun.Before(oldest.Info.Start.instant()) {
			oldest = r
		}
		if limit > 0 && s.now.Sub(begun) > limit.Std() {
			late++
		}
	})
	if err != nil {
		return s.unanswered("running_runs", err)
	}
	s.report.Values["running_runs"], s.report.Values["stale_runs"] = float64(under), float64(late)
	s.partly("running_runs", more)
	if oldest.id() != "" {
		s.report.Values["oldest_running_seconds"] = max(0, s.now.Sub(oldest.Info.Start.instant()).Round(time.Second).Seconds())
	}
	if late > 0 {
		s.report.Add("runs:stale", jobs.Warning, "%d runs are RUNNING for more than %s, the longest %s for %s; a program that died does not end its run",
			late, limit, describeRun(oldest, names), long(s.now.Sub(oldest.Info.Start.instant())))
	}
	return nil
}

// deleted counts deleted runs and, when asked to, adds up their artifacts.
func (s *survey) deleted(ctx context.Context, ids []string) error {
	var gone []string
	more, err := s.runs(ctx, ids, searching{view: "DELETED_ONLY"}, func(r oneRun) { gone = append(gone, r.id()) })
	if err != nil {
		return s.unanswered("deleted_runs", err)
	}
	s.report.Values["deleted_runs"] = float64(len(gone))
	s.partly("deleted_runs", more)
	if !s.options.Runs.DeletedSize {
		return nil
	}
	w := &weighing{survey: s, left: folders}
	for i, id := range gone {
		s.env.Progress(int64(i), int64(len(gone)), "deleted runs")
		if err := w.folder(ctx, id, "", 0); err != nil {
			if isFault(err) {
				return err
			}
			w.blind++
		}
	}
	s.report.Values["deleted_bytes"] = w.bytes
	if w.blind > 0 || w.cut {
		s.report.Unseen("deleted_bytes", jobs.Info, fmt.Sprintf("the artifacts of %d runs could not be listed, and at most %d folders are: the sum is too small", w.blind, folders))
	}
	if limit := s.options.Runs.DeletedWarn; limit > 0 && w.bytes > float64(limit) {
		s.report.Add("runs:deleted", jobs.Warning, "%d deleted runs still take %s, limit %s; `mlflow gc` gives it back", len(gone), humanize.IBytes(uint64(w.bytes)), limit)
	}
	return nil
}

// weighing adds up the artifacts of runs.
type weighing struct {
	survey *survey
	// left is how many folders may still be listed; cut tells that it ran out.
	left  int
	cut   bool
	bytes float64
	blind int
}

// deepest bounds how deep folders are followed.
const deepest = 30

func (w *weighing) folder(ctx context.Context, run, path string, depth int) error {
	token := ""
	for {
		if w.left--; w.left < 0 || depth > deepest {
			w.cut = true
			return nil
		}
		var answer struct {
			Files []artifact `json:"files"`
			Next  string     `json:"next_page_token"`
		}
		query := url.Values{"run_id": {run}}
		if path != "" {
			query.Set("path", path)
		}
		if token != "" {
			query.Set("page_token", token)
		}
		if err := w.survey.client.get(ctx, "artifacts/list", query, &answer); err != nil {
			return err
		}
		if err := w.entries(ctx, run, path, depth, answer.Files); err != nil {
			return err
		}
		if answer.Next == "" || answer.Next == token {
			return nil
		}
		token = answer.Next
	}
}

// entries adds up what stands in one folder.
func (w *weighing) entries(ctx context.Context, run, path string, depth int, all []artifact) error {
	for _, f := range all {
		switch {
		case !f.IsDir && f.Size > 0 && f.Size < 1<<60:
			w.bytes += float64(f.Size)
		case !f.IsDir || f.Path == path || !strings.HasPrefix(f.Path, path):
			// A folder that is not below could lead around in circles.
		default:
			if err := w.folder(ctx, run, f.Path, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
