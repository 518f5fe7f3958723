package configs_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/retry"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// build makes a job as an attempt does.
func build(t *testing.T, c *configs.Config, workflow, name string) (*built, []string) {
	t.Helper()
	job, err := c.Job(workflow, name)
	if err != nil {
		t.Fatal(err)
	}
	made, secrets, err := job.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	return made.(*built), secrets
}

func TestLoad_Defaults(t *testing.T) {
	t.Parallel()
	path := write(t, "workflows: {daily: {jobs: {health: {kind: health}}}}\n")
	c, err := configs.Load(path, testCatalog(nil))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	if c.Root != dir || c.Path != path || c.Node != "test-node" || c.MaxRunning != 8 || c.KillGrace != 10*time.Second ||
		c.Ledger.Path != filepath.Join(dir, "var/upkeep.db") || c.Ledger.Dialect != "sqlite" || c.Timezone != time.Local || c.Project != filepath.Base(dir) {
		t.Errorf("got %+v", c)
	}
	want := []configs.Check{{
		Name: "system", Kind: "system", Every: 30 * time.Second, RetryEvery: 10 * time.Second, FailAfter: 3, OKAfter: 2, Impact: "degraded",
		Timeout: 10 * time.Second, RunsOn: configs.RunsOn{EveryNode: true}, Implicit: true, Digest: c.Checks[0].Digest,
	}}
	if diff := cmp.Diff(want, c.Checks); diff != "" {
		t.Errorf("implicit check: %s", diff)
	}
	w, err := c.Workflow("daily")
	if err != nil {
		t.Fatal(err)
	}
	if !w.Schedule.IsZero() || w.Overlap != runner.OverlapSkip || w.Parallel < 1 || w.Jobs[0].When != runner.OnSuccess || w.Jobs[0].OnCrash != runner.Restart {
		t.Errorf("got %+v", w)
	}
}

