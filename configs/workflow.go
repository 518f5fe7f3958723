package configs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/expand"
	"github.com/ghosteam/upkeep/configs/internal/problem"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/health/runbook"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// maxSpec is the length of the longest text of a workflow, which every one of
// its runs keeps.
const maxSpec = 256 << 10

// Workflow is a plan of maintenance.
type Workflow struct {
	Name, Description string
	// Schedule says when it is due; the zero Schedule means only when somebody
	// asks.
	Schedule schedule.Schedule
	// Zone is the time zone of its schedule and window.
	Zone *time.Location
	// Policy is what happens to slots that passed while nothing ran.
	Policy schedule.Policy
	// Jitter is the most by which a start is delayed.
	Jitter time.Duration
	// Overlap is what happens when it is due while it still runs; never empty.
	Overlap runner.Overlap
	// Window is when its runs may start.
	Window schedule.Window
	// Quiet are patterns of the checks whose faults are expected in Window.
	Quiet []string
	// RunsOn says which nodes run it.
	RunsOn
	// Timeout bounds a run; 0 means none. Parallel is the most jobs that run at
	// once.
	Timeout  time.Duration
	Parallel int
	// Approval tells that its scheduled runs wait until somebody approves them.
	Approval bool
	// Trigger says which check starts it; nil when none does. Mode is what
	// happens then, and Limits how often.
	Trigger *runbook.Trigger
	Mode    runbook.Mode
	Limits  runbook.Limits
	// FreshWithin is the longest time without a success before that is a
	// fault; 0 means any.
	FreshWithin time.Duration
	// Alert is who is told of its faults; its Severity is never empty.
	Alert alerts.WorkflowAlert
	// History is how much of its past stays on record; Keep is not below
	// AtLeast, which is how far catching up looks back.
	History runner.History
	Params  []Param
	// Jobs are in the order of the file.
	Jobs []Job
	// Spec is what a run freezes: the text of the workflow without comments,
	// aliases put in place, references unresolved.
	Spec runner.Spec

	at source.Pos
}

// Job is one job of a workflow.
type Job struct {
	runner.PlannedJob
	Description string
	// Quiets are patterns of the checks that are expected to fail while it runs.
	Quiets []string

	at   source.Pos
	path string
}

// Problem returns a problem at the job's place, for what is found out by
// asking the job itself.
func (j Job) Problem(severity Severity, rule, message, hint string) Problem {
	return j.at.Problem(severity, rule, j.path, message, hint)
}

// Job returns the job of that name.
func (w *Workflow) Job(name string) (Job, bool) {
	for _, job := range w.Jobs {
		if job.Name == name {
			return job, true
		}
	}
	return Job{}, false
}

// draft is a workflow under construction.
type draft struct {
	world *world
	d     *decode.Decoder
	zone  *time.Location
	// history is what holds when the workflow says nothing about it.
	history historyFile
	path    string
	node    *source.Node
	at      source.Pos
	file    workflowFile
	jobs    decode.Named[jobFile]
	// values are the parameters of a run; nil while the configuration loads.
	values map[string]string
	args   map[string]expand.Argument
	// frozen tells that the text of a run is compiled: references to the
	// environment and to files stay for later.
	frozen bool
	out    *Workflow
	scopes []*scope
}

// whyFrozen is why references to the environment cannot stand in the frame of
// a workflow.
const whyFrozen = "the plan of a workflow is frozen into its runs; only the options under with: may take values from the environment or from files"

// build decodes and checks the workflow. What is wrong is reported to b.d; the
// workflow is complete only when that has no errors.
func (b *draft) build(name string) *Workflow {
	b.out = &Workflow{Name: name, at: b.at, Overlap: runner.OverlapSkip, Parallel: runtime.NumCPU()}
	b.file.History = b.history
	frame := b.d.Fork(&expand.Resolver{Forbid: whyFrozen})
	frame.Decode(b.node, &b.file, b.path, b.at)
	b.d.Join(frame)
	if b.node.Kind != source.Map {
		return b.out
	}
	b.out.Description = b.file.Description
	b.calendar()
	b.limits()
	b.absence()
	b.trigger()
	b.past()
	b.alert()
	b.out.Params = makeParams(b.d, b.file.Params, b.child("params"), b.file.Schedule != nil || b.file.Trigger != nil)
	b.args = arguments(b.out.Params, b.values)
	b.decodeJobs()
	b.needs()
	for i := range b.jobs {
		b.out.Jobs = append(b.out.Jobs, b.job(&b.jobs[i]))
	}
	b.refuseIrreversible()
	b.freeze(name)
	return b.out
}

// child returns the path of a key of the workflow.
func (b *draft) child(key string) string {
	if b.path == "" {
		return key
	}
	return b.path + "." + key
}

