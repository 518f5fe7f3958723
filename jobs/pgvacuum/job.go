package pgvacuum

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// Check tells whether the servers answer, are primaries and can be asked what
// is due.
func (j *Job) Check(ctx context.Context, env *jobs.Env) error {
	_, err := j.plan(ctx, env)
	return err
}

// Run cares for the tables that are due.
func (j *Job) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	if err := context.Cause(ctx); err != nil {
		return jobs.Result{}, fmt.Errorf("vacuum %s: %w", strings.Join(j.options.Database, ", "), err)
	}
	r := &run{job: j, env: env, began: time.Now()}
	var err error
	if r.plan, err = j.plan(ctx, env); err != nil {
		return jobs.Result{}, causeOf(ctx, err)
	}
	r.announce()
	if env.DryRun() {
		return r.preview(ctx)
	}
	var errs []error
	for _, d := range r.plan {
		if err := r.care(ctx, d); err != nil {
			errs = append(errs, fmt.Errorf("vacuum database %s: %w", d.name, causeOf(ctx, err)))
		}
	}
	if len(errs) == 0 {
		errs = append(errs, r.shortcomings()...)
	}
	return r.result(), errors.Join(errs...)
}

// causeOf returns err, or why ctx ended when that is what err comes from.
func causeOf(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
}

// run is one run on its way.
type run struct {
	job     *Job
	env     *jobs.Env
	plan    []*database
	began   time.Time
	entries []entry
	// findings are what came up on the way.
	findings []jobs.Finding
	// done and total are bytes of tables, for progress.
	done, total int64
	// reported is when the output last said how far a statement is.
	reported time.Time
}

// announce writes what was found out before anything happens.
func (r *run) announce() {
	for _, d := range r.plan {
		r.env.Printf("database %s on %s, PostgreSQL %s: %d of %d tables are due", jobs.OneLine(d.name), d.server.Name(), d.server.Version,
			len(d.due)+len(d.denied), d.tables)
		for _, note := range d.notes {
			r.env.Printf("  %s", note)
		}
		for _, b := range d.blockers {
			r.env.Printf("  dead rows are held back by %s", jobs.OneLine(b.text(r.env)))
		}
		for _, w := range d.denied {
			r.env.Printf("  %s may not be vacuumed by %s; it belongs to %s", d.title(w.table), d.server.User, jobs.OneLine(w.table.Owner))
		}
		for _, w := range d.due {
			r.total += max(w.table.Bytes, 1)
		}
	}
}

// preview is a dry run.
func (r *run) preview(ctx context.Context) (jobs.Result, error) {
	due := 0
	for _, d := range r.plan {
		for _, w := range d.due {
			due++
			what := fmt.Sprintf("%s %s (score %.2f; %s; %s)", w.verb(), d.title(w.table), w.score, room(w.table.Bytes), strings.Join(w.reasons, "; "))
			if err := r.env.Effect(ctx, jobs.OneLine(what), nil); err != nil {
				return jobs.Result{}, err
			}
		}
	}
	result := r.result()
	result.Summary = fmt.Sprintf("would care for %s of %s", count(due, "table"), r.names())
	return result, errors.Join(r.nothingPermitted()...)
}

// over tells whether the time budget is over.
func (r *run) over() bool {
	budget := r.job.options.TimeBudget.Std()
	return budget > 0 && time.Since(r.began) >= budget
}

// cutoff is when the statement under way is canceled; zero for never.
func (r *run) cutoff() time.Time {
	budget := r.job.options.TimeBudget.Std()
	if budget == 0 {
		return time.Time{}
	}
	return r.began.Add(budget + r.job.options.Overrun.Std())
}

