package configs_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// specOf freezes a text the way that a ledger keeps it.
func specOf(text string) runner.Spec {
	sum := sha256.Sum256([]byte(text))
	return runner.Spec{Workflow: "daily", Text: text, Digest: hex.EncodeToString(sum[:])}
}

func TestCompile_EveryWorkflowOfEveryFixture(t *testing.T) {
	t.Parallel()
	for _, path := range fixtures(t, "good") {
		c, err := configs.Load(path, testCatalog(testEnv()))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range c.Workflows {
			given := map[string]string{}
			for _, p := range w.Params {
				if p.Required {
					given[p.Name] = "given"
				}
			}
			arguments, err := w.Arguments(given)
			if err != nil {
				t.Fatal(err)
			}
			plan, err := c.Compile(t.Context(), w.Spec, arguments)
			if err != nil {
				t.Errorf("%s %s: %v\n%s", path, w.Name, err, w.Spec.Text)
				continue
			}
			if plan.Root != c.Root || plan.KillGrace != c.KillGrace || plan.Timeout != w.Timeout || plan.Parallel != w.Parallel || len(plan.Jobs) != len(w.Jobs) {
				t.Errorf("%s %s: got %+v", path, w.Name, plan)
			}
			for i, job := range plan.Jobs {
				want := w.Jobs[i].PlannedJob
				if _, _, err := job.Build(nil); err != nil {
					t.Errorf("%s %s.%s: %v", path, w.Name, job.Name, err)
				}
				job.Build, want.Build = nil, nil
				if diff := cmp.Diff(want, job); diff != "" {
					t.Errorf("%s %s: %s", path, w.Name, diff)
				}
			}
		}
	}
}

func TestSpec_DigestFollowsTheMeaning(t *testing.T) {
	t.Parallel()
	digest := func(text string) string {
		return mustLoad(t, text, nil).Workflows[0].Spec.Digest
	}
	first := digest("workflows: {daily: {jobs: {health: {kind: health}}}}\n")
	for name, text := range map[string]string{
		"comments":       "# hello\nworkflows:\n  daily: # every day\n    jobs:\n      health:\n        kind: health\n",
		"alias":          "workflows: {daily: {jobs: {health: &h {kind: health}}}, other: {jobs: {x: *h}}}\n",
		"outside":        "project: x\nmax_running: 3\nworkflows: {daily: {jobs: {health: {kind: health}}}}\n",
		"other workflow": "workflows: {daily: {jobs: {health: {kind: health}}}, other: {jobs: {x: {kind: health}}}}\n",
	} {
		if digest(text) != first {
			t.Errorf("%s changed the digest", name)
		}
	}
	for name, text := range map[string]string{
		"job":     "workflows: {daily: {jobs: {health: {kind: health}, more: {kind: health}}}}\n",
		"timeout": "workflows: {daily: {timeout: 1h, jobs: {health: {kind: health}}}}\n",
	} {
		if digest(text) == first {
			t.Errorf("%s did not change the digest", name)
		}
	}
}

func TestCompile_NoLongerLoads(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "stores: {local: {kind: local, path: x}}\ndatabases: {main: {kind: postgres, url: \"postgres:///m\"}}\nworkflows: {daily: {jobs: {health: {kind: health}}}}\n", nil)
	for name, tc := range map[string]struct{ text, want string }{
		"newer key":    {"jobs:\n  a:\n    kind: health\n    color: red\n", `unknown key "color" in jobs.a`},
		"kind is gone": {"jobs:\n  a:\n    kind: telepathy\n", `jobs.a.kind: there is no kind of job called "telepathy"`},
		"store gone":   {"jobs:\n  a:\n    kind: backup\n    with:\n      database: main\n      store: offsite\n", `there is no store "offsite"`},
		"check gone":   {"jobs:\n  a:\n    kind: health\n    with:\n      checks:\n        - gone\n", `there is no check "gone"`},
		"several":      {"jobs:\n  a:\n    kind: x\n  b:\n    kind: y\n", "(and 1 more)"},
		"not YAML":     {"jobs: [", "not valid YAML"},
		"empty":        {"", "daily"},
		"cycle":        {"jobs:\n  a:\n    kind: health\n    needs: [a]\n", "the job a needs itself"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := c.Compile(t.Context(), specOf(tc.text), nil)
			wrong, ok := errors.AsType[*configs.SpecError](err)
			if !ok || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") || jobs.HintOf(err) == "" {
				t.Errorf("got %v, hint %q", err, jobs.HintOf(err))
			}
			if ok && !strings.HasPrefix(wrong.Problems[0].File, "recorded workflow daily") {
				t.Errorf("file %q", wrong.Problems[0].File)
			}
		})
	}
	damaged := specOf("jobs:\n  a:\n    kind: health\n")
	damaged.Digest = strings.Repeat("0", 64)
	if _, err := c.Compile(t.Context(), damaged, nil); err == nil || !strings.Contains(err.Error(), "digest") {
		t.Errorf("a damaged text: %v", err)
	}
	if _, err := c.Compile(t.Context(), c.Workflows[0].Spec, map[string]string{"x": "y"}); err == nil || !strings.Contains(err.Error(), `no parameter "x"`) {
		t.Errorf("a foreign parameter: %v", err)
	}
}

