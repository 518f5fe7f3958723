package configs

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/reports"
)

// Scrape is an application whose metrics are read.
type Scrape struct {
	Name string
	// URL and Token are secrets: a URL may carry a password.
	URL, Token secret.String
	// Every is how often, Timeout how long it may take.
	Every, Timeout time.Duration
	// Histograms and Counters are the names of the metrics that figures need.
	// What is kept of a counter besides all of it are the series whose labels
	// match one of Errors, as LABEL=PATTERN.
	Histograms, Counters []string
	Errors               []string
	// Keep are patterns of the names of further metrics.
	Keep []string
}

const (
	defaultScrapeEvery   = 30 * time.Second
	longestScrapeEvery   = time.Minute
	defaultScrapeTimeout = 5 * time.Second
)

// The scripts that come with upkeep, by which jobs are recognized.
const (
	performanceScript = "check_model_performance"
	driftScript       = "check_model_drift"
	retrainingScript  = "evaluate_retraining_needs"
)

// kpis takes which figures are wanted, and finds where they come from. Checks
// and workflows are known by then.
func (l *loader) kpis() {
	l.scrapes()
	f := &l.file.KPIs
	p := reports.Guide()
	p.Window, p.Zone = f.Window.Std(), l.config.Timezone
	if p.Window < shortestWindow {
		l.badKPI("window", "the window must be at least 1h")
	}
	for _, c := range l.config.Checks {
		p.Checks = append(p.Checks, reports.Check{Name: c.Name, Every: c.Every, Worst: c.WorstDetection()})
	}
	p.UptimeTarget, p.UptimeChecks, p.Planned = f.Uptime.Target.share(), l.kpiChecks("uptime", f.Uptime.Checks), f.Uptime.Planned
	l.knownWorkflows(f.Uptime.Planned)
	if len(p.UptimeChecks) == 0 {
		p.UptimeChecks = l.outageChecks("")
	}
	p.Response = l.responseAim(f.ResponseTime)
	p.Errors = l.errorAim(f.ErrorRate, p.UptimeChecks)
	p.Demand = l.demandAim(f.Throughput)
	p.Accuracy = l.accuracyAim(f.Accuracy)
	p.Model = l.modelAim(f.ModelLatency, p.Accuracy)
	p.Drift = reports.JobAim{Target: f.DriftDetection.Target.Std(), Job: l.kpiJob("drift_detection", f.DriftDetection.Job, driftScript)}
	p.Retraining = reports.JobAim{Job: l.kpiJob("retraining", f.Retraining.Job, retrainingScript)}
	p.MTTD, p.MTTR = f.MTTD.Target.Std(), f.MTTR.Target.Std()
	p.DeployTarget = f.DeployFrequency.Target.share()
	p.FailureTarget, p.SuspectWithin, p.LeastDeploys = f.ChangeFailure.Target.share(), f.ChangeFailure.SuspectWithin.Std(), f.ChangeFailure.Least
	for key, d := range map[string]unit.Duration{
		"response_time": f.ResponseTime.Target, "model_latency": f.ModelLatency.Target,
		"drift_detection": f.DriftDetection.Target, "mttd": f.MTTD.Target, "mttr": f.MTTR.Target,
	} {
		if d <= 0 {
			l.badKPI(key+".target", "a target must be above 0")
		}
	}
	if f.Throughput.Target <= 0 {
		l.badKPI("throughput.target", "a target must be above 0")
	}
	l.config.KPIs = p
}

// kpiAt is the place of a key under kpis:.
func (l *loader) kpiAt(key string) source.Pos {
	return at(l.node, "kpis."+key, at(l.node, "kpis", l.node.Pos))
}

func (l *loader) badKPI(key, message string) {
	l.d.Report(l.kpiAt(key), "bad-value", "kpis."+key, message, "")
}

// outageChecks are the names of the checks whose failure is an outage, of one
// kind or, when it is empty, of all.
func (l *loader) outageChecks(kind string) []string {
	var names []string
	for _, c := range l.config.Checks {
		if c.Impact == "outage" && (kind == "" || c.Kind == kind) {
			names = append(names, c.Name)
		}
	}
	return names
}

