package reach

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

// OutputErrorKind is the output that holds the kind of the fault when the
// server could not be asked.
const OutputErrorKind = "error_kind"

// ValueTotal is the value that is judged against the limits of latency, in
// seconds.
const ValueTotal = "total_seconds"

// Latency are the two limits of a response time.
type Latency struct {
	Warn unit.Duration `yaml:"warn" doc:"Slower than this is a warning; 0 means no limit." example:"1s"`
	Crit unit.Duration `yaml:"crit" doc:"Slower than this is critical; 0 means no limit." example:"5s"`
}

// Validate reports limits of an option that contradict each other or can never
// be seen, because the probe gives up before.
func (l Latency) Validate(field string, timeout unit.Duration) error {
	var errs []error
	if timeout <= 0 {
		errs = append(errs, jobs.Fieldf("timeout", "it must be above 0"))
	}
	if l.Warn > 0 && l.Crit > 0 && l.Warn > l.Crit {
		errs = append(errs, jobs.Fieldf(field+".warn", "%s is above crit, %s", l.Warn, l.Crit))
	}
	for _, limit := range []struct {
		name  string
		value unit.Duration
	}{{"warn", l.Warn}, {"crit", l.Crit}} {
		if timeout > 0 && limit.value >= timeout {
			errs = append(errs, &jobs.FieldError{
				Field: field + "." + limit.name, Why: fmt.Sprintf("%s is never reached, because the probe gives up after %s", limit.value, timeout),
				Hint: "make `timeout:` longer than the limits",
			})
		}
	}
	return errors.Join(errs...)
}

// Report collects what a probe finds.
type Report struct {
	env *jobs.Env
	// part begins the ID of what is found out about the server as a whole.
	part string
	// Values and Outputs go into the result.
	Values  map[string]float64
	Outputs map[string]string

	findings []jobs.Finding
	seen     map[string]int
}

// NewReport returns an empty report of an attempt of a kind, whose name begins
// the IDs of faults and of latency.
func NewReport(env *jobs.Env, kind string) *Report {
	return &Report{env: env, part: kind, Values: map[string]float64{}, Outputs: map[string]string{}, seen: map[string]int{}}
}

// Add notes a finding. The id is made legal; of several findings with one id
// the worst stays.
func (r *Report) Add(id string, s jobs.Severity, format string, args ...any) {
	f := jobs.Finding{ID: jobs.FindingIDFrom(id), Severity: s, Text: r.env.OneLine(fmt.Sprintf(format, args...))}
	r.env.Printf("%s: %s", s, f.Text)
	if i, ok := r.seen[f.ID]; ok {
		if s.Rank() > r.findings[i].Severity.Rank() {
			r.findings[i] = f
		}
		return
	}
	r.seen[f.ID] = len(r.findings)
	r.findings = append(r.findings, f)
}

// Unseen notes something that could not be looked at: unknown is not healthy.
func (r *Report) Unseen(what string, s jobs.Severity, why string) {
	r.Add("unseen:"+what, s, "could not see %s: %s", what, why)
}

// Fault notes that what, such as "the server at db:5432", could not be asked.
func (r *Report) Fault(what string, f *Fault) {
	r.Outputs[OutputErrorKind] = f.Kind
	text := fmt.Sprintf("%s: %s", what, r.env.Scrub(f.Error()))
	if hint := jobs.HintOf(f.Err); hint != "" {
		text += " (" + hint + ")"
	}
	r.Add(r.part+":"+f.Kind, jobs.Critical, "%s", text)
}

// Clock notes the time of every phase as PHASE_seconds.
func (r *Report) Clock(c *Clock) {
	for _, lap := range c.Laps() {
		r.Values[lap.Phase+"_seconds"] = Seconds(lap.Took)
	}
}

// Latency judges a response time. slowest says where the time went; it may be
// empty.
func (r *Report) Latency(took time.Duration, l Latency, slowest string) {
	r.Values[ValueTotal] = Seconds(took)
	severity, limit := jobs.Severity(""), unit.Duration(0)
	switch {
	case l.Crit > 0 && took > l.Crit.Std():
		severity, limit = jobs.Critical, l.Crit
	case l.Warn > 0 && took > l.Warn.Std():
		severity, limit = jobs.Warning, l.Warn
	default:
		return
	}
	if slowest != "" {
		slowest = ", most of it for " + slowest
	}
	r.Add(r.part+":latency", severity, "it answered after %s%s; limit %s", Short(took), slowest, limit)
}

// Findings returns what was found so far.
func (r *Report) Findings() []jobs.Finding { return r.findings }

// Result returns everything, with plain as the summary when nothing is wrong.
func (r *Report) Result(plain string) jobs.Result {
	summary := jobs.Headline(r.findings)
	if summary == "" {
		summary = plain
	}
	return jobs.Result{Summary: r.env.OneLine(summary), Values: r.Values, Outputs: r.Outputs, Findings: r.findings}
}

// Slowest returns the phase that took most.
func Slowest(c *Clock) string {
	worst := Lap{}
	for _, lap := range c.Laps() {
		if lap.Took >= worst.Took {
			worst = lap
		}
	}
	return worst.Phase
}

// Seconds returns d in seconds, rounded to microseconds.
func Seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1e6) / 1e6 }

// Short writes a measured time with three digits or so.
func Short(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}

// Security is how a server is trusted.
type Security struct {
	CA         unit.Path `yaml:"ca" doc:"A file with the authorities that may have signed the server's certificate, in PEM; by default those of the system." example:"/etc/ssl/ca.pem"`
	ServerName string    `yaml:"server_name" doc:"The name that the server's certificate must be for; by default the host."`
}

// Config returns the settings of TLS for a host. Its error says what is wrong
// with the file of authorities.
func (s Security) Config(host string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if s.ServerName != "" {
		config.ServerName = s.ServerName
	}
	if s.CA == "" {
		return config, nil
	}
	text, err := os.ReadFile(string(s.CA))
	if err != nil {
		return nil, fmt.Errorf("read the authorities: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", s.CA)
	}
	return config, nil
}

// Outer returns why ctx, the context of the attempt itself, has ended, in words
// of what was being done; nil while it lives.
func Outer(ctx context.Context, doing string) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%s: %w", doing, cause)
	}
	return nil
}
