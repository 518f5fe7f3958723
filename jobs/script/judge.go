package script

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
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
	folder     *resultFolder
}

// brokeError says that the program failed, with its own last words.
type brokeError struct {
	err   error
	words string
	hint  string
	code  int
}

func (e *brokeError) Error() string {
	if e.words == "" {
		return e.err.Error()
	}
	return fmt.Sprintf("%s: %s", e.err, e.words)
}

func (e *brokeError) Unwrap() error { return e.err }

// Hint is the program's own advice, if it gave any.
func (e *brokeError) Hint() string { return e.hint }

// ExitCode lets `retry: on_exit_codes` see the code.
func (e *brokeError) ExitCode() int { return e.code }

// judge makes a result of the outcome by the contract of the program. What the
// operating system counted belongs to it also when the program failed.
func (o *outcome) judge(ctx context.Context) (jobs.Result, error) {
	result, err := o.contract(ctx)
	o.measure(&result)
	if err != nil {
		return result, err
	}
	return result, o.program.apply(&result)
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
	text, err := o.folder.read()
	if err != nil {
		return jobs.Result{}, bad(err)
	}
	file, err := decodeResult(text)
	if err != nil {
		return jobs.Result{}, bad(err)
	}
	result := file.result(o.env)
	for _, a := range file.Artifacts {
		info, err := a.prove(ctx, o.program.dir(o.env))
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
	words := o.env.OneLine(lastLine(o.said))
	result, text := jobs.Result{Summary: words}, fmt.Sprintf("exit code %d: %s", code, words)
	if words == "" {
		result.Summary, text = fmt.Sprintf("ended with exit code %d", code), fmt.Sprintf("exit code %d", code)
	}
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
	result.Findings = []jobs.Finding{{ID: "exit-code", Severity: severity, Text: text}}
	return result, nil
}

// broke makes the error of a program that failed. A line "error: …" of its
// output is taken as the cause and a line "hint: …" as the advice; without
// one, the last line is the best there is.
func (o *outcome) broke(exit *child.ExitError) error {
	words := lineWith(o.said, errorPrefix)
	if words == "" {
		words = lastLine(o.said)
	}
	return &brokeError{err: exit, code: exit.Code, words: o.env.OneLine(words), hint: o.env.OneLine(lineWith(o.said, hintPrefix))}
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

// apply judges values by the configured thresholds.
func (p *program) apply(r *jobs.Result) error {
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(p.options.Thresholds)) {
		value, ok := r.Values[name]
		if !ok {
			missing = append(missing, name)
			continue
		}
		t := p.options.Thresholds[name]
		switch {
		case t.Crit.Alerts(value):
			r.Findings = append(r.Findings, broken(name, value, jobs.Critical, t.Crit))
		case t.Warn.Alerts(value):
			r.Findings = append(r.Findings, broken(name, value, jobs.Warning, t.Warn))
		}
	}
	if len(missing) > 0 {
		return jobs.WithHint(
			fmt.Errorf("the program did not report %s, which has a threshold", strings.Join(missing, ", ")),
			"a value that is not measured cannot be healthy: correct the name under `thresholds:` or make the program report it")
	}
	return nil
}

func broken(name string, value float64, severity jobs.Severity, limit Range) jobs.Finding {
	where := "outside"
	if limit.inside {
		where = "inside"
	}
	text := fmt.Sprintf("%s is %s, %s %s", name, strconv.FormatFloat(value, 'g', 6, 64), where, limit)
	return jobs.Finding{ID: jobs.FindingIDFrom("threshold:" + name), Severity: severity, Text: text}
}
