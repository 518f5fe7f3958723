package child_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/jobs/internal/child"
)

func TestStopByContext(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, way func(child.Command) child.Command) {
		why := errors.New("a person canceled it")
		ctx, cancel := context.WithCancelCause(t.Context())
		out := newOutput(t)
		c := way(script("trap 'echo cleaned; exit 7' TERM; echo ready; while :; do sleep 0.01; done"))
		c.Stdout = out
		go func() { out.wait("ready"); cancel(why) }()
		exit, err := child.Run(ctx, c)
		var stopped *child.StopError
		if !errors.As(err, &stopped) || !errors.Is(err, why) || !errors.Is(err, context.Canceled) || stopped.Killed {
			t.Errorf("error %v", err)
		}
		if exit.Code != 7 || !exit.Stopped || exit.Killed || !strings.Contains(out.String(), "cleaned") {
			t.Errorf("the trap did not run: %+v, %q", exit, out)
		}
	})
}

func TestStopByTimeoutKillsAfterGrace(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, way func(child.Command) child.Command) {
		why := errors.New("timeout of the job")
		out := newOutput(t)
		c := way(script("trap '' TERM; sleep 1000 & echo $! $$ ready; while :; do sleep 0.05; done"))
		c.Stdout, c.Grace = out, 300*time.Millisecond
		ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, why)
		defer cancel()
		began := time.Now()
		exit, err := child.Run(ctx, c)
		took := time.Since(began)
		var stopped *child.StopError
		if !errors.As(err, &stopped) || !errors.Is(err, why) || !errors.Is(err, context.DeadlineExceeded) || !stopped.Killed {
			t.Errorf("error %v", err)
		}
		if exit.Signal != "SIGKILL" || !exit.Killed || exit.Code != -1 {
			t.Errorf("%+v", exit)
		}
		if took < 2300*time.Millisecond || took > 30*time.Second {
			t.Errorf("the kill came after %v", took)
		}
		out.wait("ready")
		wantGone(t, out.pids(), 2)
	})
}

func TestStoppedProcessGetsTerm(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, way func(child.Command) child.Command) {
		ctx, cancel := context.WithCancel(t.Context())
		out := newOutput(t)
		c := way(script("trap 'echo cleaned; exit 0' TERM; echo $$ ready; kill -STOP $$; sleep 1000"))
		c.Stdout = out
		go func() { out.wait("ready"); cancel() }()
		exit, err := child.Run(ctx, c)
		if !errors.Is(err, context.Canceled) || exit.Killed || !strings.Contains(out.String(), "cleaned") {
			t.Errorf("%+v, %v, %q", exit, err, out)
		}
	})
}

func TestDeadContextStartsNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("shutdown")
	cancel(why)
	file := filepath.Join(t.TempDir(), "file")
	exit, err := child.Run(ctx, script("touch "+file))
	if !errors.Is(err, why) || exit.Code != -1 {
		t.Errorf("%+v, %v", exit, err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Error("it was started")
	}
}

// atOnce is a cause that leaves no time.
type atOnce struct{ error }

func (atOnce) AtOnce() bool { return true }

func TestStopAtOnce(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, way func(child.Command) child.Command) {
		ctx, cancel := context.WithCancelCause(t.Context())
		out := newOutput(t)
		c := way(script("trap 'echo asked' TERM; sleep 1000 & echo $! $$ ready; while :; do sleep 0.05; done"))
		c.Stdout, c.Grace = out, time.Hour
		go func() { out.wait("ready"); cancel(atOnce{errors.New("somebody else does it")}) }()
		exit, err := child.Run(ctx, c)
		if err == nil || exit.Signal != "SIGKILL" || !exit.Killed || strings.Contains(out.String(), "asked") {
			t.Errorf("%+v, %v, %q", exit, err, out)
		}
		wantGone(t, out.pids(), 2)
	})
}
