package pgbackup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// source is one database to be saved.
type source struct {
	configured string
	address    pg.Address
	server     pg.Server
	name       string
	bytes      int64
	// stream is what the dump is called in the artifact.
	stream string
}

// plan is what a run is going to save, found out without effects.
type plan struct {
	sources  []source
	client   pg.Client
	bytes    int64
	findings []jobs.Finding
	// application is what the server shows its administrator.
	application string
}

// programs are what a client must have.
//
//nolint:gochecknoglobals // a constant that Go cannot spell
var programs = []string{"pg_dump", "pg_restore", "pg_dumpall"}

// plan connects to every server, refuses what cannot work and lists the
// databases.
func (j *Job) plan(ctx context.Context, env *jobs.Env) (*plan, error) {
	p := &plan{application: "upkeep " + env.RunID}
	p.application = p.application[:min(len(p.application), 60)]
	major := 0
	for _, db := range j.databases {
		address, err := pg.ParseAddress(db.URL)
		if err != nil {
			return nil, fmt.Errorf("database %s: %w", db.Name, err)
		}
		server, err := j.visit(ctx, p, db.Name, address)
		if err != nil {
			return nil, fmt.Errorf("database %s: %w", db.Name, err)
		}
		major = max(major, server.Major)
	}
	var err error
	p.client, err = pg.FindClient(ctx, env.Environ(), j.options.Client.String(), major, programs...)
	if refused, ok := errors.AsType[*pg.ClientError](err); ok && len(refused.Found) > 0 {
		return nil, jobs.WithHint(&jobs.RefusedError{Rail: "the client's version", Why: refused.Error()}, refused.Hint())
	}
	if err != nil {
		return nil, err
	}
	if p.client.Major > major {
		p.findings = append(p.findings, jobs.Finding{ID: "newer-client", Severity: jobs.Info, Text: fmt.Sprintf(
			"the server is PostgreSQL %d, but the closest client is %s: the dump may not load into a server as old as its own", major, p.client.Version)})
	}
	p.nameStreams(j.options.Jobs > 1)
	return p, nil
}

// visit connects to one server and adds its databases to the plan.
func (j *Job) visit(ctx context.Context, p *plan, configured string, address pg.Address) (_ pg.Server, err error) {
	c, err := pg.Connect(ctx, address, p.application)
	if err != nil {
		return pg.Server{}, err
	}
	defer func() { err = errors.Join(err, c.Hangup(ctx)) }()
	pooled, err := c.Pooled(ctx)
	if refused, ok := errors.AsType[*pg.PoolerError](err); ok {
		return c.Server, jobs.WithHint(&jobs.RefusedError{Rail: "the snapshot", Why: refused.Error()}, refused.Hint())
	}
	if err != nil {
		return c.Server, err
	}
	if pooled {
		p.findings = append(p.findings, jobs.Finding{
			ID: "pooled:" + configured, Severity: jobs.Info,
			Text: fmt.Sprintf("database %s is reached through a pooler; the direct address of the server is safer for backups", configured),
		})
	}
	if c.Server.Standby {
		p.findings = append(p.findings, jobs.Finding{
			ID: "standby:" + configured, Severity: jobs.Info,
			Text: fmt.Sprintf("database %s is on a standby: the backup shows what had been replayed, without the rows of unlogged tables", configured),
		})
	}
	names := []string{c.Server.Database}
	if j.options.AllDatabases {
		names, err = pg.Texts(ctx, c, `SELECT datname::text FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname`)
		if err != nil {
			return c.Server, pg.Advise(fmt.Errorf("list the databases: %w", err))
		}
	}
	for _, name := range names {
		if j.options.AllDatabases && slices.Contains(j.options.ExcludeDatabases, name) || p.has(c.Server, name) {
			continue
		}
		var bytes int64
		// The size is a matter of progress and room; it may not be asked everywhere.
		err := c.QueryRow(ctx, `SELECT CASE WHEN has_database_privilege($1, 'CONNECT') THEN pg_database_size($1::name) ELSE 0 END`, name).Scan(&bytes)
		if err != nil {
			return c.Server, pg.Advise(fmt.Errorf("ask the size of database %s: %w", name, err))
		}
		p.bytes += bytes
		p.sources = append(p.sources, source{configured: configured, address: address.WithDatabase(name), server: c.Server, name: name, bytes: bytes})
	}
	return c.Server, nil
}

// has tells whether a database is in the plan already, under another name.
func (p *plan) has(server pg.Server, name string) bool {
	return slices.ContainsFunc(p.sources, func(s source) bool {
		return s.name == name && s.server.Name() == server.Name()
	})
}

// nameStreams gives each dump a name that is safe as the name of a file and
// part of a key, and differs from all others.
func (p *plan) nameStreams(directory bool) {
	suffix := ".dump"
	if directory {
		suffix = ".dir.tar"
	}
	taken := map[string]bool{}
	for i := range p.sources {
		base := strings.Map(func(c rune) rune {
			switch {
			case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-', c == '.':
				return c
			}
			return '_'
		}, p.sources[i].name)
		base = "db-"[:3*min(1, strings.Count(base[:1], "."))] + base
		name := base
		for n := 2; taken[strings.ToLower(name)]; n++ {
			name = fmt.Sprintf("%s-%d", base, n)
		}
		taken[strings.ToLower(name)] = true
		p.sources[i].stream = name + suffix
	}
}

// servers returns one source of each server, in their order.
func (p *plan) servers() []source {
	var out []source
	for _, s := range p.sources {
		if !slices.ContainsFunc(out, func(o source) bool { return o.server.Name() == s.server.Name() }) {
			out = append(out, s)
		}
	}
	return out
}
