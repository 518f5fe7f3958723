package mlflow

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

// The states of a version and of a run (mlflow.org/docs/latest/rest-api.html).
const (
	ready     = "READY"
	pending   = "PENDING_REGISTRATION"
	finished  = "FINISHED"
	running   = "RUNNING"
	scheduled = "SCHEDULED"
	deleted   = "deleted"
)

// bad notes that something is wrong with a model.
func (s *survey) bad(m Model, trouble string, severity jobs.Severity, format string, args ...any) {
	if severity.Rank() >= jobs.Warning.Rank() {
		s.sick = true
	}
	s.report.Add("model:"+m.title()+":"+trouble, severity, "model %s: %s", m.text(), fmt.Sprintf(format, args...))
}

// blind notes that something about a model could not be seen.
func (s *survey) blind(m Model, what string, err error) error {
	s.sick = true
	return s.unanswered("model:"+m.title()+":"+what, err)
}

// model asks everything about one model. Its error is a fault of the server.
func (s *survey) model(ctx context.Context, m Model) error {
	s.sick = false
	defer func() {
		if s.sick {
			s.report.Values["models_sick"]++
		}
	}()
	v, err := s.find(ctx, m)
	switch {
	case err != nil && isMissing(err):
		s.bad(m, "missing", jobs.Critical, "it is not in the registry: %s", err)
		return nil
	case err != nil:
		return s.blind(m, "registry", err)
	}
	title := m.title()
	s.report.Outputs["version."+title] = jobs.OneLine(string(v.Version))
	if n, err := strconv.ParseFloat(string(v.Version), 64); err == nil && !math.IsNaN(n) && !math.IsInf(n, 0) {
		s.report.Values["version."+title] = n
	}
	s.env.Printf("model %s is version %s", m.text(), s.env.OneLine(string(v.Version)))
	switch v.Status {
	case ready, "": // the API leaves out what is the default
	case pending:
		s.bad(m, "status", jobs.Warning, "version %s is not READY yet: %s", v.Version, v.Status)
	default:
		s.bad(m, "status", jobs.Critical, "version %s is not READY: %s %s", v.Version, v.Status, v.Message)
	}
	s.age(m, v)
	r, err := s.origin(ctx, m, v)
	if err != nil {
		return err
	}
	if m.Golden == "" && s.installed == nil {
		return nil
	}
	files := &files{survey: s, model: m, version: v, run: r}
	if m.Golden != "" {
		if err := s.fits(ctx, files); err != nil {
			return err
		}
	}
	if s.installed != nil {
		return s.equipped(ctx, files)
	}
	return nil
}

// find looks a model up.
func (s *survey) find(ctx context.Context, m Model) (modelVersion, error) {
	switch {
	case m.Alias != "":
		return s.one(ctx, "registered-models/alias", url.Values{"name": {m.Name}, "alias": {m.Alias}})
	case m.Version != "":
		return s.one(ctx, "model-versions/get", url.Values{"name": {m.Name}, "version": {m.Version}})
	case m.Stage != "":
		return s.staged(ctx, m)
	}
	return s.searched(ctx, m)
}

func (s *survey) one(ctx context.Context, path string, query url.Values) (modelVersion, error) {
	var answer struct {
		Version modelVersion `json:"model_version"`
	}
	if err := s.client.get(ctx, path, query, &answer); err != nil {
		return modelVersion{}, err
	}
	if answer.Version.Version == "" {
		return modelVersion{}, &apiError{status: 200, path: path, message: "the answer names no version"}
	}
	return answer.Version, nil
}

// staged finds the newest version in a stage. Versions of MLflow that gave the
// question up are asked for all versions.
func (s *survey) staged(ctx context.Context, m Model) (modelVersion, error) {
	var answer struct {
		Versions []modelVersion `json:"model_versions"`
	}
	err := s.client.post(ctx, "registered-models/get-latest-versions", map[string]any{"name": m.Name, "stages": []string{m.Stage}}, &answer)
	if isUnknownEndpoint(err) {
		return s.searched(ctx, m)
	}
	if err != nil {
		return modelVersion{}, err
	}
	return newestVersion(answer.Versions, m)
}

