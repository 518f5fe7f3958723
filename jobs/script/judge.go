package script

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// outcome is everything that a program left behind.
type outcome struct {
	exit child.Exit
	err  error
	// said is the end of its output; told the beginning of its standard
	// output, kept for plugins only.
	said, told string
	// file is the result file, which may not exist.
	file string
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

func (p *program) judge(o outcome) (jobs.Result, error) {
	exit, ended := errors.AsType[*child.ExitError](o.err)
	_, left := errors.AsType[*child.LeftoverError](o.err)
	if o.err != nil && !ended || left {
		return jobs.Result{}, o.err
	}
	var result jobs.Result
	var err error
	switch p.options.Result {
	case "json":
		if ended {
			return result, broke(exit, o)
		}
		result, err = readResult(o.file)
	case "nagios":
		result, err = plugin(exit, o)
	default:
		result, err = p.code(exit, o)
	}
	if err != nil {
		return result, err
	}
	return result, p.apply(&result)
}

// code judges by the exit code alone.
func (p *program) code(exit *child.ExitError, o outcome) (jobs.Result, error) {
	if exit == nil {
		return jobs.Result{Summary: lastLine(o.said, "ended with exit code 0")}, nil
	}
	result := jobs.Result{Summary: lastLine(o.said, fmt.Sprintf("ended with exit code %d", exit.Code))}
	finding := func(s jobs.Severity) []jobs.Finding {
		return []jobs.Finding{{ID: "exit-code", Severity: s, Text: fmt.Sprintf("exit code %d: %s", exit.Code, result.Summary)}}
	}
	codes := p.options.ExitCodes
	switch {
	case exit.Code < 0:
	case slices.Contains(codes.OK, exit.Code):
		return result, nil
	case slices.Contains(codes.Warning, exit.Code):
		result.Findings = finding(jobs.Warning)
		return result, nil
	case slices.Contains(codes.Critical, exit.Code):
		result.Findings = finding(jobs.Critical)
		return result, nil
	}
	return jobs.Result{}, broke(exit, o)
}

// broke makes the error of a program that failed. A line "error: …" of its
// output is taken as the cause and a line "hint: …" as the advice; without
// one, the last line is the best there is.
func broke(exit *child.ExitError, o outcome) error {
	e := &brokeError{err: exit, code: exit.Code, words: lastLine(o.said, "")}
	lines := strings.Split(o.said, "\n")
	for _, line := range slices.Backward(lines) {
		line = strings.TrimSpace(line)
		if text, ok := strings.CutPrefix(line, "error: "); ok && !strings.HasPrefix(e.words, "error: ") || ok && e.words == line {
			e.words = clean(text)
			break
		}
	}
	for _, line := range slices.Backward(lines) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "hint: "); ok {
			e.hint = clean(text)
			break
		}
	}
	return e
}

// apply judges values by the configured thresholds.
func (p *program) apply(r *jobs.Result) error {
	var missing []string
	for _, name := range sortedNames(p.options.Thresholds) {
		value, ok := r.Values[name]
		if !ok {
			missing = append(missing, name)
			continue
		}
		t := p.options.Thresholds[name]
		severity, limit := jobs.Severity(""), Range{}
		switch {
		case t.Crit.Alerts(value):
			severity, limit = jobs.Critical, t.Crit
		case t.Warn.Alerts(value):
			severity, limit = jobs.Warning, t.Warn
		default:
			continue
		}
		text := fmt.Sprintf("%s is %s, outside %s", name, number(value), limit)
		if limit.inside {
			text = fmt.Sprintf("%s is %s, inside %s", name, number(value), limit)
		}
		r.Findings = append(r.Findings, jobs.Finding{ID: "threshold:" + name, Severity: severity, Text: text})
	}
	if len(missing) > 0 {
		return jobs.WithHint(
			fmt.Errorf("the program did not report %s, which has a threshold", strings.Join(missing, ", ")),
			"a value that is not measured cannot be healthy: correct the name under `thresholds:` or make the program report it")
	}
	return nil
}

// lastLine is the last line of output that says something.
func lastLine(said, otherwise string) string {
	for _, line := range slices.Backward(strings.Split(said, "\n")) {
		line = clean(line)
		if line != "" && !strings.HasPrefix(line, "hint: ") {
			return line
		}
	}
	return otherwise
}

// clean makes foreign text fit for one line of ours.
func clean(line string) string {
	line = strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(line, "?"))
	line = strings.TrimRight(strings.Join(strings.Fields(line), " "), ".")
	if runes := []rune(line); len(runes) > 300 {
		line = string(runes[:299]) + "…"
	}
	return line
}
