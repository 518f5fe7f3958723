package configs

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/reports"
)

// percentField is a share of a hundred: 99.9 or 99.9%.
type percentField float64

// UnmarshalText reads it.
func (p *percentField) UnmarshalText(text []byte) error {
	v, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(string(text), "%")), 64)
	if err != nil || v <= 0 || v > 100 || v != v { //nolint:gocritic // not a number
		return errors.New("write a percentage above 0 and up to 100, such as 99.9")
	}
	*p = percentField(v)
	return nil
}

// MarshalText writes it.
func (p percentField) MarshalText() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(p), 'f', -1, 64), nil
}

// share is it as a share: 0.999 for 99.9, and not what a division leaves.
func (p percentField) share() float64 { return plain(float64(p) / 100) }

func percentOf(share float64) percentField { return percentField(plain(share * 100)) }

// plain leaves out the digits that arithmetic adds.
func plain(v float64) float64 {
	const digits = 1e12
	return math.Round(v*digits) / digits
}

// shortestWindow is the shortest window that figures can look back over.
const shortestWindow = time.Hour

type kpisFile struct {
	Window          unit.Duration  `yaml:"window" doc:"How far the figures look back, from 1h." example:"30d"`
	Uptime          uptimeFile     `yaml:"uptime" doc:"How much of the time nothing was out of order that people need."`
	ResponseTime    latencyFile    `yaml:"response_time" doc:"The 95th percentile of how long requests take."`
	ErrorRate       errorRateFile  `yaml:"error_rate" doc:"Which share of the requests fails."`
	Throughput      throughputFile `yaml:"throughput" doc:"How many requests come in a minute."`
	Accuracy        accuracyFile   `yaml:"accuracy" doc:"Which share of the predictions is right."`
	ModelLatency    modelFile      `yaml:"model_latency" doc:"The 95th percentile of how long predictions take."`
	DriftDetection  driftFile      `yaml:"drift_detection" doc:"The longest time in which nobody looks for drift of the data."`
	Retraining      jobOnlyFile    `yaml:"retraining" doc:"In how many weeks somebody looks whether to retrain: all of them."`
	MTTD            meanFile       `yaml:"mttd" doc:"How long a fault is there before it is detected, in the mean."`
	MTTR            meanFile       `yaml:"mttr" doc:"How long a fault lasts, in the mean."`
	DeployFrequency shareFile      `yaml:"deploy_frequency" doc:"On which share of the working days a version is deployed."`
	ChangeFailure   changeFile     `yaml:"change_failure" doc:"Which share of the deploys does harm."`
}

type uptimeFile struct {
	Target  percentField `yaml:"target" doc:"In percent." example:"99.9"`
	Checks  unit.Names   `yaml:"checks" doc:"The checks whose failure is an outage; by default those with impact: outage." example:"[api, database]"`
	Planned unit.Names   `yaml:"planned" doc:"Workflows in whose scheduled runs an outage is planned: the figure without them is told too." example:"[weekly]"`
}

type latencyFile struct {
	Target    unit.Duration `yaml:"target" doc:"What 95 of 100 requests must not exceed." example:"200ms"`
	Scrape    string        `yaml:"scrape" doc:"Whose metrics tell it; by default the only one under scrape:, or the one called api." example:"api"`
	Histogram string        `yaml:"histogram" doc:"The name of the histogram."`
	Checks    unit.Names    `yaml:"checks" doc:"The checks whose answers stand in when there is no histogram; by default those of the kind http with impact: outage."`
}

type errorRateFile struct {
	Target  percentField `yaml:"target" doc:"In percent." example:"0.1"`
	Scrape  string       `yaml:"scrape" doc:"Whose metrics tell it; by default the only one under scrape:, or the one called api." example:"api"`
	Counter string       `yaml:"counter" doc:"The name of the counter of requests."`
	Errors  unit.Names   `yaml:"errors" doc:"Which requests failed: labels with patterns in which ? is any character and * any number of them." example:"[\"status=error\", \"code=5??\"]"`
	Checks  unit.Names   `yaml:"checks" doc:"The checks whose answers stand in when there is no counter; by default those whose failure is an outage."`
}

type throughputFile struct {
	Target   float64 `yaml:"target" doc:"Requests in a minute." example:"1000"`
	Scrape   string  `yaml:"scrape" doc:"Whose metrics tell it; by default the only one under scrape:, or the one called api." example:"api"`
	Counter  string  `yaml:"counter" doc:"The name of the counter of requests."`
	Capacity string  `yaml:"capacity" doc:"The name of what upkeep metric add records after a test of load; it decides then." example:"capacity_per_minute"`
}

