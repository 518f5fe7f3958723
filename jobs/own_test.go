package jobs_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ghosteam/upkeep/jobs"
)

func TestEnv_IsOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ours, other := filepath.Join(dir, "upkeep.db"), filepath.Join(dir, "app.db")
	for _, path := range []string{ours, other} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	second := filepath.Join(dir, "second name")
	if err := os.Link(ours, second); err != nil {
		t.Fatal(err)
	}
	env := jobs.NewEnv(jobs.Env{}, jobs.Hooks{Own: []string{ours, filepath.Join(dir, "not there")}})
	for path, want := range map[string]bool{ours: true, second: true, other: false, dir: false} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			t.Fatal("the system does not describe files")
		}
		if got := env.IsOwn(stat.Dev, stat.Ino); got != want {
			t.Errorf("IsOwn(%s) = %v, want %v", path, got, want)
		}
	}
	if (&jobs.Env{}).IsOwn(1, 1) {
		t.Error("an Env without a maker claims files")
	}
}
