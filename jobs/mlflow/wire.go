package mlflow

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// number is a number of the API, which some versions write as text: 64-bit
// integers, and NaN and Infinity (protobuf.dev/programming-guides/json).
type number float64

// UnmarshalJSON reads 1, "1", "NaN", "Infinity" and null.
func (n *number) UnmarshalJSON(text []byte) error {
	s := strings.Trim(string(text), `"`)
	if s == "null" || s == "" {
		*n = 0
		return nil
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(v, 0) {
		return err
	}
	*n = number(v)
	return nil
}

// instant reads milliseconds since 1970; zero stays zero.
func (n number) instant() time.Time {
	if n <= 0 || math.IsInf(float64(n), 0) || math.IsNaN(float64(n)) {
		return time.Time{}
	}
	return time.UnixMilli(int64(n)).UTC()
}

// modelVersion is a version of a registered model.
type modelVersion struct {
	Name    string `json:"name"`
	Version text   `json:"version"`
	Created number `json:"creation_timestamp"`
	Stage   string `json:"current_stage"`
	Source  string `json:"source"`
	RunID   string `json:"run_id"`
	ModelID string `json:"model_id"`
	Status  string `json:"status"`
	Message string `json:"status_message"`
}

// text is a text that some versions write as a number.
type text string

// UnmarshalJSON reads "1", 1 and null.
func (t *text) UnmarshalJSON(raw []byte) error {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		*t = text(s)
		return nil
	}
	var n json.Number
	if err := json.Unmarshal(raw, &n); err != nil {
		return err
	}
	*t = text(n)
	return nil
}

// metric is one value of a metric.
type metric struct {
	Key   string `json:"key"`
	Value number `json:"value"`
	At    number `json:"timestamp"`
	Step  number `json:"step"`
}

// oneRun is a run of an experiment.
type oneRun struct {
	Info struct {
		ID         string `json:"run_id"`
		UUID       string `json:"run_uuid"`
		Name       string `json:"run_name"`
		Experiment string `json:"experiment_id"`
		Status     string `json:"status"`
		Start      number `json:"start_time"`
		End        number `json:"end_time"`
		Artifacts  string `json:"artifact_uri"`
		Lifecycle  string `json:"lifecycle_stage"`
	} `json:"info"`
	Data struct {
		Metrics []metric `json:"metrics"`
		Tags    []struct {
			Key   string `json:"key"`
			Value string `json:"value"`
		} `json:"tags"`
	} `json:"data"`
}

// id returns the run's ID, whatever the version calls it.
func (r oneRun) id() string {
	if r.Info.ID != "" {
		return r.Info.ID
	}
	return r.Info.UUID
}

// loggedModel is a model as MLflow 3 keeps it.
type loggedModel struct {
	Info struct {
		ID        string `json:"model_id"`
		Artifacts string `json:"artifact_uri"`
		RunID     string `json:"source_run_id"`
		Status    string `json:"status"`
	} `json:"info"`
	Data struct {
		Metrics []metric `json:"metrics"`
	} `json:"data"`
}

// experiment is an experiment.
type experiment struct {
	ID        string `json:"experiment_id"`
	Name      string `json:"name"`
	Lifecycle string `json:"lifecycle_stage"`
}

// artifact is an entry of a folder of artifacts.
type artifact struct {
	Path  string `json:"path"`
	IsDir bool   `json:"is_dir"`
	Size  number `json:"file_size"`
}

// newest returns the last value of a metric.
func newest(all []metric, name string) (float64, bool) {
	found, at := metric{}, -1
	for i, m := range all {
		if m.Key != name {
			continue
		}
		if at < 0 || m.At > found.At || m.At == found.At && m.Step >= found.Step {
			found, at = m, i
		}
	}
	return float64(found.Value), at >= 0
}
