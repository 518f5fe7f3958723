package pgbackup

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// place is where a restore goes to: a database that is filled directly, or one
// that is made beside it and gets its name at the end.
type place struct {
	env     *jobs.Env
	target  jobs.Target
	address pg.Address
	// name is the name of the database, and names derives others from it.
	name  string
	names names
	// id is of this restore.
	id string
	// there is a connection to the target; nil when it does not exist.
	there *pg.Conn
	// admin is a connection to another database of the server; nil when the
	// target is filled directly.
	admin *pg.Conn
	// fresh is the new database, and aside the name that the old one got.
	fresh, aside string
	// identity is the number of the new database, by which it is known whatever
	// its name.
	identity uint32
}

// application is what the server shows of a restore.
func (p *place) application() string { return "upkeep restore " + p.id }

// openPlace connects to the target, or to its server when it does not exist.
// The caller closes it.
func openPlace(ctx context.Context, env *jobs.Env, t jobs.Target) (_ *place, err error) {
	database, err := t.Database(t.To)
	if err != nil {
		return nil, err
	}
	if database.Kind != jobs.Postgres {
		return nil, jobs.WithHint(fmt.Errorf("database %s is of the kind %s", t.To, database.Kind), "name one of the kind "+jobs.Postgres)
	}
	p := &place{env: env, target: t, id: strings.ToLower(rand.Text()[:10])}
	if p.address, err = pg.ParseAddress(database.URL); err != nil {
		return nil, fmt.Errorf("database %s: %w", t.To, err)
	}
	p.there, err = pg.Connect(ctx, p.address, p.application())
	switch {
	case err == nil:
		p.name = p.there.Server.Database
	case pg.Code(err) != codeNoDatabase || p.address.Database() == "":
		return nil, fmt.Errorf("database %s: %w", t.To, err)
	default:
		p.name = p.address.Database()
	}
	if p.there != nil {
		if err := p.there.RefuseOwn(ctx, env, "to restore"); err != nil {
			return nil, errors.Join(err, p.close(ctx))
		}
	}
	p.names = namesOf(p.name)
	if p.there != nil && !t.Replace {
		return p, nil
	}
	if p.admin, err = connectBeside(ctx, p.address, p.name, p.application()); err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", t.To, err), p.close(ctx))
	}
	return p, nil
}

// codeNoDatabase is what a server says of a database that does not exist.
const codeNoDatabase = "3D000"

// connectBeside connects to a database of the same server that is not the
// target: one can neither make nor rename the database that one is in.
func connectBeside(ctx context.Context, a pg.Address, target, application string) (*pg.Conn, error) {
	var errs []error
	for _, name := range []string{"postgres", "defaultdb", "template1"} {
		if name == target {
			continue
		}
		c, err := pg.Connect(ctx, a.WithDatabase(name), application)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, jobs.WithHint(errors.Join(errs...), "making and renaming databases needs a connection to another one of the server, such as postgres: allow it to the user")
}

// direct tells that the target itself is filled.
func (p *place) direct() bool { return p.admin == nil }

// server is where the target is.
func (p *place) server() pg.Server {
	if p.there != nil {
		return p.there.Server
	}
	return p.admin.Server
}

// close ends the connections, and with them the locks.
func (p *place) close(ctx context.Context) error {
	return errors.Join(p.leave(ctx), hangUp(ctx, &p.admin))
}

// leave ends the connection to the target.
func (p *place) leave(ctx context.Context) error { return hangUp(ctx, &p.there) }

func hangUp(ctx context.Context, c **pg.Conn) error {
	if *c == nil {
		return nil
	}
	defer func() { *c = nil }()
	if (*c).IsClosed() {
		return nil // whoever used it last has said so
	}
	return (*c).Hangup(ctx)
}

// lockWait is how long a restore waits for the lock of another one: the server
// may still be busy with the last statement of a process that died.
const lockWait = 5 * time.Second

// lock makes sure that nobody else restores to the same target. It lasts as
// long as the connection, so that it never outlives this process.
func (p *place) lock(ctx context.Context, c *pg.Conn) error {
	for deadline := time.Now().Add(lockWait); ; {
		free := false
		err := c.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtext('upkeep restore'), hashtext($1))`, p.name).Scan(&free)
		if err != nil {
			return pg.Advise(fmt.Errorf("lock the target: %w", err))
		}
		if free {
			return nil
		}
		if time.Now().After(deadline) {
			return jobs.WithHint(&jobs.RefusedError{Rail: "the target", Why: fmt.Sprintf("another restore to %s is under way", p.name)}, "wait until it has ended")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("lock the target: %w", context.Cause(ctx))
		case <-time.After(sessionPoll):
		}
	}
}

// tidy refuses servers that cannot do it and a second restore at once, and
// removes what restores of dead processes left.
func (p *place) tidy(ctx context.Context, r *restore) error {
	c := p.admin
	if c == nil {
		c = p.there
	}
	if err := writable(ctx, c); err != nil {
		return err
	}
	if err := p.lock(ctx, c); err != nil {
		return err
	}
	left, err := p.leftovers(ctx, c)
	if err != nil {
		return err
	}
	if p.direct() && len(left) > 0 {
		// Only from another database, where such a restore has its lock.
		admin, err := connectBeside(ctx, p.address, p.name, p.application())
		if err != nil {
			r.warn("leftovers", "an unfinished database of an earlier restore is still there: %s", left[0].name)
			return nil
		}
		defer func() { _ = hangUp(ctx, &admin) }() // it holds nothing but a lock
		if err := p.lock(ctx, admin); err != nil {
			return err
		}
		c = admin
	}
	for _, l := range left {
		if err := p.remove(ctx, c, r, l); err != nil {
			return err
		}
	}
	if p.there == nil && !p.target.Create {
		return jobs.WithHint(fmt.Errorf("the database %s does not exist on %s", p.name, p.admin.Server.Name()), "make it with --create")
	}
	return nil
}

// into fills the target itself, which must be empty.
func (p *place) into(ctx context.Context, r *restore, what string) error {
	r.conn = p.there
	if err := p.globals(ctx, r); err != nil {
		return err
	}
	if err := p.abandoned(ctx); err != nil {
		return err
	}
	if err := r.preflight(ctx); err != nil {
		return err
	}
	what = fmt.Sprintf("restore %s into %s on %s, then count and ANALYZE", what, p.name, r.conn.Server.Name())
	if !r.partial() {
		return p.env.Effect(ctx, what+" ("+r.how()+")", r.run)
	}
	// Killed half-way, this leaves what could be taken for a restore, so that
	// the target says by its comment what it is.
	comment, err := commentOf(ctx, p.there, p.name)
	if err != nil {
		return err
	}
	m := mark{Target: p.name, ID: p.id, Since: time.Now().UTC(), Into: true, Comment: comment}
	if err := p.do(ctx, p.there, m.statement(p.name)); err != nil {
		return err
	}
	err = p.env.Effect(ctx, what+" ("+r.how()+")", r.run)
	if err != nil {
		empty, lookErr := p.unmark(context.WithoutCancel(ctx), r, comment)
		if lookErr != nil || !empty {
			return jobs.WithHint(errors.Join(err, lookErr), "drop the database and make it anew, or restore with --create or --replace, which never leave anything partial")
		}
		return err
	}
	return p.do(ctx, p.there, commentStatement(p.name, comment))
}

// cleanupTime bounds what is done after a failure.
const cleanupTime = 30 * time.Second

// unmark gives a target its own comment back when nothing stayed in it.
func (p *place) unmark(ctx context.Context, r *restore, comment *string) (empty bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, cleanupTime)
	defer cancel()
	c, err := pg.Connect(ctx, p.address, p.application())
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, c.Hangup(ctx)) }()
	found, err := pg.Texts(ctx, c, belongings)
	if err != nil || len(found) > 0 {
		return false, err
	}
	return true, p.do(ctx, c, commentStatement(p.name, comment))
}

// abandoned refuses a target that a dead restore left partial.
func (p *place) abandoned(ctx context.Context) error {
	comment, err := commentOf(ctx, p.there, p.name)
	if err != nil {
		return err
	}
	m, ok := readMark(comment)
	if !ok || !m.Into {
		return nil
	}
	found, err := pg.Texts(ctx, p.there, belongings)
	if err != nil {
		return pg.Advise(fmt.Errorf("look whether the target is empty: %w", err))
	}
	if len(found) == 0 {
		return p.do(ctx, p.there, commentStatement(p.name, m.Comment))
	}
	return jobs.WithHint(&jobs.RefusedError{Rail: "empty target", Why: fmt.Sprintf(
		"the database %s was left partial by a restore of %s that did not come to its end", p.name, m.Since.Format(time.DateTime))},
		"drop it and make it anew, or restore with --replace")
}

// how says in which way the dump is loaded.
func (r *restore) how() string {
	stream, _ := r.artifact.Manifest.Stream(r.database.Stream)
	text := "in one transaction"
	if r.target.Jobs > 1 {
		text = fmt.Sprintf("by %d connections, not in one transaction", r.target.Jobs)
	}
	if r.lays() {
		text += ", from the working directory, where it takes " + artifact.Bytes(stream.Plain.Bytes)
	}
	return text
}

// do runs a statement as an effect of its own.
func (p *place) do(ctx context.Context, c *pg.Conn, s statement) error {
	return p.env.Effect(ctx, "run "+s.shown(), func(ctx context.Context) error {
		if _, err := c.Exec(ctx, s.text); err != nil {
			return pg.Advise(fmt.Errorf("%s: %w", s.shown(), err))
		}
		return nil
	})
}

// statement is one of SQL, and how it is shown when it holds what must not be.
type statement struct{ text, show string }

// shown is the whole statement for people, on one line.
func (s statement) shown() string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsGraphic(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(cmp.Or(s.show, s.text), "?"))
}

func plain(format string, args ...any) statement {
	return statement{text: fmt.Sprintf(format, args...)}
}

// literal quotes a text for SQL.
func literal(text string) string {
	quoted := "'" + strings.ReplaceAll(text, "'", "''") + "'"
	if strings.Contains(text, `\`) {
		// Read the same whatever standard_conforming_strings is.
		return " E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