// care does what is due in one database.
func (r *run) care(ctx context.Context, d *database) (err error) {
	if len(d.due) == 0 {
		return nil
	}
	if err := context.Cause(ctx); err != nil {
		r.leave(d, d.due, "the run ended before its turn")
		return err
	}
	if r.over() {
		r.leave(d, d.due, "the time was over before its turn")
		return nil
	}
	s, err := r.job.openSession(ctx, r.env, d)
	if err != nil {
		r.leave(d, d.due, "the run ended before its turn")
		return err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	if slices.ContainsFunc(d.due, func(w work) bool { return w.full }) {
		if err := s.control.RefuseOwn(ctx, r.env, "VACUUM FULL"); err != nil {
			r.leave(d, d.due, "it is upkeep's own database")
			return err
		}
	}
	again, err := r.round(ctx, s, d, d.due, r.job.options.SkipLocked, false)
	if err == nil && len(again) > 0 {
		r.env.Printf("%s again, which somebody had locked", count(len(again), "table"))
		_, err = r.round(ctx, s, d, again, false, true)
	}
	if err != nil {
		return err
	}
	if err := r.databaseStatistics(ctx, s, d); err != nil {
		return err
	}
	return r.explain(ctx, s, d)
}

// round goes through the work in its order and returns what was locked; in the
// last round that is an outcome like any other.
func (r *run) round(ctx context.Context, s *session, d *database, queue []work, skip, last bool) (again []work, err error) {
	for i, w := range queue {
		if r.over() {
			r.leave(d, queue[i:], "the time was over before its turn")
			break
		}
		e, err := r.treat(ctx, s, d, w, skip)
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil && e.outcome == done && e.after.OID == 0 {
			e.outcome, e.note = left, "cut short"
		}
		if e.outcome == locked && !last && err == nil {
			r.say(e)
			again = append(again, e.work)
			continue
		}
		r.keep(e)
		if err != nil {
			r.leave(d, queue[i+1:], "the run ended before its turn")
			r.leave(d, again, "it was locked, and the run ended before its second turn")
			return nil, err
		}
	}
	if r.over() && !last {
		r.leave(d, again, "it was locked, and the time was over before its second turn")
		again = nil
	}
	return again, nil
}

// keep records what became of a table.
func (r *run) keep(e entry) {
	r.say(e)
	r.entries = append(r.entries, e)
	r.done += max(e.work.table.Bytes, 1)
	r.env.Progress(min(r.done, r.total), r.total, "bytes")
}

// leave records work that was not done.
func (r *run) leave(d *database, queue []work, why string) {
	for _, w := range queue {
		r.keep(entry{database: d, work: w, outcome: left, note: why})
	}
}

// saidTime is how often the output says how far a long statement is.
const saidTime = 30 * time.Second

// looker shows how a statement stands.
func (r *run) looker(s *session, d *database, w work) func(glance) {
	began, said := time.Now(), ""
	r.reported = began
	return func(g glance) {
		bytes := int64(g.share() * float64(w.table.Bytes))
		r.env.Progress(min(r.done+bytes, r.total), r.total, "bytes")
		if who, _, _ := strings.Cut(g.Blocker, ","); who != "" && who != said { // the rest changes with the time
			said = who
			r.env.Printf("%s waits for a lock that %s holds", d.title(w.table), s.env.OneLine(g.Blocker))
		}
		if g.Phase != "" && time.Since(r.reported) >= saidTime {
			r.reported = time.Now()
			r.env.Printf("%s: %s, %.0f %% read, %s", d.title(w.table), g.Phase, 100*g.share(), time.Since(began).Round(time.Second))
		}
	}
}

// databaseStatistics lets the server note the oldest transaction of the whole
// database, which statements with SKIP_DATABASE_STATS leave to us.
func (r *run) databaseStatistics(ctx context.Context, s *session, d *database) error {
	vacuumed := false
	for _, e := range r.entries {
		vacuumed = vacuumed || e.database == d && e.outcome == done && (e.work.vacuum || e.work.toast)
	}
	if !vacuumed || d.server.Major < 16 {
		return nil
	}
	return r.env.Effect(ctx, "note the oldest transaction of database "+jobs.OneLine(d.name), func(ctx context.Context) error {
		seen, err := s.execute(ctx, "VACUUM (ONLY_DATABASE_STATS)", time.Time{}, func(glance) {})
		if seen.stopped != nil {
			return seen.stopped
		}
		return pg.Advise(err)
	})
}
