package queuetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/executor"
)

// role is what a child process does: it joins the ledger and executes runs. It
// says what happens, one line per event on its standard output. The end of its
// standard input asks it to drain, the line "force" to give its runs back, the
// line "freeze" to stop as SIGSTOP does, between two of its own writes.
type role struct {
	Address string
	Dir     string
	Node    string
	Slots   int
	Lease   time.Duration
	// Compiler is the newest version of workflow texts that it knows.
	Compiler int
	// Submit are requests to submit before it executes.
	Submit []runner.Request
	// Leave makes it drain by itself when it has ended so many runs; 0 means
	// never.
	Leave int
	// Die is the moment at which it kills itself: one of the deaths.
	Die string
	// Late makes it try every write with its claims when it is continued after
	// a stop.
	Late bool
}

// voice writes lines for the parent.
type voice struct{ mu sync.Mutex }

func (v *voice) say(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	// Nobody listens any more when the parent is gone.
	_, _ = fmt.Fprintf(os.Stdout, format+"\n", args...)
}

// player is a role under way.
type player struct {
	role
	voice

	process *Process

	freeze chan struct{}
	drain  context.CancelFunc
	// submitted are the runs of its own requests.
	submitted []runner.RunID

	mu     sync.Mutex
	claims map[runner.RunID]runner.Claim
	ended  int
}

func (r role) play(s Subject) error {
	base, force := context.WithCancelCause(context.Background())
	ctx, drain := context.WithCancel(context.Background())
	defer drain()
	p := &player{role: r, freeze: make(chan struct{}, 1), drain: drain, claims: map[runner.RunID]runner.Claim{}}
	go func() {
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			switch in.Text() {
			case "force":
				force(runner.ErrShutdown)
				drain()
			case "freeze":
				p.freeze <- struct{}{}
			}
		}
		drain()
	}()
	if err := p.submit(ctx, s); err != nil {
		return err
	}
	process, err := s.Open(ctx, Setting{Address: r.Address, Node: r.Node, Execute: true, Slots: r.Slots, Lease: r.Lease, Base: base})
	if err != nil {
		return fmt.Errorf("join the ledger: %w", err)
	}
	p.process = process
	if r.Die == dieDelivered {
		if err := process.Queue.Deliver(ctx, p.submitted...); err != nil {
			return fmt.Errorf("deliver: %w", err)
		}
		p.die()
	}
	x := executor.New(executor.Options{
		Ledger: witnessed{Ledger: process.Ledger, player: p}, Compiler: compiler{dir: r.Dir, version: r.Compiler, meeting: &meeting{}},
		Observer: p, Node: r.Node, LiveDir: process.LiveDir, WorkDir: filepath.Join(r.Dir, "work-"+r.Node),
		Stop: base, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo})),
	})
	var tasks sync.WaitGroup
	over, end := context.WithCancel(context.Background())
	tasks.Go(func() { p.sweep(over, ctx) })
	leave := context.AfterFunc(ctx, x.Drain)
	defer leave()
	if r.Lease > 0 {
		tasks.Go(func() { p.beat(over) })
	}
	if r.Late {
		tasks.Go(func() { p.writeLate(over) })
	}
	p.say("ready")
	handle := x.Handle
	if r.Die == dieFetched {
		handle = func(context.Context, runner.RunID) { p.die() }
	}
	err = process.Queue.Work(ctx, handle)
	end()
	tasks.Wait()
	return errors.Join(err, process.Close())
}

// submit records the role's requests before it executes anything.
func (p *player) submit(ctx context.Context, s Subject) error {
	if len(p.Submit) == 0 {
		return nil
	}
	guest, err := s.Open(ctx, Setting{Address: p.Address, Node: p.Node})
	if err != nil {
		return fmt.Errorf("visit the ledger: %w", err)
	}
	for some := range slices.Chunk(p.Submit, 10) {
		for {
			answers, err := guest.Ledger.Submit(ctx, some...)
			if err == nil {
				for _, a := range answers {
					p.submitted = append(p.submitted, a.Run)
				}
				break
			}
			if !errors.Is(err, runner.ErrUnavailable) {
				return errors.Join(fmt.Errorf("submit: %w", err), guest.Close())
			}
		}
	}
	p.say("submitted")
	if p.Die == dieSubmitted {
		p.die()
	}
	return guest.Close()
}

// sweep delivers what is pending, as the program does from time to time.
func (p *player) sweep(over, ctx context.Context) {
	for over.Err() == nil && ctx.Err() == nil {
		ids, err := p.process.Ledger.Pending(over, "", 1000)
		if err == nil && len(ids) > 0 {
			err = p.process.Queue.Deliver(over, ids...)
		}
		if err != nil && over.Err() == nil {
			p.say("sweep failed: %s", oneLine(err))
		}
		_ = pause(ctx, 20*time.Millisecond)
	}
}

