package pgbackup

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"

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
)

// Restore fills the empty configured database t.To in one transaction, which
// commits only when every byte of the dump was read and matched; then it counts
// and analyzes. t.Only names the database of the backup, when it holds several.
func (artifacts) Restore(ctx context.Context, env *jobs.Env, a *object.Artifact, t jobs.Target) (_ jobs.Restored, err error) {
	details, err := DetailsOf(a.Manifest)
	if err != nil {
		return jobs.Restored{}, err
	}
	d, err := details.pick(t.Only)
	if err != nil {
		return jobs.Restored{}, err
	}
	keys, err := crypt.Load(t.Identities...)
	if err != nil {
		return jobs.Restored{}, err
	}
	database, err := t.Database(t.To)
	if err != nil {
		return jobs.Restored{}, err
	}
	address, err := pg.ParseAddress(database.URL)
	if err != nil {
		return jobs.Restored{}, fmt.Errorf("database %s: %w", t.To, err)
	}
	c, err := pg.Connect(ctx, address, "upkeep restore")
	if err != nil {
		return jobs.Restored{}, fmt.Errorf("database %s: %w", t.To, err)
	}
	defer func() { err = errors.Join(err, c.Hangup(ctx)) }()
	r := &restore{env: env, artifact: a, keys: keys, conn: c, details: details, database: d}
	if err := r.preflight(ctx); err != nil {
		return jobs.Restored{}, err
	}
	what := fmt.Sprintf("%s rows in %d tables of %s into %s on %s", humanize.Comma(d.rows()), d.dumped(), d.Name, c.Server.Database, c.Server.Name())
	err = env.Effect(ctx, "restore "+what, r.run)
	if err != nil {
		return jobs.Restored{}, err
	}
	if !env.DryRun() {
		what += ", counted and analyzed"
	}
	return jobs.Restored{Summary: what, Findings: r.findings}, nil
}

// pick returns the database of a backup that is to be restored.
func (d *Details) pick(only []string) (*Database, error) {
	var names []string
	for i := range d.Databases {
		names = append(names, d.Databases[i].Name)
		if len(only) == 1 && only[0] == d.Databases[i].Name {
			return &d.Databases[i], nil
		}
	}
	switch {
	case len(only) == 0 && len(d.Databases) == 1:
		return &d.Databases[0], nil
	case len(only) == 0:
		return nil, jobs.WithHint(fmt.Errorf("the backup holds %d databases", len(names)), "say which one with --only: "+strings.Join(names, ", "))
	}
	return nil, jobs.WithHint(errors.New("one database of the backup is restored at a time"), "it holds "+strings.Join(names, ", "))
}

// restore fills one database.
type restore struct {
	env      *jobs.Env
	artifact *object.Artifact
	keys     crypt.Keys
	conn     *pg.Conn
	client   pg.Client
	details  Details
	database *Database
	findings []jobs.Finding
}

// run is the effect itself.
func (r *restore) run(ctx context.Context) (err error) {
	environ, remove, err := r.conn.ClientEnviron(r.env.Environ(), r.env.WorkDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	if r.details.Format == formatDirectory {
		err = r.directory(ctx, environ)
	} else {
		err = artifact.Read(ctx, r.artifact, r.keys, r.database.Stream, func(plain io.Reader) error {
			return r.load(ctx, environ, &withheld{r: plain}, "--format=custom")
		})
	}
	if err != nil {
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

// load runs pg_restore in one transaction, which ends with it.
func (r *restore) load(ctx context.Context, environ []string, in io.Reader, args ...string) error {
	said := &tail{}
	argv := []string{
		r.client.Program("pg_restore"), "--exit-on-error", "--single-transaction", "--no-password",
		"--dbname=dbname=" + pg.Quote(r.conn.Server.Database) + " keepalives_idle=60 keepalives_interval=15 keepalives_count=8",
	}
	_, err := child.Run(ctx, child.Command{
		Argv: append(argv, args...), Env: environ, Dir: r.env.WorkDir, Stdin: in, Stdout: said, Stderr: said,
		Marks: r.env.Marks(), Grace: r.env.KillGrace,
	})
	if err != nil {
		return fmt.Errorf("restore %s: %w", r.database.Name, said.explain(err))
	}
	return nil
}

// directory lays the files of a dump down, proves them, and loads them.
func (r *restore) directory(ctx context.Context, environ []string) (err error) {
	dir, err := os.MkdirTemp(r.env.WorkDir, "dump-")
	if err != nil {
		return fmt.Errorf("make the dump's directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	stream, _ := r.artifact.Manifest.Stream(r.database.Stream)
	free, err := artifact.FreeBytes(dir)
	if err != nil {
		return err
	}
	if free < stream.Plain.Bytes {
		return jobs.WithHint(fmt.Errorf("the working directory has %s free, but the dump takes %s", artifact.Bytes(free), artifact.Bytes(stream.Plain.Bytes)),
			"free space there, or set TMPDIR")
	}
	err = artifact.Read(ctx, r.artifact, r.keys, r.database.Stream, func(plain io.Reader) error { return unpack(plain, dir) })
	if err != nil {
		return err
	}
	return r.load(ctx, environ, nil, "--format=directory", dir)
}

// unpack writes the files of a dump's tar into dir.
func unpack(r io.Reader, dir string) error {
	files := tar.NewReader(r)
	for {
		h, err := files.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return damage("tar: %w", err)
		case h.Typeflag != tar.TypeReg || !filepath.IsLocal(h.Name) || filepath.Base(h.Name) != h.Name:
			return damage("the dump holds %q, which is no plain file", h.Name)
		}
		if err := lay(filepath.Join(dir, filepath.Base(h.Name)), files); err != nil {
			return err
		}
	}
}

// withheldBytes is how much of the end of a dump pg_restore gets only when all
// of it was read and matched. The end of its last table is a few bytes long.
const withheldBytes = 4 << 10

// withheld hands out all but the last bytes of a stream until it has seen the
// stream's end, which the reader below reports only when every stored byte was
// as the manifest says. Without these bytes pg_restore cannot finish, so that
// nothing of a damaged dump is ever committed.
type withheld struct {
	r    io.Reader
	buf  []byte
	err  error
	seen bool
}

// Read implements io.Reader.
func (w *withheld) Read(p []byte) (int, error) {
	for !w.seen && len(w.buf) <= withheldBytes {
		at := len(w.buf)
		w.buf = append(w.buf, make([]byte, readBytes)...)
		n, err := w.r.Read(w.buf[at:])
		w.buf = w.buf[:at+n]
		if err != nil {
			w.seen, w.err = true, err
		}
	}
	if w.seen && !errors.Is(w.err, io.EOF) {
		return 0, w.err
	}
	ready := len(w.buf)
	if !w.seen {
		ready -= withheldBytes
	}
	if ready == 0 {
		return 0, w.err
	}
	n := copy(p, w.buf[:ready])
	w.buf = append(w.buf[:0], w.buf[n:]...)
	return n, nil
}
