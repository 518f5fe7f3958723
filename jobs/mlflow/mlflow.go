// Package mlflow is the probe of an MLflow server: whether the models that
// production uses stand in the registry, are fit for their requests and for the
// programs that serve them, and whether experiments end. It asks over the REST
// API, needs no Python, and never loads a model. It was checked against a
// stand-in written from the public documentation, never against a real MLflow.
package mlflow

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/reach"
)

const doc = `Asks an MLflow server about its models: registry, age, metrics, signature, requirements, and stuck runs.

It speaks MLflow's REST API 2.0, needs no Python, and never loads a model, because
loading runs the code in it. It was checked against a
stand-in written from the public documentation, never against a real MLflow.

The server itself is asked for its health; its answer is judged against ` + "`latency`" + `.
Then each of the ` + "`models`" + ` is looked up in the registry by its alias, its stage, its
version, or, with none of these, its newest version:

- its version must exist and be READY;
- it must not be older than ` + "`age`" + ` allows;
- the run that made it must have finished, and its metrics must keep ` + "`metrics`" + `;
- the stored request of ` + "`golden`" + ` must fit the model's signature, in names, types
  and shapes. It is a file in JSON as MLflow's own scoring server takes it
  (dataframe_split, dataframe_records, instances, inputs), or one plain record;
- with ` + "`installed`" + `, what the model requires (its requirements.txt, else its
  conda.yaml) must be what the programs that serve it have. A package that is
  missing is critical; one of another major version (below 1.0: of another minor
  version), or out of the range that the model asks for, is a warning. Requirements
  with conditions (python_version < "3.9") are counted, not judged.

In the ` + "`experiments`" + ` it looks for runs that failed lately, that are RUNNING for
too long, and at deleted runs that still take room.

What the server is too old for, does not permit or does not hold is said in a
finding of its own, unseen:…, because unknown is not healthy. Requests that are
refused for now (429, 502, 503, 504) are repeated while there is time.

As a check, a server that cannot be asked is critical. As a job, give it
` + "`fail_on: critical`" + ` when the run shall fail then.

Findings: mlflow:KIND (dns, tcp, tls, auth, timeout, status, limited, body),
mlflow:latency, model:NAME.ALIAS:TROUBLE, runs:failed, runs:stale, runs:deleted,
experiment:NAME:missing, unseen:WHAT. Outputs: error_kind when the server could not be asked, version,
and version.NAME.ALIAS, run.NAME.ALIAS for each model.

Values: total_seconds (of the health page), models, models_sick, and for each model
age_seconds.NAME.ALIAS, version.NAME.ALIAS, metric_METRIC.NAME.ALIAS,
requirements.NAME.ALIAS, requirements_missing.NAME.ALIAS,
requirements_differ.NAME.ALIAS; of the experiments: experiments, failed_runs,
running_runs, stale_runs, oldest_running_seconds, deleted_runs, deleted_bytes.`

// Options configure the probe.
type Options struct {
	URL       secret.String  `yaml:"url" required:"true" doc:"The address of the tracking server, with its prefix if it has one; it may hold user and password." example:"https://mlflow.internal:5000"`
	Token     secret.String  `yaml:"token" doc:"Sent as a bearer token." example:"${env:MLFLOW_TRACKING_TOKEN}"`
	Username  string         `yaml:"username" doc:"The user of basic authentication." example:"upkeep"`
	Password  secret.String  `yaml:"password" doc:"The password of basic authentication." example:"${env:MLFLOW_TRACKING_PASSWORD}"`
	TLS       reach.Security `yaml:"tls" doc:"How the server's certificate is judged."`
	Timeout   unit.Duration  `yaml:"timeout" doc:"The most time for all questions together."`
	Latency   reach.Latency  `yaml:"latency" doc:"Limits of the time that the server takes to say that it is healthy."`
	Models    []Model        `yaml:"models" doc:"The registered models to ask about."`
	Installed Installed      `yaml:"installed" doc:"What the programs that serve the models have installed; empty means not to compare."`
	Runs      Experiments    `yaml:"experiments" doc:"The experiments whose runs are looked at."`
}

