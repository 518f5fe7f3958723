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

var _ jobs.Driller = artifacts{}

// Deepest implements jobs.Driller.
func (artifacts) Deepest() object.Level { return object.L4 }

// Drill restores every database of a backup into a scratch database, counts it
// and lets d.Assert judge it: for L3 on the server of the configured database
// d.Database, or else of each one that was saved, for L4 on a throwaway server
// that this machine's own PostgreSQL makes. It drops the scratch databases again.
func (artifacts) Drill(ctx context.Context, env *jobs.Env, a *object.Artifact, d jobs.Drill) (jobs.Drilled, error) {
	r := &drill{env: env, artifact: a, want: d, began: time.Now()}
	err := r.run(ctx)
	out := jobs.Drilled{Kept: r.kept, Findings: r.findings}
	if err == nil {
		out.Summary = r.summary()
	}
	damaged := errors.Is(err, object.ErrDamaged)
	if env.DryRun() || err != nil && !damaged {
		return out, artifact.Stopped(ctx, err)
	}
	out.Proof, err = artifact.Judge(env, a, d.Level, r.began, err)
	if !damaged {
		out.Proof.Restored = &r.restored
	}
	return out, err
}

// drill restores one backup for a proof.
type drill struct {
	env      *jobs.Env
	artifact *object.Artifact
	want     jobs.Drill
	details  Details
	began    time.Time

	restored object.Restored
	kept     string
	findings []jobs.Finding
	// told are the servers whose leftovers were swept.
	told map[string]bool
}

func (r *drill) note(id string, severity jobs.Severity, format string, args ...any) {
	r.findings = append(r.findings, jobs.Finding{ID: id, Severity: severity, Text: jobs.OneLine(fmt.Sprintf(format, args...))})
}

// run is the whole drill.
func (r *drill) run(ctx context.Context) (err error) {
	if r.details, err = DetailsOf(r.artifact.Manifest); err != nil {
		return err
	}
	if len(r.want.Assert) > 0 && len(r.details.Databases) != 1 {
		return jobs.WithHint(fmt.Errorf("the backup holds %d databases, and nothing says which one the assertions are about", len(r.details.Databases)),
			"drill it without assertions")
	}
	if _, err := crypt.Load(r.want.Identities...); err != nil {
		return err
	}
	r.told = map[string]bool{}
	switch r.want.Level {
	case object.L3:
		return r.onServers(ctx)
	case object.L4:
		return r.onCluster(ctx)
	case object.L0, object.L1, object.L2: // those are not for drills
	}
	return fmt.Errorf("drill artifact %s: %q is not a level that a drill proves: use L3 or L4", r.artifact.Manifest.ID, r.want.Level)
}

// onServers restores each database on a server that is there.
func (r *drill) onServers(ctx context.Context) error {
	for i := range r.details.Databases {
		d := &r.details.Databases[i]
		if err := r.onServer(ctx, d); err != nil {
			return fmt.Errorf("drill of %s: %w", d.Name, err)
		}
	}
	return nil
}

