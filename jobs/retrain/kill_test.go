package retrain_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/retrain"
)

// victimVariable tells a process of the test binary which run it is, where, and
// at which step to die.
const victimVariable = "RETRAIN_VICTIM"

// TestVictim is the process that dies in TestRun_KilledAtEveryStep.
func TestVictim(t *testing.T) {
	root, at, ok := strings.Cut(os.Getenv(victimVariable), "|")
	if !ok {
		return // it is another test's process
	}
	step, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	var passed atomic.Int64
	die := func() {
		if passed.Add(1) == step {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	s := &stage{root: root}
	s.adjust = inside(root)
	_, err = s.job(t).Run(t.Context(), s.env(t, 2, jobs.Hooks{Effect: func(string) { die() }, Effected: func(string, error) { die() }}))
	t.Logf("step %d was not reached: %v", step, err)
}

// inside lets a program kill upkeep itself, when a file names the program.
func inside(root string) func(*retrain.Options) {
	kill := func(name string) string {
		return `if test "$(cat ` + filepath.Join(root, "killer") + ` 2>&1)" = ` + name + `; then kill -9 $PPID; sleep 60; fi; `
	}
	return func(o *retrain.Options) {
		o.Train = shell(`echo half > "$UPKEEP_MODEL_DIR/model"; ` + kill("train") + trainText)
		o.Evaluate = shell(kill("evaluate") + evaluateText)
		o.Promote.Run = shell(kill("serve") + serveText)
		o.Gate.Run = shell(`test "$(readlink "$ROOT/models/churn/current")" = "$(cat "$ROOT/old")" || { ` + kill("gate") + `true; }; ` + gateText)
	}
}

// murder runs the victim, and tells whether it was killed.
func murder(t *testing.T, root string, step int) bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictim$", "-test.count=1", "-test.v")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%d", victimVariable, root, step), "TMPDIR="+t.TempDir())
	out, err := cmd.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if err != nil && !ok {
		t.Fatal(err)
	}
	if !ok {
		if !strings.Contains(string(out), "was not reached") {
			t.Fatalf("the victim did nothing:\n%s", out)
		}
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	if !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the victim ended by itself:\n%s", out)
	}
	return true
}

// scene is a stage with one model in use, and the next one ready.
func scene(t *testing.T, next string) *stage {
	t.Helper()
	s := newStage(t)
	s.next(t, "0.90 0.10 good\n")
	s.must(t, "promoted")
	link, err := os.Readlink(filepath.Join(s.root, "models/churn/current"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.root, "old"), link)
	s.next(t, next)
	s.adjust = inside(s.root)
	return s
}

// TestRun_KilledAtEveryStep kills the process before and after every effect, and
// proves that the next run, the same or another one, converges.
func TestRun_KilledAtEveryStep(t *testing.T) {
	t.Parallel()
	for _, next := range []string{"0.95 0.10 good\n", "0.95 0.10 bad\n", "0.80 0.10 good\n"} {
		for _, same := range []bool{true, false} {
			t.Run(fmt.Sprintf("%.14s, the same run %v", next, same), func(t *testing.T) {
				t.Parallel()
				steps := 0
				for step := 1; step < 100; step++ {
					s := scene(t, next)
					if !murder(t, s.root, step) {
						break
					}
					steps++
					s.settle(t, next, same, fmt.Sprintf("step %d", step))
				}
				if steps < 8 {
					t.Errorf("the process was killed at %d steps only", steps)
				}
			})
		}
	}
}

// settle runs undisturbed after a kill and looks at the world.
func (s *stage) settle(t *testing.T, next string, same bool, where string) {
	t.Helper()
	s.whole(t)
	s.runs = 2
	if same {
		s.runs = 1
	}
	r, err := s.run(t)
	if err != nil {
		t.Errorf("killed at %s: the next run failed: %v", where, err)
		return
	}
	states := s.states(t)
	want := "0.90 0.10 good\n"
	if next == "0.95 0.10 good\n" {
		want = next
	}
	if s.current(t) != want || count(states, "training") > 0 {
		t.Errorf("killed at %s: in use is %q, want %q; the versions are %q; %s", where, s.current(t), want, states, r.Summary)
	}
	if _, err := os.Lstat(filepath.Join(s.root, "models/churn/promotion.json")); err == nil {
		t.Errorf("killed at %s: the journal is still there", where)
	}
	for _, state := range states {
		if strings.Contains(state, " ") {
			t.Errorf("killed at %s: a folder is left: %s", where, state)
		}
	}
}

// TestRun_KilledInside kills upkeep while a program of the user's runs.
func TestRun_KilledInside(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"train", "evaluate", "serve", "gate"} {
		for _, next := range []string{"0.95 0.10 good\n", "0.95 0.10 bad\n"} {
			t.Run(program+" "+next[:14], func(t *testing.T) {
				t.Parallel()
				s := scene(t, next)
				write(t, filepath.Join(s.root, "killer"), program)
				if !murder(t, s.root, 0) {
					t.Fatal("the program did not kill upkeep")
				}
				if err := os.Remove(filepath.Join(s.root, "killer")); err != nil {
					t.Fatal(err)
				}
				if program == "gate" && s.current(t) != next {
					t.Errorf("killed in the gate, in use is %q", s.current(t))
				}
				s.settle(t, next, true, program)
			})
		}
	}
}

// TestRun_KilledWithin arranges what a kill within an effect leaves.
func TestRun_KilledWithin(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(t *testing.T, s *stage, versions string){
		"making a folder": func(t *testing.T, _ *stage, versions string) {
			mkdir(t, filepath.Join(versions, ".new-20260301T023000Z-abc"))
			write(t, filepath.Join(versions, ".new-20260301T023000Z-abc", "upkeep-model.json.new"), `{"sch`)
		},
		"removing a folder": func(t *testing.T, _ *stage, versions string) {
			mkdir(t, filepath.Join(versions, ".removing-20260301T023000Z-abc"))
		},
		"exchanging the link": func(t *testing.T, s *stage, _ string) {
			if err := os.Symlink("versions/nothing", filepath.Join(s.root, "models/churn/.current.new")); err != nil {
				t.Fatal(err)
			}
		},
		"between journal and link": func(t *testing.T, s *stage, _ string) {
			write(t, filepath.Join(s.root, "models/churn/promotion.json"),
				fmt.Sprintf(`{"schema":1,"run":"x","phase":"promoting","from":%q,"to":"20260301T023000Z-abc"}`, read(t, filepath.Join(s.root, "old"))))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := scene(t, "0.95 0.10 good\n")
			leave(t, s, filepath.Join(s.root, "models/churn/versions"))
			s.settle(t, "0.95 0.10 good\n", true, name)
			if want := []string{"promoted", "promoted"}; !cmp.Equal(want, s.states(t)) {
				t.Errorf("the versions are %q", s.states(t))
			}
		})
	}
}

func mkdir(t testing.TB, name string) {
	t.Helper()
	if err := os.MkdirAll(name, 0o700); err != nil {
		t.Fatal(err)
	}
}
