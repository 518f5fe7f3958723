package pgbackup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/child"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
	"github.com/ghosteam/upkeep/storage/object"
)

// artifacts is what the kind knows about its artifacts.
type artifacts struct{ artifact.Prover }

var (
	_ jobs.Artifacts = artifacts{}
	_ jobs.Restorer  = artifacts{}
	_ jobs.Demanding = artifacts{}
	_ jobs.Undoer    = artifacts{}
)

// Restore puts a database of the backup into the configured database t.To: into
// an empty one, in one transaction that commits only when every byte of the
// dump was read and matched; or, with t.Create or t.Replace, into a new one
// beside it that gets its name when it is complete. Then it counts and
// analyzes, or before it exchanges. t.Only names the database of the backup,
// when it holds several, or tables of it as DATABASE:SCHEMA.TABLE.
func (artifacts) Restore(ctx context.Context, env *jobs.Env, a *object.Artifact, t jobs.Target) (_ jobs.Restored, err error) {
	details, err := DetailsOf(a.Manifest)
	if err != nil {
		return jobs.Restored{}, err
	}
	d, tables, err := details.choose(t.Only)
	if err != nil {
		return jobs.Restored{}, err
	}
	if err := sensible(t, tables); err != nil {
		return jobs.Restored{}, err
	}
	keys, err := crypt.Load(t.Identities...)
	if err != nil {
		return jobs.Restored{}, err
	}
	p, err := openPlace(ctx, env, t)
	if err != nil {
		return jobs.Restored{}, err
	}
	defer func() { err = errors.Join(err, p.close(ctx)) }()
	r := &restore{env: env, artifact: a, keys: keys, details: details, database: d, target: t, tables: tables}
	if err := p.tidy(ctx, r); err != nil {
		return jobs.Restored{}, err
	}
	what := r.what()
	if p.direct() {
		err = p.into(ctx, r, what)
	} else {
		err = p.beside(ctx, r, what)
	}
	if err != nil {
		return jobs.Restored{}, err
	}
	what += fmt.Sprintf(" into %s on %s", p.name, p.server().Name())
	if !env.DryRun() {
		what += ", counted and analyzed"
	}
	return jobs.Restored{Summary: what + p.epilogue(), Findings: r.findings}, nil
}

// mostAtOnce bounds the connections of one restore.
const mostAtOnce = 64

// sensible refuses demands that contradict each other.
func sensible(t jobs.Target, tables []Table) error {
	switch {
	case t.Jobs < 0 || t.Jobs > mostAtOnce:
		return fmt.Errorf("%d is not a number of connections: use 1 to %d", t.Jobs, mostAtOnce)
	case t.Disconnect && !t.Replace:
		return errors.New("only what replaces a database has to end sessions in it")
	case t.Replace && len(tables) > 0:
		return jobs.WithHint(&jobs.RefusedError{Rail: "replace", Why: "some tables of a backup cannot take the place of a whole database"},
			"restore them into an empty database, and copy from there")
	}
	return nil
}

// restore fills one database.
type restore struct {
	env      *jobs.Env
	artifact *object.Artifact
	keys     crypt.Keys
	// conn is a connection to the database that is filled.
	conn     *pg.Conn
	client   pg.Client
	details  Details
	database *Database
	findings []jobs.Finding

	// target says how, when it is not everything in one transaction.
	target jobs.Target
	// tables are those that are restored alone; empty for everything.
	tables []Table
	// promised are the roles and tablespaces that the backup's globals create.
	promised []string
	// laid is where the dump lies, when it had to be laid down.
	laid string
}

// what says what is restored.
func (r *restore) what() string {
	if len(r.tables) == 0 {
		return fmt.Sprintf("%s in %s of %s", artifact.Count(r.database.rows(), "row"), artifact.Count(r.database.dumped(), "table"), r.database.Name)
	}
	var rows int64
	var names []string
	for _, t := range r.tables {
		rows += t.Rows
		names = append(names, t.Schema+"."+t.Name)
	}
	return jobs.OneLine(fmt.Sprintf("%s of %s of %s", artifact.Count(rows, "row"), strings.Join(names, ", "), r.database.Name))
}

