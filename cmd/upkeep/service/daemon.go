package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/health/runbook"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/metrics"
	"github.com/ghosteam/upkeep/runner/ticker"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// DaemonOptions configure a Daemon.
type DaemonOptions struct {
	Options
	// Load reads the configuration anew, for reloads.
	Load func() (*configs.Config, error)
	// Signals are those that the process gets: HUP reloads, TERM and INT
	// drain, a second one of these stops at once.
	Signals <-chan os.Signal
	// Logbook is what is behind Log; nil for one that nobody can change.
	Logbook *Logbook
	// SweepEvery is how often the clock looks at everything again; 0 means 30 s.
	SweepEvery time.Duration
	// AbsentEvery is how often this node looks for what nodes missed that are not
	// there; 0 means 30 s.
	AbsentEvery time.Duration
}

// Daemon is an Engine that keeps the calendar.
type Daemon struct {
	*Engine
	o          DaemonOptions
	ticker     *ticker.Ticker
	dispatcher *alerts.Dispatcher
	monitor    *health.Monitor
	runbooks   *runbook.Engine
	gate       *gate
	space      *space
	supervisor *supervisor
	reloads    *reloads
	stock      *stock
	bench      *bench
	server     *server
	reloading  sync.Mutex
	digest     digest
	// staleSince is since when the stale workflows are, as they were told; only
	// the ticker's goroutine uses it.
	staleSince map[string]time.Time
	// drainTold is the beginning of the drain that was told; only the chore
	// that watches drains uses it.
	drainTold time.Time
}

// RunDaemon is `upkeep serve`: it returns nil after a drain, and otherwise why
// it could not start or go on. ctx ends it at once.
func RunDaemon(ctx context.Context, o DaemonOptions) (err error) {
	if o.Metrics == nil {
		o.Metrics = metrics.New(metrics.Options{Version: o.Version, SeedNames: o.Config.Metrics.SeedNames})
	}
	shelves := &stock{}
	o.Pending, o.Observer = true, observers{ends{o.Log}, o.Metrics, shelves, o.Observer}
	d := &Daemon{
		o: o, stock: shelves, staleSince: map[string]time.Time{}, supervisor: &supervisor{log: o.Log}, reloads: &reloads{at: time.Now().UTC()},
	}
	d.supervisor.status("opening the ledger")
	d.Engine, err = Open(ctx, o.Options)
	if errors.Is(err, runner.ErrNoSpace) || errors.Is(err, syscall.ENOSPC) {
		d.Engine, err = openWithoutBallast(ctx, o.Options)
	}
	if err != nil {
		return err
	}
	shelves.e = d.Engine
	defer func() {
		d.Stop()
		shelves.close()
		err = errors.Join(err, d.Close())
	}()
	if err := d.assemble(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.space.ballast.Close()) }()

	return d.run(ctx)
}

// assemble makes the parts that only a daemon has.
func (d *Daemon) assemble(ctx context.Context) error {
	cfg := d.Config()
	ballast, err := ledger.OpenBallast(ctx, StateDir(cfg), int64(cfg.Ballast))
	if err != nil {
		return fmt.Errorf("make the ballast beside the ledger: %w", err)
	}
	d.space = &space{d: d, ballast: ballast}
	d.measured(cfg)
	d.dispatcher = d.messenger()
	d.runbooks = d.newRunbooks()
	if d.monitor, err = d.watcher(); err != nil {
		return errors.Join(err, ballast.Close())
	}
	away := cmp.Or(d.o.AbsentEvery, absentEvery)
	d.ticker, err = ticker.New(ticker.Options{
		Ledger: d.clockwork(), Backlog: d.ledger, Queue: d.queue, Workflows: calendars(cfg), Node: cfg.Node, Turn: d.turn(), Sweep: d.o.SweepEvery,
		Stale: d.stale, Paused: d.remind, Failed: d.tickFailed, Log: named(d.o.Log, "ticker"),
		Chores: []ticker.Chore{
			{Name: "free space", Every: spaceEvery, Do: func(ctx context.Context) error { return d.space.look(ctx, false) }},
			{Name: "history", Every: pruneEvery, First: pruneFirst, Do: d.pruneHistory},
			{Name: "late starts", Every: expireEvery, First: expireEvery, Do: d.expire},
			{Name: "absent nodes", Every: away, First: away, Do: d.standIn},
			{Name: "stale nodes", Every: away, First: away, Do: d.staleAway},
			{Name: "who asks", Every: shareEvery, First: shareEvery, Do: (&sharing{d: d}).look},
			{Name: "drain", Every: time.Minute, Do: d.watchDrain},
			{Name: "socket", Every: socketEvery, First: socketEvery, Do: func(ctx context.Context) error { return d.server.restore(ctx) }},
			{Name: "web", Every: frontEvery, First: frontEvery, Do: func(ctx context.Context) error { return d.server.front.look(ctx) }},
			{Name: "stuck runs", Every: stuckEvery, First: stuckEvery, Do: (&stuck{d: d}).look},
			{Name: "memory", Every: time.Hour, First: settleFor, Do: giveBack},
			{Name: "metrics", Every: measureEvery, Do: (&measuring{d: d, filled: map[string]bool{}}).look},
			{Name: "status", Every: statusEvery, First: statusFirst, Do: d.tellStatus},
			{Name: "announce", Every: announceEvery, Do: d.announce},
		},
	})
	if err != nil {
		return errors.Join(fmt.Errorf("make the clock: %w", err), ballast.Close())
	}
	d.gate = &gate{
		hold:   func(why hold) { d.queue.Hold(); d.ticker.Hold(string(why)) },
		resume: func() { d.queue.Resume(); d.ticker.Resume() },
	}
	d.Engine.gate.Store(d.gate)
	d.refusal = d.gate.refusal
	d.settle(ctx)
	return nil
}

