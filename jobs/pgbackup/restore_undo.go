package pgbackup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// Demands implements jobs.Demanding.
func (artifacts) Demands() []string {
	return []string{
		jobs.DemandReplace, jobs.DemandCreate, jobs.DemandDisconnect, jobs.DemandJobs, jobs.DemandGlobals, jobs.DemandNoOwner, jobs.DemandNoPrivileges,
	}
}

// Undo exchanges the configured database t.To and the one that the last restore
// with Replace put aside, in one transaction. Both keep what they hold.
func (artifacts) Undo(ctx context.Context, env *jobs.Env, t jobs.Target) (_ jobs.Restored, err error) {
	if database, err := t.Database(t.To); err != nil {
		return jobs.Restored{}, fmt.Errorf("%w: %w", jobs.ErrNothingReplaced, err)
	} else if database.Kind != jobs.Postgres {
		return jobs.Restored{}, fmt.Errorf("%w: database %s is of the kind %s", jobs.ErrNothingReplaced, t.To, database.Kind)
	}
	// An undone restore is one that replaces.
	t.Replace, t.Create = true, true
	p, err := openPlace(ctx, env, t)
	if err != nil {
		return jobs.Restored{}, err
	}
	defer func() { err = errors.Join(err, p.close(ctx)) }()
	r := &restore{env: env, target: t}
	if err := p.tidy(ctx, r); err != nil {
		return jobs.Restored{}, err
	}
	name, at, err := p.newestOld(ctx)
	if err != nil {
		return jobs.Restored{}, err
	}
	if name == "" {
		return jobs.Restored{}, fmt.Errorf("%w: there is no database %s…", jobs.ErrNothingReplaced, p.names.old)
	}
	exists := p.there != nil
	if exists {
		if err := p.undisturbed(ctx, r); err != nil {
			return jobs.Restored{}, err
		}
	}
	if err := p.leave(ctx); err != nil {
		return jobs.Restored{}, err
	}
	if err := p.exchange(ctx, name, exists); err != nil {
		return jobs.Restored{}, err
	}
	what := fmt.Sprintf("%s is again what it was until %s UTC", p.name, at.Format(time.DateTime))
	if exists {
		verb := "is"
		if env.DryRun() {
			verb = "would be"
		}
		what += fmt.Sprintf("; what was there %s kept as %s: the same command puts it back; when it is not needed any more, %s", verb, p.aside, dropHint(p.aside))
	}
	return jobs.Restored{Summary: what, Findings: r.findings}, nil
}

// newestOld finds the database that was put aside last; its name is empty when
// there is none.
func (p *place) newestOld(ctx context.Context) (name string, at time.Time, err error) {
	found, err := pg.Texts(ctx, p.admin, `SELECT datname::text FROM pg_database WHERE left(datname::text, length($1)) = $1`, p.names.old)
	if err != nil {
		return "", at, pg.Advise(fmt.Errorf("look for what was put aside: %w", err))
	}
	for _, f := range found {
		if t, ok := p.names.oldAt(f); ok && t.After(at) {
			name, at = f, t
		}
	}
	return name, at, nil
}
