package pgbackup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// beside fills a new database and then gives it the name of the target. Until
// that instant the target is as it was, and whatever fails, the new database is
// dropped; what dies before it can do so is found by the next restore.
func (p *place) beside(ctx context.Context, r *restore, what string) (err error) {
	r.conn = p.admin
	if p.there != nil {
		r.conn = p.there
	}
	if err := p.globals(ctx, r); err != nil {
		return err
	}
	like, err := p.fitting(ctx, r)
	if err != nil {
		return err
	}
	if err := p.leave(ctx); err != nil {
		return err
	}
	if r.lays() {
		defer func() { err = errors.Join(err, r.discard()) }()
		if err := p.env.Effect(ctx, "fetch and prove the dump of "+r.database.Name, r.fetch); err != nil {
			return err
		}
	}
	p.fresh = p.names.fresh + p.id
	if err := p.make(ctx, like); err != nil {
		return errors.Join(err, p.drop(ctx))
	}
	err = p.env.Effect(ctx, fmt.Sprintf("restore %s into %s on %s, then count and ANALYZE (%s)", what, p.fresh, p.server().Name(), r.how()), func(ctx context.Context) error {
		return p.fillFresh(ctx, r)
	})
	if err == nil {
		err = p.dress(ctx, r, like)
	}
	if err == nil {
		last := []string{commentStatement(p.name, like.comment).text}
		if like.template { // as one it could not be dropped after a failure
			last = append(last, fmt.Sprintf("ALTER DATABASE %s IS_TEMPLATE true", pg.Name(p.name)))
		}
		err = p.exchange(ctx, p.fresh, like.exists, last...)
	}
	if err != nil {
		return errors.Join(err, p.drop(ctx))
	}
	return nil
}

// fitting refuses what cannot work, and returns what the new database has to be
// like: the old one, or the one that was saved.
func (p *place) fitting(ctx context.Context, r *restore) (likeness, error) {
	checks := []func(context.Context) error{r.serves, r.available, r.space}
	if p.there != nil {
		checks = append(checks, r.locale)
	}
	for _, check := range checks {
		if err := check(ctx); err != nil {
			return likeness{}, err
		}
	}
	if err := r.room(); err != nil {
		return likeness{}, err
	}
	var like likeness
	var err error
	if p.there == nil {
		like, err = p.asSaved(ctx, r)
	} else {
		like, err = p.asOld(ctx)
	}
	if err == nil {
		err = p.mayReplace(ctx, like)
	}
	if err == nil && like.exists {
		err = p.undisturbed(ctx, r)
	}
	return like, err
}

// mayReplace refuses users that could not do it in the end.
func (p *place) mayReplace(ctx context.Context, like likeness) error {
	var creates, owns bool
	err := p.admin.QueryRow(ctx, `SELECT rolcreatedb OR rolsuper, rolsuper OR coalesce((SELECT pg_has_role(oid, 'USAGE') FROM pg_roles WHERE rolname = $1), true) FROM pg_roles WHERE rolname = current_user`, like.owner).
		Scan(&creates, &owns)
	switch {
	case err != nil:
		return pg.Advise(fmt.Errorf("ask what the user may do: %w", err))
	case !creates:
		return jobs.WithHint(&jobs.RefusedError{Rail: "the user", Why: fmt.Sprintf("%s may not make databases", p.admin.Server.User)},
			"connect as a user with CREATEDB, or restore into an empty database")
	case !owns:
		return jobs.WithHint(&jobs.RefusedError{Rail: "the user", Why: fmt.Sprintf("%s is no member of %s, which owns the database", p.admin.Server.User, like.owner)},
			"connect as the owner of the database or a superuser")
	}
	return nil
}

// make makes the new database and marks it as ours.
func (p *place) make(ctx context.Context, like likeness) error {
	if err := p.do(ctx, p.admin, like.create(p.fresh, p.admin.Server.Major)); err != nil {
		return err
	}
	m := mark{Target: p.name, ID: p.id, Since: time.Now().UTC()}
	return p.do(ctx, p.admin, m.statement(p.fresh))
}

// fillFresh is the effect of filling the new database.
func (p *place) fillFresh(ctx context.Context, r *restore) (err error) {
	c, err := pg.Connect(ctx, p.address.WithDatabase(p.fresh), p.application())
	if err != nil {
		return err
	}
	r.conn = c
	defer func() {
		r.conn = nil
		if !c.IsClosed() {
			err = errors.Join(err, c.Hangup(ctx))
		}
	}()
	if _, err := pg.Texts(ctx, c, unlimited); err != nil {
		return fmt.Errorf("prepare the session: %w", err)
	}
	if err := c.QueryRow(ctx, `SELECT oid FROM pg_database WHERE datname = current_database()`).Scan(&p.identity); err != nil {
		return pg.Advise(fmt.Errorf("identify the new database: %w", err))
	}
	return r.fill(ctx)
}

