// Package retrain is the kind that trains a model anew as a transaction: the
// candidate is measured against the model in use, takes its place only when it
// is better by a margin, and goes back when the system is not well after that.
// It knows nothing about models: programs of the user's train and measure.
package retrain

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/answer"
)

const doc = `Trains a model anew and promotes it only when it is better and the system stays well.

Models are folders: ROOT/MODEL/versions/VERSION, and ROOT/MODEL/current is a link to the one in
use, which your server loads. A run

1. looks at the data (` + "`data.run`" + `, which refuses with a critical finding or by failing), and hashes ` + "`data.files`" + `;
2. runs ` + "`train`" + `, which leaves the model in the new folder UPKEEP_MODEL_DIR (UPKEEP_MODEL, UPKEEP_MODEL_VERSION,
   UPKEEP_MODEL_SEED and UPKEEP_MODEL_CURRENT, the folder in use or empty, are set, too);
3. runs ` + "`evaluate`" + ` for the candidate and for the model in use, on the same data: UPKEEP_MODEL_DIR says which,
   UPKEEP_MODEL_ROLE is candidate or incumbent. It writes a result file as a script with
   ` + "`result: json`" + ` does; its values are the metrics. Data that change meanwhile fail the run;
4. compares: the candidate must be better in ` + "`promote.metric`" + ` by the margin, must have been measured on
   ` + "`promote.min_samples`" + `, as many as the other one, and no guard may get worse. A critical finding of its evaluation
   keeps it back. "Not better" is a success that says so; a first model needs no comparison;
5. promotes: the link is exchanged at once, ` + "`promote.run`" + ` lets the server know, and the gate, which
   must have been green before, must become green ` + "`within`" + ` its time and stay so for ` + "`stable`" + `;
6. else goes back to the model before, by the same way, and asks the gate again. That is a critical
   finding; when even going back fails, the run fails and says what to do;
7. removes old versions but ` + "`keep`" + `, never the one in use or the one before it, and only folders with its own manifest.

A run that was killed is finished by the next one: half-trained folders go, a promotion either
happened or did not, and one whose gate was not answered is asked again or goes back.
Every version has a manifest, upkeep-model.json: metrics, hash of data and model, revision of the code, seed, run, and
the version before.

` + "`mode: candidate`" + ` trains and measures only. Let drift start such a run, and a person promote:

    jobs:
      need:    {kind: script, with: {run: [python3, scripts/evaluate_retraining_needs.py], result: json}}
      retrain: {kind: retrain, needs: [need], if: 'jobs.need.outputs.recommendation == "retrain"', with: {…}}

Outputs: model, version, incumbent, better, promoted ("true" or "false") and outcome: promoted, candidate,
not_better, held_back or rolled_back. Values: candidate.METRIC, incumbent.METRIC, improvement, versions, train_seconds. A
promotion is an event of the kind deploy, going back one of the kind rollback.`

// Options configure one model.
type Options struct {
	Model    string                   `yaml:"model" required:"true" doc:"The name of the model, and of its folder." example:"churn"`
	Root     unit.Path                `yaml:"root" required:"true" doc:"The folder of all models." example:"models"`
	Mode     string                   `yaml:"mode" enum:"promote,candidate" doc:"Whether a better candidate is promoted, or only trained and measured."`
	Data     Dataset                  `yaml:"data" doc:"What the model is trained and measured on."`
	Train    unit.Command             `yaml:"train" required:"true" doc:"The program that trains, as a list, or a shell script as text." example:"[python3, scripts/train_model.py]"`
	Evaluate unit.Command             `yaml:"evaluate" required:"true" doc:"The program that measures one version." example:"[python3, scripts/evaluate_model.py]"`
	Promote  Promote                  `yaml:"promote" required:"true" doc:"When a candidate takes the place of the model in use."`
	Guards   map[string]Guard         `yaml:"guards" doc:"Metrics that must not get worse, by name." example:"{latency_p95_seconds: {better: lower, tolerance: 0.01}}"`
	Gate     Gate                     `yaml:"gate" doc:"What must be well before and after a promotion."`
	Keep     int                      `yaml:"keep" doc:"How many versions to keep, beside the one in use and the one before it."`
	Code     []unit.Path              `yaml:"code" doc:"Files of code whose hash belongs into the manifest; the git revision of the working directory does anyway." example:"[scripts/train_model.py]"`
	Seed     uint32                   `yaml:"seed" doc:"The seed that the program gets."`
	Env      map[string]secret.String `yaml:"env" doc:"Variables for the programs' environment; they are scrubbed from their output."`
	Dir      unit.Path                `yaml:"dir" doc:"The working directory; by default the configuration's root."`
	Nice     int                      `yaml:"nice" doc:"Added to the niceness of training and measuring, -20 to 19; a negative one needs privilege."`
	Limits   answer.Limits            `yaml:"limits" doc:"Resource limits of each process that trains or measures."`
}