func TestLoad_EveryField(t *testing.T) {
	t.Parallel()
	c, err := configs.Load("testdata/good/full.yaml", testCatalog(testEnv()))
	if err != nil {
		t.Fatal(err)
	}
	w, err := c.Workflow("daily")
	if err != nil {
		t.Fatal(err)
	}
	if w.Schedule.String() == "" || w.Jitter != 5*time.Minute || w.Timeout != 4*time.Hour || w.Parallel != 2 || w.Label != "db" || w.EveryNode ||
		w.Window.IsZero() || w.Zone.String() != "Europe/Berlin" {
		t.Errorf("got %+v", w)
	}
	policy := schedule.Policy{CatchUp: schedule.CatchUp{Run: schedule.CatchUpLast, Within: 12 * time.Hour}, StartDeadline: 2 * time.Minute}
	if diff := cmp.Diff(policy, w.Policy); diff != "" {
		t.Error(diff)
	}
	backup, err := c.Job("daily", "backup")
	if err != nil {
		t.Fatal(err)
	}
	got := backup.PlannedJob
	got.Build = nil
	want := runner.PlannedJob{
		Name: "backup", Kind: "backup", Needs: []string{"health"}, When: runner.Always, Timeout: 2 * time.Hour,
		Retry: retry.Policy{Max: 2, Backoff: retry.Backoff{Min: time.Minute, Max: 10 * time.Minute}}, RetryExitCodes: []int{75},
		OnCrash: runner.Restart, FailOn: jobs.Critical, Locks: []string{"database/main"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var names []string
	for _, w := range c.Workflows {
		names = append(names, w.Name)
	}
	if diff := cmp.Diff([]string{"daily", "weekly", "monthly", "often", "cron", "by-hand"}, names); diff != "" {
		t.Errorf("order of the file: %s", diff)
	}
}

func TestLoad_Paths(t *testing.T) {
	t.Parallel()
	c, err := configs.Load("testdata/good/full.yaml", testCatalog(testEnv()))
	if err != nil {
		t.Fatal(err)
	}
	job, _ := build(t, c, "daily", "prune")
	o, ok := job.options.(pruneOptions)
	if !ok {
		t.Fatalf("got options %T", job.options)
	}
	at := func(path string) unit.Path { return unit.Path(filepath.Join(c.Root, path)) }
	if o.Root != at("logs") || o.Groups[0].Path != at("a") || o.Groups[1].Path != "/abs" || o.Named["x"] != at("y") || o.Named["preset"] != at("relative") || o.Other.Path != at("z") {
		t.Errorf("got %+v %+v", o, o.Other)
	}
	if o.Match[1] != "012" || o.Limits.Files != 3 || !o.Apply || o.Limits.Memory.Bytes() != 512<<20 {
		t.Errorf("got %+v", o)
	}
}

func TestLoad_RootIsRelativeToTheFile(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "root: ../up\nledger: sqlite:x.db\nworkflows: {a: {jobs: {p: {kind: prune, with: {root: logs, match: [x]}}}}}\n", nil)
	want := filepath.Join(filepath.Dir(filepath.Dir(c.Path)), "up")
	if c.Root != want || c.Ledger.Path != filepath.Join(want, "x.db") {
		t.Errorf("root %s, ledger %s", c.Root, c.Ledger.Path)
	}
	job, _ := build(t, c, "a", "p")
	if o, ok := job.options.(pruneOptions); !ok || string(o.Root) != filepath.Join(want, "logs") {
		t.Errorf("got %+v", job.options)
	}
}

func TestLoad_ReferencesNeverBecomeSyntax(t *testing.T) {
	t.Parallel()
	evil := "x\n      evil: true\n# } ] ${env:HOME} \"'"
	c := mustLoad(t, `
workflows:
  a:
    jobs:
      s:
        kind: script
        with: {run: [echo, "${env:EVIL}", "pre-${env:EVIL}-post", "$${env:EVIL}", "$$5 ${HOME} $(x) $$"], result: "${env:RESULT}"}
`, map[string]string{"EVIL": evil, "RESULT": "json", "HOME": "/h"})
	job, _ := build(t, c, "a", "s")
	o, ok := job.options.(scriptOptions)
	if !ok {
		t.Fatalf("got %T", job.options)
	}
	want := unit.Command{"echo", evil, "pre-" + evil + "-post", "${env:EVIL}", "$$5 ${HOME} $(x) $$"}
	if diff := cmp.Diff(want, o.Run); diff != "" {
		t.Error(diff)
	}
	if o.Result != "json" {
		t.Errorf("result %q", o.Result)
	}
}

func TestLoad_TextStaysText(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "project: 012\nnode: 1.0\nworkflows: {a: {jobs: {s: {kind: script, with: {run: [0x10, 1e3, true, 012, ~x, 2026-01-01]}}}}}\n", nil)
	if c.Project != "012" || c.Node != "1.0" {
		t.Errorf("project %q, node %q", c.Project, c.Node)
	}
	want := unit.Command{"0x10", "1e3", "true", "012", "~x", "2026-01-01"}
	check := func(c *configs.Config, job *built) {
		t.Helper()
		o, ok := job.options.(scriptOptions)
		if !ok {
			t.Fatalf("got %T", job.options)
		}
		if diff := cmp.Diff(want, o.Run); diff != "" {
			t.Error(diff)
		}
	}
	job, _ := build(t, c, "a", "s")
	check(c, job)
	plan, err := c.Compile(t.Context(), c.Workflows[0].Spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	made, _, err := plan.Jobs[0].Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	frozen, ok := made.(*built)
	if !ok {
		t.Fatalf("got %T", made)
	}
	check(c, frozen)
}

func TestLoad_Files(t *testing.T) {
	t.Parallel()
	path := write(t, `
root: data
stores: {offsite: {kind: s3, bucket: b, secret_key: "${file:key}"}}
databases: {main: {kind: postgres, url: "${file:/abs.url}"}}
workflows: {a: {jobs: {b: {kind: backup, with: {database: main, store: offsite}}}}}
`)
	dir := filepath.Dir(path)
	catalog := testCatalog(nil)
	files := map[string]string{
		filepath.Join(dir, "data/key"): "s3cr3t-key\r\n",
		"/abs.url":                     "postgres://u:hunter2@h/d\n",
	}
	catalog.ReadFile = func(name string) ([]byte, error) {
		if name == path {
			return os.ReadFile(path)
		}
		text, ok := files[name]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return []byte(text), nil
	}
	c, err := configs.Load(path, catalog)
	if err != nil {
		t.Fatal(err)
	}
	job, secrets := build(t, c, "a", "b")
	if job.url.Reveal() != "postgres://u:hunter2@h/d" {
		t.Errorf("url %q", job.url.Reveal())
	}
	if diff := cmp.Diff([]string{"postgres://u:hunter2@h/d", "s3cr3t-key"}, secrets); diff != "" {
		t.Errorf("secrets of the job: %s", diff)
	}
	for name, content := range map[string]string{"empty": "", "nul": "a\x00b", "latin1": "caf\xe9", "long": strings.Repeat("x", 70_000)} {
		files["/abs.url"] = content
		if _, err := configs.Load(path, catalog); err == nil || !strings.Contains(err.Error(), "/abs.url") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestLoad_OrdinaryFilesOnly(t *testing.T) {
	t.Parallel()
	_, err := configs.Load(t.TempDir(), testCatalog(nil))
	if err == nil || !strings.Contains(err.Error(), "not an ordinary file") {
		t.Errorf("a folder: %v", err)
	}
	_, err = configs.Load(filepath.Join(t.TempDir(), "none.yaml"), testCatalog(nil))
	var problems configs.Problems
	if !errors.As(err, &problems) || problems[0].Rule != "no-file" || problems[0].Hint == "" {
		t.Errorf("a missing file: %v", err)
	}
	large := write(t, strings.Repeat("#", 9<<20))
	if _, err = configs.Load(large, testCatalog(nil)); err == nil || !strings.Contains(err.Error(), "at most 8388608") {
		t.Errorf("a large file: %v", err)
	}
}

// What is unset stops a run, not a look at the ledger.
func TestLoad_UnsetAlone(t *testing.T) {
	t.Parallel()
	text := "databases: {main: {kind: postgres, url: \"${env:NOPE}\"}}\nworkflows: {a: {jobs: {s: {kind: script, with: {run: [x], env: {A: \"${env:NOPE2}\"}}}}}}\n"
	c, err := load(t, text, nil)
	problems, ok := errors.AsType[configs.Problems](err)
	if !ok || len(problems.Errors()) != 2 || !problems.Only(configs.RuleUnset) {
		t.Fatalf("got %v", err)
	}
	if c == nil || c.Ledger.Path == "" || len(c.Workflows) != 1 {
		t.Fatalf("got %+v", c)
	}
	if c, err = load(t, text+"extra: 1\n", nil); c != nil || err == nil {
		t.Errorf("with another error: %v, %v", c, err)
	}
	if c, err = load(t, "ledger: \"${env:NOPE}\"\n"+text, nil); c != nil || err == nil {
		t.Errorf("without a ledger: %v, %v", c, err)
	}
}

func TestLoad_Secrets(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, `
databases: {main: {kind: postgres, url: "${env:DATABASE_URL}"}}
stores: {offsite: {kind: s3, bucket: b, secret_key: "${env:API_TOKEN}"}}
workflows:
  a:
    jobs:
      b: {kind: backup, with: {database: main, store: offsite}}
      s:
        kind: script
        with:
          run: [x]
          env: {HOME: "${env:HOME}", MODE: fast-mode, PLAIN: "${env:WORD}", TOKEN: "Bearer ${env:API_TOKEN}", D: "${env:NONE:-fallback}", SORT: "x${env:HOME}"}
`, testEnv())
	_, secrets := build(t, c, "a", "b")
	if diff := cmp.Diff([]string{"postgres://app:hunter2@db/prod", "t0k3n-t0k3n"}, secrets); diff != "" {
		t.Errorf("backup: %s", diff)
	}
	_, secrets = build(t, c, "a", "s")
	if diff := cmp.Diff([]string{"Bearer t0k3n-t0k3n", "t0k3n-t0k3n", "many"}, secrets); diff != "" {
		t.Errorf("script: %s", diff)
	}
	for _, w := range c.Workflows {
		for _, text := range []string{"hunter2", "t0k3n", "/home/anna"} {
			if strings.Contains(w.Spec.Text, text) {
				t.Errorf("the frozen text holds %s:\n%s", text, w.Spec.Text)
			}
		}
	}
	if got := secret.NewRedactor(c.Secrets()).Scrub("hunter2 t0k3n-t0k3n"); got != "<redacted> <redacted>" {
		t.Errorf("all secrets: %q", got)
	}
}

// A store that only a job with a required parameter may use is not called
// unused.
func TestLoad_UnusedNeedsCertainty(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, `
stores: {local: {kind: local, path: x}}
databases: {main: {kind: postgres, url: "postgres:///m"}}
workflows: {a: {params: {where: {required: true}}, jobs: {b: {kind: backup, with: {database: main, store: "${param:where}"}}}}}
`, nil)
	if len(c.Warnings) > 0 {
		t.Error(c.Warnings)
	}
}
