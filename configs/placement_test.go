package configs_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
)

// loadText loads a configuration from its text.
func loadText(t *testing.T, text string, env map[string]string) *configs.Config {
	t.Helper()
	c, err := configs.Load(write(t, text), testCatalog(env))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLoad_Labels(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                                nil,
		"labels: [db, gpu]":               {"db", "gpu"},
		"labels: db":                      {"db"},
		`labels: "${env:LABELS}"`:         {"gpu", "rack-1"},
		`labels: "${env:UNSET_LABELS:-}"`: nil,
		`labels: ["${env:LABEL}", db]`:    {"web", "db"},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			c := loadText(t, text+"\nworkflows: {a: {jobs: {a: {kind: health}}}}", map[string]string{"LABELS": "gpu, rack-1", "LABEL": "web"})
			if diff := cmp.Diff(want, c.Labels); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLoad_RunsOn(t *testing.T) {
	t.Parallel()
	tests := []struct {
		runsOn, more string
		want         configs.RunsOn
		where        string
		target       runner.Target
		db, web      bool // whether a node with that label fits
		deadline     time.Duration
		within       time.Duration
	}{
		{"any", "", configs.RunsOn{}, "any", "", true, true, 0, 0},
		{"any", "start_deadline: 3m", configs.RunsOn{}, "any", "", true, true, 3 * time.Minute, 0},
		{"every", "", configs.RunsOn{EveryNode: true}, "every", "", true, true, 15 * time.Minute, 15 * time.Minute},
		{"{label: db}", "", configs.RunsOn{Label: "db"}, "db", "label:db", true, false, 15 * time.Minute, 15 * time.Minute},
		{"{label: db}", "start_deadline: 2h", configs.RunsOn{Label: "db"}, "db", "label:db", true, false, 2 * time.Hour, 2 * time.Hour},
		{"{label: db}", "catch_up: {run: last, within: 6h}", configs.RunsOn{Label: "db"}, "db", "label:db", true, false, 15 * time.Minute, 6 * time.Hour},
		{"{label: db}", "catch_up: {run: last, within: 2m}", configs.RunsOn{Label: "db"}, "db", "label:db", true, false, 15 * time.Minute, 15 * time.Minute},
		{"{label: db}", "catch_up: {run: all}", configs.RunsOn{Label: "db"}, "db", "label:db", true, false, 15 * time.Minute, 0},
		{"{label: db}", "catch_up: {run: none}", configs.RunsOn{Label: "db"}, "db", "label:db", true, false, 15 * time.Minute, 15 * time.Minute},
		{"{every: {label: db}}", "", configs.RunsOn{EveryNode: true, Label: "db"}, "every db", "", true, false, 15 * time.Minute, 15 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.runsOn+" "+tt.more, func(t *testing.T) {
			t.Parallel()
			c := loadText(t, fmt.Sprintf("workflows:\n  a:\n    schedule: {daily: \"02:30\"}\n    runs_on: %s\n    %s\n    jobs: {a: {kind: health}}\n", tt.runsOn, tt.more), nil)
			w := c.Workflows[0]
			if diff := cmp.Diff(tt.want, w.RunsOn); diff != "" {
				t.Error(diff)
			}
			if w.Where() != tt.where || w.Target() != tt.target {
				t.Errorf("it runs on %q with target %q, want %q and %q", w.Where(), w.Target(), tt.where, tt.target)
			}
			if w.Fits([]string{"x", "db"}) != tt.db || w.Fits([]string{"web"}) != tt.web {
				t.Errorf("db fits: %t, web fits: %t", w.Fits([]string{"db"}), w.Fits([]string{"web"}))
			}
			if w.Policy.StartDeadline != tt.deadline || w.StartWithin() != tt.within {
				t.Errorf("start_deadline %s, to begin within %s; want %s and %s", w.Policy.StartDeadline, w.StartWithin(), tt.deadline, tt.within)
			}
		})
	}
}

func TestLoad_RunsOnOfABusySchedule(t *testing.T) {
	t.Parallel()
	for every, want := range map[string]time.Duration{"10s": time.Minute, "5m": 5 * time.Minute, "2h": 15 * time.Minute} {
		c := loadText(t, fmt.Sprintf("workflows: {a: {schedule: {every: %s}, runs_on: every, jobs: {a: {kind: health}}}}", every), nil)
		if got := c.Workflows[0].StartWithin(); got != want {
			t.Errorf("every %s: to begin within %s, want %s", every, got, want)
		}
	}
}

// TestConfig_Unserved: what no node may run is named by its label, whether the
// nodes are there or away.
func TestConfig_Unserved(t *testing.T) {
	t.Parallel()
	c := configs.Config{
		Workflows: []*configs.Workflow{
			{Name: "anywhere"},
			{Name: "all", RunsOn: configs.RunsOn{EveryNode: true}},
			{Name: "dump", RunsOn: configs.RunsOn{Label: "db"}},
			{Name: "train", RunsOn: configs.RunsOn{EveryNode: true, Label: "gpu"}},
			{Name: "tune", RunsOn: configs.RunsOn{Label: "gpu"}},
		},
		Checks: []configs.Check{{Name: "lag", RunsOn: configs.RunsOn{Label: "db"}}, {Name: "heat", RunsOn: configs.RunsOn{EveryNode: true, Label: "gpu"}}},
	}
	for name, test := range map[string]struct {
		nodes [][]string
		want  []string
	}{
		"no nodes":  {},
		"all there": {nodes: [][]string{{"db"}, {"gpu", "big"}}},
		"one label": {nodes: [][]string{{"db"}, nil}, want: []string{"label gpu: workflow train, workflow tune, check heat"}},
		"none":      {nodes: [][]string{nil}, want: []string{"label db: workflow dump, check lag", "label gpu: workflow train, workflow tune, check heat"}},
	} {
		if diff := cmp.Diff(test.want, c.Unserved(test.nodes), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