// The plan needs no secret, and each attempt sees the secrets of its time.
func TestCompile_ResolvesPerAttempt(t *testing.T) {
	t.Parallel()
	env := testEnv()
	c := mustLoad(t, `
stores: {offsite: {kind: s3, bucket: b, secret_key: "${env:API_TOKEN}"}}
databases: {main: {kind: postgres, url: "${env:DATABASE_URL}"}}
workflows:
  daily:
    params: {tag: {default: x}}
    jobs:
      b: {kind: backup, with: {database: main, store: offsite}}
      v: {kind: vault, with: {token: "${env:API_TOKEN}", note: "${param:tag}"}}
`, env)
	delete(env, "API_TOKEN")
	plan, err := c.Compile(t.Context(), c.Workflows[0].Spec, map[string]string{"tag": "monday"})
	if err != nil {
		t.Fatalf("Compile needed a secret: %v", err)
	}
	for _, job := range plan.Jobs {
		_, _, err := job.Build(nil)
		if err == nil || !strings.Contains(err.Error(), "the environment variable API_TOKEN is not set") || jobs.HintOf(err) == "" {
			t.Errorf("%s: got %v, hint %q", job.Name, err, jobs.HintOf(err))
		}
	}
	env["API_TOKEN"] = "second-token"
	made, secrets, err := plan.Jobs[1].Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	job, ok := made.(*built)
	if !ok {
		t.Fatalf("got %T", made)
	}
	o, ok := job.options.(vaultOptions)
	if !ok || o.Token.Reveal() != "second-token" || o.Note != "monday" {
		t.Errorf("got %+v", job.options)
	}
	if diff := cmp.Diff([]string{"second-token"}, secrets); diff != "" {
		t.Error(diff)
	}
	made, secrets, err = plan.Jobs[0].Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	if job, ok = made.(*built); !ok {
		t.Fatalf("got %T", made)
	}
	store, ok := job.store.(*memory)
	if !ok {
		t.Fatalf("got %T", job.store)
	}
	if o, ok := store.options.(s3Options); !ok || o.Secret.Reveal() != "second-token" {
		t.Errorf("the store was opened with %+v", store.options)
	}
	if diff := cmp.Diff([]string{"postgres://app:hunter2@db/prod", "second-token"}, secrets); diff != "" {
		t.Error(diff)
	}
}

func TestBuild_ErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	env := map[string]string{"API_TOKEN": "ok"}
	c := mustLoad(t, `
workflows: {daily: {jobs: {p: {kind: prune, with: {root: x, match: ["${env:API_TOKEN}"], older_than: 1h}}}}}
`, env)
	env["API_TOKEN"] = "[hunter2hunter2"
	_, _, err := c.Workflows[0].Jobs[0].Build(nil)
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "is not a pattern") {
		t.Errorf("got %v", err)
	}
}

type pastHistory struct {
	jobs.History
	workflow, job string
}

func TestBuild_History(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, `
workflows:
  a:
    jobs:
      own: {kind: history}
      sibling: {kind: history, with: {job: own}}
      other: {kind: history, with: {workflow: b, job: x}}
  b: {jobs: {x: {kind: health}}}
`, nil)
	reader := func(workflow, job string) jobs.History { return pastHistory{workflow: workflow, job: job} }
	for i, want := range []pastHistory{{workflow: "a", job: "own"}, {workflow: "a", job: "own"}, {workflow: "b", job: "x"}} {
		made, _, err := c.Workflows[0].Jobs[i].Build(reader)
		if err != nil {
			t.Fatal(err)
		}
		if job, ok := made.(*built); !ok || job.history != want {
			t.Errorf("job %d: got %+v, want %+v", i, made, want)
		}
	}
	early, _ := build(t, c, "a", "own")
	if _, err := early.history.Past(t.Context(), 1); err == nil {
		t.Error("there was a history without a run")
	}
}

func TestCompile_ParametersReachTheFrame(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, `
workflows:
  daily:
    params: {limit: {type: string, required: true}, n: {type: int, default: 1}}
    jobs: {s: {kind: script, timeout: "${param:limit}", retry: {max: "${param:n}"}, locks: ["db/${param:n}"], with: {run: "echo ${param:n}"}}}
`, nil)
	plan, err := c.Compile(context.Background(), c.Workflows[0].Spec, map[string]string{"limit": "90m", "n": "4"})
	if err != nil {
		t.Fatal(err)
	}
	job := plan.Jobs[0]
	if job.Timeout != 90*time.Minute || job.Retry.Max != 4 || job.Locks[0] != "db/4" {
		t.Errorf("got %+v", job)
	}
	made, _, err := job.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	made1, ok := made.(*built)
	if !ok {
		t.Fatalf("got %T", made)
	}
	if o, ok := made1.options.(scriptOptions); !ok || !cmp.Equal(o.Run, unit.Command{"/bin/sh", "-c", "echo 4"}) {
		t.Errorf("got %+v", made1.options)
	}
	if _, err = c.Compile(t.Context(), c.Workflows[0].Spec, map[string]string{"limit": "soon"}); err == nil || !strings.Contains(err.Error(), `"soon" is not a duration`) {
		t.Errorf("got %v", err)
	}
	if _, err = c.Compile(t.Context(), c.Workflows[0].Spec, nil); err == nil || !strings.Contains(err.Error(), "limit is required") {
		t.Errorf("got %v", err)
	}
}
