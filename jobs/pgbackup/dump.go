package pgbackup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/child"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
	"github.com/ghosteam/upkeep/runner/retry"
)

const (
	// pipeBytes is what a pipe from pg_dump holds, so that it seldom waits.
	pipeBytes = 1 << 20
	// readBytes is how much of a file is taken at once.
	readBytes = 256 << 10
)

// dumping is the dump of one database under way.
type dumping struct {
	*run
	source   source
	snap     *snapshot
	tool     tool
	environ  []string
	stream   *artifact.Stream
	said     *tail
	database Database

	// begun is closed when pg_dump has all its locks and sends.
	begun   chan struct{}
	once    sync.Once
	listing chan contents // at most one
	blocker string        // who pg_dump waited for last
	locks   lockTable
}

// dump saves one database.
func (r *run) dump(ctx context.Context, w *artifact.Writer, s source) (err error) {
	limit := r.job.options.SnapshotTimeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit.Std(), fmt.Errorf("the dump took longer than snapshot_timeout, %s", limit))
	defer cancel()
	snap, err := openSnapshot(ctx, s, r.plan.application)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snap.Hangup(ctx)) }()
	d := &dumping{run: r, source: s, snap: snap, said: &tail{}, begun: make(chan struct{}), listing: make(chan contents, 1)}
	d.tool = tool{client: r.plan.client, environ: r.env.Environ(), marks: r.env.Marks(), dir: r.env.WorkDir}
	environ, remove, err := snap.ClientEnviron(r.env.Environ(), r.env.WorkDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	d.environ = environ
	if d.stream, err = w.Stream(s.stream); err != nil {
		return err
	}
	held, err := d.both(ctx)
	if err != nil {
		return err
	}
	if err := d.stream.Close(); err != nil {
		return err
	}
	d.database.HeldSeconds = held.Seconds()
	for _, line := range d.said.lines() {
		r.env.Printf("%s: %s", s.name, r.env.OneLine(line))
	}
	d.settle()
	return nil
}

// both runs pg_dump and collects the catalog at once. Each ends when the
// other fails.
func (d *dumping) both(ctx context.Context) (held time.Duration, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var tables []listed
	var exact map[uint32]bool
	var catalogErr error
	var wg sync.WaitGroup
	wg.Go(func() {
		tables, exact, catalogErr = d.catalog(ctx)
		if catalogErr != nil {
			cancel(catalogErr)
		}
	})
	var found contents
	if d.job.options.Jobs > 1 {
		found, err = d.directory(ctx)
	} else {
		found, err = d.custom(ctx)
	}
	if err != nil {
		cancel(err)
	} else {
		d.tell(found)
	}
	wg.Wait()
	switch {
	case err != nil && catalogErr != nil && errors.Is(err, catalogErr):
		return 0, catalogErr
	case err != nil:
		return 0, d.explain(err)
	case catalogErr != nil:
		return 0, catalogErr
	}
	return time.Since(d.snap.held), d.match(tables, exact, found)
}

// match compares the dump's table of contents with the catalog of its
// snapshot: what it does not know cannot be in the dump, and without filters
// all must be.
func (d *dumping) match(tables []listed, exact map[uint32]bool, found contents) error {
	d.database.LargeObjectsDumped = found.objects
	filtered := len(d.job.options.filters()) > 0
	var missing []string
	for i := range tables {
		t := &tables[i]
		entry, dumped := found.entries[t.OID]
		d.database.Tables = append(d.database.Tables, Table{
			OID: t.OID, Schema: t.Schema, Name: t.Name, Rows: t.Rows, Exact: exact[t.OID], Bytes: t.Bytes, Dumped: dumped, Entry: entry,
		})
		delete(found.entries, t.OID)
		if !dumped && t.Expected && !filtered {
			missing = append(missing, pg.Name(t.Schema, t.Name))
		}
	}
	o := d.job.options
	switch {
	case len(tables) == 0 && !filtered && !o.AllDatabases && !o.AllowEmpty:
		// Nobody adds one between two attempts.
		return jobs.WithHint(retry.Permanent(errors.New("it has no tables")), "correct the name of the database, or set allow_empty if that is how it should be")
	case len(found.entries) > 0:
		return fmt.Errorf("the dump holds %d tables that its snapshot does not know", len(found.entries))
	case len(missing) > 0:
		return fmt.Errorf("the dump lacks the rows of %d tables, such as %s", len(missing), jobs.OneLine(missing[0]))
	case !filtered && !found.objects && d.database.LargeObjects > 0:
		return fmt.Errorf("the dump lacks %d large objects", d.database.LargeObjects)
	}
	return nil
}

// start notes that pg_dump has its locks.
func (d *dumping) start() { d.once.Do(func() { close(d.begun) }) }

// tell hands the dump's table of contents to whoever counts.
func (d *dumping) tell(c contents) {
	d.start()
	select {
	case d.listing <- c:
	default: // it was told before
	}
}

// catalog describes the database while pg_dump runs: first what takes no locks,
// then who keeps pg_dump from its locks, then the rows of what it dumps.
func (d *dumping) catalog(ctx context.Context) ([]listed, map[uint32]bool, error) {
	var err error
	if d.database, err = d.snap.describe(ctx, d.source); err != nil {
		return nil, nil, ended(ctx, err)
	}
	if d.locks, err = d.snap.lockTable(ctx); err != nil {
		return nil, nil, ended(ctx, err)
	}
	if err := d.watchLocks(ctx); err != nil {
		return nil, nil, ended(ctx, err)
	}
	tables, err := d.snap.list(ctx)
	if err != nil {
		return nil, nil, ended(ctx, err)
	}
	exact := map[uint32]bool{}
	budget := d.job.options.CountRows.Std()
	if budget <= 0 {
		return tables, exact, nil
	}
	var found contents
	if d.job.options.Jobs == 1 {
		select {
		case found = <-d.listing:
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("count rows: %w", context.Cause(ctx))
		}
	}
	var wanted []*listed
	for i := range tables {
		if _, ok := found.entries[tables[i].OID]; ok || found.entries == nil {
			wanted = append(wanted, &tables[i])
		}
	}
	return tables, exact, ended(ctx, d.snap.count(ctx, wanted, exact, budget))
}