// kpiChecks reports names of checks that do not exist.
func (l *loader) kpiChecks(key string, names unit.Names) []string {
	known := l.w.checkNames()
	for i, name := range names {
		if !slices.Contains(known, name) {
			err := &UnknownError{Family: "check", Name: name, Known: known}
			l.d.Report(at(l.node, fmt.Sprintf("kpis.%s.checks[%d]", key, i), l.kpiAt(key)), "unknown-name", "kpis."+key+".checks", err.Error(), err.Hint())
		}
	}
	return names
}

func (l *loader) knownWorkflows(names unit.Names) {
	for i, name := range names {
		if _, err := l.config.Workflow(name); err != nil {
			l.d.Report(at(l.node, fmt.Sprintf("kpis.uptime.planned[%d]", i), l.kpiAt("uptime")), "unknown-name", "kpis.uptime.planned", err.Error(), jobs.HintOf(err))
		}
	}
}

// kpiJob is the job that a figure rests on: the one that is named, or the first
// whose script is that of the guide.
func (l *loader) kpiJob(key, named, script string) reports.JobName {
	if named != "" {
		workflow, job, _ := strings.Cut(named, ".")
		if _, err := l.config.Job(workflow, job); err != nil {
			l.d.Report(l.kpiAt(key+".job"), "unknown-name", "kpis."+key+".job", err.Error(), jobs.HintOf(err))
		}
		return reports.JobName{Workflow: workflow, Job: job}
	}
	for _, b := range l.drafts {
		for i := range b.jobs {
			if b.out.Jobs[i].Kind == scriptKind && runs(&b.jobs[i], script) {
				return reports.JobName{Workflow: b.out.Name, Job: b.jobs[i].Name}
			}
		}
	}
	return reports.JobName{}
}

// runs tells whether the command of a script job names a program.
func runs(item *decode.Item[jobFile], program string) bool {
	if item.Value.With == nil {
		return false
	}
	e, given := item.Value.With.Get("run")
	return given && strings.Contains(source.Text(e.Value), program)
}

// staleAfter is the age from which a job's result says nothing about today:
// twice the time between two of its slots.
func (l *loader) staleAfter(of reports.JobName) time.Duration {
	w, ok := l.config.byName[of.Workflow]
	if !ok || w.Schedule.IsZero() {
		return 0
	}
	distance, _ := shortestDistance(w.Schedule)
	return 2 * distance
}

// scraped is the beginning of the names of the series of a metric; "" when no
// application is scraped.
func (l *loader) scraped(key, named, metric string) (series string, from *Scrape) {
	known := l.file.Scrape.Names()
	if named == "" && len(known) == 1 {
		named = known[0]
	}
	if named == "" && slices.Contains(known, "api") {
		named = "api"
	}
	if named == "" || metric == "" {
		return "", nil
	}
	i := slices.IndexFunc(l.config.Scrapes, func(s Scrape) bool { return s.Name == named })
	if i < 0 {
		err := &UnknownError{Family: "scrape", Name: named, Known: known}
		l.d.Report(l.kpiAt(key+".scrape"), "unknown-name", "kpis."+key+".scrape", err.Error(), err.Hint())
		return "", nil
	}
	return "scrape." + named + "." + jobs.NameFrom(metric), &l.config.Scrapes[i]
}

func (l *loader) responseAim(f latencyFile) reports.LatencyAim {
	aim := reports.LatencyAim{Target: f.Target.Std(), Checks: l.kpiChecks("response_time", f.Checks)}
	if len(aim.Checks) == 0 {
		aim.Checks = l.outageChecks("http")
	}
	series, from := l.scraped("response_time", f.Scrape, f.Histogram)
	if from != nil {
		aim.Histogram, from.Histograms = series, appendNew(from.Histograms, f.Histogram)
	}
	return aim
}

