package metrics

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/ghosteam/upkeep/runner"
)

// MostSeries is how many series a Set has at most by default. Those of the Go
// runtime and the process are not counted.
const MostSeries = 2000

// Options configure a Set.
type Options struct {
	// Version and Commit are those of upkeep.
	Version, Commit string
	// SeedNames adds the metrics that applications of this kind commonly have,
	// under their own names: api_requests_total, system_cpu_percent,
	// model_accuracy and so on.
	SeedNames bool
	// Series is the most series; 0 means MostSeries.
	Series int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Set is all metrics of one process. Its methods may be called from several
// goroutines and do not block.
type Set struct {
	now func() time.Time
	// own are the metrics of upkeep; runtime are those of Go and the process,
	// which a textfile must not hold: whoever reads it has its own.
	own, runtime *prometheus.Registry
	room         *room

	runs      runMetrics
	checks    checkMetrics
	alerts    alertMetrics
	process   processMetrics
	requests  requestMetrics
	seed      seedMetrics
	mu        sync.Mutex
	inventory Inventory
	// underway are the workflows of the runs that this process executes.
	underway map[runner.RunID]string
	// running is how many there are of each workflow.
	running map[string]int
	// incidents are the states in which incidents were last seen; nil before
	// the first look.
	incidents map[string]runner.Incident
	// taken are the notices under way by ID.
	taken map[string]runner.Notice
	// remedied are the runs of runbooks that were counted, the latest last.
	remedied []runner.RunID
	// models are the versions of each model, the latest last.
	models map[string][]string
}

// New makes a Set that knows nothing yet.
func New(o Options) *Set {
	if o.Series <= 0 {
		o.Series = MostSeries
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Set{
		now: o.Now, own: prometheus.NewPedanticRegistry(), runtime: prometheus.NewRegistry(),
		underway: map[runner.RunID]string{}, running: map[string]int{}, taken: map[string]runner.Notice{}, models: map[string][]string{},
	}
	s.runtime.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	refused := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "upkeep_metrics_series_refused_total", Help: "Series that were not made because there are too many already.",
	})
	s.own.MustRegister(refused)
	s.room = &room{most: o.Series, refused: refused}
	m := maker{registry: s.own, room: s.room}
	s.runs, s.checks, s.alerts = newRunMetrics(m), newCheckMetrics(m), newAlertMetrics(m)
	s.process, s.requests = newProcessMetrics(m), newRequestMetrics(m, o.SeedNames)
	if o.SeedNames {
		s.seed = newSeedMetrics(m)
	}
	set(s.process.build, 1, o.Version, o.Commit)
	return s
}

// latencies are the buckets of what should be quick, in seconds. They have the
// edges at which people set goals, so that a goal can be decided exactly.
func latencies() []float64 { return []float64{.005, .01, .025, .05, .1, .2, .25, .5, 1, 2.5, 5, 10} }

// lengths are the buckets of what takes its time, in seconds.
func lengths() []float64 { return []float64{.1, .5, 1, 5, 15, 60, 300, 900, 3600, 14400} }

// outages are the buckets of how long people wait, in seconds.
func outages() []float64 { return []float64{30, 60, 120, 300, 600, 900, 1800, 3600, 14400} }

// Inventory is what a configuration names.
type Inventory struct {
	Workflows []Workflow
	// Checks and Channels are names.
	Checks, Channels []string

	// places are those of the workflows, by name.
	places map[string]int
}

// Workflow is a configured workflow.
type Workflow struct {
	Name string
	// Jobs are the names of its jobs.
	Jobs []string
	// Scheduled tells whether it has slots; Runbook that a check starts it.
	Scheduled, Runbook bool
	// Next returns when it is due after an instant, the zero time for never; nil
	// when it has no slots. It is pure and quick.
	Next func(after time.Time) time.Time
}

// job tells whether the inventory has a job.
func (i Inventory) job(workflow, job string) bool {
	at, known := i.places[workflow]
	return known && slices.Contains(i.Workflows[at].Jobs, job)
}

func (i Inventory) workflow(name string) bool {
	_, known := i.places[name]
	return known
}

// Configure makes the series of all that a configuration names, and removes
// those of what it names no longer.
func (s *Set) Configure(i Inventory) {
	i.places = make(map[string]int, len(i.Workflows))
	for at, w := range i.Workflows {
		i.places[w.Name] = at
	}
	s.mu.Lock()
	s.inventory = i
	s.mu.Unlock()
	s.runs.configure(i)
	s.checks.configure(i)
	s.alerts.configure(i)
	s.process.configure(i)
}

// known tells whether a workflow is configured: only such names are labels.
func (s *Set) known(workflow string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inventory.workflow(workflow)
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// unless tells whether none of the names is the first label value.
func unless(names ...[]string) func(values []string) bool {
	among := map[string]bool{}
	for _, list := range names {
		for _, name := range list {
			among[name] = true
		}
	}
	return func(values []string) bool { return !among[values[0]] }
}