// Dataset says what the model is made of.
type Dataset struct {
	Files []unit.Path  `yaml:"files" doc:"Files whose hash belongs into the manifest; they must not change during the run." example:"[data/labels.csv]"`
	Run   unit.Command `yaml:"run" doc:"A program that looks at the data first: exit code 0, and no critical finding in its result file, if it writes one."`
}

// Promote says when a candidate is better.
type Promote struct {
	Metric     string       `yaml:"metric" required:"true" doc:"The value of evaluate that is compared." example:"accuracy"`
	Better     string       `yaml:"better" enum:"higher,lower" doc:"Which of two values is better."`
	Margin     float64      `yaml:"margin" doc:"By how much it must be better, in the unit of the metric; 0 means at all." example:"0.005"`
	MinSamples float64      `yaml:"min_samples" doc:"On how many samples it must have been measured." example:"500"`
	Samples    string       `yaml:"samples" doc:"The value of evaluate that counts the samples."`
	Run        unit.Command `yaml:"run" doc:"A program that makes the server load UPKEEP_MODEL_VERSION in UPKEEP_MODEL_DIR; it also serves to go back and must be safe to repeat." example:"[systemctl, reload, model-server]"`
}

// Guard is a metric that must not get worse.
type Guard struct {
	Better    string  `yaml:"better" enum:"higher,lower" doc:"Which of two values is better." example:"lower"`
	Tolerance float64 `yaml:"tolerance" doc:"By how much it may get worse, in the unit of the metric." example:"0.01"`
}

// Gate proves that the system is well.
type Gate struct {
	Check  string        `yaml:"check" doc:"The name of a configured check that must not be critical." example:"api"`
	Run    unit.Command  `yaml:"run" doc:"A program that ends with exit code 0 when all is well." example:"[curl, -fsS, 'http://127.0.0.1:8000/health']"`
	Within unit.Duration `yaml:"within" doc:"How long it may take until all is well."`
	Stable unit.Duration `yaml:"stable" doc:"How long it must stay so."`
	Every  unit.Duration `yaml:"every" doc:"The pause between two questions."`
	// Timeout is for one question.
	Timeout unit.Duration `yaml:"timeout" doc:"How long one answer may take; that of the check, if it has one, goes before."`
}

const (
	modePromote   = "promote"
	modeCandidate = "candidate"
	higher        = "higher"
	lower         = "lower"
	// shortestPause bounds how often the gate is asked.
	shortestPause = 10 * time.Millisecond
	// mostKept bounds `keep`.
	mostKept = 1000
)