func (l *loader) errorAim(f errorRateFile, outage []string) reports.RateAim {
	aim := reports.RateAim{Target: f.Target.share(), Checks: l.kpiChecks("error_rate", f.Checks)}
	if len(aim.Checks) == 0 {
		aim.Checks = outage
	}
	for i, rule := range f.Errors {
		label, pattern, ok := strings.Cut(rule, "=")
		if _, err := path.Match(pattern, ""); !ok || label == "" || pattern == "" || err != nil {
			l.d.Report(at(l.node, fmt.Sprintf("kpis.error_rate.errors[%d]", i), l.kpiAt("error_rate")), "bad-value", "kpis.error_rate.errors",
				fmt.Sprintf("%q is not a label with a pattern", rule), `write LABEL=PATTERN, such as "code=5??"`)
		}
	}
	series, from := l.scraped("error_rate", f.Scrape, f.Counter)
	if from != nil {
		aim.All, aim.Bad = series, series+".errors"
		from.Counters, from.Errors = appendNew(from.Counters, f.Counter), f.Errors
	}
	return aim
}

func (l *loader) demandAim(f throughputFile) reports.RateAim {
	aim := reports.RateAim{Target: f.Target, Capacity: f.Capacity}
	if f.Capacity != "" && !jobs.ValidName(f.Capacity) {
		l.badKPI("throughput.capacity", "the name of a series has a-z, 0-9, _, . and - only")
	}
	series, from := l.scraped("throughput", f.Scrape, f.Counter)
	if from != nil {
		aim.All, from.Counters = series, appendNew(from.Counters, f.Counter)
	}
	return aim
}

func (l *loader) accuracyAim(f accuracyFile) reports.ResultAim {
	for key, name := range map[string]string{"value": f.Value, "count": f.Count} {
		if !jobs.ValidName(name) {
			l.badKPI("accuracy."+key, "the name of a value has a-z, 0-9, _, . and - only")
		}
	}
	aim := reports.ResultAim{Target: f.Target.share(), Value: f.Value, Count: f.Count, Cautious: f.Cautious, Job: l.kpiJob("accuracy", f.Job, performanceScript)}
	aim.StaleAfter = l.staleAfter(aim.Job)
	return aim
}

func (l *loader) modelAim(f modelFile, accuracy reports.ResultAim) reports.LatencyAim {
	aim := reports.LatencyAim{Target: f.Target.Std(), Value: f.Value, Job: accuracy.Job}
	if f.Job != "" {
		aim.Job = l.kpiJob("model_latency", f.Job, "")
	}
	aim.StaleAfter = l.staleAfter(aim.Job)
	series, from := l.scraped("model_latency", f.Scrape, f.Histogram)
	if from != nil {
		aim.Histogram, from.Histograms = series, appendNew(from.Histograms, f.Histogram)
	}
	return aim
}

func appendNew(list []string, name string) []string {
	if slices.Contains(list, name) {
		return list
	}
	return append(list, name)
}

// scrapes checks the applications whose metrics are read.
func (l *loader) scrapes() {
	for _, item := range l.file.Scrape {
		f := item.Value
		s := Scrape{Name: item.Name, URL: f.URL, Token: f.Token, Every: f.Every.Std(), Timeout: f.Timeout.Std(), Keep: f.Keep}
		if s.Every == 0 {
			s.Every = defaultScrapeEvery
		}
		if s.Timeout == 0 {
			s.Timeout = min(defaultScrapeTimeout, s.Every)
		}
		l.checkScrape(item, s)
		l.config.Scrapes = append(l.config.Scrapes, s)
	}
}

func (l *loader) checkScrape(item decode.Item[scrapeField], s Scrape) {
	report := func(key, message, hint string) {
		l.d.Report(at(item.Node, key, item.At), "bad-value", "scrape."+item.Name+"."+key, message, hint)
	}
	if s.Every < shortestEvery || s.Every > longestScrapeEvery || s.Every%shortestEvery != 0 {
		report("every", "every must be a whole number of seconds, 1s to 1m", "")
	}
	if s.Timeout <= 0 || s.Timeout > s.Every {
		report("timeout", "timeout must be above 0 and not longer than every", "")
	}
	text := s.URL.Reveal()
	if u, err := url.Parse(text); text != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		report("url", "this is no http:// or https:// address", "")
	}
	for i, name := range s.Keep {
		if _, err := path.Match(name, ""); name == "" || err != nil {
			report(fmt.Sprintf("keep[%d]", i), fmt.Sprintf("%q is no pattern of names", name), "write names such as predictions_total; * is any text")
		}
	}
}
