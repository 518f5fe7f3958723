package pgindex

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// Check tells whether the server is a primary that answers, and whether the
// definitions are right and agree with what is there.
func (j *Job) Check(ctx context.Context, env *jobs.Env) (err error) {
	c, err := j.connect(ctx, env, controlName)
	if err != nil {
		return fmt.Errorf("database %s: %w", j.database.Name, err)
	}
	defer func() { err = errors.Join(err, c.Hangup(ctx)) }()
	_, err = j.surveys(ctx, c)
	return err
}

// surveys finds what is there of all indexes of the configuration.
func (j *Job) surveys(ctx context.Context, c *pg.Conn) ([]wanted, error) {
	var all []wanted
	var errs []error
	for _, x := range j.options.Indexes {
		w, err := j.survey(ctx, c, x)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		all, errs = append(all, w), append(errs, err)
	}
	return all, errors.Join(errs...)
}

// run is one run on its way.
type run struct {
	job     *Job
	env     *jobs.Env
	session *session
	began   time.Time

	built, rebuilt, dropped, there, skipped int
	bytes                                   int64
	findings                                []jobs.Finding
	// said is whom the output last said that a build waits for.
	said string
}

// Run builds what is missing, then what reindex chose.
func (j *Job) Run(ctx context.Context, env *jobs.Env) (_ jobs.Result, err error) {
	r := &run{job: j, env: env, began: time.Now()}
	defer func() {
		if err != nil {
			if ctx.Err() != nil && !errors.Is(err, context.Cause(ctx)) {
				err = errors.Join(context.Cause(ctx), err)
			}
			err = pg.Advise(fmt.Errorf("indexes of database %s: %w", j.database.Name, err))
		}
	}()
	if err := context.Cause(ctx); err != nil {
		return jobs.Result{}, err
	}
	if r.session, err = j.open(ctx, env); err != nil {
		return jobs.Result{}, err
	}
	defer func() { err = errors.Join(err, r.session.close(ctx)) }()
	all, err := j.surveys(ctx, r.session.control)
	if err != nil {
		return jobs.Result{}, err
	}
	chosen, err := j.choose(ctx, r.session.control)
	if err != nil {
		return jobs.Result{}, err
	}
	if len(chosen) > 0 && r.session.control.Server.Number < 120000 {
		return jobs.Result{}, refused("reindex", "PostgreSQL %s cannot rebuild indexes concurrently; that begins with 12", r.session.control.Server.Version)
	}
	if len(chosen) > 0 {
		if err := r.session.control.RefuseOwn(ctx, env, "to rebuild indexes"); err != nil {
			return jobs.Result{}, err
		}
	}
	var errs []error
	for _, w := range all {
		errs = append(errs, r.provide(ctx, w))
		if ctx.Err() != nil || r.session.broken() {
			return r.result(), errors.Join(errs...)
		}
	}
	errs = append(errs, r.reindex(ctx, chosen))
	return r.result(), errors.Join(errs...)
}

// broken tells that a connection is gone, and nothing more can be done.
func (s *session) broken() bool { return s.work.IsClosed() || s.control.IsClosed() }

// provide builds an index of the configuration unless it is there.
func (r *run) provide(ctx context.Context, w wanted) error {
	if w.there != nil && w.there.Valid {
		r.there++
		r.env.Printf("%s is there (%s)", w.title(), size(w.there.Bytes))
		if w.leftover != nil {
			return r.drop(ctx, *w.leftover, "which an interrupted run left")
		}
		return nil
	}
	if w.there != nil {
		if err := r.drop(ctx, *w.there, "which is not valid"); err != nil {
			return err
		}
	}
	if l := w.leftover; l != nil {
		if l.Valid && l.TableOID == w.table.OID && tail(l.Definition) == w.definition {
			return r.finish(ctx, w)
		}
		if err := r.drop(ctx, *l, "which an interrupted run left"); err != nil {
			return err
		}
	}
	if err := r.requireRoom(ctx, w.title(), w.table.Bytes); err != nil {
		return err
	}
	what := fmt.Sprintf("create index %s: %s", w.title(), w.sql())
	err := r.effect(ctx, what, func(ctx context.Context) error {
		return r.locked(ctx, w.table, func(ctx context.Context) error { return r.create(ctx, w) })
	})
	if err != nil {
		return fmt.Errorf("create index %s: %w", w.title(), err)
	}
	r.built++
	return nil
}

// create builds an index under the name that marks it as ours, and renames it.
// It begins with dropping what a try before could not drop, since the server
// would take that for the index.
func (r *run) create(ctx context.Context, w wanted) error {
	if err := r.discard(ctx, w); err != nil {
		return err
	}
	if err := r.session.exec(ctx, w.sql(), r.watch(w.title())); err != nil {
		r.env.Printf("%s could not be built: %s", w.title(), r.env.OneLine(err.Error()))
		return errors.Join(err, r.discard(ctx, w))
	}
	return r.rename(ctx, w)
}

// effect is env.Effect with a description on one line.
func (r *run) effect(ctx context.Context, what string, do func(context.Context) error) error {
	return r.env.Effect(ctx, r.env.OneLine(what), do)
}

// finish gives an index that was built before its name.
func (r *run) finish(ctx context.Context, w wanted) error {
	err := r.effect(ctx, fmt.Sprintf("give index %s its name, which an interrupted run has built", w.title()), func(ctx context.Context) error {
		return r.locked(ctx, w.table, func(ctx context.Context) error { return r.rename(ctx, w) })
	})
	if err != nil {
		return fmt.Errorf("name index %s: %w", w.title(), err)
	}
	r.built++
	return nil
}

