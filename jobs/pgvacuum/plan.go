package pgvacuum

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// database is one database with what is due in it.
type database struct {
	// configured is its name in the configuration, name on the server.
	configured, name string
	// local tells that the server runs on this machine.
	local bool
	// several tells that there are other databases in the plan.
	several  bool
	address  pg.Address
	server   pg.Server
	settings settings
	tables   int
	bytes    int64
	// age is that of the oldest transaction in its chosen tables.
	age      int64
	due      []work
	denied   []work
	blockers []blocker
	blind    bool
	// notes are lines for the output, findings what is known before anything
	// is done.
	notes    []string
	findings []jobs.Finding
}

// urgent is the most urgent work of the database; no work when there is none.
func (d *database) urgent() work {
	if len(d.due) == 0 {
		return work{}
	}
	return d.due[0]
}

func standbyError(server pg.Server) error {
	return jobs.WithHint(&jobs.RefusedError{Rail: "the server's role", Why: server.Name() + " is a standby, which only its primary can clean"},
		"name the primary in `databases:`, or add target_session_attrs=primary to an address with several hosts")
}

// plan visits every database without effects and lists what is due, the
// database with the most urgent table first.
func (j *Job) plan(ctx context.Context, env *jobs.Env) ([]*database, error) {
	var all []*database
	for _, db := range j.databases {
		address, err := pg.ParseAddress(db.URL)
		if err != nil {
			return nil, fmt.Errorf("database %s: %w", db.Name, err)
		}
		names, server, err := j.visit(ctx, env, address)
		if err != nil {
			return nil, fmt.Errorf("database %s: %w", db.Name, err)
		}
		for _, name := range names {
			d := &database{configured: db.Name, name: name, address: address, server: server}
			if name != server.Database {
				d.address = address.WithDatabase(name)
			}
			if slices.ContainsFunc(all, func(o *database) bool { return o.name == name && o.server.Name() == server.Name() }) {
				continue
			}
			all = append(all, d)
		}
	}
	for _, d := range all {
		d.several = len(all) > 1
		if err := j.survey(ctx, env, d); err != nil {
			return nil, fmt.Errorf("database %s: %w", d.name, err)
		}
	}
	slices.SortStableFunc(all, func(a, b *database) int { return urgency(a.urgent(), b.urgent()) })
	return all, nil
}

// visit refuses servers on which the job must not work and returns the names
// of the databases to care for.
func (j *Job) visit(ctx context.Context, env *jobs.Env, address pg.Address) (names []string, server pg.Server, err error) {
	c, err := pg.Connect(ctx, address, pg.Application(controlName, env.RunID))
	if err != nil {
		return nil, server, err
	}
	defer func() { err = errors.Join(err, c.Hangup(ctx)) }()
	if c.Server.Standby {
		return nil, server, standbyError(c.Server)
	}
	if c.Server.Major < oldest {
		return nil, server, &jobs.RefusedError{Rail: "the server's version", Why: fmt.Sprintf("%s is PostgreSQL %s, older than %d", c.Server.Name(), c.Server.Version, oldest)}
	}
	_, err = c.Pooled(ctx)
	if refused, ok := errors.AsType[*pg.PoolerError](err); ok {
		return nil, server, jobs.WithHint(&jobs.RefusedError{Rail: "the advisory lock", Why: refused.Error()}, refused.Hint())
	}
	if err != nil {
		return nil, server, err
	}
	if !j.options.AllDatabases {
		return []string{c.Server.Database}, c.Server, nil
	}
	names, err = pg.Texts(ctx, c, `SELECT datname::text FROM pg_database WHERE datallowconn AND NOT datistemplate
		AND has_database_privilege(oid, 'CONNECT') ORDER BY datname`)
	if err != nil {
		return nil, server, pg.Advise(fmt.Errorf("list the databases: %w", err))
	}
	names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(j.options.ExcludeDatabases, name) })
	return names, c.Server, nil
}

// survey finds out what is due in a database, and who would block it.
func (j *Job) survey(ctx context.Context, env *jobs.Env, d *database) (err error) {
	c, err := pg.Connect(ctx, d.address, pg.Application(controlName, env.RunID))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Hangup(ctx)) }()
	d.server, d.local = c.Server, local(c)
	if d.settings, err = readSettings(ctx, c); err != nil {
		return err
	}
	d.counting()
	tables, err := survey(ctx, c, 0)
	if err != nil {
		return err
	}
	rewrites, err := j.rewrites(ctx, env, c, d, tables)
	if err != nil {
		return err
	}
	catalogs := 0
	for _, t := range tables {
		if !j.rules.chosen(t) {
			continue
		}
		d.tables++
		d.bytes += max(t.Bytes, 0)
		d.age = max(d.age, t.Age, t.ToastAge)
		w := d.fit(j.rules.judge(t, d.settings))
		if gain, ok := rewrites[t.OID]; ok {
			w.rewrite(gain)
		}
		switch {
		case w.none():
		case t.Permitted:
			d.due = append(d.due, w)
		case t.system() && !w.past:
			catalogs++
		default:
			d.denied = append(d.denied, w)
		}
	}
	if catalogs > 0 { // which is what a user who owns tables alone expects
		d.notes = append(d.notes, fmt.Sprintf("%s due among the system catalogs left to autovacuum, because only the owner of the database may vacuum them", count(catalogs, "table")))
	}
	slices.SortFunc(d.due, urgency)
	slices.SortFunc(d.denied, urgency)
	d.unmatched(j.rules, tables)
	d.blockers, d.blind, err = blockers(ctx, c)
	return err
}

// fit makes work what the server lets the user do: before PostgreSQL 16 a TOAST
// table alone is vacuumed by its name, which only superusers may use.
func (d *database) fit(w work) work {
	if w.toast && !w.vacuum && d.server.Major < 16 && !d.server.Superuser {
		w.vacuum = true
	}
	return w
}

// unmatched reports patterns that choose nothing, which are mostly wrong.
func (d *database) unmatched(r rules, tables []table) {
	for option, list := range map[string]patterns{"tables": r.include, "full.tables": r.full} {
		for _, text := range list.without(tables) {
			d.findings = append(d.findings, jobs.Finding{
				ID: jobs.FindingIDFrom("no-match:" + d.name + "/" + option + "/" + text), Severity: jobs.Warning,
				Text: jobs.OneLine(fmt.Sprintf("no table of database %s is called %s (%s)", d.name, text, option)),
			})
		}
	}
	slices.SortFunc(d.findings, func(a, b jobs.Finding) int { return strings.Compare(a.ID, b.ID) })
}