// Model is one registered model and what is expected of it.
type Model struct {
	Name    string            `yaml:"name" required:"true" doc:"The name in the registry." example:"fraud"`
	Alias   string            `yaml:"alias" doc:"The alias that production uses (MLflow 2.3 and later)." example:"champion"`
	Stage   string            `yaml:"stage" doc:"The stage that production uses." example:"Production"`
	Version string            `yaml:"version" doc:"The version that production uses." example:"7"`
	Age     Age               `yaml:"age" doc:"Limits of the time since the version was made."`
	Metrics map[string]Metric `yaml:"metrics" doc:"Limits of the metrics of the run that made it, by name. One that the run does not have is a warning."`
	Golden  unit.Path         `yaml:"golden" doc:"A file with a stored request in JSON, which must fit the model's signature." example:"models/fraud/golden.json"`
	Ignore  []string          `yaml:"ignore" doc:"Packages that the model requires and the programs that serve it need not have." example:"[mlflow, pytest]"`
}

// Age are the limits of an age.
type Age struct {
	Warn unit.Duration `yaml:"warn" doc:"Older than this is a warning; 0 means no limit." example:"30d"`
	Crit unit.Duration `yaml:"crit" doc:"Older than this is critical; 0 means no limit." example:"90d"`
}

// Metric are the limits of a metric; each is optional.
type Metric struct {
	WarnBelow *float64 `yaml:"warn_below" doc:"Less than this is a warning." example:"0.9"`
	CritBelow *float64 `yaml:"crit_below" doc:"Less than this is critical." example:"0.8"`
	WarnAbove *float64 `yaml:"warn_above" doc:"More than this is a warning." example:"0.2"`
	CritAbove *float64 `yaml:"crit_above" doc:"More than this is critical." example:"0.5"`
}

// Installed names a list of installed packages, as pip freeze or pip list
// --format=json write it. Of the two one is given.
type Installed struct {
	File unit.Path `yaml:"file" doc:"A file with the list." example:"api/requirements.lock"`
	URL  string    `yaml:"url" doc:"An address that serves the list; no credentials are sent to it." example:"http://localhost:8081/packages"`
}

// Experiments are the rules for runs.
type Experiments struct {
	Names        []string      `yaml:"names" doc:"Names of experiments; \"*\" stands for all that are not deleted. Empty means that no run is looked at." example:"[fraud-training]"`
	FailedWithin unit.Duration `yaml:"failed_within" doc:"How far back failed runs count."`
	FailedWarn   int           `yaml:"failed_warn" doc:"So many failed runs are a warning; 0 means no limit."`
	FailedCrit   int           `yaml:"failed_crit" doc:"So many failed runs are critical; 0 means no limit."`
	StaleAfter   unit.Duration `yaml:"stale_after" doc:"A run that is RUNNING for longer is stale, a warning; 0 means no limit."`
	DeletedSize  bool          `yaml:"deleted_size" doc:"Add up the artifacts of deleted runs too, which asks the server once for every folder."`
	DeletedWarn  unit.Size     `yaml:"deleted_warn" doc:"More than this in deleted runs is a warning; 0 means no limit. It needs deleted_size." example:"50GiB"`
	MaxRuns      int           `yaml:"max_runs" doc:"How many runs of each sort are looked at, at most; 1 to 100000."`
}

// Kind returns the kind.
func Kind() jobs.Kind {
	const day = unit.Duration(24 * time.Hour)
	defaults := Options{
		Timeout: unit.Duration(time.Minute),
		Latency: reach.Latency{Warn: unit.Duration(time.Second), Crit: unit.Duration(5 * time.Second)},
		Runs:    Experiments{FailedWithin: day, FailedWarn: 1, StaleAfter: day, MaxRuns: 10_000},
	}
	return jobs.Define("mlflow", doc, defaults, func(o Options, _ jobs.Deps) (jobs.Job, error) { return &probe{options: o}, nil }).AsProbe()
}

// Validate reports an address that is none and limits that contradict each
// other.
func (o *Options) Validate() error {
	errs := []error{o.Latency.Validate("latency", o.Timeout)}
	base, err := parseBase(o.URL.Reveal())
	if err != nil {
		errs = append(errs, jobs.Fieldf("url", "%s", err))
	}
	ways := 0
	for _, given := range []bool{!o.Token.IsEmpty(), o.Username != "" || !o.Password.IsEmpty(), base != nil && base.User != nil} {
		if given {
			ways++
		}
	}
	if ways > 1 {
		errs = append(errs, jobs.Fieldf("token", "token, username with password, and a user in the address are three ways to say who asks: give one"))
	}
	if o.Username == "" && !o.Password.IsEmpty() {
		errs = append(errs, jobs.Fieldf("username", "there is a password, but no username"))
	}
	if o.Installed.File != "" && o.Installed.URL != "" {
		errs = append(errs, jobs.Fieldf("installed.url", "give file or url, not both"))
	}
	if o.Installed.URL != "" {
		if _, err := parseBase(o.Installed.URL); err != nil {
			errs = append(errs, jobs.Fieldf("installed.url", "%s", err))
		}
	}
	return errors.Join(append(errs, o.checkModels(), o.Runs.check())...)
}

