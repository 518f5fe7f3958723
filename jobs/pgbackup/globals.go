package pgbackup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/child"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
	"github.com/ghosteam/upkeep/storage/object"
)

// globalsEnd is the comment that ends what pg_dumpall writes.
const globalsEnd = "-- PostgreSQL database cluster dump complete"

// dumpGlobals saves the roles and tablespaces of a server.
func (r *run) dumpGlobals(ctx context.Context, w *artifact.Writer, s source, at int) (err error) {
	o := r.job.options
	c, err := pg.Connect(ctx, s.address, r.plan.application)
	if err != nil {
		return err
	}
	readable := false
	err = c.QueryRow(ctx, "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')").Scan(&readable)
	environ, remove, environErr := c.ClientEnviron(r.env.Environ(), r.env.WorkDir)
	if err = errors.Join(err, environErr, c.Hangup(ctx)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	g := Globals{Server: s.server.Name(), Stream: "globals.sql", Passwords: readable && o.RolePasswords}
	if at > 0 {
		g.Stream = fmt.Sprintf("globals-%d.sql", at+1)
	}
	args := []string{
		r.plan.client.Program("pg_dumpall"), "--globals-only", "--no-password", "--no-sync",
		fmt.Sprintf("--lock-wait-timeout=%d", o.LockTimeout.Std().Milliseconds()), "--database=dbname=" + pg.Quote(s.name),
	}
	if !g.Passwords {
		args = append(args, "--no-role-passwords")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.LockTimeout.Std()+o.IdleTimeout.Std(), errors.New("pg_dumpall took too long"))
	defer cancel()
	said := &tail{}
	out, err := child.Output(ctx, child.Command{
		Argv: args, Env: environ, Dir: r.env.WorkDir, Stderr: said, Marks: r.env.Marks(), Grace: r.env.KillGrace,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	stream, err := w.Stream(g.Stream)
	if err != nil {
		return err
	}
	if g.Roles, err = readGlobals(io.TeeReader(out, stream)); err != nil {
		return jobs.WithHint(said.explain(err), "grant the user what it needs, or set globals: false and keep the roles elsewhere")
	}
	r.details.Globals = append(r.details.Globals, g)
	if err := stream.Close(); err != nil {
		return err
	}
	r.bytes += stream.Bytes()
	return nil
}

// readGlobals reads what pg_dumpall wrote to its end and counts the roles.
func readGlobals(r io.Reader) (roles int, err error) {
	lines := bufio.NewReader(r)
	whole := false
	for {
		line, err := lines.ReadString('\n')
		if strings.HasPrefix(line, "CREATE ROLE ") {
			roles++
		}
		whole = whole || strings.TrimRight(line, "\r\n") == globalsEnd
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return roles, err
		}
	}
	if !whole {
		return roles, errors.New("its end is missing")
	}
	return roles, nil
}

// verifyGlobals compares the stored roles with the manifest.
func verifyGlobals(g Globals, r io.Reader) error {
	roles, err := readGlobals(r)
	if err == nil && roles != g.Roles {
		err = fmt.Errorf("it creates %d roles, but %d were saved", roles, g.Roles)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %w", g.Stream, object.ErrDamaged, err)
	}
	return nil
}
