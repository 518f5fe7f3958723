package prune_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/prune"
)

// TestRun_SwappedFolders lets somebody put symbolic links to a precious tree,
// with files of the same names and ages, in the place of folders while rules
// run again and again.
func TestRun_SwappedFolders(t *testing.T) {
	t.Parallel()
	for name, stepwise := range map[string]bool{"by openat2": false, "step by step": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := t.TempDir()
			root, precious := filepath.Join(base, "logs"), filepath.Join(base, "precious")
			fill := func(folder string) {
				for i := range 20 {
					put(t, filepath.Join(folder, "deep", fmt.Sprintf("%02d.log", i)), 90*day)
				}
			}
			fill(precious)
			before := jobstest.Tree(t, precious)
			app, err := os.OpenRoot(mkdir(t, filepath.Join(root, "app")))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = app.Close() }()
			stop, swaps := startSwapping(t, filepath.Join(root, "app"), precious)
			deleted, caught, runs := 0.0, 0, 0
			for end := time.Now().Add(time.Minute); time.Now().Before(end) && (deleted < 20 || caught < 1 || runs < 10 || swaps.Load() < 100); runs++ {
				fill(filepath.Join(root, fmt.Sprintf("more-%d", runs)))
				refill(t, app)
				r, _, err := trial{world: prune.World{Stepwise: stepwise}, adjust: func(o *prune.Options) { o.MaxShare = 100 }}.run(t, root)
				if err != nil {
					t.Fatal(err)
				}
				deleted += r.Values["deleted"]
				if strings.Contains(r.Summary, "changed since") {
					caught++
				}
			}
			stop()
			if n := swaps.Load(); n < 100 || deleted < 20 || caught < 1 {
				t.Errorf("%d swaps, noticed in %d runs, and %v deletions in %d runs prove nothing", n, caught, deleted, runs)
			}
			if diff := cmp.Diff(before, jobstest.Tree(t, precious)); diff != "" {
				t.Errorf("the world outside changed (-before +after):\n%s", diff)
			}
		})
	}
}

// startSwapping lets path be in turn a folder and a link to precious, and
// path.link the other one, until stop is called; swaps counts how often
// they changed places.
func startSwapping(t *testing.T, path, precious string) (stop func(), swaps *atomic.Int64) {
	t.Helper()
	swaps = &atomic.Int64{}
	link := path + ".link"
	// A relative one: some kernels take every absolute one for another mount.
	if err := os.Symlink(filepath.Join("..", filepath.Base(precious)), link); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			if err := unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE); err != nil {
				t.Errorf("swap: %v", err)
				return
			}
			swaps.Add(1)
		}
	})
	return func() {
		cancel()
		done.Wait()
	}, swaps
}

// refill puts old files into a folder that comes and goes.
func refill(t *testing.T, folder *os.Root) {
	t.Helper()
	at := time.Now().Add(-90 * day)
	for i := range 20 {
		name := fmt.Sprintf("deep/%02d.log", i)
		if err := errors.Join(folder.MkdirAll("deep", 0o700), folder.WriteFile(name, []byte("0123456789"), 0o600), folder.Chtimes(name, at, at)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRun_AmidChanges runs rules while folders and files come and go.
func TestRun_AmidChanges(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	var turns atomic.Int64
	for i := range 3 {
		done.Go(func() {
			at := time.Now().Add(-90 * day)
			for ctx.Err() == nil {
				dir := filepath.Join(root, fmt.Sprint(i), "a", "b")
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Errorf("make folders: %v", err)
				}
				for j := range 10 {
					path := filepath.Join(dir, fmt.Sprintf("%d.log", j))
					if err := os.WriteFile(path, nil, 0o600); err != nil {
						t.Errorf("make a file: %v", err)
					}
					_ = os.Chtimes(path, at, at) // the rule may have been faster, had it been old
				}
				if err := os.RemoveAll(filepath.Join(root, fmt.Sprint(i))); err != nil {
					t.Errorf("remove folders: %v", err)
				}
				turns.Add(1)
			}
		})
	}
	deleted, runs := 0.0, 0
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && (turns.Load() < 50 || runs < 10); runs++ {
		r, out, err := try(t, root, func(o *prune.Options) { o.MaxShare = 100 })
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		deleted += r.Values["deleted"]
	}
	cancel()
	done.Wait()
	if turns.Load() < 10 || runs < 10 {
		t.Errorf("%d turns and %d runs prove nothing", turns.Load(), runs)
	}
	t.Logf("%d turns, %d runs, %v deletions", turns.Load(), runs, deleted)
}
