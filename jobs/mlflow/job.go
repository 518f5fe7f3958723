package mlflow

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/reach"
)

// probe is the job.
type probe struct{ options Options }

// Check tells whether the server answers and the files of the options can be
// read.
func (p *probe) Check(ctx context.Context, env *jobs.Env) error {
	var errs []error
	for _, m := range p.options.Models {
		if m.Golden != "" {
			_, err := readGolden(string(m.Golden))
			errs = append(errs, err)
		}
	}
	if p.options.Installed.File != "" {
		_, err := readInstalled(string(p.options.Installed.File))
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	c, err := newClient(p.options, env.Version)
	if err != nil {
		return err
	}
	defer c.close()
	inner, cancel := reach.Deadline(ctx, min(p.options.Timeout.Std(), checkTime))
	defer cancel()
	if _, err := c.ask(inner, http.MethodGet, c.base.JoinPath("health"), nil, "health", longestFile, c.sign); err != nil {
		return fmt.Errorf("ask the MLflow server at %s: %w", c.base.Host, err)
	}
	return nil
}

// checkTime bounds a check before anything runs.
const checkTime = 5 * time.Second

// survey is one run of the probe on its way.
type survey struct {
	options Options
	env     *jobs.Env
	client  *client
	report  *reach.Report
	now     time.Time
	// server is the version of the server; the zero value when it does not say.
	server release
	// installed are the packages to compare with; nil for none.
	installed map[string]string
	// sick tells of the model at hand that something is wrong with it.
	sick bool
}

// Run asks everything.
func (p *probe) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	if err := reach.Outer(ctx, "ask the MLflow server"); err != nil {
		return jobs.Result{}, err
	}
	c, err := newClient(p.options, env.Version)
	if err != nil {
		return jobs.Result{}, err
	}
	defer c.close()
	s := &survey{options: p.options, env: env, client: c, report: reach.NewReport(env, "mlflow"), now: time.Now()}
	inner, cancel := reach.Deadline(ctx, p.options.Timeout.Std())
	defer cancel()
	err = s.ask(inner)
	if outer := reach.Outer(ctx, "ask the MLflow server"); outer != nil {
		return jobs.Result{}, outer
	}
	if fault, ok := errors.AsType[*reach.Fault](err); ok {
		s.report.Fault("the MLflow server at "+c.base.Host, fault)
	} else if err != nil {
		return s.result(), err
	}
	return s.result(), nil
}

func (s *survey) result() jobs.Result {
	plain := fmt.Sprintf("MLflow %s at %s answers", s.server, s.client.base.Host)
	if n := len(s.options.Models); n > 0 {
		plain += fmt.Sprintf(", %d of %d models are fit", n-int(s.report.Values["models_sick"]), n)
	}
	if n, ok := s.report.Values["experiments"]; ok {
		plain += fmt.Sprintf(", %g experiments, %g runs under way", n, s.report.Values["running_runs"])
	}
	return s.report.Result(plain)
}

// ask puts all questions. It ends at the first fault of the server itself.
func (s *survey) ask(ctx context.Context) error {
	if err := s.health(ctx); err != nil {
		return err
	}
	if err := s.release(ctx); err != nil {
		return err
	}
	if len(s.options.Models) > 0 {
		if err := s.packages(ctx); err != nil {
			return err
		}
		s.report.Values["models"], s.report.Values["models_sick"] = float64(len(s.options.Models)), 0
	}
	for i, m := range s.options.Models {
		s.env.Progress(int64(i), int64(len(s.options.Models)), "models")
		if err := s.model(ctx, m); err != nil {
			return fmt.Errorf("model %s: %w", m.text(), err)
		}
	}
	if len(s.options.Runs.Names) > 0 {
		return s.experiments(ctx)
	}
	return nil
}

// health judges the answer of the server's own health page.
func (s *survey) health(ctx context.Context) error {
	start := time.Now()
	text, err := s.client.ask(ctx, http.MethodGet, s.client.base.JoinPath("health"), nil, "health", longestFile, s.client.sign)
	took := time.Since(start)
	switch {
	case isUnknownEndpoint(err):
		// Services that speak MLflow's API need not have that page.
		s.report.Unseen("health", jobs.Info, "the server has no /health")
	case isRefused(err):
		return &reach.Fault{Kind: reach.Auth, Err: err}
	case err != nil:
		return asFault(err)
	case strings.HasPrefix(strings.TrimSpace(string(text)), "<"):
		return reach.Faultf(reach.Body, "health: a page for people, not MLflow's answer")
	}
	s.report.Latency(took, s.options.Latency, reach.Slowest(s.client.clock))
	return nil
}

// asFault turns what the server says about a question that must have an answer
// into a fault.
func asFault(err error) error {
	if e, ok := errors.AsType[*apiError](err); ok {
		return &reach.Fault{Kind: reach.Status, Err: e}
	}
	return err
}

func isRefused(err error) bool {
	e, ok := errors.AsType[*apiError](err)
	return ok && (e.status == http.StatusForbidden || e.code == "PERMISSION_DENIED")
}

// release asks for the server's version.
func (s *survey) release(ctx context.Context) error {
	text, err := s.client.file(ctx, s.client.base.JoinPath("version"), "version")
	if fault, ok := errors.AsType[*reach.Fault](err); ok {
		return fault
	}
	s.server = parseRelease(text)
	if err != nil || !s.server.known() {
		s.report.Unseen("version", jobs.Info, "the server does not say what version it is")
		return nil
	}
	s.report.Outputs["version"] = s.server.text
	s.env.Printf("MLflow %s at %s", s.server, s.client.base.Host)
	return nil
}

// release is a version of MLflow.
type release struct {
	text         string
	major, minor int
}

var releasePattern = regexp.MustCompile(`^(\d{1,4})\.(\d{1,4})[0-9A-Za-z.+-]{0,40}$`)

func parseRelease(text string) release {
	text = strings.TrimSpace(text)
	m := releasePattern.FindStringSubmatch(text)
	if m == nil {
		return release{}
	}
	major, errMajor := strconv.Atoi(m[1])
	minor, errMinor := strconv.Atoi(m[2])
	if errMajor != nil || errMinor != nil {
		return release{}
	}
	return release{text: text, major: major, minor: minor}
}

func (r release) known() bool { return r.text != "" }

// String names the version for people.
func (r release) String() string {
	if !r.known() {
		return "of an unknown version"
	}
	return r.text
}

// unanswered notes that a question about a model or runs had no answer. It
// returns faults of the server itself.
func (s *survey) unanswered(what string, err error) error {
	if fault, ok := errors.AsType[*reach.Fault](err); ok {
		return fault
	}
	said, ok := errors.AsType[*apiError](err)
	switch {
	case !ok:
		s.report.Unseen(what, jobs.Warning, err.Error())
	case isRefused(err):
		s.report.Unseen(what, jobs.Warning, "the server does not permit it to us: "+said.Error())
	case isUnknownEndpoint(err):
		s.report.Unseen(what, jobs.Warning, fmt.Sprintf("MLflow %s does not know the question %s", s.server, said.path))
	default:
		s.report.Unseen(what, jobs.Warning, said.Error())
	}
	return nil
}
