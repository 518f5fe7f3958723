package script

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/answer"
	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// outcome is everything that a program left behind.
type outcome struct {
	program *program
	env     *jobs.Env
	exit    child.Exit
	err     error
	// said is the end of its output; told the beginning of its standard
	// output, kept for plugins only. Both are scrubbed.
	said, told string
	// cut tells that told lacks the end.
	cut    bool
	lines  *lineReader
	folder *resultFolder
}

// judge makes a result of the outcome by the contract of the program. What the
// operating system counted belongs to it also when the program failed.
func (o *outcome) judge(ctx context.Context) (jobs.Result, error) {
	result, err := o.contract(ctx)
	o.measure(&result)
	if err != nil {
		return result, err
	}
	return result, o.program.apply(ctx, &result)
}

func (o *outcome) contract(ctx context.Context) (jobs.Result, error) {
	exit, ended := errors.AsType[*child.ExitError](o.err)
	_, left := errors.AsType[*child.LeftoverError](o.err)
	if o.err != nil && !ended || left {
		return jobs.Result{}, o.err
	}
	switch o.program.options.Result {
	case contractJSON:
		if ended {
			return jobs.Result{}, o.broke(exit)
		}
		return o.measured(ctx)
	case contractPrometheus:
		if ended {
			return jobs.Result{}, o.broke(exit)
		}
		return o.exposed()
	case contractNagios:
		return o.plugin(exit)
	}
	return o.code(exit)
}

// measured is the result file of a program that ended well.
func (o *outcome) measured(ctx context.Context) (jobs.Result, error) {
	bad := func(err error) error {
		return jobs.WithHint(fmt.Errorf("the program ended well but its result file is no proof: %w", err),
			"with `result: json` a program writes what it measured to the file named by UPKEEP_RESULT; see `upkeep kinds script`")
	}
	text, err := answer.Read(o.folder.dir)
	if err != nil {
		return jobs.Result{}, bad(err)
	}
	file, err := answer.Decode(text)
	if err != nil {
		return jobs.Result{}, bad(err)
	}
	result := file.Result(o.env)
	for _, a := range file.Artifacts {
		info, err := prove(ctx, a, o.program.dir(o.env))
		if err != nil {
			return result, bad(err)
		}
		result.Artifacts = append(result.Artifacts, info)
	}
	return result, nil
}

// code judges by the exit code alone.
func (o *outcome) code(exit *child.ExitError) (jobs.Result, error) {
	code := 0
	if exit != nil {
		code = exit.Code
	}
	words := o.env.OneLine(answer.LastLine(o.said))
	result, text := jobs.Result{Summary: words}, fmt.Sprintf("exit code %d: %s", code, words)
	if words == "" {
		result.Summary, text = fmt.Sprintf("ended with exit code %d", code), fmt.Sprintf("exit code %d", code)
	}
	o.lines.report(o.env, &result)
	codes := o.program.options.ExitCodes
	severity := jobs.Severity("")
	switch {
	case exit == nil, slices.Contains(codes.OK, code):
		return result, nil
	case slices.Contains(codes.Warning, code):
		severity = jobs.Warning
	case slices.Contains(codes.Critical, code):
		severity = jobs.Critical
	default:
		return jobs.Result{}, o.broke(exit)
	}
	result.Findings = append(result.Findings, jobs.Finding{ID: "exit-code", Severity: severity, Text: text})
	return result, nil
}

// broke makes the error of a program that failed.
func (o *outcome) broke(exit *child.ExitError) error {
	return answer.Broke(o.env, exit, exit.Code, o.said)
}

// measure adds what the operating system counted, unless the program reports
// values of these names itself.
func (o *outcome) measure(r *jobs.Result) {
	own := map[string]float64{valueCPU: (o.exit.UserCPU + o.exit.SystemCPU).Seconds()}
	if o.exit.Code >= 0 {
		own[valueExitCode] = float64(o.exit.Code)
	}
	if o.exit.MaxRSS > 0 {
		own[valueMemory] = float64(o.exit.MaxRSS)
	}
	maps.Copy(own, r.Values)
	r.Values = own
	switch n := o.exit.Escaped; {
	case n == 1:
		r.Findings = append(r.Findings, escaped("1 process outlived the program and was ended"))
	case n > 1:
		r.Findings = append(r.Findings, escaped(fmt.Sprintf("%d processes outlived the program and were ended", n)))
	}
}

func escaped(text string) jobs.Finding {
	return jobs.Finding{ID: "escaped", Severity: jobs.Warning, Text: text}
}