// searched finds the newest version among all.
func (s *survey) searched(ctx context.Context, m Model) (modelVersion, error) {
	if strings.ContainsAny(m.Name, `'"`) {
		return modelVersion{}, &apiError{status: 400, path: "model-versions/search", message: "a name with quotes cannot be searched for; give an alias or a version"}
	}
	var all []modelVersion
	token := ""
	for {
		var answer struct {
			Versions []modelVersion `json:"model_versions"`
			Next     string         `json:"next_page_token"`
		}
		query := url.Values{"filter": {"name='" + m.Name + "'"}, "max_results": {"1000"}}
		if token != "" {
			query.Set("page_token", token)
		}
		if err := s.client.get(ctx, "model-versions/search", query, &answer); err != nil {
			return modelVersion{}, err
		}
		all = append(all, answer.Versions...)
		if answer.Next == "" || answer.Next == token || len(all) > s.options.Runs.MaxRuns {
			return newestVersion(all, m)
		}
		token = answer.Next
	}
}

func newestVersion(all []modelVersion, m Model) (modelVersion, error) {
	all = slices.DeleteFunc(slices.Clone(all), func(v modelVersion) bool { return m.Stage != "" && !strings.EqualFold(v.Stage, m.Stage) })
	if len(all) == 0 {
		return modelVersion{}, &apiError{status: 404, code: "RESOURCE_DOES_NOT_EXIST", path: "model versions", message: "there is none"}
	}
	return slices.MaxFunc(all, func(a, b modelVersion) int {
		x, errX := strconv.Atoi(string(a.Version))
		y, errY := strconv.Atoi(string(b.Version))
		if errX != nil || errY != nil {
			return cmp.Compare(a.Created, b.Created)
		}
		return cmp.Compare(x, y)
	}), nil
}

// age judges the time since the version was made.
func (s *survey) age(m Model, v modelVersion) {
	made := v.Created.instant()
	if made.IsZero() {
		if m.Age.Warn > 0 || m.Age.Crit > 0 {
			s.sick = true
			s.report.Unseen("model:"+m.title()+":age", jobs.Warning, "the registry does not say when the version was made")
		}
		return
	}
	age := max(0, s.now.Sub(made))
	s.report.Values["age_seconds."+m.title()] = math.Round(age.Seconds())
	severity, limit := jobs.Severity(""), unit.Duration(0)
	switch {
	case m.Age.Crit > 0 && age > m.Age.Crit.Std():
		severity, limit = jobs.Critical, m.Age.Crit
	case m.Age.Warn > 0 && age > m.Age.Warn.Std():
		severity, limit = jobs.Warning, m.Age.Warn
	default:
		return
	}
	s.bad(m, "age", severity, "version %s is %s old, limit %s", v.Version, long(age), limit)
}

// long writes a long time for people.
func long(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
	}
	return d.Round(time.Minute).String()
}

