package pgbackup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
	"github.com/ghosteam/upkeep/storage/object"
)

// Check tells whether the servers answer, a client fits them and the stores can
// be written to.
func (j *Job) Check(ctx context.Context, env *jobs.Env) error {
	_, err := j.plan(ctx, env)
	return errors.Join(err, j.publisher.Check(ctx))
}

// Run dumps, stores and proves the databases.
func (j *Job) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	if err := context.Cause(ctx); err != nil {
		return jobs.Result{}, fmt.Errorf("back up %s: %w", strings.Join(j.options.Database, ", "), err)
	}
	p, err := j.plan(ctx, env)
	if err != nil {
		return jobs.Result{}, err
	}
	if err := j.publisher.RequireRoom(ctx, env, p.bytes, j.options.MinFree.Bytes()); err != nil {
		return jobs.Result{Findings: p.findings}, err
	}
	what := fmt.Sprintf("a backup of %s (%s)", p.names(), artifact.Bytes(p.bytes))
	if env.DryRun() {
		_, err := j.publisher.Publish(ctx, env, artifact.Work{What: what})
		return jobs.Result{
			Summary:  fmt.Sprintf("would back up %s, %s in %s", p.names(), artifact.Bytes(p.bytes), j.publisher.Names()),
			Values:   map[string]float64{"database_bytes": float64(p.bytes), "databases": float64(len(p.sources))},
			Findings: p.findings,
		}, err
	}
	r := &run{job: j, env: env, plan: p}
	outcome, err := j.publisher.Publish(ctx, env, artifact.Work{
		What:    what,
		Produce: r.produce,
		Prove: func(ctx context.Context, a *object.Artifact, keys crypt.Keys) error {
			return verify(ctx, env, a, keys, j.options.Client.String())
		},
		Driller: artifacts{},
		Drill:   j.Drill(),
	})
	result := jobs.Result{Values: r.values(), Findings: append(p.findings, r.findings...)}
	outcome.Describe(&result, r.bytes)
	result.Summary = fmt.Sprintf("%s in %s of %s, %s", artifact.Count(r.rows, "row"), artifact.Count(r.tables, "table"), p.names(), outcome.Sentence(r.bytes))
	if len(outcome.Copies) == 0 {
		result.Summary = fmt.Sprintf("no store has a copy of %s", p.names())
	}
	return result, err
}

// names lists the databases for a sentence.
func (p *plan) names() string {
	const most = 4
	var names []string
	for i, s := range p.sources {
		if i == most && len(p.sources) > most+1 {
			return strings.Join(names, ", ") + fmt.Sprintf(" and %d more databases", len(p.sources)-most)
		}
		names = append(names, jobs.OneLine(s.name))
	}
	return strings.Join(names, ", ")
}

// run is one run on its way.
type run struct {
	job      *Job
	env      *jobs.Env
	plan     *plan
	details  Details
	findings []jobs.Finding

	bytes  int64 // plain bytes of all streams
	rows   int64
	tables int
	took   time.Duration
}

// produce writes the streams of the artifact: the databases first, because the
// first stream is the main one, and the globals of each server.
func (r *run) produce(ctx context.Context, w *artifact.Writer) (artifact.Note, error) {
	j := r.job
	r.details = Details{
		Format: formatCustom, Client: r.plan.client.Version, ClientMajor: r.plan.client.Major, ClientDir: r.plan.client.Dir,
		Filters: j.options.filters(),
	}
	if j.options.Jobs > 1 {
		r.details.Format = formatDirectory
	}
	began := time.Now()
	for _, s := range r.plan.sources {
		if err := r.dump(ctx, w, s); err != nil {
			return artifact.Note{}, pg.Advise(fmt.Errorf("dump database %s: %w", s.name, err))
		}
	}
	r.took = time.Since(began)
	if j.options.Globals {
		for i, s := range r.plan.servers() {
			if err := r.dumpGlobals(ctx, w, s, i); err != nil {
				return artifact.Note{}, fmt.Errorf("dump roles and tablespaces of %s: %w", s.server.Name(), err)
			}
		}
	}
	odd, err := j.anomalies(ctx, r.values())
	if err != nil {
		return artifact.Note{}, err
	}
	r.findings = append(r.findings, odd...)
	return artifact.Note{Details: r.details, Suspect: suspicion(odd)}, nil
}

// filters are the arguments of pg_dump that leave something out.
func (o *Options) filters() []string {
	var out []string
	for _, f := range []struct {
		flag     string
		patterns []string
	}{
		{"--schema=", o.Schemas},
		{"--exclude-schema=", o.ExcludeSchemas},
		{"--table=", o.Tables},
		{"--exclude-table=", o.ExcludeTables},
		{"--exclude-table-data=", o.ExcludeRows},
	} {
		for _, pattern := range f.patterns {
			out = append(out, f.flag+pattern)
		}
	}
	return out
}