// beat keeps the lease, and gives up all runs when it is lost.
func (p *player) beat(over context.Context) {
	for over.Err() == nil {
		err := p.process.Heartbeat(over)
		switch {
		case errors.Is(err, runner.ErrLeaseLost):
			p.say("lease lost")
			p.mu.Lock()
			for id := range p.claims {
				p.process.Queue.Interrupt(id, runner.ErrSuperseded)
			}
			p.mu.Unlock()
			return
		case err != nil && over.Err() == nil:
			p.say("heartbeat failed: %s", oneLine(err))
		default:
			p.say("beat")
		}
		select {
		case <-p.freeze:
			p.stop()
		case <-time.After(p.Lease / 4):
		case <-over.Done():
		}
	}
}

// stop stops the process until it is continued. The threads stop one after the
// other, so this one must not begin anything before.
func (p *player) stop() {
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
		p.say("freeze failed: %s", oneLine(err))
		return
	}
	<-continued
}

// writeLate waits to be continued after a stop and then tries every write with
// every claim.
func (p *player) writeLate(over context.Context) {
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	select {
	case <-continued:
	case <-over.Done():
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, claim := range p.claims {
		attempt := runner.Attempt{Run: id, Job: "late", Kind: "suite", Number: 1, State: runner.Running, ExitCode: -1, StartedAt: time.Now()}
		done := attempt
		done.State, done.FinishedAt = runner.Succeeded, time.Now()
		held := done
		held.Job = "held"
		writes := map[string]func() error{
			"begin":   func() error { return p.advance(claim, runner.Step{Begun: []runner.Start{{Attempt: attempt}}}) },
			"end":     func() error { return p.advance(claim, runner.Step{Ended: []runner.End{{Attempt: done}}}) },
			"own end": func() error { return p.advance(claim, runner.Step{Ended: []runner.End{{Attempt: held}}}) },
			"finish":  func() error { return p.advance(claim, runner.Step{Finish: &runner.Finish{State: runner.Succeeded}}) },
			"nothing": func() error { return p.advance(claim, runner.Step{}) },
			"release": func() error { return p.process.Ledger.Release(context.Background(), claim) },
			"watch": func() error {
				causes, err := p.process.Ledger.Watch(context.Background(), claim)
				return errors.Join(append(causes, err)...)
			},
		}
		for name, write := range writes {
			err := write()
			for errors.Is(err, runner.ErrUnavailable) {
				err = write()
			}
			p.say("late %s: stale %t: %s", name, errors.Is(err, runner.ErrStale), oneLine(err))
		}
	}
	p.say("late done")
}

func (p *player) advance(c runner.Claim, s runner.Step) error {
	_, err := p.process.Ledger.Advance(context.Background(), c, s)
	return err
}

func oneLine(err error) string {
	if err == nil {
		return "no error"
	}
	return strings.ReplaceAll(err.Error(), "\n", " ")
}

// Observe says what happens.
func (p *player) Observe(_ context.Context, e runner.Event) {
	switch e := e.(type) {
	case runner.RunStarted:
		p.say("run %s begins", e.Run.ID)
	case runner.AttemptStarted:
		p.say("attempt %s %s %d begins", e.Attempt.Run, e.Attempt.Job, e.Attempt.Number)
	case runner.AttemptWaiting:
		if e.Holder != nil {
			p.say("attempt %s %s %d waits for %s of %s", e.Key.Run, e.Key.Job, e.Key.Number, e.Holder.Lock, e.Holder.Run)
		}
	case runner.AttemptEnded:
		p.say("attempt %s %s %d ends %s", e.Attempt.Run, e.Attempt.Job, e.Attempt.Number, e.Attempt.State)
	case runner.RunEnded:
		p.say("run %s ends %s", e.Run.ID, e.Run.State)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.ended++; p.ended == p.Leave {
			p.drain()
		}
	}
}

// witnessed is the ledger as the executor sees it; it remembers claims and
// says which writes went through.
type witnessed struct {
	Ledger

	player *player
}

// Claim remembers the claim.
func (w witnessed) Claim(ctx context.Context, id runner.RunID) (runner.Claim, runner.Run, error) {
	claim, run, err := w.Ledger.Claim(ctx, id)
	if err == nil {
		w.player.mu.Lock()
		w.player.claims[id] = claim
		w.player.mu.Unlock()
	}
	return claim, run, err
}

// Advance says whether the step is on record.
func (w witnessed) Advance(ctx context.Context, c runner.Claim, s runner.Step) ([]runner.Blocked, error) {
	blocked, err := w.Ledger.Advance(ctx, c, s)
	if err == nil {
		w.player.say("wrote %s epoch %d", c.Run, c.Epoch)
	}
	return blocked, err
}
