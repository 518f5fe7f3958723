package child

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Run runs a command to its end and returns when nothing of it is left: its
// processes have ended, its output has been written, its cgroup is removed.
//
// A status other than 0 is an *ExitError, a command that never ran a *StartError.
// When ctx ends, the whole tree gets TERM and, after the grace time, KILL; the
// error is a *StopError that wraps the cause. A failing stream ends the command
// in the same way with a *StreamError. A *LeftoverError, alone or joined to one of
// these, tells that something could not be ended.
func Run(ctx context.Context, c Command) (Exit, error) {
	r, err := start(ctx, c, false)
	if err != nil {
		return Exit{Code: -1}, err
	}
	r.supervise(ctx)
	return r.exit, r.verdict(false)
}

// supervise waits for the end of the command or brings it about.
func (r *running) supervise(ctx context.Context) {
	select {
	case <-r.exited:
	case <-ctx.Done():
		if !r.hasExited() { // else it was faster
			r.stop = &StopError{Name: r.cmd.name(), Cause: context.Cause(ctx), ctx: ctx.Err()}
		}
	case r.stop = <-r.streams.broken:
	}
	if r.stop != nil {
		r.exit.Stopped = true
		r.end(r.grace())
	}
	r.settle(ctx)
	r.finish()
}

// urgent is a cause that may leave no time for anything.
type urgent interface {
	error
	AtOnce() bool
}

// grace is how long the command may take to end by itself: no time at all when
// the cause of its end says so.
func (r *running) grace() time.Duration {
	if cause, ok := errors.AsType[urgent](r.stop); ok && cause.AtOnce() {
		return 0
	}
	return r.cmd.grace()
}

// end sends TERM to the tree, waits for the grace time and sends KILL until
// nothing is left or patience is exhausted.
func (r *running) end(grace time.Duration) {
	if grace > 0 {
		r.terminate()
		if r.gone(grace) {
			return
		}
	}
	r.exit.Killed = true
	patience := r.cmd.hooks.patience
	if patience == 0 {
		patience = killWait
	}
	for began, step := time.Now(), time.Millisecond; ; step = min(2*step, 100*time.Millisecond) {
		r.note()
		kerr := r.tree.kill()
		if r.gone(step) {
			return
		}
		if time.Since(began) > patience {
			living, err := r.tree.living()
			r.remain(living, errors.Join(kerr, err))
			return
		}
	}
}

// terminate sends TERM to the main process and the rest of the tree, and CONT, since
// a stopped process would sleep through it. What cannot be signaled is found again
// by the kill that follows.
func (r *running) terminate() {
	others := r.note()
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGCONT} {
		if !r.hasExited() {
			_ = unix.Kill(r.main.pid, sig) // not reaped yet, so the number is its own
		}
		for _, p := range others {
			_ = signal(p, sig)
		}
	}
}

// note lists the tree without the main process, and remembers it when that one
// has ended.
func (r *running) note() []process {
	after := r.hasExited()
	living, err := r.tree.living()
	if err != nil {
		return nil // the same question is asked again, and answered for, in gone
	}
	if after {
		r.remember(living)
	}
	return living
}

func (r *running) remember(living []process) {
	for _, p := range living {
		r.escaped[p.key()] = true
	}
}

// gone waits until the tree has ended.
func (r *running) gone(within time.Duration) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-r.exited:
	case <-timer.C:
		return false
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if living, err := r.tree.living(); err == nil && len(living) == 0 {
			return true
		}
		next := time.NewTimer(pause)
		select {
		case <-next.C:
		case <-timer.C:
			next.Stop()
			return false
		}
	}
}

// settle, after the main process ended, waits shortly for what it left behind and
// ends that.
func (r *running) settle(ctx context.Context) {
	if !r.hasExited() {
		r.lost = r.streams.held()
		return // it survived KILL, remain has said so
	}
	since, wasHeld := time.Now(), true
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		held := r.streams.held()
		if wasHeld && !held {
			since, wasHeld = time.Now(), false // whoever let go may need a moment to end
		}
		living, err := r.tree.living()
		if err != nil {
			r.remain(nil, err)
			break
		}
		if !held && len(living) == 0 {
			return
		}
		wait := r.cmd.waitDelay()
		if !held || r.stop != nil || ctx.Err() != nil {
			wait = min(wait, settleTime)
		}
		if time.Since(since) >= wait {
			r.held = held
			if len(living) > 0 && r.left == nil {
				r.end(r.cmd.waitDelay())
			}
			break
		}
		select {
		case <-time.After(pause):
		case err := <-r.streams.broken:
			r.interrupted(err)
		}
	}
	r.release()
}

