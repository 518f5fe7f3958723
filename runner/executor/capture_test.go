package executor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/executor"
)

func discardLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// TestCapture_AnyWrites: whatever the writes, head and tail are the first and
// last bytes, the count of the rest is exact, and a reader of the live files
// sees a true beginning and end at every moment.
func TestCapture_AnyWrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	round := 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		key := runner.AttemptKey{Run: runner.RunID(fmt.Sprintf("run-%d", round)), Job: "a", Number: 1}
		head := rapid.IntRange(1, 40).Draw(t, "head")
		tail := rapid.IntRange(1, 40).Draw(t, "tail")
		c := executor.NewCapture(dir, key, head, tail, discardLog(), nil)
		var all []byte
		for range rapid.IntRange(0, 30).Draw(t, "writes") {
			p := rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "p")
			if n, err := c.Write(p); n != len(p) || err != nil {
				t.Fatalf("Write: %d, %v", n, err)
			}
			all = append(all, p...)
			check(t, all, c.Output(), head, tail, tail)
			seen, found, err := executor.ReadLive(dir, key)
			if err != nil || found != (len(all) > 0) {
				t.Fatalf("ReadLive: %t, %v after %d bytes", found, err, len(all))
			}
			// On disk are whole segments: at most five, each a quarter of the tail.
			check(t, all, seen, head, min(tail, max(0, len(all)-head)), 5*(tail+3)/4+5)
		}
		if err := c.Discard(); err != nil {
			t.Fatalf("discard: %v", err)
		}
	})
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left after discard: %v, %v", left, err)
	}
}

func check(t *rapid.T, all []byte, got runner.Output, head, least, most int) {
	t.Helper()
	if want := all[:min(head, len(all))]; !bytes.Equal(want, got.Head) {
		t.Fatalf("head %q, want %q", got.Head, want)
	}
	rest := all[len(got.Head):]
	if !bytes.HasSuffix(rest, got.Tail) || len(got.Tail) > most || len(got.Tail) < min(least, len(rest)) {
		t.Fatalf("tail %q (%d to %d bytes wanted) of %q", got.Tail, least, most, rest)
	}
	if int(got.Cut) != len(rest)-len(got.Tail) {
		t.Fatalf("cut %d, want %d", got.Cut, len(rest)-len(got.Tail))
	}
}

// TestReadLive_WhileWritten reads from the outside while the attempt floods.
// Every number in the stream says where it stands, so a torn read shows.
func TestReadLive_WhileWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := runner.AttemptKey{Run: "run", Job: "a-b_c", Number: 12}
	const head, tail, lines = 1000, 8000, 60_000
	c := executor.NewCapture(dir, key, head, tail, discardLog(), nil)
	var over sync.WaitGroup
	over.Go(func() {
		for i := range lines {
			_, _ = fmt.Fprintf(c, "%09d\n", i)
		}
	})
	finished := make(chan struct{})
	go func() { over.Wait(); close(finished) }()
	reads, cuts := 0, 0
	for last := false; !last; {
		select {
		case <-finished:
			last = true
		default:
		}
		out, found, err := executor.ReadLive(dir, key)
		if err != nil {
			t.Fatalf("ReadLive: %v", err)
		}
		if !found {
			continue
		}
		reads++
		if out.Cut > 0 {
			cuts++
		}
		for part, offset := range map[string]int64{string(out.Head): 0, string(out.Tail): int64(len(out.Head)) + out.Cut} {
			for i := range part {
				at := offset + int64(i)
				if want := fmt.Sprintf("%09d\n", at/10)[at%10]; part[i] != want {
					t.Fatalf("byte %d is %q, want %q", at, part[i], want)
				}
			}
		}
	}
	if reads < 10 || cuts == 0 {
		t.Errorf("%d reads, %d of them with a cut: the test proved nothing", reads, cuts)
	}
	out, _, err := executor.ReadLive(dir, key)
	if err != nil || int64(len(out.Head)+len(out.Tail))+out.Cut != lines*10 {
		t.Errorf("in the end %d+%d+%d bytes, %v", len(out.Head), out.Cut, len(out.Tail), err)
	}
}