// ended returns the cause when ctx has ended, which explains err.
func ended(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("read the catalog: %w", context.Cause(ctx))
}

// settle adds the dump to the account of the run.
func (d *dumping) settle() {
	estimated := 0
	for i := range d.database.Tables {
		if t := d.database.Tables[i]; t.Dumped && !t.Exact {
			estimated++
		}
	}
	if estimated > 0 && d.job.options.CountRows > 0 {
		d.findings = append(d.findings, jobs.Finding{ID: "estimated:" + jobs.FindingIDFrom(d.source.name), Severity: jobs.Info, Text: fmt.Sprintf(
			"%d of %d tables of %s were not counted within count_rows, %s, or could not be: their rows are estimates",
			estimated, d.database.dumped(), d.source.name, d.job.options.CountRows)})
	}
	d.details.Databases = append(d.details.Databases, d.database)
	d.bytes += d.stream.Bytes()
	d.rows += d.database.rows()
	d.tables += d.database.dumped()
}

// arguments are those of pg_dump that both formats share. The connection is
// named by its environment; what is added to it here are only signs of life.
func (d *dumping) arguments(format string) []string {
	o := d.job.options
	args := []string{
		d.plan.client.Program("pg_dump"), "--format=" + format, "--compress=0", "--no-password", "--no-sync",
		fmt.Sprintf("--lock-wait-timeout=%d", o.LockTimeout.Std().Milliseconds()), "--snapshot=" + d.snap.id,
		"--dbname=dbname=" + pg.Quote(d.source.name) + " keepalives_idle=60 keepalives_interval=15 keepalives_count=8",
	}
	if d.plan.client.Major > d.snap.Server.Major {
		args = append(args, "--quote-all-identifiers")
	}
	filters := o.filters()
	if len(filters) > 0 {
		args = append(args, "--strict-names")
	}
	return append(args, filters...)
}

// custom streams a dump of the format custom.
func (d *dumping) custom(ctx context.Context) (_ contents, err error) {
	h, err := newHead(d.env.WorkDir, d.tell)
	if err != nil {
		return contents{}, err
	}
	defer func() { err = errors.Join(err, h.remove()) }()
	alive, idle := newWatchdog(ctx, d.job.options.IdleTimeout.Std(), errIdle)
	defer idle.end()
	out, err := child.Output(alive, child.Command{
		Argv: d.arguments(formatCustom), Env: d.environ, Dir: d.env.WorkDir, Stderr: d.said,
		Marks: d.env.Marks(), Grace: d.env.KillGrace, PipeBytes: pipeBytes, WriteBytes: pipeBytes,
	})
	if err != nil {
		return contents{}, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	idle.allow(d.job.options.LockTimeout.Std())
	if _, err := d.stream.ReadFrom(&flow{dumping: d, ctx: ctx, from: out, head: h, idle: idle}); err != nil {
		return contents{}, err
	}
	return h.end(ctx, d.tool)
}

// flow is a dump on its way into its stream.
type flow struct {
	*dumping
	ctx  context.Context
	from io.Reader
	head *head
	idle *watchdog
	seen int64
}

// Read implements io.Reader.
func (f *flow) Read(p []byte) (int, error) {
	f.idle.arm()
	n, err := f.from.Read(p)
	f.idle.rest()
	if n == 0 {
		return 0, err
	}
	f.start()
	if err := f.head.take(f.ctx, f.tool, p[:n]); err != nil {
		return 0, err
	}
	f.seen += int64(n)
	f.env.Progress(f.bytes+f.seen, max(f.plan.bytes, f.bytes+f.seen), "bytes")
	return n, err
}

// explain adds what pg_dump said, and who was in its way.
func (d *dumping) explain(err error) error {
	if _, ok := errors.AsType[*child.ExitError](err); !ok {
		return err
	}
	err = d.locks.advise(d.said.explain(err), d.said)
	if d.blocker != "" && !d.sending() {
		return jobs.WithHint(fmt.Errorf("%w: waited for %s", err, d.blocker), "let that session end, run at another time, or raise lock_timeout")
	}
	return err
}

func (d *dumping) sending() bool {
	select {
	case <-d.begun:
		return true
	default:
		return false
	}
}

var errIdle = errors.New("pg_dump sent nothing for longer than idle_timeout")

// watchdog ends a context when something takes too long.
type watchdog struct {
	cancel context.CancelCauseFunc
	within time.Duration
	extra  time.Duration
	timer  *time.Timer
}

func newWatchdog(ctx context.Context, within time.Duration, cause error) (context.Context, *watchdog) {
	w := &watchdog{within: within}
	ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(time.Hour, func() { w.cancel(cause) })
	w.timer.Stop()
	return ctx, w
}

// allow grants more time once.
func (w *watchdog) allow(extra time.Duration) { w.extra = extra }

// arm begins to wait, rest ends it.
func (w *watchdog) arm() { w.timer.Reset(w.within + w.extra) }

func (w *watchdog) rest() {
	w.timer.Stop()
	w.extra = 0
}

func (w *watchdog) end() {
	w.timer.Stop()
	w.cancel(nil)
}
