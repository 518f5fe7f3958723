package jobstest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/jobs/jobstest"
)

// badVariable tells a process of this test binary how the subject is bad.
const badVariable = "JOBSTEST_BAD"

// TestSubject is the harness at work on the subject, which is good unless
// TestExercise_Catches runs this test in a process of its own.
func TestSubject(t *testing.T) {
	t.Parallel()
	bad := os.Getenv(badVariable)
	kind := subjectKind(bad)
	if bad == "an option without documentation" {
		kind = undocumentedKind()
	}
	fixture := jobstest.Fixture{
		Name: "one file", Effects: bad != "effects that nobody expects", Secrets: []string{token}, Patience: time.Second,
		Arrange: func(t *testing.T, root string, options any, _ *jobstest.Deps) {
			switch o := options.(type) {
			case *subject:
				o.Root = root
			case *withEntries:
				o.Root = root
			default:
				t.Fatalf("options of type %T", options)
			}
		},
		Settled: func(t *testing.T, root string) {
			want := "state"
			if bad == "another end" {
				want = "other"
			}
			if _, err := os.Stat(filepath.Join(root, want)); err != nil {
				t.Errorf("settled without a result: %v", err)
			}
		},
	}
	if bad == "an error that is wanted" {
		fixture.Fails = "no space"
	}
	jobstest.Exercise(t, kind, fixture)
}

func TestExercise_Catches(t *testing.T) {
	t.Parallel()
	for bad, want := range map[string]string{
		"no documentation":                "documentation starts with",
		"an option without documentation": `option "entries[].path" is not documented`,
		"changes in a dry run":            "a dry run changed the world",
		"fails in a dry run":              "a dry run failed: not in a dry run",
		"changes under a dead context":    "a run under a dead context changed the world",
		"success under a dead context":    "the run succeeded under a dead context",
		"a cause that is lost":            "does not wrap the context's cause",
		"changes outside effects":         "the world changed outside Env.Effect",
		"effects that nobody expects":     "the fixture has no effects",
		"a probe with effects":            "a probe did effects",
		"a check that changes":            "a check changed the world",
		"a check with an effect":          "a check announced an effect",
		"a check that fails":              "check: never good",
		"secret in a check":               "a secret shows in the output",
		"secret in an effect":             "a secret shows in the effects",
		"secret in the output":            "a secret shows in the output",
		"secret in the log":               "a secret shows in the log",
		"secret in the result":            "a secret shows in the result",
		"secret in the error":             "a secret shows in the error",
		"secret in arguments":             "a secret stands in the arguments of a child process",
		"a goroutine goes on":             "its goroutines go on",
		"a process goes on":               "its processes go on",
		"never returns":                   "the job did not return",
		"cannot run twice":                "the second run failed",
		"cannot follow a stop":            "the run after the stops failed",
		"cannot follow a kill":            "the run after a kill at effect 2 failed",
		"another end":                     "settled without a result",
		"an error that is wanted":         "the run succeeded, want an error",
		"no summary":                      "the result has no summary",
		"a summary of two lines":          "the summary has several lines",
		"not a number":                    "is not finite",
		"a bad name":                      `value "Big Name"`,
		"a bad finding":                   "bad finding",
	} {
		t.Run(bad, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSubject$", "-test.count=1")
			cmd.Env = append(os.Environ(), badVariable+"="+bad)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatalf("the harness passed a subject with: %s\n%s", bad, out)
			}
			if !strings.Contains(string(out), want) {
				t.Errorf("the harness does not say %q:\n%s", want, out)
			}
		})
	}
}
