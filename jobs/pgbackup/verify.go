package pgbackup

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/child"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
	"github.com/ghosteam/upkeep/storage/object"
)

// verify proves a backup up to L2 with the client in folder, or one that is
// found.
func verify(ctx context.Context, env *jobs.Env, a *object.Artifact, keys crypt.Keys, folder string) error {
	want, err := DetailsOf(a.Manifest)
	if err != nil {
		return err
	}
	client, err := pg.FindClient(ctx, env.Environ(), folder, want.ClientMajor, "pg_restore")
	if err != nil {
		return fmt.Errorf("verify backup %s: it was made by client %s: %w", a.Manifest.ID, want.Client, err)
	}
	var total int64
	for i := range want.Databases {
		s, _ := a.Manifest.Stream(want.Databases[i].Stream) // what is not there, Read says
		total += s.Plain.Bytes
	}
	back := &reading{env: env, total: total}
	t := tool{client: client, environ: env.Environ(), marks: env.Marks(), dir: env.WorkDir}
	for i := range want.Databases {
		d := &want.Databases[i]
		err := artifact.Read(ctx, a, keys, d.Stream, func(r io.Reader) error {
			r = back.of(r)
			if want.Format == formatDirectory {
				return t.verifyDirectory(ctx, d, r)
			}
			return t.verifyCustom(ctx, d, r)
		})
		if err != nil {
			return fmt.Errorf("verify backup of %s: %w", d.Name, err)
		}
	}
	for _, g := range want.Globals {
		if err := artifact.Read(ctx, a, keys, g.Stream, func(r io.Reader) error { return verifyGlobals(g, r) }); err != nil {
			return err
		}
	}
	return nil
}

// reading tells how much was read back.
type reading struct {
	env         *jobs.Env
	from        io.Reader
	seen, total int64
}

// of goes on with the next stream.
func (r *reading) of(from io.Reader) io.Reader {
	r.from = from
	return r
}

// Read implements io.Reader.
func (r *reading) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.seen += int64(n)
	r.env.Progress(r.seen, max(r.total, r.seen), "bytes read back")
	return n, err
}

// verifyCustom lets pg_restore read a dump in full and counts what comes out.
// Only the data section is written, so that nothing in the definitions, such
// as the body of a function, can look like data.
func (t tool) verifyCustom(ctx context.Context, d *Database, r io.Reader) (err error) {
	said := &tail{}
	cmd := t.command("--section=data", "--file=-")
	cmd.Stdin, cmd.Stderr, cmd.PipeBytes = r, said, pipeBytes
	out, err := child.Output(ctx, cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	s := newScript(out)
	if err := s.read(); err != nil {
		return judge(said, err)
	}
	return d.compare(s)
}

// judge tells damage from other trouble: a pg_restore that was not started, or
// ended from outside, says nothing about the dump.
func judge(said *tail, err error) error {
	_, exited := errors.AsType[*child.ExitError](err)
	_, stopped := errors.AsType[*child.StopError](err)
	_, broken := errors.AsType[*child.StreamError](err)
	_, started := errors.AsType[*child.StartError](err)
	switch {
	case exited:
		return fmt.Errorf("%w: %w", object.ErrDamaged, said.explain(err))
	case stopped || broken || started:
		return err
	}
	return fmt.Errorf("%w: %w", object.ErrDamaged, err)
}

// compare compares what was read with the manifest.
func (d *Database) compare(s *script) error {
	for i := range d.Tables {
		t := &d.Tables[i]
		key := [2]string{t.Schema, t.Name}
		rows, found := s.rows[key]
		delete(s.rows, key)
		switch {
		case found != t.Dumped:
			return damage("the rows of %s are in the dump: %v, but the manifest says %v", pg.Name(t.Schema, t.Name), found, t.Dumped)
		case found && t.Exact && rows != t.Rows:
			return damage("table %s has %d rows in the dump, but had %d in its snapshot", pg.Name(t.Schema, t.Name), rows, t.Rows)
		}
	}
	for key := range s.rows {
		return damage("the dump holds rows of %s, which the manifest does not know", pg.Name(key[0], key[1]))
	}
	if d.LargeObjectsDumped && s.objects != d.LargeObjects {
		return damage("the dump holds %d large objects, but there were %d", s.objects, d.LargeObjects)
	}
	return nil
}
