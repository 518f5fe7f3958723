package local_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/local"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// TestMain lets the test binary serve as a process that dies in the middle of
// a Put, or that may not write large files.
func TestMain(m *testing.M) {
	dir := os.Getenv("LOCAL_TEST_DIR")
	if dir == "" {
		os.Exit(m.Run())
	}
	s, err := local.Open("local", local.Options{Path: unit.Path(dir)})
	if err != nil {
		panic(err)
	}
	_, err = s.Put(context.Background(), "w/j/new", &dying{left: 3 << 20}, object.PutOptions{})
	panic(err)
}

// dying kills its process after so many bytes.
type dying struct{ left int }

func (d *dying) Read(p []byte) (int, error) {
	if d.left <= 0 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			return 0, err
		}
		select {}
	}
	n := min(len(p), d.left)
	d.left -= n
	return n, nil
}

func TestKilledWriter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, "w/j/old", "old")
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "LOCAL_TEST_DIR="+dir)
	err := cmd.Run()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the writer ended with %v, want SIGKILL", err)
	}
	if _, err := s.Stat(t.Context(), "w/j/new"); !errors.Is(err, object.ErrNotFound) {
		t.Errorf("a killed writer left an object: %v", err)
	}
	for info, err := range s.List(t.Context(), "") {
		if err != nil || info.Key != "w/j/old" {
			t.Errorf("List yields %q, %v", info.Key, err)
		}
	}
	found, err := s.Unfinished(t.Context(), time.Now().Add(time.Hour))
	if err != nil || len(found) != 1 || found[0].Bytes != 3<<20 {
		t.Fatalf("Unfinished = %+v, %v; want the one file of 3 MiB", found, err)
	}
	if err := s.Discard(t.Context(), found[0]); err != nil {
		t.Fatal(err)
	}
	if left := tree(t, dir); len(left) != 4 {
		t.Errorf("after the sweep: %q", left)
	}
	put(t, s, "w/j/new", "whole")
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	objecttest.OnSmallDisk(t, 2<<20, func(disk string) { fillDisk(t, filepath.Join(disk, "store")) })
}

func fillDisk(t *testing.T, dir string) {
	t.Helper()
	s := open(t, dir)
	put(t, s, "w/j/old", "old")
	before := strings.Join(tree(t, dir), "\n")
	for _, o := range []object.PutOptions{{}, {IfAbsent: true}} {
		_, err := s.Put(t.Context(), "w/new/deep/data", io.LimitReader(zeros{}, 8<<20), o)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Put on a full disk: %v, want ENOSPC", err)
		}
		hint, ok := errors.AsType[interface {
			error
			Hint() string
		}](err)
		if !ok || !strings.Contains(hint.Hint(), dir) {
			t.Errorf("no usable hint in %v", err)
		}
		if after := strings.Join(tree(t, dir), "\n"); after != before {
			t.Errorf("a full disk left\n%s\nbefore:\n%s", after, before)
		}
	}
	if _, err := s.Put(t.Context(), "w/j/old", io.LimitReader(zeros{}, 8<<20), object.PutOptions{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("replacing Put on a full disk: %v, want ENOSPC", err)
	}
	put(t, s, "w/j/small", "fits again")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
