package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

// options has one field of every sort.
type options struct {
	Path   unit.Path            `yaml:"path" required:"true" doc:"Where." example:"logs"`
	Stores unit.Names           `yaml:"store" doc:"Which."`
	Run    unit.Command         `yaml:"run"`
	Age    unit.Duration        `yaml:"age"`
	Size   unit.Size            `yaml:"size"`
	Share  unit.Share           `yaml:"share"`
	Token  secret.String        `yaml:"token"`
	Count  uint16               `yaml:"count"`
	Mode   string               `yaml:"mode" enum:"a,b"`
	Deep   bool                 `yaml:"deep"`
	Match  []string             `yaml:"match"`
	Limits map[string]limit     `yaml:"limits"`
	Parts  []*limit             `yaml:"parts"`
	Group  *limit               `yaml:"group"`
	Inline limit                `yaml:",inline"`
	Hidden string               `yaml:"-"`
	Env    map[string]unit.Path `yaml:"env"`
	own    int
}

type limit struct {
	Warn float64 `yaml:"warn" doc:"Above it is a warning."`
}

func (o *options) Validate() error {
	if o.Count > 9 {
		return jobs.Fieldf("count", "%d is above 9", o.Count)
	}
	return nil
}

type nothing struct{ options options }

func (nothing) Run(context.Context, *jobs.Env) (jobs.Result, error) { return jobs.Result{}, nil }

func kind(name string) jobs.Kind {
	defaults := options{Age: unit.Duration(7 * 24 * time.Hour), Match: []string{"*.log"}, Mode: "a", own: 1, Group: &limit{Warn: 3}}
	return jobs.Define(name, "Does nothing.\n\nAt all.", defaults, func(o options, _ jobs.Deps) (jobs.Job, error) {
		return nothing{o}, nil
	})
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	want := []jobs.Option{
		{Path: "path", Type: "path", Required: true, Doc: "Where.", Example: "logs"},
		{Path: "store", Type: "text or list of text", Doc: "Which."},
		{Path: "run", Type: "text or list of text"},
		{Path: "age", Type: "duration", Default: "7d"},
		{Path: "size", Type: "size"},
		{Path: "share", Type: "share"},
		{Path: "token", Type: "secret"},
		{Path: "count", Type: "number"},
		{Path: "mode", Type: "text", Default: "a", Enum: []string{"a", "b"}},
		{Path: "deep", Type: "true or false"},
		{Path: "match", Type: "list of text", Default: "[*.log]"},
		{Path: "limits", Type: "map of groups"},
		{Path: "limits.*.warn", Type: "number", Doc: "Above it is a warning."},
		{Path: "parts", Type: "list of groups"},
		{Path: "parts[].warn", Type: "number", Doc: "Above it is a warning."},
		{Path: "group", Type: "group"},
		{Path: "group.warn", Type: "number", Default: "3", Doc: "Above it is a warning."},
		{Path: "warn", Type: "number", Doc: "Above it is a warning."},
		{Path: "env", Type: "map of path"},
	}
	if diff := cmp.Diff(want, kind("x").Describe()); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
}

func TestKind_OptionsAreFresh(t *testing.T) {
	t.Parallel()
	k := kind("x")
	first, ok := k.Options().(*options)
	if !ok {
		t.Fatal("Options is of another type")
	}
	first.Match[0], first.Group.Warn = "changed", 9
	second, ok := k.Options().(*options)
	if !ok || second.Match[0] != "*.log" || second.Group.Warn != 3 || second.own != 1 {
		t.Errorf("what was decoded for one job shows in the next: %+v", second)
	}
	if k.Summary() != "Does nothing." || k.Probe || !k.AsProbe().Probe {
		t.Errorf("summary %q, probe %v", k.Summary(), k.Probe)
	}
}

func TestKind_BuildValidates(t *testing.T) {
	t.Parallel()
	k := kind("x")
	job, err := k.Build(&options{Count: 9}, nil)
	if n, ok := job.(nothing); err != nil || !ok || n.options.Count != 9 {
		t.Errorf("built %+v, %v", job, err)
	}
	_, err = k.Build(&options{Count: 10}, nil)
	if field, ok := errors.AsType[*jobs.FieldError](err); !ok || field.Field != "count" || err.Error() != "count: 10 is above 9" {
		t.Errorf("error %v", err)
	}
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	r := jobs.NewRegistry(kind("prune"), kind("archive"), kind("script"))
	var names []string
	for _, k := range r.All() {
		names = append(names, k.Name)
	}
	if diff := cmp.Diff([]string{"archive", "prune", "script"}, names); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
	if k, ok := r.Lookup("prune"); !ok || k.Name != "prune" {
		t.Errorf("lookup = %q, %v", k.Name, ok)
	}
	if _, ok := r.Lookup("prun"); ok {
		t.Error("a kind that does not exist was found")
	}
	for name, wrong := range map[string][]jobs.Kind{"nameless": {kind("")}, "twice": {kind("a"), kind("b"), kind("a")}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a registry with a kind that is %s was made", name)
				}
			}()
			jobs.NewRegistry(wrong...)
		}()
	}
}

func TestHints(t *testing.T) {
	t.Parallel()
	cause := errors.New("denied")
	err := fmt.Errorf("open: %w", jobs.WithHint(fmt.Errorf("read: %w", jobs.WithHint(cause, "inner")), "outer"))
	if jobs.HintOf(err) != "outer" || !errors.Is(err, cause) || err.Error() != "open: read: denied" {
		t.Errorf("hint %q of %v", jobs.HintOf(err), err)
	}
	if jobs.WithHint(nil, "x") != nil || jobs.HintOf(cause) != "" || jobs.HintOf(nil) != "" {
		t.Error("a hint out of nothing")
	}
	refused := jobs.WithHint(&jobs.RefusedError{Rail: "max_share", Why: "would delete all"}, "look first")
	if r, ok := errors.AsType[*jobs.RefusedError](refused); !ok || r.Rail != "max_share" || refused.Error() != "refused by max_share: would delete all" {
		t.Errorf("refusal %v", refused)
	}
}

func TestResult_JSON(t *testing.T) {
	t.Parallel()
	r := jobs.Result{Summary: "s", Values: map[string]float64{"a": 1.5}, Findings: []jobs.Finding{
		{ID: "x", Severity: jobs.Info, Text: "t"}, {ID: "y", Severity: jobs.Critical, Text: "t"}, {ID: "z", Severity: jobs.Warning, Text: "t"},
	}}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var again jobs.Result
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, again, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("a result does not survive JSON (-want +got):\n%s", diff)
	}
	if r.Worst() != jobs.Critical || (jobs.Result{}).Worst() != "" {
		t.Errorf("worst = %q", r.Worst())
	}
	if err := json.Unmarshal([]byte(`{"findings":[{"id":"x","severity":"fatal"}]}`), &again); err == nil {
		t.Error("a severity that does not exist was read")
	}
}
