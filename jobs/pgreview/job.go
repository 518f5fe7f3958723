package pgreview

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

const (
	// application is what the server shows its administrator.
	application = "upkeep pgreview"
	// oldest is the oldest version that is reviewed: 9.6.
	oldest = 90600
	// pastRuns is how many earlier runs are looked at.
	pastRuns = 200
)

// Check tells whether the server answers and is one that can be reviewed.
func (j *Job) Check(ctx context.Context, _ *jobs.Env) (err error) {
	conn, err := j.connect(ctx)
	if err != nil {
		return err
	}
	return conn.Hangup(ctx)
}

func (j *Job) connect(ctx context.Context) (*pg.Conn, error) {
	conn, err := connect(ctx, j.database, application)
	if err != nil {
		return nil, err
	}
	if conn.Server.Number < oldest {
		err := fmt.Errorf("the server is PostgreSQL %s, and reviews begin with 9.6", conn.Server.Version)
		return nil, errors.Join(err, conn.Hangup(ctx))
	}
	return conn, nil
}

// connect connects to a configured database.
func connect(ctx context.Context, db jobs.Database, application string) (*pg.Conn, error) {
	address, err := pg.ParseAddress(db.URL)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", db.Name, err)
	}
	conn, err := pg.Connect(ctx, address, application)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", db.Name, err)
	}
	return conn, nil
}

// Run asks every check.
func (j *Job) Run(ctx context.Context, env *jobs.Env) (_ jobs.Result, err error) {
	if err := context.Cause(ctx); err != nil {
		return jobs.Result{}, fmt.Errorf("review %s: %w", j.database.Name, err)
	}
	past, err := j.history.Past(ctx, pastRuns)
	if err != nil {
		return jobs.Result{}, fmt.Errorf("read earlier reviews: %w", err)
	}
	conn, err := j.connect(ctx)
	if err != nil {
		return jobs.Result{}, err
	}
	defer func() { err = errors.Join(err, conn.Hangup(ctx)) }()
	r := newReview(j.options, env, conn, past)
	if err := r.look(ctx); err != nil {
		return jobs.Result{}, j.ended(ctx, err)
	}
	env.Printf("PostgreSQL %s at %s, database %s%s", conn.Server.Version, conn.Server.Name(), jobs.OneLine(conn.Server.Database), standing(conn.Server))
	chosen := j.options.chosen()
	for i, c := range chosen {
		env.Progress(int64(i), int64(len(chosen)), "checks")
		if err := r.run(ctx, c); err != nil {
			return r.result(j.database.Name, len(chosen)), j.ended(ctx, err)
		}
	}
	env.Progress(int64(len(chosen)), int64(len(chosen)), "checks")
	r.printSuggestions()
	return r.result(j.database.Name, len(chosen)), nil
}

// ended names the reason why a review stopped.
func (j *Job) ended(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("review %s: %w", j.database.Name, err)
}

func standing(s pg.Server) string {
	if s.Standby {
		return ", a standby"
	}
	return ""
}

// chosen are the checks that the options leave, in their order.
func (o *Options) chosen() []check {
	return slices.DeleteFunc(checks(), func(c check) bool {
		return len(o.Checks) > 0 && !slices.Contains(o.Checks, c.name) || slices.Contains(o.Skip, c.name)
	})
}

// result is what the review has found so far.
func (r *review) result(database string, asked int) jobs.Result {
	r.values["findings"] = float64(len(r.findings))
	r.values["ignored"] = float64(r.ignored)
	r.values["checks"] = float64(asked)
	r.values["unseen"] = float64(len(r.unseen))
	r.remember()
	summary := jobs.Headline(slices.DeleteFunc(slices.Clone(r.findings), func(f jobs.Finding) bool { return strings.HasPrefix(f.ID, unseenPrefix) }))
	if summary == "" {
		summary = fmt.Sprintf("%s: %d checks, nothing to worry about", database, asked-len(r.unseen))
		if advice := len(r.findings) - len(r.unseen); advice > 0 {
			summary = fmt.Sprintf("%s: %d checks, nothing to worry about and %d pieces of advice", database, asked-len(r.unseen), advice)
		}
	}
	if len(r.unseen) > 0 {
		summary += "; could not see " + strings.Join(r.unseen, ", ")
	}
	return jobs.Result{Summary: jobs.OneLine(summary), Values: r.values, Outputs: r.outputs, Findings: r.findings}
}