// settle ends the incidents of a daemon before that are no longer true: this
// one has read its configuration, and has room unless it finds otherwise.
func (d *Daemon) settle(ctx context.Context) {
	d.space.owed = d.space.clear
	err := d.space.look(ctx, false)
	over := []string{d.ownFault(alerts.FingerprintReload), d.ownFault(alerts.FingerprintDrain)}
	if d.shared() {
		// Those of a ledger that was moved here from one machine are nobody's.
		over = append(over, alerts.FingerprintReload, alerts.FingerprintDrain, alerts.FingerprintDisk)
	}
	for _, fingerprint := range over {
		_, unsettled := d.ledger.Clear(ctx, fingerprint, time.Now().UTC())
		err = errors.Join(err, unsettled)
	}
	if err != nil {
		d.o.Log.WarnContext(ctx, "settle the incidents of the process before", "error", err)
	}
	d.forgetRemoved(ctx)
}

// run keeps the daemon going until it has drained.
func (d *Daemon) run(ctx context.Context) error {
	var err error
	if d.server, err = d.listen(ctx, d); err != nil {
		return err
	}
	d.server.front.configure(ctx, d.Config().Web)
	if os.Getpid() == 1 {
		stopReaping := jobs.ReapOrphans(d.o.Log)
		defer stopReaping()
	}
	// The parts end one after the other: the clock first, the messenger last.
	clock, stopClock := context.WithCancelCause(context.WithoutCancel(ctx))
	work, stopWork := context.WithCancelCause(context.WithoutCancel(ctx))
	mail, stopMail := context.WithCancelCause(context.WithoutCancel(ctx))
	failed := make(chan error, 1)
	clocks, works, mails := newParts(failed), newParts(failed), newParts(failed)
	works.run(func() error { return d.Work(work) })
	works.run(func() error { return d.bench.until(work) })
	clocks.run(func() error { return d.ticker.Run(clock) })
	clocks.run(func() error { return d.monitor.Run(clock) })
	clocks.run(func() error { return d.runbooks.Run(clock) })
	mails.run(func() error { d.dispatcher.Run(mail); return nil })
	mails.run(func() error { return d.listenToBells(mail) })
	mails.run(func() error { d.chime(mail); return nil })
	mails.run(func() error { d.settleIncidents(mail); return nil })
	mails.run(func() error { return d.server.serve(mail) })
	mails.run(func() error { d.writeTextfile(mail); return nil })
	clocks.run(func() error { return d.scrape(clock) })
	mails.run(func() error { return (&pulse{d: d}).beat(clock) })
	mails.run(func() error { d.supervisor.watch(mail, d.ticker.Alive); return nil })
	d.happened(ctx, "restart", "upkeep", "upkeep "+d.o.Version+" started")
	d.supervisor.ready()
	d.o.Log.InfoContext(ctx, "upkeep serves", "node", d.Config().Node, "workflows", len(d.Config().Workflows), "socket", SocketPath(d.Config()), "web", d.web(), "version", d.o.Version)

	err = d.obey(ctx, failed)
	d.gate.shut(holdEnd)
	d.announceNow(context.WithoutCancel(ctx))
	stopClock(runner.ErrShutdown)
	err = errors.Join(err, clocks.wait())
	d.exec.Drain()
	stopWork(runner.ErrShutdown)
	err = errors.Join(err, d.drain(ctx, works))
	d.happened(context.WithoutCancel(ctx), "restart", "upkeep", "upkeep "+d.o.Version+" ended")
	stopMail(runner.ErrShutdown)
	return errors.Join(err, mails.wait())
}