// interrupted notes that a writer failed after the main process had ended. A
// reader that fails then fails for nobody.
func (r *running) interrupted(err error) {
	failed, ok := errors.AsType[*StreamError](err)
	if r.stop == nil && ok && failed.Stream != "stdin" {
		r.stop = err
	}
}

// release ends those who hold the output but are nowhere in the tree, and gives
// the output up when they cannot be found.
func (r *running) release() {
	for _, step := range []time.Duration{0, 10 * time.Millisecond, settleTime} {
		time.Sleep(step)
		if !r.streams.held() {
			return
		}
		found, err := holders(r.host.family, r.main)
		if err != nil {
			r.remain(nil, err)
		}
		r.remember(found)
		for _, p := range found {
			if err := signal(p, unix.SIGKILL); err != nil {
				r.remain([]process{p}, err)
			}
		}
	}
	r.lost = r.streams.held()
}

// finish collects the results and gives everything back.
func (r *running) finish() {
	if r.lost {
		r.streams.cut()
	}
	r.streams.finish(r.cmd.waitDelay())
	select {
	case err := <-r.streams.broken:
		r.interrupted(err)
	default:
	}
	r.exit.Code = -1
	r.exit.Escaped = len(r.escaped)
	if !r.hasExited() {
		go func() { // nobody else would reap it
			<-r.exited
			_, _, _ = r.host.family.bury(r.main)
			_ = r.tree.release()
		}()
		r.exit.Duration = time.Since(r.began)
		return
	}
	r.exit.Duration = r.ended.Sub(r.began)
	status, usage, err := r.host.family.bury(r.main)
	if err != nil {
		r.remain(nil, fmt.Errorf("reap process %d: %w", r.main.pid, err))
	} else {
		r.measure(status, usage)
	}
	if err := r.tree.release(); err != nil {
		r.remain(nil, err)
	}
}

// measure reads the kernel's account of the main process.
func (r *running) measure(status unix.WaitStatus, usage unix.Rusage) {
	if status.Signaled() {
		r.exit.Signal = signalName(status.Signal())
	} else {
		r.exit.Code = status.ExitStatus()
	}
	r.exit.UserCPU = time.Duration(usage.Utime.Nano())
	r.exit.SystemCPU = time.Duration(usage.Stime.Nano())
	var own unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &own) == nil && usage.Maxrss > own.Maxrss {
		r.exit.MaxRSS = int64(usage.Maxrss) << 10
	}
}

// remain notes what could not be ended and why; the first reason counts.
func (r *running) remain(living []process, err error) {
	var pids []int
	if !r.hasExited() {
		pids = append(pids, r.main.pid)
	}
	for _, p := range living {
		pids = append(pids, p.pid)
	}
	slices.Sort(pids)
	if r.left == nil {
		r.exit.Remaining = len(pids)
		r.left = &LeftoverError{Name: r.cmd.name(), PIDs: pids, Err: err}
	}
}

// verdict is the error of the command. A strict one also refuses output whose
// writers had to be ended.
func (r *running) verdict(strict bool) error {
	var err error
	switch {
	case r.stop != nil:
		if stopped, ok := errors.AsType[*StopError](r.stop); ok {
			stopped.Killed = r.exit.Killed
		}
		err = r.stop
	case r.exit.Code != 0 && r.hasExited():
		err = &ExitError{Name: r.cmd.name(), Code: r.exit.Code, Signal: r.exit.Signal}
	case r.lost:
		err = &HeldError{Name: r.cmd.name()}
	case r.held && strict:
		err = &HeldError{Name: r.cmd.name(), Ended: true}
	}
	switch {
	case r.left == nil:
		return err
	case err == nil:
		return r.left
	}
	return fmt.Errorf("%w; %w", err, r.left)
}
