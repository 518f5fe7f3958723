package child_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/jobs/internal/child"
)

func TestOutputEndsOnlyAfterSuccess(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, way func(child.Command) child.Command) {
		for _, test := range []struct {
			script, want string
			check        func(error) bool
		}{
			{"printf data", "data", func(err error) bool { return err == nil }},
			{":", "", func(err error) bool { return err == nil }},
			{"printf data; exit 1", "data", isExit(1)},
			{"exit 2", "", isExit(2)},
			{"printf data; kill -KILL $$", "data", isExit(-1)},
			{"head -c 300000 /dev/zero; exit 1", strings.Repeat("\x00", 300000), isExit(1)},
			// It goes on in the background, so its output was cut.
			{"printf data; sleep 1000 & exit 0", "data", isHeld},
			{"printf data; setsid sleep 1000 & exit 0", "data", isHeld},
			// A daemon without the output does not matter.
			{"printf data; sleep 1000 >/dev/null 2>&1 & exit 0", "data", func(err error) bool { return err == nil }},
		} {
			c := way(script(test.script))
			c.WaitDelay = 200 * time.Millisecond
			out, err := child.Output(bound(t), c)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			_, err = io.Copy(&got, out)
			if got.String() != test.want || !test.check(err) {
				t.Errorf("%s: %.50q (%d bytes), %v", test.script, got.String(), got.Len(), err)
			}
			if _, again := out.Read(make([]byte, 1)); err != nil && !errors.Is(again, err) || err == nil && !errors.Is(again, io.EOF) {
				t.Errorf("%s: %v, then %v", test.script, err, again)
			}
			if err := errors.Join(out.Close(), out.Close()); err != nil {
				t.Errorf("%s: close: %v", test.script, err)
			}
			if exit := out.Exit(); exit.Duration == 0 {
				t.Errorf("%s: %+v", test.script, exit)
			}
		}
	})
}

func isExit(code int) func(error) bool {
	return func(err error) bool {
		var failed *child.ExitError
		return errors.As(err, &failed) && failed.Code == code
	}
}

func isHeld(err error) bool {
	var held *child.HeldError
	return errors.As(err, &held) && held.Ended
}

func TestOutputClosedEarly(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, way func(child.Command) child.Command) {
		errs := newOutput(t)
		c := way(script("echo $$ >&2; sleep 1000 & echo $! >&2; trap '' PIPE; yes; sleep 1000"))
		c.Stderr = errs
		out, err := child.Output(bound(t), c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		if err := out.Close(); err != nil {
			t.Error(err)
		}
		if n, err := out.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("read after close: %d, %v", n, err)
		}
		if exit := out.Exit(); !exit.Stopped {
			t.Errorf("%+v", exit)
		}
		wantGone(t, errs.pids(), 2)
	})
}

func TestOutputStoppedByContext(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, way func(child.Command) child.Command) {
		why := errors.New("lock lost")
		ctx, cancel := context.WithCancelCause(t.Context())
		out, err := child.Output(ctx, way(script("yes")))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		cancel(why)
		if _, err := io.Copy(io.Discard, out); !errors.Is(err, why) {
			t.Errorf("error %v", err)
		}
		if err := out.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestOutputSlowReaderLosesNothing(t *testing.T) {
	t.Parallel()
	c := script("head -c 50000 /dev/zero")
	c.WaitDelay = time.Millisecond
	out, err := child.Output(bound(t), c)
	if err != nil {
		t.Fatal(err)
	}
	out.Exit() // the command has ended and is cleaned up before the first byte is read
	if n, err := io.Copy(io.Discard, out); n != 50000 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := out.Close(); err != nil {
		t.Error(err)
	}
}

func TestOutputRefuses(t *testing.T) {
	t.Parallel()
	var failed *child.StartError
	c := script("true")
	c.Stdout = io.Discard
	if _, err := child.Output(bound(t), c); !errors.As(err, &failed) {
		t.Errorf("two readers: %v", err)
	}
	c = child.Command{Argv: []string{"/no/such/program"}}
	if _, err := child.Output(bound(t), c); !errors.As(err, &failed) {
		t.Errorf("no program: %v", err)
	}
}

func TestOutputOfAFailingInput(t *testing.T) {
	t.Parallel()
	c := script("cat")
	c.Stdin = &brokenReader{err: errors.New("first")}
	out, err := child.Output(bound(t), c)
	if err != nil {
		t.Fatal(err)
	}
	var failed *child.StreamError
	if _, err := io.Copy(io.Discard, out); !errors.As(err, &failed) || failed.Stream != "stdin" {
		t.Errorf("error %v", err)
	}
	if err := out.Close(); err != nil {
		t.Error(err)
	}
}
