package pgbackup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/child"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

const (
	// clusterUser owns a throwaway server. It has a name of its own, so that
	// roles of the backup can neither take it nor its rights away.
	clusterUser = "upkeep_drill"
	// clusterStart bounds how long such a server may take to answer.
	clusterStart = 2 * time.Minute
	// clusterPoll is the pause between two attempts to reach it.
	clusterPoll = 50 * time.Millisecond
)

// errStopped is why a throwaway server ends.
var errStopped = errors.New("the drill has ended")

// cluster is a throwaway PostgreSQL server in a folder of its own. It listens
// on a socket that only its own user, root and nobody else can reach.
type cluster struct {
	env    *jobs.Env
	home   *home
	client pg.Client
	said   *tail
	stop   context.CancelCauseFunc
	ended  chan struct{}
	err    error
}

// onCluster restores every database on a throwaway server.
func (r *drill) onCluster(ctx context.Context) (err error) {
	major := r.details.ClientMajor
	for i := range r.details.Databases {
		major = max(major, r.details.Databases[i].Server.Number/10000)
	}
	client, err := pg.FindClient(ctx, r.env.Environ(), "", major, "postgres", "initdb", "pg_restore")
	if err != nil {
		return jobs.WithHint(fmt.Errorf("look for a PostgreSQL server of version %d or newer: %w", major, err),
			fmt.Sprintf("install the server (Debian: postgresql-%d), which need not run, or drill up to L3", major))
	}
	if err := sweepHomes(ctx, r.env); err != nil {
		return err
	}
	what := fmt.Sprintf("make a throwaway PostgreSQL %s server, and restore %d databases of artifact %s on it", client.Version, len(r.details.Databases), r.artifact.Manifest.ID)
	return r.env.Effect(ctx, what, func(ctx context.Context) (err error) {
		home, err := newHome(r.env)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, home.remove()) }()
		if err := r.fits(home); err != nil {
			return err
		}
		c := &cluster{env: r.env, home: home, client: client, said: &tail{}}
		if err := c.start(ctx); err != nil {
			return fmt.Errorf("start a throwaway server: %w", err)
		}
		defer func() { err = errors.Join(err, c.end()) }()
		return r.onOwn(ctx, c)
	})
}

// onOwn restores the roles and every database on the throwaway server.
func (r *drill) onOwn(ctx context.Context, c *cluster) (err error) {
	address, err := pg.ParseAddress(c.address())
	if err != nil {
		return err
	}
	admin, err := pg.Connect(ctx, address, "upkeep drill")
	if err != nil {
		return c.explain(err)
	}
	defer func() { err = errors.Join(err, r.hangup(ctx, admin)) }()
	if err := r.people(ctx, admin, c.home); err != nil {
		return err
	}
	for i := range r.details.Databases {
		d := &r.details.Databases[i]
		if err := r.suits(ctx, admin, d); err != nil {
			return fmt.Errorf("drill of %s: %w", d.Name, err)
		}
		if err := r.inScratch(ctx, admin, d); err != nil {
			return fmt.Errorf("drill of %s: %w", d.Name, c.explain(err))
		}
	}
	return nil
}

// address leads to the server's own database.
func (c *cluster) address() secret.String {
	return secret.New(fmt.Sprintf("host=%s port=5432 user=%s dbname=postgres sslmode=disable", pg.Quote(c.home.socket()), clusterUser))
}

// command runs a program of the server as its user.
func (c *cluster) command(program string, args ...string) child.Command {
	return child.Command{
		Argv: append([]string{c.client.Program(program)}, args...), Env: append(clean(c.env.Environ()), "LC_ALL=C", "TZ=UTC"),
		Dir: c.home.dir, User: c.home.user, Stdout: c.said, Stderr: c.said,
		Marks: append(c.env.Marks(), c.home.mark()), Grace: c.env.KillGrace,
	}
}

// start makes the server and waits until it answers.
func (c *cluster) start(ctx context.Context) error {
	_, err := child.Run(ctx, c.command("initdb", "--pgdata="+c.home.data(), "--username="+clusterUser, "--auth=trust",
		"--encoding=UTF8", "--locale=C", "--no-sync"))
	if err != nil {
		return c.said.explain(err)
	}
	c.said = &tail{}
	running, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	c.stop, c.ended = stop, make(chan struct{})
	go func() {
		defer close(c.ended)
		_, c.err = child.Run(running, c.command("postgres", append([]string{"-D", c.home.data()}, settings(c.home)...)...))
	}()
	if err := c.await(ctx); err != nil {
		return errors.Join(err, c.end())
	}
	return nil
}

// settings make the server fast and reachable for us alone; what it holds need
// not outlive anything.
func settings(h *home) []string {
	var args []string
	for _, s := range []string{
		"listen_addresses=", "unix_socket_directories=" + h.socket(), "unix_socket_permissions=0700", "port=5432",
		"fsync=off", "full_page_writes=off", "synchronous_commit=off", "wal_level=minimal", "max_wal_senders=0", "max_wal_size=1GB",
		"autovacuum=off", "max_connections=20", "shared_buffers=64MB", "maintenance_work_mem=128MB", "max_locks_per_transaction=2048",
		// Memory that the kernel takes back when the server is killed.
		"dynamic_shared_memory_type=mmap", "logging_collector=off", "log_destination=stderr",
	} {
		args = append(args, "-c", s)
	}
	return args
}

// await connects until the server answers, has ended, or took too long.
func (c *cluster) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, clusterStart, errors.New("it does not answer"))
	defer cancel()
	address, err := pg.ParseAddress(c.address())
	if err != nil {
		return err
	}
	for {
		conn, err := pg.Connect(ctx, address, "upkeep drill")
		if err == nil {
			return conn.Hangup(ctx)
		}
		select {
		case <-c.ended:
			return c.said.explain(errors.New("it ended at once"))
		case <-ctx.Done():
			return c.said.explain(errors.Join(context.Cause(ctx), err))
		case <-time.After(clusterPoll):
		}
	}
}

// end stops the server and waits until nothing of it is left. How it ends does
// not matter: nobody wants its files.
func (c *cluster) end() error {
	c.stop(errStopped)
	<-c.ended
	if _, stopped := errors.AsType[*child.StopError](c.err); stopped || c.err == nil {
		return nil
	}
	if _, exited := errors.AsType[*child.ExitError](c.err); exited {
		return nil // it was told of by whoever was connected
	}
	return fmt.Errorf("stop the throwaway server: %w", c.err)
}

// explain adds what the server said to an error, when it has ended by itself.
func (c *cluster) explain(err error) error {
	select {
	case <-c.ended:
		return c.said.explain(fmt.Errorf("%w; the throwaway server ended: %w", err, c.err))
	default:
		return err
	}
}

// fits refuses a folder without room for the databases.
func (r *drill) fits(h *home) error {
	var needed int64
	for i := range r.details.Databases {
		needed = max(needed, r.details.Databases[i].Bytes) // one after the other
	}
	return h.hasRoom(needed + emptyCluster)
}

// emptyCluster is how much room a server takes before anything is in it: its
// own databases and its log.
const emptyCluster = 128 << 20

// tablespace makes the folder of a tablespace.
func (h *home) tablespace(number int) (string, error) {
	dir := filepath.Join(h.dir, fmt.Sprintf("tablespace-%d", number))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	return dir, h.give(dir)
}
