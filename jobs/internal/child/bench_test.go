package child_test

import (
	"bytes"
	"context"
	"os/exec"
	"syscall"
	"testing"

	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// BenchmarkRun is the cost of one /bin/true with captured output: by os/exec as
// one would use it, and by Run with each mechanism.
func BenchmarkRun(b *testing.B) {
	b.Run("exec", func(b *testing.B) {
		for b.Loop() {
			var out, errs bytes.Buffer
			cmd := exec.CommandContext(b.Context(), "/bin/true")
			cmd.Env = []string{path}
			cmd.Stdout, cmd.Stderr = &out, &errs
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
			if err := cmd.Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
	run := func(way func(child.Command) child.Command, limits child.Limits) func(*testing.B) {
		return func(b *testing.B) {
			for b.Loop() {
				var out, errs bytes.Buffer
				c := way(child.Command{
					Argv: []string{"/bin/true"}, Env: []string{path}, Stdout: &out, Stderr: &errs,
					Marks: []string{"UPKEEP_RUN_ID=bench"}, Limits: limits,
				})
				if _, err := child.Run(context.Background(), c); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	plain := func(c child.Command) child.Command { return c }
	if child.HasCgroup() {
		b.Run("cgroup", run(plain, child.Limits{}))
		b.Run("cgroup-limits", run(plain, child.Limits{Files: 100}))
	}
	b.Run("walk", run(child.WithoutCgroup, child.Limits{}))
	b.Run("walk-limits", run(child.WithoutCgroup, child.Limits{Files: 100}))
}