// onServer restores one database on the server of a configured one.
func (r *drill) onServer(ctx context.Context, d *Database) (err error) {
	name := r.want.Database
	if name == "" {
		name = d.Configured
	}
	database, err := r.want.Open(name)
	if err != nil {
		if r.want.Database == "" {
			err = jobs.WithHint(err, "the database that was saved is not configured any more: say which server takes the scratch database, with --database, or drill.database in the job")
		}
		return err
	}
	address, err := pg.ParseAddress(database.URL)
	if err != nil {
		return fmt.Errorf("database %s: %w", name, err)
	}
	admin, err := pg.Connect(ctx, address, "upkeep drill")
	if err != nil {
		return fmt.Errorf("database %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, r.hangup(ctx, admin)) }()
	if err := r.suits(ctx, admin, d); err != nil {
		return err
	}
	if server := admin.Server.Name(); !r.told[server] {
		r.told[server] = true
		found, err := sweep(ctx, r.env, admin)
		r.findings = append(r.findings, found...)
		if err != nil {
			return err
		}
	}
	if err := r.hasRoom(ctx, admin, d); err != nil {
		return err
	}
	return r.inScratch(ctx, admin, d)
}

// hangup says goodbye, unless the server has ended the connection, which was
// told by then.
func (*drill) hangup(ctx context.Context, c *pg.Conn) error {
	if c.IsClosed() {
		return nil
	}
	return c.Hangup(ctx)
}

// suits refuses a server that cannot take the database, before anything is made.
func (r *drill) suits(ctx context.Context, admin *pg.Conn, d *Database) error {
	if admin.Server.Standby {
		return &jobs.RefusedError{Rail: "the server", Why: admin.Server.Name() + " is a standby, which cannot take a scratch database"}
	}
	_, err := admin.Pooled(ctx)
	if refused, ok := errors.AsType[*pg.PoolerError](err); ok {
		return jobs.WithHint(&jobs.RefusedError{Rail: "the connection", Why: refused.Error()}, refused.Hint())
	}
	if err != nil {
		return err
	}
	if saved := d.Server.Number / 10000; saved > admin.Server.Major {
		return jobs.WithHint(&jobs.RefusedError{Rail: "the server", Why: fmt.Sprintf("%s is PostgreSQL %d, but the backup comes from %d", admin.Server.Name(), admin.Server.Major, saved)},
			"drill on a server of the same version or a newer one")
	}
	return (&restore{env: r.env, conn: admin, database: d}).available(ctx)
}

// inScratch restores one database into a scratch database, judges it, and drops
// it whatever happens.
func (r *drill) inScratch(ctx context.Context, admin *pg.Conn, d *Database) (err error) {
	what := fmt.Sprintf("make a scratch database on %s, and restore %s (%s in %s, %s on its server) into it",
		admin.Server.Name(), d.Name, artifact.Count(d.rows(), "row"), artifact.Count(d.dumped(), "table"), artifact.Bytes(d.Bytes))
	return r.env.Effect(ctx, what, func(ctx context.Context) (err error) {
		s, warning, err := newScratch(ctx, r.env, admin, r.artifact.Manifest.ID, d)
		if warning != "" {
			r.note("drill-locale", jobs.Warning, "%s", warning)
		}
		if s != nil {
			defer func() {
				if err == nil && r.want.Keep {
					r.kept = fmt.Sprintf("database %s on %s", s.name, admin.Server.Name())
					err = s.keep(ctx)
					return
				}
				err = errors.Join(err, s.drop(ctx, r.env))
			}()
		}
		if err != nil {
			return err
		}
		return r.judge(ctx, s, d)
	})
}

// judge fills a scratch database, measures that, and judges what is in it.
func (r *drill) judge(ctx context.Context, s *scratch, d *Database) error {
	target := jobs.Target{To: s.name, Identities: r.want.Identities, Database: func(name string) (jobs.Database, error) {
		return jobs.Database{Name: name, Kind: "postgres", URL: s.address()}, nil
	}}
	if len(r.details.Databases) > 1 {
		target.Only = []string{d.Name}
	}
	began := time.Now()
	restored, err := artifacts{}.Restore(ctx, r.env, r.artifact, target)
	took := time.Since(began)
	if err != nil {
		return r.blame(ctx, s, d, err)
	}
	for _, f := range restored.Findings {
		if f.ID != "settings" && f.ID != "locale" { // for who restores to stay
			r.findings = append(r.findings, f)
		}
	}
	if err := holds(ctx, s.guard, r.want.Assert); err != nil {
		return err
	}
	bytes, err := s.bytes(ctx)
	if err != nil {
		return err
	}
	if r.restored.AsOf.IsZero() || d.Snapshot.Before(r.restored.AsOf) {
		r.restored.AsOf = d.Snapshot // the oldest, when there are several
	}
	r.restored.Seconds += took.Seconds()
	r.restored.Bytes += bytes
	r.restored.Databases++
	r.restored.Tables += d.dumped()
	r.restored.Rows += d.rows()
	r.restored.Assertions += len(r.want.Assert)
	r.restored.Server = "PostgreSQL " + s.admin.Server.Version
	return nil
}

// blame tells what a failed restore says about the backup: when all that was
// restored is there, but is not what the manifest says, the backup is damaged.
// Otherwise the server is at fault, or something on the way.
func (r *drill) blame(ctx context.Context, s *scratch, d *Database, err error) error {
	if errors.Is(err, object.ErrDamaged) || ctx.Err() != nil {
		return err
	}
	if found := differs(ctx, s.guard, d); found != nil {
		return errors.Join(found, err)
	}
	if jobs.HintOf(err) == "" {
		err = jobs.WithHint(err, "this says nothing about the backup: look into the log of the server, and drill again")
	}
	return err
}

// summary is one line about the drill.
func (r *drill) summary() string {
	all := make([]string, 0, len(r.details.Databases))
	for i := range r.details.Databases {
		all = append(all, r.details.Databases[i].Name)
	}
	names := jobs.OneLine(strings.Join(all, ", "))
	place := "on a scratch database"
	if r.want.Level == object.L4 {
		place = "on a throwaway server"
	}
	if r.env.DryRun() {
		return fmt.Sprintf("would restore %s %s, count and drop it", names, place)
	}
	return fmt.Sprintf("%s in %s of %s came back %s", artifact.Count(r.restored.Rows, "row"), artifact.Count(r.restored.Tables, "table"), names, place)
}