// partial tells that a failure leaves what was loaded until then.
func (r *restore) partial() bool { return r.target.Jobs > 1 }

// run is the effect itself: the database of conn, which is empty, is filled.
func (r *restore) run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, r.discard()) }()
	if err := r.fetch(ctx); err != nil {
		return fmt.Errorf("nothing was restored: %w", err)
	}
	return r.fill(ctx)
}

// fill loads, counts and analyzes.
func (r *restore) fill(ctx context.Context) (err error) {
	environ, remove, err := r.conn.ClientEnviron(r.env.Environ(), r.env.WorkDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	if r.laid != "" {
		err = r.loadLaid(ctx, environ)
	} else {
		err = artifact.Read(ctx, r.artifact, r.keys, r.database.Stream, func(plain io.Reader) error {
			return r.load(ctx, environ, &withheld{r: plain}, "--format=custom")
		})
	}
	switch {
	case err != nil && r.partial():
		return fmt.Errorf("the database %s was left partial: %w", r.conn.Server.Database, err)
	case err != nil:
		return fmt.Errorf("nothing was restored: %w", err)
	}
	if err := r.count(ctx); err != nil {
		return fmt.Errorf("the database %s was filled, but must not be used: %w", r.conn.Server.Database, err)
	}
	if _, err := r.conn.Exec(ctx, "ANALYZE"); err != nil {
		return pg.Advise(fmt.Errorf("the database %s was restored, but not analyzed: %w", r.conn.Server.Database, err))
	}
	return nil
}

// load runs pg_restore, in one transaction, which ends with it, unless several
// connections are wanted.
func (r *restore) load(ctx context.Context, environ []string, in io.Reader, args ...string) error {
	said := &tail{}
	argv := []string{
		r.client.Program("pg_restore"), "--exit-on-error", "--no-password",
		"--dbname=dbname=" + pg.Quote(r.conn.Server.Database) + " keepalives_idle=60 keepalives_interval=15 keepalives_count=8",
	}
	if r.target.Jobs > 1 {
		argv = append(argv, fmt.Sprintf("--jobs=%d", r.target.Jobs))
	} else {
		argv = append(argv, "--single-transaction")
	}
	if r.target.NoOwner {
		argv = append(argv, "--no-owner")
	}
	if r.target.NoPrivileges {
		argv = append(argv, "--no-privileges")
	}
	_, err := child.Run(ctx, child.Command{
		Argv: append(argv, args...), Env: environ, Dir: r.env.WorkDir, Stdin: in, Stdout: said, Stderr: said,
		Marks: r.env.Marks(), Grace: r.env.KillGrace,
	})
	if err != nil {
		return fmt.Errorf("restore %s: %w", r.database.Name, advise(said, err))
	}
	return nil
}

// advise explains an error of pg_restore, with a hint where there is a known
// remedy.
func advise(said *tail, err error) error {
	text := strings.Join(said.lines(), "\n")
	err = said.explain(err)
	switch {
	case strings.Contains(text, "must be member of role"), strings.Contains(text, "must be able to SET ROLE"):
		return jobs.WithHint(err, "restore as a member of the owner's role or a superuser, or with --no-owner")
	case strings.Contains(text, "permission denied to create extension"), strings.Contains(text, "must be superuser"):
		return jobs.WithHint(err, "restore as a superuser")
	case strings.Contains(text, "permission denied for database"), strings.Contains(text, "permission denied for schema"):
		return jobs.WithHint(err, "restore as the owner of the target")
	case strings.Contains(text, "No space left on device"):
		return jobs.WithHint(err, "free space on the server")
	}
	return err
}