func (o *Options) checkModels() error {
	var errs []error
	titles := map[string]bool{}
	for i, m := range o.Models {
		at := fmt.Sprintf("models[%d]", i)
		if m.Name == "" {
			errs = append(errs, jobs.Fieldf(at+".name", "it is required"))
			continue
		}
		if slices.IndexFunc([]string{m.Alias, m.Stage, m.Version}, func(s string) bool { return s != "" }) >= 0 && !one(m.Alias, m.Stage, m.Version) {
			errs = append(errs, jobs.Fieldf(at+".alias", "give one of alias, stage and version"))
		}
		if title := m.title(); titles[title] {
			errs = append(errs, jobs.Fieldf(at+".name", "two models would both be called %q in findings", title))
		} else {
			titles[title] = true
		}
		if m.Age.Warn > 0 && m.Age.Crit > 0 && m.Age.Warn > m.Age.Crit {
			errs = append(errs, jobs.Fieldf(at+".age.warn", "%s is above crit, %s", m.Age.Warn, m.Age.Crit))
		}
		for _, name := range slices.Sorted(maps.Keys(m.Metrics)) {
			if why := m.Metrics[name].contradiction(); why != "" {
				errs = append(errs, jobs.Fieldf(at+".metrics."+name, "%s", why))
			}
		}
	}
	return errors.Join(errs...)
}

func one(texts ...string) bool {
	return len(slices.DeleteFunc(slices.Clone(texts), func(s string) bool { return s == "" })) == 1
}

func (m Metric) contradiction() string {
	switch {
	case m.WarnBelow == nil && m.CritBelow == nil && m.WarnAbove == nil && m.CritAbove == nil:
		return "there is no limit: give warn_below, crit_below, warn_above or crit_above"
	case m.WarnBelow != nil && m.CritBelow != nil && *m.WarnBelow < *m.CritBelow:
		return "warn_below is less than crit_below, so that it never matters"
	case m.WarnAbove != nil && m.CritAbove != nil && *m.WarnAbove > *m.CritAbove:
		return "warn_above is more than crit_above, so that it never matters"
	}
	return ""
}

func (e Experiments) check() error {
	var errs []error
	for i, name := range e.Names {
		if name == "" {
			errs = append(errs, jobs.Fieldf(fmt.Sprintf("experiments.names[%d]", i), "the name is empty"))
		}
	}
	if e.MaxRuns < 1 || e.MaxRuns > 100_000 {
		errs = append(errs, jobs.Fieldf("experiments.max_runs", "%d is out of range: use 1 to 100000", e.MaxRuns))
	}
	for _, n := range []struct {
		name  string
		value int
	}{{"failed_warn", e.FailedWarn}, {"failed_crit", e.FailedCrit}} {
		if n.value < 0 {
			errs = append(errs, jobs.Fieldf("experiments."+n.name, "%d is negative", n.value))
		}
	}
	if e.FailedWithin <= 0 {
		errs = append(errs, jobs.Fieldf("experiments.failed_within", "it must be above 0"))
	}
	if e.DeletedWarn > 0 && !e.DeletedSize {
		errs = append(errs, jobs.Fieldf("experiments.deleted_warn", "it needs deleted_size: true"))
	}
	return errors.Join(errs...)
}

// title names a model in findings and values.
func (m Model) title() string {
	name := m.Name
	if which := m.Alias + m.Stage + m.Version; which != "" {
		name += "." + which
	}
	return jobs.NameFrom(strings.ReplaceAll(name, "/", "_"))
}

// text names a model for people.
func (m Model) text() string {
	switch {
	case m.Alias != "":
		return m.Name + "@" + m.Alias
	case m.Stage != "":
		return m.Name + " in stage " + m.Stage
	case m.Version != "":
		return m.Name + " version " + m.Version
	}
	return m.Name + " (newest version)"
}

// parseBase reads the address of a server. Its error never repeats it.
func parseBase(text string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("it is not an address such as https://HOST:PORT")
	}
	return u, nil
}