// rename gives a valid index its own name.
func (r *run) rename(ctx context.Context, w wanted) error {
	found, err := presentIndexes(ctx, r.session.control, "n.nspname = $1 AND c.relname = $2 AND t.oid = $3::int8", w.table.Schema, marked(w.Name), w.table.OID)
	if err != nil {
		return err
	}
	if len(found) != 1 || !found[0].Valid {
		return errors.New("the server built it, but it is not valid")
	}
	statement := "ALTER INDEX " + pg.Name(w.table.Schema, marked(w.Name)) + " RENAME TO " + pg.Name(w.Name)
	if err := r.session.exec(ctx, statement, r.watch(w.title())); err != nil {
		return fmt.Errorf("give it its name: %w", err)
	}
	r.bytes += found[0].Bytes
	r.env.Printf("%s is built (%s)", w.title(), size(found[0].Bytes))
	return nil
}

// discard drops what a failed build left. When the run is to end it stays for
// the next one.
func (r *run) discard(ctx context.Context, w wanted) error {
	if ctx.Err() != nil || r.session.broken() {
		return nil
	}
	found, err := presentIndexes(ctx, r.session.control, "n.nspname = $1 AND c.relname = $2", w.table.Schema, marked(w.Name))
	if err != nil || len(found) == 0 {
		return err
	}
	if err := r.session.exec(ctx, "DROP INDEX CONCURRENTLY "+pg.Name(w.table.Schema, marked(w.Name)), r.watch(w.title())); err != nil {
		return fmt.Errorf("drop what a build left: %w", err)
	}
	return nil
}

// drop removes an index.
func (r *run) drop(ctx context.Context, p present, why string) error {
	title := jobs.OneLine(p.Schema + "." + p.Name)
	statement := "DROP INDEX CONCURRENTLY " + pg.Name(p.Schema, p.Name)
	err := r.effect(ctx, fmt.Sprintf("drop index %s, %s: %s", title, why, statement), func(ctx context.Context) error {
		return r.locked(ctx, table{Schema: p.Schema, Name: p.Table}, func(ctx context.Context) error {
			return r.session.exec(ctx, statement, r.watch(title))
		})
	})
	if err != nil {
		return fmt.Errorf("drop index %s: %w", title, err)
	}
	r.dropped++
	return nil
}

// reindex does what the rules chose, as far as max allows.
func (r *run) reindex(ctx context.Context, chosen []rebuilt) error {
	most := r.job.options.Reindex.Max
	var errs []error
	for i, x := range chosen {
		title := jobs.OneLine(x.Schema + "." + x.Name)
		if i >= most {
			r.skipped += len(chosen) - i
			r.findings = append(r.findings, jobs.Finding{ID: "reindex:max", Severity: jobs.Info, Text: fmt.Sprintf("%d more indexes wait for the next run (max: %d)", len(chosen)-i, most)})
			break
		}
		if !x.Owned {
			r.skipped++
			r.findings = append(r.findings, jobs.Finding{ID: objectID("reindex", x.Schema, x.Name), Severity: jobs.Warning, Text: r.env.OneLine(fmt.Sprintf("%s, %s, belongs to another role and was left", title, x.why))})
			continue
		}
		err := r.anew(ctx, x, title)
		if _, is := errors.AsType[*jobs.RefusedError](err); err != nil && !is && ctx.Err() == nil && !r.session.broken() {
			r.findings = append(r.findings, jobs.Finding{ID: objectID("reindex", x.Schema, x.Name), Severity: jobs.Warning, Text: r.env.OneLine(fmt.Sprintf("%s, %s, was not rebuilt: %v", title, x.why, err))})
		}
		if errs = append(errs, err); err != nil && (ctx.Err() != nil || r.session.broken()) {
			break
		}
	}
	return errors.Join(errs...)
}

// anew rebuilds one index, or drops it when it is a leftover.
func (r *run) anew(ctx context.Context, x rebuilt, title string) error {
	if x.leftover {
		return r.drop(ctx, x.present, "which an interrupted REINDEX CONCURRENTLY left")
	}
	if err := r.requireRoom(ctx, title, x.Bytes); err != nil {
		return err
	}
	statement := "REINDEX INDEX CONCURRENTLY " + pg.Name(x.Schema, x.Name)
	err := r.effect(ctx, fmt.Sprintf("rebuild index %s, because %s (%s): %s", title, x.why, size(x.Bytes), statement), func(ctx context.Context) error {
		return r.locked(ctx, table{Schema: x.Schema, Name: x.Table}, func(ctx context.Context) error {
			return r.session.exec(ctx, statement, r.watch(title))
		})
	})
	if err != nil {
		return fmt.Errorf("rebuild index %s: %w", title, err)
	}
	r.rebuilt++
	return nil
}

// result says what was done.
func (r *run) result() jobs.Result {
	var parts []string
	add := func(n int, format string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf(format, n))
		}
	}
	would := ""
	if r.env.DryRun() {
		would = "would have "
	}
	add(r.built, would+"built %d")
	add(r.rebuilt, would+"rebuilt %d")
	add(r.dropped, would+"dropped %d that were left over or not valid")
	add(r.there, "%d are there")
	add(r.skipped, "%d left for later")
	summary := strings.Join(parts, ", ")
	if summary == "" {
		summary = "nothing to do"
	}
	return jobs.Result{
		Summary: "indexes of " + r.job.database.Name + ": " + summary,
		Values: map[string]float64{
			"indexes": float64(r.there + r.built), "built": float64(r.built), "rebuilt": float64(r.rebuilt), "dropped": float64(r.dropped),
			"skipped": float64(r.skipped), "index_bytes": float64(r.bytes), "build_seconds": math.Round(time.Since(r.began).Seconds()*1000) / 1000,
		},
		Findings: r.findings,
	}
}

func size(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }
