// Package script is the kind that runs a program of the user's and takes its
// word for what it found, but never for whether it worked: that is judged from
// the exit and, where the contract says so, from a result file.
package script

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/answer"
)

const doc = `Runs a program or a shell script.

` + "`run`" + ` is a list (the program and its arguments, no shell) or a text (a script for
/bin/sh -c). The process gets PATH, HOME, USER, LOGNAME, LANG, LC_ALL, TZ and TMPDIR
of upkeep, its own ` + "`env`" + `, and who it is: UPKEEP_RUN_ID, UPKEEP_WORKFLOW, UPKEEP_JOB,
UPKEEP_ATTEMPT, UPKEEP_TRIGGER, UPKEEP_SLOT (RFC 3339, UTC) and UPKEEP_RESULT. Whatever it
starts ends with it: what outlives the main process is ended and reported.

` + "`result`" + ` says how its outcome is told:

- ` + "`exit`" + `: exit code 0 is success; ` + "`exit_codes`" + ` may give others a meaning.
- ` + "`json`" + `: exit code 0 means "I measured"; anything else means "I broke". What was
  measured stands as JSON in the file named by UPKEEP_RESULT:
  {"schema": 1, "summary": "…", "values": {"name": 1.5}, "outputs": {"name": "text"},
  "findings": [{"id": "…", "severity": "info|warning|critical", "text": "…"}],
  "artifacts": [{"name": "…", "path": "…", "bytes": 1, "sha256": "…"}],
  "events": [{"kind": "deploy", "subject": "model churn", "text": "5.1 to 5.2"}]}.
  Names are made of a-z, 0-9, _, . and -; at most 1,000 entries of a sort, 4 KiB an output,
  1 MiB in all. Artifacts are read and compared; a relative path begins in the working
  directory. Events are what the program changed about the system: upkeep keeps them, so that
  one can ask later what changed before something broke. No file, an empty or a broken one, an unknown key or one that stands twice, or
  a value that is null is a failure, never a success.
- ` + "`nagios`" + `: a monitoring plugin. 0 ok, 1 warning, 2 critical, 3 unknown (a failure);
  the first line of its output is the summary, what follows a | are values, in seconds,
  bytes and percent whatever their unit was. A Python traceback, a Go panic, or the stack of
  an exception that Node or Java did not catch is a failure whatever the code.
- ` + "`prometheus`" + `: exit code 0 means "I measured", as with json, in the text form of Prometheus,
  on standard output or in the file named by UPKEEP_RESULT. A sample is a value under its name
  and labels: requests_total{code="500"} is requests_total.code_500. A summary or histogram x
  becomes x_count, x.sum and its quantiles, such as x.p99; those of a histogram are estimated at
  p50, p95 and p99. What is not finite is not recorded; names that several samples share are a
  warning. No sample, a broken line or one without an end is a failure.

With ` + "`exit` and `nagios`" + `, a line of standard output such as "metric rows=12" is a value, too.

A program that fails may say why in a line that begins with "error: " and what to do in one
that begins with "hint: "; else its last line of output is taken.

` + "`thresholds`" + ` judge the values here, so that scripts need only measure:

    thresholds:
      accuracy: {warn: "0.9:", crit: "0.8:", after: 2}
      latency_p95_seconds.*: {crit: 2, trend: {worse: up, warn: 25%, crit: 100%, last: 10, floor: 0.01}}

A range is written as monitoring plugins do: 10 (alert below 0 or above 10), 10: (below 10),
~:10 (above 10), 10:20 (outside), @10:20 (inside). ` + "`trend`" + ` compares with the median of the last
values of this job: worse by more than a part of it, and by more than ` + "`floor`" + `. With ` + "`after`" + ` a limit
counts when so many runs in a row break it; runs that failed are passed over. A * in a name stands for any text;
of several thresholds the value's own counts, else the one with the longest name. A value that
is not reported is a finding, as bad as the threshold can be, unless it is ` + "`optional`" + `. Findings are
called threshold:NAME, threshold:NAME:trend and threshold:NAME:missing.

A program that restarts or upgrades upkeep itself, or reboots the machine, says so with
` + "`restarts`" + `. Then the end of upkeep is no accident: the program is not ended with upkeep, the
next upkeep goes on with the job, waits for what the program left at work, and the job has
succeeded when ` + "`verify`" + ` ends with exit code 0 after that. A program that ends well without the
restart that it promised has failed. While upkeep drains, such a job is not waited for. Where
systemd runs upkeep as root, the program gets a scope of its own, because systemd ends what is
left in a service that it stops. What the program writes is kept in a private file while it runs.

Values, beside its own: exit_code, cpu_seconds, and max_rss_bytes where it can be measured.`

// Options configure one program.
type Options struct {
	Run        unit.Command             `yaml:"run" required:"true" doc:"The program and its arguments as a list, or a shell script as text." example:"[python3, scripts/check.py]"`
	Result     string                   `yaml:"result" enum:"exit,json,nagios,prometheus" doc:"How the program tells its outcome."`
	ExitCodes  ExitCodes                `yaml:"exit_codes" doc:"Meanings of exit codes for result: exit, beside 0 for success."`
	Thresholds map[string]Threshold     `yaml:"thresholds" doc:"Limits of the values that the program reports, by value name; * in one stands for any text."`
	Env        map[string]secret.String `yaml:"env" doc:"Variables for the program's environment; they are scrubbed from its output." example:"{API_TOKEN: '${file:/etc/upkeep/token}'}"`
	Dir        unit.Path                `yaml:"dir" doc:"The working directory; by default the configuration's root." example:"/srv/app"`
	User       string                   `yaml:"user" doc:"Run as this user or user:group, by name or number; needs root." example:"postgres"`
	Nice       int                      `yaml:"nice" doc:"Added to the niceness, -20 to 19; a negative one needs privilege."`
	Limits     Limits                   `yaml:"limits" doc:"Resource limits of each process."`
	Restarts   string                   `yaml:"restarts" enum:"upkeep,machine" doc:"What the program restarts; the job goes on after it."`
	Verify     Verify                   `yaml:"verify" doc:"What proves, after the restart, that all is well."`
}

// ExitCodes give exit codes a meaning.
type ExitCodes struct {
	OK       []int `yaml:"ok" doc:"Codes that mean success, beside 0." example:"[2]"`
	Warning  []int `yaml:"warning" doc:"Codes that mean success with a warning." example:"[3]"`
	Critical []int `yaml:"critical" doc:"Codes that mean a critical finding." example:"[4]"`
}

// Limits are resource limits of each process.
type Limits = answer.Limits

// Kind returns the kind.
func Kind() jobs.Kind {
	defaults := Options{Result: contractExit, Verify: Verify{Within: unit.Duration(2 * time.Minute), Every: unit.Duration(time.Second)}}
	return jobs.Define("script", doc, defaults, func(o Options, deps jobs.Deps) (jobs.Job, error) {
		if o.Restarts != "" {
			return &restart{program: program{options: o}}, nil
		}
		p := &program{options: o}
		for _, t := range o.Thresholds {
			if t.looksBack() > 0 && p.history == nil {
				var err error
				if p.history, err = deps.History("", ""); err != nil {
					return nil, err
				}
			}
		}
		return p, nil
	})
}

// The contracts between a program and upkeep.
const (
	contractExit       = "exit"
	contractJSON       = "json"
	contractNagios     = "nagios"
	contractPrometheus = "prometheus"
)

// The values that every program has, because the operating system counts them.
const (
	valueExitCode = "exit_code"
	valueCPU      = "cpu_seconds"
	valueMemory   = "max_rss_bytes"
)

// Validate reports what can never work.
func (o *Options) Validate() error {
	var errs []error
	if len(o.Run) == 0 || o.Run[0] == "" {
		errs = append(errs, jobs.Fieldf("run", "there is no program to run"))
	}
	for i, arg := range o.Run {
		if strings.IndexByte(arg, 0) >= 0 {
			errs = append(errs, jobs.Fieldf(fmt.Sprintf("run[%d]", i), "it contains a NUL byte"))
		}
	}
	if !slices.Contains([]string{contractExit, contractJSON, contractNagios, contractPrometheus}, o.Result) {
		errs = append(errs, jobs.Fieldf("result", "%q is neither exit, json, nagios nor prometheus", o.Result))
	}
	errs = append(errs, o.validateCodes()...)
	errs = append(errs, answer.ValidateEnv(o.Env)...)
	errs = append(errs, o.validateThresholds()...)
	errs = append(errs, o.validateRestart()...)
	if o.Nice < -20 || o.Nice > 19 {
		errs = append(errs, jobs.Fieldf("nice", "%d is out of range: use -20 to 19", o.Nice))
	}
	if o.Limits.CPU > 0 && o.Limits.CPU.Std() < time.Second {
		errs = append(errs, jobs.Fieldf("limits.cpu", "%s is below the shortest limit, 1s", o.Limits.CPU))
	}
	return errors.Join(errs...)
}

func (o *Options) validateCodes() []error {
	var errs []error
	seen := map[int]string{}
	for _, list := range []struct {
		name  string
		codes []int
	}{{"ok", o.ExitCodes.OK}, {"warning", o.ExitCodes.Warning}, {"critical", o.ExitCodes.Critical}} {
		for i, code := range list.codes {
			at := fmt.Sprintf("exit_codes.%s[%d]", list.name, i)
			switch {
			case code < 0 || code > 255:
				errs = append(errs, jobs.Fieldf(at, "%d is not an exit code: use 0 to 255", code))
			case code == 0 && list.name != "ok":
				errs = append(errs, jobs.Fieldf(at, "code 0 always means success"))
			case seen[code] != "":
				errs = append(errs, jobs.Fieldf(at, "code %d stands under %s already", code, seen[code]))
			}
			seen[code] = list.name
		}
	}
	if len(seen) > 0 && o.Result != contractExit {
		errs = append(errs, &jobs.FieldError{Field: "exit_codes", Why: "result: " + o.Result + " fixes the meaning of all exit codes", Hint: "remove exit_codes or use result: exit"})
	}
	return errs
}