// obey does what signals ask for until one asks for the end, ctx ends, a part
// fails, or the ledger is lost, without which nothing can be done: whoever
// supervises this process starts it anew.
func (d *Daemon) obey(ctx context.Context, failed <-chan error) error {
	for {
		select {
		case s := <-d.o.Signals:
			if s == syscall.SIGHUP {
				d.reopenLog(ctx)
				// A reload that fails has been logged, recorded and alerted.
				_ = d.Reload(ctx, "signal HUP")
				continue
			}
			d.o.Log.InfoContext(ctx, "upkeep drains and ends", "signal", s.String(), "running", d.queue.Running(), "at_most", d.Config().DrainTimeout)
			return nil
		case err := <-failed:
			d.o.Log.ErrorContext(ctx, "a part of upkeep failed; it drains and ends", "error", err)
			return nil // the part tells it once more when all have ended
		case <-d.hard.Done():
			return errLostLedger
		case <-ctx.Done():
			d.Stop()
			return nil
		}
	}
}

// errLostLedger ends a service that can no longer be sure that it is the only
// one: others may take over its runs.
var errLostLedger = fmt.Errorf("this process lost the ledger: %w", runner.ErrLeaseLost)

// parts are goroutines that run beside each other and end together.
type parts struct {
	group sync.WaitGroup
	// failed gets the first error as soon as it is there; nil for nobody.
	failed chan<- error
	mu     sync.Mutex
	errs   []error
}

func newParts(failed chan<- error) *parts { return &parts{failed: failed} }

func (p *parts) run(do func() error) {
	p.group.Go(func() {
		if err := do(); err != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.errs = append(p.errs, err)
			select {
			case p.failed <- err:
			default:
			}
		}
	})
}

// wait returns when all have ended, with what went wrong.
func (p *parts) wait() error {
	p.group.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(p.errs...)
}

// drain waits for what runs, at most as long as configured; a second signal
// ends the waiting. What has not ended then is given back to the ledger and
// goes on at the next start, or at once on another node.
func (d *Daemon) drain(ctx context.Context, works *parts) error {
	timeout := d.Config().DrainTimeout
	telling, told := context.WithCancel(context.WithoutCancel(ctx))
	go d.supervisor.stopping(telling, timeout+d.Config().KillGrace)
	defer told()
	ended := make(chan error, 1)
	go func() { ended <- works.wait() }()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	for {
		d.supervisor.status("draining: waiting for %d runs", d.queue.Running())
		select {
		case err := <-ended:
			return err
		case s := <-d.o.Signals:
			if s == syscall.SIGHUP {
				continue
			}
			d.o.Log.WarnContext(ctx, "second signal: what still runs is stopped and goes on later", "where", d.whereItGoesOn(), "running", d.queue.Running())
		case <-deadline.C:
			d.o.Log.WarnContext(ctx, "the drain took too long: what still runs is stopped and goes on later", "where", d.whereItGoesOn(), "after", timeout, "running", d.queue.Running())
		case <-ctx.Done():
		}
		d.Stop()
		return <-ended
	}
}

// openWithoutBallast opens the ledger on a disk that filled up while nothing
// ran: what the ballast holds is room enough to record and tell that.
func openWithoutBallast(ctx context.Context, o Options) (*Engine, error) {
	ballast, err := ledger.OpenBallast(ctx, StateDir(o.Config), int64(o.Config.Ballast))
	if err != nil {
		return nil, fmt.Errorf("open the ballast of a full disk: %w", err)
	}
	o.Log.ErrorContext(ctx, "the disk of the ledger is full: the ballast is released to open the ledger")
	if err := errors.Join(ballast.Release(), ballast.Close()); err != nil {
		return nil, fmt.Errorf("release the ballast: %w", err)
	}
	return Open(ctx, o)
}

// tickFailed looks at the disk when the clock could not record what is due for
// lack of room.
func (d *Daemon) tickFailed(err error) {
	if errors.Is(err, runner.ErrNoSpace) {
		ring(d.full)
	}
}

// listenToBells wakes those who wait for what the ledger and the executor
// notice.
func (d *Daemon) listenToBells(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.owed:
			d.dispatcher.Wake()
		case <-d.full:
			if err := d.space.look(ctx, true); err != nil {
				d.o.Log.ErrorContext(ctx, "act on the full disk", "error", err)
			}
		}
	}
}

// happened records an event; that it could not is only logged.
func (d *Daemon) happened(ctx context.Context, kind, subject, text string) {
	err := d.recorded().Record(ctx, runner.Happening{Kind: kind, Subject: subject, Text: text, By: d.Config().Node, At: time.Now().UTC()})
	if err != nil {
		d.o.Log.WarnContext(ctx, "record an event", "event", text, "error", err)
	}
}
