package ledger_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// blocksOf returns how many bytes of the disk a file takes.
func blocksOf(t *testing.T, path string) int64 {
	t.Helper()
	var stat syscall.Stat_t
	if err := syscall.Stat(path, &stat); err != nil {
		t.Fatal(err)
	}
	return stat.Blocks * 512
}

func openBallast(t *testing.T, dir string, bytes int64) *ledger.Ballast {
	t.Helper()
	b, err := ledger.OpenBallast(t.Context(), dir, bytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close the ballast: %v", err)
		}
	})
	return b
}

func isLow(t *testing.T, b *ledger.Ballast) bool {
	t.Helper()
	free, low, err := b.Low(t.Context())
	if err != nil || free < 0 {
		t.Fatalf("Low = %d, %t, %v", free, low, err)
	}
	return low
}

// takeAll writes until the disk is full and returns the file that did it.
func takeAll(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "greedy")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			size /= 2
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBallast(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	path := filepath.Join(dir, ledger.BallastName)
	const size = 3<<20 + 5
	b := openBallast(t, dir, size)
	if got := blocksOf(t, path); got < size {
		t.Errorf("the ballast takes %d bytes of the disk, want %d", got, size)
	}
	if isLow(t, b) {
		t.Error("the disk of the tests is said to be full")
	}
	for range 2 {
		if err := b.Release(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after Release: %v", err)
		}
	}
	for range 2 {
		if err := b.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := blocksOf(t, path); got < size {
		t.Errorf("the restored ballast takes %d bytes of the disk, want %d", got, size)
	}
	// Another size, as after a change of the configuration, and none.
	for _, other := range []int64{1 << 20, 2 << 20} {
		openBallast(t, dir, other)
		if info, err := os.Stat(path); err != nil || info.Size() != other || blocksOf(t, path) < other {
			t.Errorf("the ballast of %d bytes is %v, %v", other, info, err)
		}
	}
	none := openBallast(t, dir, 0)
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a ballast: %v", err)
	}
	if err := errors.Join(none.Release(), none.Restore(t.Context()), none.Release()); err != nil || isLow(t, none) {
		t.Errorf("without a ballast: %v", err)
	}
}

// TestBallast_Foreign: what is no ballast is left alone.
func TestBallast_Foreign(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	if err := os.WriteFile(target, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, ledger.BallastName)
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{0, 1 << 20, -1} {
		if b, err := ledger.OpenBallast(t.Context(), dir, size); err == nil {
			t.Errorf("a link became a ballast of %d bytes: %+v", size, b)
		}
	}
	if text, err := os.ReadFile(target); err != nil || string(text) != "precious" {
		t.Errorf("the target of the link holds %q, %v", text, err)
	}
}

// TestBallast_FullDisk: the disk of the ledger is full; the ballast gives way,
// and what runs is recorded; when there is room again it comes back.
func TestBallast_FullDisk(t *testing.T) {
	objecttest.OnSmallDisk(t, 8<<20, func(disk string) {
		const size = 2 << 20
		b := openBallast(t, disk, size)
		l := ledgertest.Join(t, sqliteDSN(filepath.Join(disk, "upkeep.db")), "a", time.Hour)
		answers, err := l.Submit(t.Context(), ledgertest.Request("w", ledgertest.Midnight()))
		if err != nil {
			t.Fatal(err)
		}
		c, _, err := l.Claim(t.Context(), answers[0].Run)
		if err != nil {
			t.Fatal(err)
		}
		a := ledgertest.Attempt("x", 1)
		if _, err := l.Advance(t.Context(), c, runner.Step{Begun: []runner.Start{{Attempt: a}}}); err != nil {
			t.Fatal(err)
		}
		if isLow(t, b) {
			t.Error("the disk is low before it is full")
		}
		greedy := takeAll(t, disk)
		if !isLow(t, b) {
			t.Error("the disk is full and not low")
		}
		noise := make([]byte, 300<<10)
		for i := range noise {
			noise[i] = byte(rand.IntN(256))
		}
		step := runner.Step{
			Ended:  []runner.End{{Attempt: ledgertest.Ended(a, runner.Failed), Output: runner.Output{Head: noise}}},
			Finish: &runner.Finish{State: runner.Failed, Reason: runner.ReasonSpace},
		}
		if _, err := l.Advance(t.Context(), c, step); !errors.Is(err, runner.ErrNoSpace) || !errors.Is(err, runner.ErrUnavailable) {
			t.Fatalf("a commit on a full disk: %v, want ErrNoSpace", err)
		}
		if err := b.Release(); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Advance(t.Context(), c, step); err != nil {
			t.Errorf("the same commit after the ballast gave way: %v", err)
		}
		if !isLow(t, b) {
			t.Error("with the ballast gone and not restorable the disk is not low")
		}
		if err := b.Restore(t.Context()); !errors.Is(err, runner.ErrNoSpace) {
			t.Errorf("Restore without room: %v, want ErrNoSpace", err)
		}
		if err := os.Remove(greedy); err != nil {
			t.Fatal(err)
		}
		if isLow(t, b) {
			t.Error("with room for the ballast the disk is low")
		}
		if err := b.Restore(t.Context()); err != nil {
			t.Errorf("Restore: %v", err)
		}
		if got := blocksOf(t, filepath.Join(disk, ledger.BallastName)); got < size {
			t.Errorf("the restored ballast takes %d bytes", got)
		}
		out, err := l.Output(t.Context(), runner.AttemptKey{Run: c.Run, Job: "x", Number: 1})
		if err != nil || !bytes.Equal(out.Head, noise) {
			t.Errorf("the output of the run: %d bytes, %v", len(out.Head), err)
		}
		if err := checkIntegrity(l); err != nil {
			t.Error(err)
		}
	})
}

// TestBallast_NoRoom: a ballast that does not fit counts as released.
func TestBallast_NoRoom(t *testing.T) {
	objecttest.OnSmallDisk(t, 1<<20, func(disk string) {
		b := openBallast(t, disk, 4<<20)
		if !isLow(t, b) {
			t.Error("the disk has no room for the ballast and is not low")
		}
		if left, err := os.ReadDir(disk); err != nil || len(left) > 0 {
			t.Errorf("left on the disk: %v, %v", left, err)
		}
		if err := b.Restore(t.Context()); !errors.Is(err, runner.ErrNoSpace) || !strings.Contains(err.Error(), "bytes are free") {
			t.Errorf("Restore without room: %v", err)
		}
	})
}

// TestBallast_Overwrite: file systems that cannot allocate are written to.
func TestBallast_Overwrite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	const size = 2<<20 + 7
	if err := errors.Join(ledger.Overwrite(t.Context(), f, size), f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() != size || blocksOf(t, path) < size {
		t.Errorf("the file is %v, %v and takes %d bytes", info, err, blocksOf(t, path))
	}
}
