package executor_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/executor"
)

func TestHandle_FoldersAreHandedOn(t *testing.T) {
	t.Parallel()
	var inodes []uint64
	var entries int
	// An attempt leaves its folder empty, full, or open to others.
	leave := []func(dir string) error{
		func(string) error { return nil },
		func(dir string) error { return os.WriteFile(filepath.Join(dir, "secret"), nil, 0o600) },
		func(dir string) error { return os.Chmod(dir, 0o755) },
		func(string) error { return nil },
		func(string) error { return nil },
	}
	at := 0
	look := func(_ context.Context, env *jobs.Env) (jobs.Result, error) {
		info, err := os.Stat(env.WorkDir)
		if err != nil {
			return jobs.Result{}, err
		}
		if info.Mode() != os.ModeDir|0o700 {
			t.Errorf("attempt %d works in a folder of mode %s", at, info.Mode())
		}
		inodes = append(inodes, inodeOf(t, info))
		found, err := os.ReadDir(env.WorkDir)
		entries += len(found)
		if err == nil {
			err = leave[at](env.WorkDir)
		}
		at++
		return jobs.Result{}, err
	}
	b := newBench(t, job("a", look))
	x := executor.New(b.options)
	for range leave {
		b.ledger.run.State, b.ledger.run.Epoch, b.ledger.attempts = runner.Queued, 0, nil
		x.Handle(t.Context(), runID)
		if got := b.ledger.verdict(); got != "succeeded" {
			t.Fatalf("run %s", got)
		}
	}
	if entries > 0 {
		t.Errorf("attempts found %d files of others", entries)
	}
	if inodes[0] != inodes[1] || inodes[3] != inodes[4] {
		t.Errorf("the folders are %v, want that empty ones are handed on", inodes)
	}
	left, err := os.ReadDir(b.options.WorkDir)
	if err != nil || len(left) != 1 {
		t.Fatalf("%v are left, %v; want one spare folder", left, err)
	}
	// The next process takes it over.
	at = 0
	b.ledger.run.State, b.ledger.run.Epoch, b.ledger.attempts = runner.Queued, 0, nil
	b.handle(t.Context())
	if inodes[5] != inodes[4] {
		t.Errorf("the next process did not use the spare folder")
	}
}

func inodeOf(t *testing.T, info os.FileInfo) uint64 {
	t.Helper()
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		t.Fatal("the system does not number files")
	}
	return stat.Ino
}