var modelName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,99}$`)

// Kind returns the kind.
func Kind() jobs.Kind {
	defaults := Options{
		Mode: modePromote, Keep: 3, Promote: Promote{Better: higher, Samples: "samples"},
		Gate: Gate{Within: unit.Duration(2 * time.Minute), Stable: unit.Duration(30 * time.Second), Every: unit.Duration(5 * time.Second), Timeout: unit.Duration(10 * time.Second)},
	}
	return jobs.Define("retrain", doc, defaults, build)
}

func build(o Options, deps jobs.Deps) (jobs.Job, error) {
	t := &training{options: o}
	if o.Gate.Check != "" {
		if _, err := deps.Check(o.Gate.Check); err != nil {
			return nil, jobs.Fieldf("gate.check", "%s", err)
		}
		// A probe serves once, and the gate is asked often.
		t.check = func() (jobs.Check, error) { return deps.Check(o.Gate.Check) }
	}
	return t, nil
}

// Validate reports what can never work.
func (o *Options) Validate() error {
	var errs []error
	if !modelName.MatchString(o.Model) {
		errs = append(errs, jobs.Fieldf("model", "%q is not a name: use a-z, 0-9, _ and -, at most 100 characters", o.Model))
	}
	if o.Root == "" {
		errs = append(errs, jobs.Fieldf("root", "there is no folder for the models"))
	}
	if o.Mode != modePromote && o.Mode != modeCandidate {
		errs = append(errs, jobs.Fieldf("mode", "%q is neither promote nor candidate", o.Mode))
	}
	for _, p := range []struct {
		field  string
		argv   unit.Command
		needed bool
	}{{"train", o.Train, true}, {"evaluate", o.Evaluate, true}, {"data.run", o.Data.Run, false}, {"promote.run", o.Promote.Run, false}, {"gate.run", o.Gate.Run, false}} {
		switch {
		case len(p.argv) == 0 && p.needed, len(p.argv) > 0 && p.argv[0] == "":
			errs = append(errs, jobs.Fieldf(p.field, "there is no program to run"))
		case strings.IndexByte(strings.Join(p.argv, ""), 0) >= 0:
			errs = append(errs, jobs.Fieldf(p.field, "it contains a NUL byte"))
		}
	}
	errs = append(errs, o.validateComparison()...)
	errs = append(errs, o.Gate.validate()...)
	errs = append(errs, answer.ValidateEnv(o.Env)...)
	if o.Keep < 0 || o.Keep > mostKept {
		errs = append(errs, jobs.Fieldf("keep", "%d is out of range: use 0 to %d", o.Keep, mostKept))
	}
	if o.Nice < -20 || o.Nice > 19 {
		errs = append(errs, jobs.Fieldf("nice", "%d is out of range: use -20 to 19", o.Nice))
	}
	return errors.Join(errs...)
}

func (o *Options) validateComparison() []error {
	var errs []error
	p := o.Promote
	if !jobs.ValidName(p.Metric) {
		errs = append(errs, jobs.Fieldf("promote.metric", "%q is not the name of a value: use a-z, 0-9, _, . and -", p.Metric))
	}
	if p.Better != higher && p.Better != lower {
		errs = append(errs, jobs.Fieldf("promote.better", "%q is neither higher nor lower", p.Better))
	}
	if !(p.Margin >= 0) {
		errs = append(errs, &jobs.FieldError{Field: "promote.margin", Why: "a worse candidate is never promoted", Hint: "use 0 or more, and say with better which direction counts"})
	}
	if !(p.MinSamples >= 0) {
		errs = append(errs, jobs.Fieldf("promote.min_samples", "there are never fewer than 0 samples"))
	}
	if !jobs.ValidName(p.Samples) {
		errs = append(errs, jobs.Fieldf("promote.samples", "%q is not the name of a value", p.Samples))
	}
	for _, name := range slices.Sorted(maps.Keys(o.Guards)) {
		g, at := o.Guards[name], "guards."+name
		switch {
		case !jobs.ValidName(name):
			errs = append(errs, jobs.Fieldf(at, "%q is not the name of a value: use a-z, 0-9, _, . and -", name))
		case g.Better != higher && g.Better != lower:
			errs = append(errs, jobs.Fieldf(at+".better", "%q is neither higher nor lower", g.Better))
		case !(g.Tolerance >= 0):
			errs = append(errs, jobs.Fieldf(at+".tolerance", "use 0 or more"))
		}
	}
	return errs
}

func (g Gate) validate() []error {
	if g.none() {
		return nil
	}
	var errs []error
	if g.Every.Std() < shortestPause {
		errs = append(errs, jobs.Fieldf("gate.every", "%s is below the shortest pause, %s", g.Every, shortestPause))
	}
	if g.Timeout <= 0 {
		errs = append(errs, jobs.Fieldf("gate.timeout", "there is no time for an answer"))
	}
	if g.Within <= 0 {
		errs = append(errs, jobs.Fieldf("gate.within", "there is no time to become well"))
	}
	if g.Check != "" && len(g.Run) > 0 {
		errs = append(errs, &jobs.FieldError{Field: "gate.run", Why: fmt.Sprintf("the gate is check %q already", g.Check), Hint: "use one of the two"})
	}
	return errs
}

func (g Gate) none() bool { return g.Check == "" && len(g.Run) == 0 }
