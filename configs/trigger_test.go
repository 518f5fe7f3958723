package configs_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/health/runbook"
	kinds "github.com/ghosteam/upkeep/jobs/all"
	"github.com/ghosteam/upkeep/runner"
)

const highMemory = `
checks:
  system: {kind: system, with: {memory: {warn: 75%, crit: 90%}}}
workflows:
  high-memory:
    trigger: {check: system, value: memory_percent, is: LEVEL, for: 5m}
    mode: approve
    limits: {cooldown: 1h, max: 3/12h, grace: 5m}
    history: {keep: 1h}
    jobs: {restart: {kind: script, with: {run: [true]}}}
  down:
    trigger: {check: system, error_kind: [connect, timeout]}
    jobs: {look: {kind: script, with: {run: [true]}}}
  by-hand:
    jobs: {look: {kind: script, with: {run: [true]}}}
`

func TestTrigger(t *testing.T) {
	t.Parallel()
	for level, limit := range map[string]float64{"critical": 90, "warning": 75} {
		c, err := configs.Load(write(t, strings.ReplaceAll(highMemory, "LEVEL", level)), configs.Catalog{Kinds: kinds.Kinds()})
		if err != nil {
			t.Fatal(err)
		}
		want := []runbook.Runbook{
			{
				Name: "high-memory", Mode: runbook.Approve,
				Trigger: runbook.Trigger{Check: "system", Value: "memory_percent", Is: runner.Health(level), Above: &limit, For: 5 * time.Minute},
				Limits:  runbook.Limits{Cooldown: time.Hour, Max: 3, Per: 12 * time.Hour, Grace: 5 * time.Minute},
			},
			{
				Name: "down", Mode: runbook.Auto,
				Trigger: runbook.Trigger{Check: "system", Is: runner.HealthCritical, ErrorKinds: []string{"connect", "timeout"}},
				Limits:  runbook.Limits{Cooldown: 30 * time.Minute, Max: 2, Per: 24 * time.Hour, Grace: 2 * time.Minute},
			},
		}
		got := c.Runbooks()
		for i := range got {
			if !got[i].Window.IsZero() {
				t.Errorf("%s has a window", got[i].Name)
			}
		}
		if diff := cmp.Diff(want, got, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Window" }, cmp.Ignore())); diff != "" {
			t.Error(diff)
		}
		if w, err := c.Workflow("high-memory"); err != nil || w.History.AtLeast != 12*time.Hour || w.History.Keep != 12*time.Hour {
			t.Errorf("history %+v, %v: the budget looks back 12h", w.History, err)
		}
		if _, err := c.Runbook("by-hand"); err == nil {
			t.Error("a workflow without a trigger is a runbook")
		} else if unknown, ok := errors.AsType[*configs.UnknownError](err); !ok || unknown.Family != "runbook" {
			t.Errorf("error %v", err)
		}
		// What a run froze still compiles when its check is gone.
		gone, err := configs.Load(write(t, "workflows: {a: {jobs: {a: {kind: script, with: {run: [true]}}}}}\n"), configs.Catalog{Kinds: kinds.Kinds()})
		if err != nil {
			t.Fatal(err)
		}
		w, err := c.Workflow("down")
		if err != nil {
			t.Fatal(err)
		}
		if plan, err := gone.Compile(t.Context(), w.Spec, nil); err != nil || len(plan.Jobs) != 1 {
			t.Errorf("plan %+v, %v", plan, err)
		}
	}
}

func TestTrigger_Bad(t *testing.T) {
	t.Parallel()
	_, err := configs.Load("testdata/runbooks/bad.yaml", configs.Catalog{Kinds: kinds.Kinds()})
	if err == nil {
		t.Fatal("it loads")
	}
	golden(t, "testdata/runbooks/bad.txt", err.Error())
}

func TestTrigger_Lint(t *testing.T) {
	t.Parallel()
	c, err := configs.Load("testdata/runbooks/lint.yaml", configs.Catalog{Kinds: kinds.Kinds()})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/runbooks/lint.txt", c.Warnings.Error())
}
