package executor

import (
	"reflect"
	"strconv"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// jobView is one job as conditions see it: its latest attempt. A job that has
// not ended yet, or that the run leaves out, has the state "queued" or
// "running" and empty results.
type jobView struct {
	State    string             `expr:"state"`
	Reason   string             `expr:"reason"`
	Summary  string             `expr:"summary"`
	ExitCode int                `expr:"exit_code"`
	Attempts int                `expr:"attempts"`
	Values   map[string]float64 `expr:"values"`
	Outputs  map[string]string  `expr:"outputs"`
	Findings findingCounts      `expr:"findings"`
}

// findingCounts is how many findings of each severity a job reported.
type findingCounts struct {
	Info     int `expr:"info"`
	Warning  int `expr:"warning"`
	Critical int `expr:"critical"`
	Total    int `expr:"total"`
}

// runView is the run as conditions see it.
type runView struct {
	Workflow string            `expr:"workflow"`
	Trigger  string            `expr:"trigger"`
	Slot     time.Time         `expr:"slot"`
	Host     string            `expr:"host"`
	Params   map[string]string `expr:"params"`
	DryRun   bool              `expr:"dry_run"`
}

// worldType makes the type that a condition is checked against and evaluated
// on. Structs, unlike maps, let the compiler refuse every name that is not
// there; their field names in Go are never visible.
func worldType(jobNames []string) reflect.Type {
	fields := make([]reflect.StructField, len(jobNames))
	for i, name := range jobNames {
		fields[i] = reflect.StructField{
			Name: "Job" + strconv.Itoa(i), Type: reflect.TypeFor[jobView](),
			Tag: reflect.StructTag("expr:" + strconv.Quote(name)),
		}
	}
	return reflect.StructOf([]reflect.StructField{
		{Name: "Jobs", Type: reflect.StructOf(fields), Tag: `expr:"jobs"`},
		{Name: "Run", Type: reflect.TypeFor[runView](), Tag: `expr:"run"`},
	})
}

// viewOf shows an attempt to conditions.
func viewOf(a runner.Attempt) jobView {
	v := jobView{
		State: string(a.State), Reason: string(a.Reason), Summary: a.Result.Summary,
		ExitCode: a.ExitCode, Attempts: a.Number,
		Values: a.Result.Values, Outputs: a.Result.Outputs,
	}
	if a.State.Done() && a.ExitCode < 0 {
		v.ExitCode = 0
	}
	for _, f := range a.Result.Findings {
		switch f.Severity {
		case jobs.Info:
			v.Findings.Info++
		case jobs.Warning:
			v.Findings.Warning++
		case jobs.Critical:
			v.Findings.Critical++
		}
		v.Findings.Total++
	}
	return v
}

// fieldNames lists the names that conditions use for the fields of view.
func fieldNames(view reflect.Type) []string {
	names := make([]string, view.NumField())
	for i := range names {
		names[i] = view.Field(i).Tag.Get("expr")
	}
	return names
}