// drop drops the new database after a failure, also when ctx has ended and the
// connection is lost.
func (p *place) drop(ctx context.Context) (err error) {
	if p.env.DryRun() {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	defer func() {
		if err != nil {
			err = fmt.Errorf("the unfinished database %s stays, until the next restore to %s drops it: %w", p.fresh, p.name, err)
		}
	}()
	if !p.admin.IsClosed() {
		// An administrator who ends our sessions, or a network that is cut, may
		// reach this connection a moment after the one that failed.
		if err := p.dropOver(ctx, p.admin); err == nil || !p.admin.IsClosed() {
			return err
		}
	}
	timed, cancel := context.WithTimeout(ctx, cleanupTime)
	defer cancel()
	c, err := connectBeside(timed, p.address, p.name, p.application())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Hangup(ctx)) }()
	return p.dropOver(timed, c)
}

// dropOver drops the new database over a connection.
func (p *place) dropOver(ctx context.Context, c *pg.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, cleanupTime)
	defer cancel()
	// Only under this name it is the unfinished one.
	comment, err := pg.Texts(ctx, c, `SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname = $1`, p.fresh)
	if err != nil || len(comment) == 0 {
		return err
	}
	if m, ok := readMark(&comment[0]); comment[0] != "" && (!ok || m.ID != p.id) {
		return errors.New("its comment is not ours any more")
	}
	force := ""
	if c.Server.Major >= 13 {
		force = " WITH (FORCE)" // what is left of pg_restore may still be at work
	}
	return p.do(ctx, c, plain("DROP DATABASE %s%s", pg.Name(p.fresh), force))
}

// exchange gives a database the name of the target, and that another name when
// it exists, in one transaction: whoever or whatever dies on the way, the server
// has done all of it or nothing. last are statements that belong to it.
func (p *place) exchange(ctx context.Context, in string, exists bool, last ...string) error {
	var all []string
	p.aside = ""
	if exists {
		_, newest, err := p.newestOld(ctx)
		if err != nil {
			return err
		}
		// The order of the names is the order in which they were put aside.
		at := time.Now().UTC()
		if next := newest.Add(time.Second); at.Before(next) {
			at = next
		}
		p.aside = p.names.old + at.Format(oldTime)
		all = append(all, fmt.Sprintf("ALTER DATABASE %s RENAME TO %s", pg.Name(p.name), pg.Name(p.aside)))
	}
	all = append(all, fmt.Sprintf("ALTER DATABASE %s RENAME TO %s", pg.Name(in), pg.Name(p.name)))
	all = append(all, last...)
	what := "run " + plain("BEGIN; %s; COMMIT", strings.Join(all, "; ")).shown()
	return p.env.Effect(ctx, what, func(ctx context.Context) error {
		var involved []string
		if exists {
			involved = append(involved, p.name)
		}
		if in != p.fresh { // in which there is nobody but we
			involved = append(involved, in)
		}
		for _, name := range involved {
			if err := p.emptied(ctx, name); err != nil {
				return err
			}
		}
		stop, err := p.keepOut(ctx, involved)
		if err != nil {
			return err
		}
		err = p.atomically(ctx, all)
		if stopped := stop(); err != nil {
			err = errors.Join(err, stopped)
		}
		if pg.Code(err) == codeInUse {
			for _, name := range involved {
				who, lookErr := p.sessions(ctx, name)
				if lookErr != nil || len(who) > 0 {
					return errors.Join(inUse(name, who, p.target.Disconnect), lookErr)
				}
			}
		}
		return err
	})
}

// atomically runs statements in one transaction.
func (p *place) atomically(ctx context.Context, all []string) error {
	tx, err := p.admin.Begin(ctx)
	if err != nil {
		return pg.Advise(fmt.Errorf("exchange the databases: %w", err))
	}
	for _, sql := range all {
		if _, err := tx.Exec(ctx, sql); err != nil {
			// It may have no connection any more, over which to say so.
			_ = tx.Rollback(context.WithoutCancel(ctx))
			return pg.Advise(fmt.Errorf("nothing was exchanged: %s: %w", jobs.OneLine(sql), err))
		}
	}
	err = tx.Commit(ctx)
	if err != nil && pg.Code(err) == "" {
		return p.settled(ctx, err)
	}
	if err != nil {
		return pg.Advise(fmt.Errorf("nothing was exchanged: %w", err))
	}
	return nil
}

// settled finds out what became of a commit that was not confirmed.
func (p *place) settled(ctx context.Context, cause error) (err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	c, err := connectBeside(ctx, p.address, p.name, p.application())
	if err != nil {
		return jobs.WithHint(fmt.Errorf("it is not known whether the databases were exchanged: %w", errors.Join(cause, err)),
			fmt.Sprintf("they were, when there is a database %s", cmp.Or(p.aside, p.name)))
	}
	defer func() { err = errors.Join(err, c.Hangup(ctx)) }()
	probe := cmp.Or(p.aside, p.name)
	found, err := pg.Texts(ctx, c, `SELECT datname::text FROM pg_database WHERE datname = $1`, probe)
	if err != nil || len(found) == 0 {
		return errors.Join(fmt.Errorf("nothing was exchanged: %w", cause), err)
	}
	return nil
}

// epilogue says what became of the old database.
func (p *place) epilogue() string {
	switch {
	case p.aside == "" || !p.target.Replace:
		return ""
	case p.env.DryRun():
		return fmt.Sprintf("; the old database would be kept as %s", p.aside)
	}
	return fmt.Sprintf("; the old database is kept as %s: `upkeep backup restore --undo %s` puts it back; when it is not needed any more, %s", p.aside, p.target.To, dropHint(p.aside))
}