type accuracyFile struct {
	Target   percentField `yaml:"target" doc:"In percent." example:"90"`
	Job      string       `yaml:"job" doc:"The job that finds it out, as WORKFLOW.JOB; by default the one that runs check_model_performance. Without one it is what upkeep metric add records under the name of the value." example:"daily.model-performance"`
	Value    string       `yaml:"value" doc:"The name of the value."`
	Count    string       `yaml:"count" doc:"The name of the value that says on how many predictions it rests."`
	Cautious bool         `yaml:"cautious" doc:"Whether the lower end of the 95 % interval (Wilson) must reach the target."`
}

type modelFile struct {
	Target    unit.Duration `yaml:"target" doc:"What 95 of 100 predictions must not exceed." example:"100ms"`
	Scrape    string        `yaml:"scrape" doc:"Whose metrics tell it; by default the only one under scrape:, or the one called api." example:"api"`
	Histogram string        `yaml:"histogram" doc:"The name of the histogram."`
	Job       string        `yaml:"job" doc:"The job whose value stands in when there is no histogram, as WORKFLOW.JOB; by default that of accuracy." example:"daily.model-performance"`
	Value     string        `yaml:"value" doc:"The name of that value, a 95th percentile in seconds."`
}

type driftFile struct {
	Target unit.Duration `yaml:"target" doc:"The longest time." example:"24h"`
	Job    string        `yaml:"job" doc:"The job that looks, as WORKFLOW.JOB; by default the one that runs check_model_drift." example:"daily.model-drift"`
}

type jobOnlyFile struct {
	Job string `yaml:"job" doc:"The job that looks, as WORKFLOW.JOB; by default the one that runs evaluate_retraining_needs." example:"weekly.retraining"`
}

type meanFile struct {
	Target unit.Duration `yaml:"target" doc:"The mean of the incidents of checks." example:"5m"`
}

type shareFile struct {
	Target percentField `yaml:"target" doc:"In percent." example:"100"`
}

type changeFile struct {
	Target        percentField  `yaml:"target" doc:"In percent." example:"5"`
	SuspectWithin unit.Duration `yaml:"suspect_within" doc:"How long after a deploy an incident is suspected to come from it." example:"2h"`
	Least         int           `yaml:"least" range:"1,100000" doc:"How many deploys tell something."`
}

// defaultKPIs are the targets of the guide, with the names of its metrics.
func defaultKPIs() kpisFile {
	g := reports.Guide()
	const counter = "api_requests_total"
	return kpisFile{
		Window:          unit.Duration(g.Window),
		Uptime:          uptimeFile{Target: percentOf(g.UptimeTarget)},
		ResponseTime:    latencyFile{Target: unit.Duration(g.Response.Target), Histogram: "api_request_duration_seconds"},
		ErrorRate:       errorRateFile{Target: percentOf(g.Errors.Target), Counter: counter, Errors: unit.Names{"status=error", "status=5??", "code=5??"}},
		Throughput:      throughputFile{Target: g.Demand.Target, Counter: counter},
		Accuracy:        accuracyFile{Target: percentOf(g.Accuracy.Target), Value: g.Accuracy.Value, Count: g.Accuracy.Count},
		ModelLatency:    modelFile{Target: unit.Duration(g.Model.Target), Histogram: "model_prediction_duration_seconds", Value: "latency_p95_seconds"},
		DriftDetection:  driftFile{Target: unit.Duration(g.Drift.Target)},
		MTTD:            meanFile{Target: unit.Duration(g.MTTD)},
		MTTR:            meanFile{Target: unit.Duration(g.MTTR)},
		DeployFrequency: shareFile{Target: percentOf(g.DeployTarget)},
		ChangeFailure:   changeFile{Target: percentOf(g.FailureTarget), SuspectWithin: unit.Duration(g.SuspectWithin), Least: g.LeastDeploys},
	}
}

type scrapeField struct {
	URL     secret.String `yaml:"url" required:"true" doc:"Where the metrics are, in the text form of Prometheus." example:"http://localhost:8081/metrics"`
	Every   unit.Duration `yaml:"every" doc:"How often they are read, 1s to 1m; 30s by default." example:"30s"`
	Timeout unit.Duration `yaml:"timeout" doc:"How long that may take, 5s by default and less than every." example:"5s"`
	Token   secret.String `yaml:"token" doc:"A bearer token to show." example:"\"${file:secrets/metrics}\""`
	Keep    unit.Names    `yaml:"keep" doc:"Names of further metrics to keep, with all their labels; * is any text." example:"[predictions_total]"`
}