// TestReadLive_Gap: a segment that vanished between two that are there is part
// of the cut, and so is what stands before it.
func TestReadLive_Gap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := runner.AttemptKey{Run: "run", Job: "a", Number: 3}
	if _, found, err := executor.ReadLive(dir, key); found || err != nil {
		t.Errorf("nothing there: %t, %v", found, err)
	}
	for name, text := range map[string]string{
		"a.3.0": "head|", "a.3.5": "first|", "a.3.20": "later|", "a.3.26": "last",
		"a.31.0": "another attempt", "aa.3.0": "another job", "a.3.x": "no offset",
	} {
		path := filepath.Join(dir, "run", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	out, found, err := executor.ReadLive(dir, key)
	want := runner.Output{Head: []byte("head|"), Tail: []byte("later|last"), Cut: 15}
	if diff := cmp.Diff(want, out); diff != "" || !found || err != nil {
		t.Errorf("%t, %v (-want +got):\n%s", found, err, diff)
	}
}

func TestHandle_Output(t *testing.T) {
	t.Parallel()
	b := newBench(t, job("quiet", fine), job("says", func(_ context.Context, env *jobs.Env) (jobs.Result, error) {
		env.Printf("hello \xff\x00 %d", 1)
		out, found, err := executor.ReadLive(filepath.Dir(filepath.Dir(env.WorkDir))+"/live", runner.AttemptKey{Run: runner.RunID(env.RunID), Job: env.Job, Number: env.Attempt})
		if err != nil || !found || string(out.Head) != "hello \xff\x00 1\n" {
			t.Errorf("live while it runs: %q, %t, %v", out.Head, found, err)
		}
		return jobs.Result{}, nil
	}))
	root := t.TempDir()
	b.options.LiveDir, b.options.WorkDir = filepath.Join(root, "live"), filepath.Join(root, "work")
	if err := os.Mkdir(b.options.WorkDir, 0o700); err != nil {
		t.Fatal(err)
	}
	b.handle(t.Context())
	says := b.ledger.latest()["says"]
	if got := b.ledger.outputs[says.Key()]; string(got.Head) != "hello \xff\x00 1\n" || says.OutputBytes != 11 || says.OutputCut != 0 {
		t.Errorf("on record: %q, %d bytes", got.Head, says.OutputBytes)
	}
	if quiet := b.ledger.latest()["quiet"]; quiet.OutputBytes != 0 {
		t.Errorf("a quiet attempt wrote %d bytes", quiet.OutputBytes)
	}
	if left, err := os.ReadDir(b.options.LiveDir); err != nil || len(left) != 0 {
		t.Errorf("left of live output: %v, %v", left, err)
	}
}

// TestHandle_LiveDiskFull: the capture degrades, says so once, and the attempt
// is not harmed.
func TestHandle_LiveDiskFull(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	fired := 0
	key := runner.AttemptKey{Run: "run", Job: "a", Number: 1}
	dir := t.TempDir()
	c := executor.NewCapture(dir, key, 10, 10, slog.New(slog.NewTextHandler(&log, nil)), func() error {
		if fired++; fired >= 3 {
			return syscall.ENOSPC
		}
		return nil
	})
	for range 100 {
		if n, err := io.WriteString(c, "12345"); n != 5 || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
	}
	want := runner.Output{Head: []byte("1234512345"), Tail: []byte("1234512345"), Cut: 480}
	if diff := cmp.Diff(want, c.Output()); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if fired != 3 || strings.Count(log.String(), "no space left on device") != 1 {
		t.Errorf("the fault fired %d times; log: %s", fired, log.String())
	}
	if out, found, err := executor.ReadLive(dir, key); err != nil || !found || string(out.Head) != "1234512345" {
		t.Errorf("what was mirrored before: %q, %t, %v", out.Head, found, err)
	}
	if err := c.Discard(); err != nil {
		t.Errorf("discard: %v", err)
	}

	// A folder that cannot be made.
	b := newBench(t, job("a", func(_ context.Context, env *jobs.Env) (jobs.Result, error) {
		env.Printf("hello")
		return jobs.Result{}, nil
	}))
	b.options.LiveDir = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(b.options.LiveDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	log.Reset()
	b.options.Log = slog.New(slog.NewTextHandler(&log, nil))
	b.handle(t.Context())
	if got := b.ledger.outputs[b.ledger.latest()["a"].Key()]; string(got.Head) != "hello\n" || b.ledger.verdict() != "succeeded" {
		t.Errorf("output %q, run %s", got.Head, b.ledger.verdict())
	}
	if !strings.Contains(log.String(), "cannot be followed") || !strings.Contains(log.String(), "job=a") {
		t.Errorf("log: %s", log.String())
	}
}

// TestHandle_Secrets plants a secret in everything that an attempt can say.
func TestHandle_Secrets(t *testing.T) {
	t.Parallel()
	const secret = "p4ss/w0rd&more"
	encoded := url.QueryEscape(secret)
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, job("a", nil, func(p *runner.PlannedJob) {
			p.Build = func(runner.HistoryReader) (jobs.Job, []string, error) {
				return work{run: func(_ context.Context, env *jobs.Env) (jobs.Result, error) {
					env.Printf("whole %s", secret)
					_, _ = io.WriteString(env.Out, secret[:5])
					time.Sleep(2 * time.Second)
					_, _ = io.WriteString(env.Out, secret[5:]+"\n"+encoded+"\nthe end")
					env.Log.Info("connect to "+secret, "url", "postgres://u:"+encoded+"@h", slog.Group("g", "err", errors.New(secret)))
					env.Log.With("dsn", secret).WithGroup("x").Warn("y")
					return jobs.Result{
						Summary: "used " + secret, Outputs: map[string]string{"url": "x" + secret}, Values: map[string]float64{"n": 1},
						Findings: []jobs.Finding{{ID: "f", Severity: jobs.Info, Text: "saw " + secret}},
					}, jobs.WithHint(fmt.Errorf("login with %s refused", secret), "check "+secret)
				}}, []string{secret}, nil
			}
		}), job("b", nil, func(p *runner.PlannedJob) {
			p.Build = func(runner.HistoryReader) (jobs.Job, []string, error) {
				return nil, []string{secret}, errors.New("cannot use " + secret)
			}
		}))
		b.options.Log = slog.New(slog.NewTextHandler(&log, nil))
		b.handle(t.Context())
		a := b.ledger.latest()["a"]
		out := b.ledger.outputs[a.Key()]
		said := fmt.Sprintf("%+v %s %s %+v %+v", b.ledger.attempts, out.Head, out.Tail, b.ledger.run, b.seen.events)
		for what, text := range map[string]string{"record": said, "log": log.String()} {
			for _, planted := range []string{secret, encoded, secret[:5] + "\n"} {
				if strings.Contains(text, planted) {
					t.Errorf("the %s tells %q: %s", what, planted, text)
				}
			}
		}
		if want := "whole <redacted>\n<redacted>\n<redacted>\nthe end"; string(out.Head) != want {
			t.Errorf("output %q, want %q", out.Head, want)
		}
		if a.Error != "login with <redacted> refused" || a.Hint != "check <redacted>" || a.Result.Values["n"] != 1 {
			t.Errorf("record %+v", a)
		}
		if strings.Count(log.String(), "<redacted>") != 4 {
			t.Errorf("log: %s", log.String())
		}
	})
}

func TestHandle_DryRunAndProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		acts := func(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
			for i := range 1000 {
				env.Progress(int64(i), 1000, "files")
				time.Sleep(10 * time.Millisecond)
			}
			return jobs.Result{}, env.Effect(ctx, "delete x", func(context.Context) error { env.Printf("deleted"); return nil })
		}
		for dry, want := range map[bool]string{true: "would delete x\n", false: "deleted\n"} {
			b := newBench(t, job("a", acts))
			b.options.Log = slog.New(slog.NewTextHandler(&log, nil))
			b.ledger.run.DryRun = dry
			b.handle(t.Context())
			if got := b.ledger.outputs[b.ledger.latest()["a"].Key()]; string(got.Head) != want {
				t.Errorf("dry run %t: output %q, want %q", dry, got.Head, want)
			}
			if n := len(of[runner.AttemptProgress](b.seen)); n != 10 {
				t.Errorf("progress was told %d times in 10s", n)
			}
		}
		if strings.Count(log.String(), `msg=effect`) != 1 || !strings.Contains(log.String(), `what="delete x"`) {
			t.Errorf("the audit line of the effect: %s", log.String())
		}
	})
}
