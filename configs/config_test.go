package configs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
)

func TestConfig_Unknown(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "stores: {local: {kind: local, path: x}}\nworkflows: {daily: {jobs: {health: {kind: health}}}}\n", nil)
	_, workflow := c.Workflow("dayly")
	_, job := c.Job("daily", "helth")
	_, _, store := c.OpenStore("locl")
	_, _, check := c.OpenCheck("systm")
	for _, tc := range []struct {
		err          error
		family, hint string
	}{
		{workflow, "workflow", `did you mean "daily"?`},
		{job, "job", `did you mean "health"?`},
		{store, "store", `did you mean "local"?`},
		{check, "check", `did you mean "system"?`},
	} {
		unknown, ok := errors.AsType[*configs.UnknownError](tc.err)
		if !ok || unknown.Family != tc.family || jobs.HintOf(tc.err) != tc.hint {
			t.Errorf("%s: got %v, hint %q", tc.family, tc.err, jobs.HintOf(tc.err))
		}
	}
	store1, secrets, err := c.OpenStore("local")
	if m, ok := store1.(*memory); err != nil || !ok || m.name != "local" || len(secrets) != 0 {
		t.Errorf("got %v, %v", store1, err)
	}
	opened, _, err := c.OpenCheck("system")
	if err != nil || opened.Kind != "system" || opened.Impact != "degraded" || opened.Probe == nil {
		t.Errorf("got %+v, %v", opened, err)
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, `
workflows:
  a:
    params:
      tag: {default: nightly, pattern: "[a-z]+"}
      depth: {type: int, default: 3}
      full: {type: bool, required: true}
      mode: {type: enum, values: [fast, slow], default: fast}
    jobs: {s: {kind: script, with: {run: [echo, "${param:tag}", "${param:depth}", "${param:full}", "${param:mode}"]}}}
`, nil)
	w := c.Workflows[0]
	got, err := w.Arguments(map[string]string{"full": "true", "mode": "slow"})
	if diff := cmp.Diff(map[string]string{"tag": "nightly", "depth": "3", "full": "true", "mode": "slow"}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	for name, tc := range map[string]struct {
		given map[string]string
		want  string
	}{
		"missing": {nil, "parameter full is required"},
		"int":     {map[string]string{"full": "true", "depth": "3.5"}, `parameter depth: "3.5" is not a whole number`},
		"bool":    {map[string]string{"full": "yes"}, `parameter full: "yes" is neither true nor false`},
		"enum":    {map[string]string{"full": "true", "mode": "quick"}, `parameter mode: "quick" is not one of fast, slow`},
		"pattern": {map[string]string{"full": "true", "tag": "a; rm -rf /"}, `does not match the pattern`},
		"unknown": {map[string]string{"full": "true", "tagg": "x"}, `workflow a has no parameter "tagg"`},
		"long":    {map[string]string{"full": "true", "tag": strings.Repeat("a", 5000)}, "longer than 4096 bytes"},
		"nul":     {map[string]string{"full": "true", "tag": "a\x00"}, "is not text"},
		"several": {map[string]string{"mode": "x"}, "parameter full is required; parameter mode"},
	} {
		if _, err := w.Arguments(tc.given); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := configs.Load("testdata/good/full.yaml", testCatalog(testEnv())); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad_TenThousandWorkflows(b *testing.B) {
	var text strings.Builder
	text.WriteString("channels: {ops: {kind: page}}\nroutes: [{match: {workflow: \"w1*\"}, to: ops, continue: true}, {to: ops}]\nworkflows:\n")
	for i := range 10_000 {
		fmt.Fprintf(&text, " w%d: {schedule: {daily: \"%02d:%02d\"}, fresh_within: 26h, jobs: {a: {kind: health}}}\n", i, i/60%24, i%60)
	}
	path := filepath.Join(b.TempDir(), "upkeep.yaml")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := configs.Load(path, testCatalog(nil)); err != nil {
			b.Fatal(err)
		}
	}
}

func TestLoad_Merged(t *testing.T) {
	t.Parallel()
	c, err := configs.Load("testdata/good/anchors.yaml", testCatalog(nil))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		timeout time.Duration
		result  string
		retries int
	}{"first": {10 * time.Minute, "exit", 0}, "second": {20 * time.Minute, "exit", 0}, "third": {10 * time.Minute, "json", 0}, "fourth": {5 * time.Minute, "exit", 1}} {
		job, err := c.Job("daily", name)
		if err != nil {
			t.Fatal(err)
		}
		made, _ := build(t, c, "daily", name)
		o, ok := made.options.(scriptOptions)
		if !ok || job.Timeout != want.timeout || o.Result != want.result || job.Retry.Max != want.retries {
			t.Errorf("%s: got %v, %+v", name, job.Timeout, made.options)
		}
	}
}

func TestConfig_FromSeveralGoroutines(t *testing.T) {
	t.Parallel()
	c, err := configs.Load("testdata/good/full.yaml", testCatalog(testEnv()))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, w := range c.Workflows {
				arguments, err := w.Arguments(map[string]string{})
				if err != nil {
					continue
				}
				plan, err := c.Compile(t.Context(), w.Spec, arguments)
				if err != nil {
					t.Error(err)
					continue
				}
				for _, job := range plan.Jobs {
					if _, _, err := job.Build(nil); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
}