// origin judges the run that made a version, and its metrics. The run is nil
// when there is none to see.
func (s *survey) origin(ctx context.Context, m Model, v modelVersion) (*oneRun, error) {
	measured, err := s.logged(ctx, m, v)
	if err != nil {
		return nil, err
	}
	if v.RunID == "" {
		if len(m.Metrics) > 0 && measured == nil {
			s.sick = true
			s.report.Unseen("model:"+m.title()+":run", jobs.Warning, "the version was registered without a run, so that there are no metrics")
		} else {
			s.metrics(m, measured)
		}
		return nil, nil
	}
	var answer struct {
		Run oneRun `json:"run"`
	}
	if err := s.client.get(ctx, "runs/get", url.Values{"run_id": {v.RunID}}, &answer); err != nil {
		if isMissing(err) {
			s.bad(m, "run", jobs.Warning, "the run that made version %s is gone: %s", v.Version, err)
			s.metrics(m, measured)
			return nil, nil
		}
		return nil, s.blind(m, "run", err)
	}
	r := answer.Run
	s.report.Outputs["run."+m.title()] = jobs.OneLine(r.id())
	switch {
	case r.Info.Lifecycle == deleted:
		s.bad(m, "run", jobs.Warning, "the run that made version %s is deleted, so that `mlflow gc` takes the model's files away", v.Version)
	case r.Info.Status == running || r.Info.Status == scheduled:
		s.bad(m, "run", jobs.Warning, "the run that made version %s has not ended: %s", v.Version, r.Info.Status)
	case r.Info.Status != finished:
		s.bad(m, "run", jobs.Critical, "the run that made version %s did not finish: %s", v.Version, r.Info.Status)
	}
	s.metrics(m, append(r.Data.Metrics, measured...))
	return &r, nil
}

// modelID returns the ID under which MLflow 3 keeps the model of a version;
// empty for none.
func (v modelVersion) modelID() string {
	if v.ModelID != "" {
		return v.ModelID
	}
	if id, ok := strings.CutPrefix(v.Source, "models:/"); ok && strings.HasPrefix(id, "m-") && !strings.ContainsAny(id, "/@") {
		return id
	}
	return ""
}

// logged returns the metrics that MLflow 3 keeps with the model itself.
func (s *survey) logged(ctx context.Context, m Model, v modelVersion) ([]metric, error) {
	id := v.modelID()
	if id == "" || len(m.Metrics) == 0 {
		return nil, nil
	}
	l, err := s.loggedModel(ctx, id)
	if err != nil {
		return nil, s.blind(m, "logged", err)
	}
	return l.Data.Metrics, nil
}

func (s *survey) loggedModel(ctx context.Context, id string) (loggedModel, error) {
	var answer struct {
		Model loggedModel `json:"model"`
	}
	err := s.client.get(ctx, "logged-models/"+url.PathEscape(id), nil, &answer)
	return answer.Model, err
}

// metrics judges the metrics of a model.
func (s *survey) metrics(m Model, measured []metric) {
	for _, name := range slices.Sorted(maps.Keys(m.Metrics)) {
		limits := m.Metrics[name]
		v, ok := newest(measured, name)
		trouble := "metric/" + name
		switch {
		case !ok:
			s.bad(m, trouble, jobs.Warning, "its run has no metric %s; a value that is not measured is not good", name)
			continue
		case math.IsNaN(v) || math.IsInf(v, 0):
			s.bad(m, trouble, jobs.Critical, "its metric %s is %g", name, v)
			continue
		}
		if key := jobs.NameFrom(name); key != "" {
			s.report.Values[jobs.NameFrom("metric_"+key+"."+m.title())] = v
		}
		if severity, broken := limits.judge(v); broken != "" {
			s.bad(m, trouble, severity, "its metric %s is %.6g, %s", name, v, broken)
		}
	}
}

// judge returns how bad a value is and which limit it breaks; empty for none.
func (l Metric) judge(v float64) (jobs.Severity, string) {
	switch {
	case l.CritBelow != nil && v < *l.CritBelow:
		return jobs.Critical, fmt.Sprintf("below %g", *l.CritBelow)
	case l.CritAbove != nil && v > *l.CritAbove:
		return jobs.Critical, fmt.Sprintf("above %g", *l.CritAbove)
	case l.WarnBelow != nil && v < *l.WarnBelow:
		return jobs.Warning, fmt.Sprintf("below %g", *l.WarnBelow)
	case l.WarnAbove != nil && v > *l.WarnAbove:
		return jobs.Warning, fmt.Sprintf("above %g", *l.WarnAbove)
	}
	return "", ""
}