// freeze takes the text that runs keep.
func (b *draft) freeze(name string) {
	text := source.Text(b.node)
	if len(text) > maxSpec {
		b.d.Report(b.at, "too-large", b.path, fmt.Sprintf("the workflow has %d bytes; it may have at most %d, because every run keeps it", len(text), maxSpec), "move long scripts into files")
	}
	b.out.Spec = specOf(name, text)
}

func specOf(name, text string) runner.Spec {
	sum := sha256.Sum256([]byte(text))
	return runner.Spec{Workflow: name, Text: text, Digest: hex.EncodeToString(sum[:])}
}

// limits takes the bounds of a run.
func (b *draft) limits() {
	b.out.Timeout = b.file.Timeout.Std()
	if b.file.Parallel > 0 {
		b.out.Parallel = b.file.Parallel
	}
	if b.file.Overlap != "" {
		b.out.Overlap = runner.Overlap(b.file.Overlap)
	}
	if b.file.RunsOn != nil {
		b.out.RunsOn = b.file.RunsOn.RunsOn
	}
}

// decodeJobs reads the jobs, in whose values parameters may stand.
func (b *draft) decodeJobs() {
	e, given := b.node.Get("jobs")
	if !given {
		return // its absence has been reported
	}
	d := b.d.Fork(&expand.Resolver{Forbid: whyFrozen, Params: b.args})
	d.Decode(e.Value, &b.jobs, b.child("jobs"), e.At)
	b.misplaced(d)
	b.d.Join(d)
	if len(b.jobs) == 0 && e.Value.Kind != source.Scalar && e.Value.Kind != source.List {
		b.d.Report(e.At, "no-jobs", b.child("jobs"), "the workflow has no jobs", "add one: "+`health: {kind: health}`)
	}
}

// misplaced improves the hints about keys of jobs that belong under with:.
func (b *draft) misplaced(d *decode.Decoder) {
	for i := range d.Problems {
		p := &d.Problems[i]
		if p.Rule != "unknown-key" {
			continue
		}
		for j := range b.jobs {
			job := &b.jobs[j]
			kind, ok := b.world.catalog.Kinds.Lookup(job.Value.Kind)
			if !ok {
				continue
			}
			for _, option := range kind.Describe() {
				if p.Path == b.child("jobs")+"."+job.Name+"."+option.Path {
					p.Hint = fmt.Sprintf("%s is an option of the kind %s: put it under with:", option.Path, kind.Name)
				}
			}
		}
	}
}

// job checks one job and makes its builder.
func (b *draft) job(item *decode.Item[jobFile]) Job {
	path := b.child("jobs") + "." + item.Name
	f := &item.Value
	job := Job{Description: f.Description, Quiets: f.Quiets, at: item.At, path: path, PlannedJob: runner.PlannedJob{
		Name: item.Name, Kind: f.Kind, Needs: f.Needs, When: runner.OnSuccess, If: f.If, ContinueOnError: f.ContinueOnError,
		FailOn: jobs.Severity(f.FailOn), Timeout: f.Timeout.Std(), OnCrash: runner.Restart, Locks: f.Locks,
	}}
	if f.When != "" {
		job.When = runner.When(f.When)
	}
	if f.OnCrash != "" {
		job.OnCrash = runner.OnCrash(f.OnCrash)
	}
	job.retries(f.Retry)
	b.locks(item, path)
	b.patterns(item.Node, "quiets", f.Quiets, path+".quiets", item.At)
	b.condition(item, path)
	kind, ok := b.world.catalog.Kinds.Lookup(f.Kind)
	if !ok {
		b.unknownKind(item, path)
		return job
	}
	maker := &jobMaker{
		world: b.world, kind: kind, workflow: b.out.Name, job: item.Name, jobs: b.jobs.Names(),
		node: f.With, path: path + ".with", key: item.At, args: b.args,
	}
	if e, given := item.Node.Get("with"); given {
		maker.key = e.At
	}
	job.Build = maker.build
	if kind.Name == scriptKind && !b.frozen {
		b.arguments(item, &job)
	}
	b.scopes = append(b.scopes, maker.rehearse(b.d, b.frozen))
	return job
}

func (b *draft) unknownKind(item *decode.Item[jobFile], path string) {
	e, given := item.Node.Get("kind")
	if !given || item.Value.Kind == "" {
		return // its absence has been reported
	}
	var names []string
	for _, k := range b.world.catalog.Kinds.All() {
		names = append(names, k.Name)
	}
	hint := problem.DidYouMean(item.Value.Kind, names)
	if hint == "" {
		hint = "upkeep kinds lists them"
	}
	b.d.Report(e.Value.Pos, "unknown-kind", path+".kind", fmt.Sprintf("there is no kind of job called %q", item.Value.Kind), hint)
}
