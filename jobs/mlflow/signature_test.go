package mlflow_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/mlflow"
)

const tensorFile = "signature:\n  inputs: '[{\"type\": \"tensor\", \"tensor-spec\": {\"dtype\": \"float32\", \"shape\": [-1, 2, 2]}}]'\n  outputs: null\n  params: null\n"

const columnsFile = "signature:\n  inputs: \"[{\\\"type\\\": \\\"double\\\"}, {\\\"type\\\": \\\"\\\n    long\\\"}]\"\n"

const allTypes = `signature:
  inputs: '[{"name": "b", "type": "boolean"}, {"name": "i", "type": "integer"}, {"name": "l", "type": "long"}, {"name": "s", "type": "string"}, {"name": "d", "type": "datetime"}, {"name": "a", "type": "array", "items": {"type": "double"}}, {"name": "o", "type": "object", "properties": {}}, {"name": "any", "type": "any"}, {"name": "t", "type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1, 2]}, "optional": true}]'
`

func TestMisfits(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		file, request string
		want          []string
	}{
		"split":         {modelFile, `{"dataframe_split": {"index": [0], "columns": ["amount", "items", "country's"], "data": [[1, 2, "DE"], [1.5, 3, null]]}, "params": {"threshold": 0.9}}`, nil},
		"records":       {modelFile, `{"dataframe_records": [{"amount": 1.5, "items": 2}]}`, nil},
		"one record":    {modelFile, `{"amount": 1.5, "items": 2, "country's": "DE"}`, nil},
		"instances":     {modelFile, `{"instances": [{"amount": 1.5, "items": 2}]}`, nil},
		"inputs":        {modelFile, `{"inputs": {"amount": [1.5], "items": [2]}}`, nil},
		"older split":   {modelFile, `{"columns": ["amount", "items"], "data": [[1, 2]]}`, nil},
		"older records": {modelFile, `[{"amount": 1, "items": 2}]`, nil},
		"missing":       {modelFile, `{"amount": 1.5}`, []string{"critical missing/items: the model requires items, and the request has none"}},
		"extra":         {modelFile, `{"amount": 1.5, "items": 2, "other": 1}`, []string{"warning extra/other: the model does not know other"}},
		"fraction":      {modelFile, `{"amount": 1.5, "items": 2.5}`, []string{"critical type/items: items: the model takes long, and this is a number with a fraction"}},
		"text":          {modelFile, `[{"amount": 1, "items": 2}, {"amount": "12345", "items": 2}]`, []string{"critical type/amount: amount: row 2: the model takes double, and this is a text"}},
		"null":          {modelFile, `{"amount": null, "items": null}`, []string{"critical type/items: items: the model takes long, and this is missing"}},
		"too large":     {modelFile, `{"amount": 1, "items": 99999999999999999999}`, []string{"critical type/items: items: the model takes long, and this is a whole number"}},
		"integral":      {modelFile, `{"amount": 1, "items": 2.0}`, nil},
		"parameters":    {modelFile, `{"inputs": {"amount": [1], "items": [2]}, "params": {"threshold": "a lot", "other": 1}}`, []string{"warning param/other: the model does not know the parameter other", "critical param/threshold: parameter threshold: the model takes double, and this is a text"}},
		"no names":      {modelFile, `{"instances": [[1, 2]]}`, []string{"critical names: the model's inputs have names, those of the request have none"}},
		"tensor":        {tensorFile, `{"instances": [[[1, 2], [3, 4.5]]]}`, nil},
		"tensor, named": {tensorFile, `{"inputs": {"x": [[1]]}}`, []string{"critical names: the model takes one tensor without a name, and the request names its inputs"}},
		"shape":         {tensorFile, `{"inputs": [[[1, 2], [3, 4]], [[1, 2], [3, 4]], [[1, 2], [3, 4]]]}`, nil},
		"wrong shape":   {tensorFile, `{"inputs": [[[1, 2, 3], [3, 4, 5]]]}`, []string{"critical type: the model takes the shape (-1, 2, 2), and this has (1, 2, 3)"}},
		"ragged":        {tensorFile, `{"inputs": [[[1, 2], [3]]]}`, []string{"critical type: its rows have different shapes"}},
		"wrong entry":   {tensorFile, `{"inputs": [[[1, 2], [3, true]]]}`, []string{"critical type: the model takes double, and this is true or false"}},
		"columns":       {columnsFile, `{"inputs": [[1.5, 2]]}`, nil},
		"column type":   {columnsFile, `{"inputs": [[1.5, 2.5]]}`, []string{"critical type: column 2 of row 1: the model takes long, and this is a number with a fraction"}},
		"column count":  {columnsFile, `{"inputs": [[1.5]]}`, []string{"critical shape: the model takes 2 columns, and row 1 has 1"}},
		"all types":     {allTypes, `{"b": true, "i": 1, "l": 1, "s": "x", "d": "2024-01-01T00:00:00Z", "a": [1, 2.5], "o": {}, "any": 1}`, nil},
		"all wrong": {
			allTypes, `{"b": 1, "i": 3000000000, "l": "x", "s": 1, "d": "soon", "a": ["x"], "o": [], "any": null, "t": [1]}`,
			[]string{
				"critical type/b: b: the model takes boolean, and this is a whole number", "critical type/i: i: the model takes integer, and this is a whole number",
				"critical type/l: l: the model takes long, and this is a text", "critical type/s: s: the model takes string, and this is a whole number",
				"critical type/d: d: the model takes datetime, and this is a text", "critical type/a: a: entry 1: the model takes double, and this is a text",
				"critical type/o: o: the model takes object, and this is a list", "critical type/t: t: the model takes the shape (-1, 2), and this has (1, 1)",
			},
		},
		"none":      {"artifact_path: model\n", `{}`, []string{"none"}},
		"null sign": {"signature: null\n", `{}`, []string{"none"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := mlflow.Misfits(tt.file, tt.request)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	for name, tt := range map[string]struct{ file, request, want string }{
		"not JSON":     {modelFile, `{`, "unexpected EOF"},
		"two requests": {modelFile, `{} {}`, "something stands behind"},
		"a number":     {modelFile, `3`, "it is not a request"},
		"empty":        {modelFile, `[]`, "no row"},
		"uneven":       {modelFile, `{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}`, "row 1 has not as many"},
		"mixed":        {modelFile, `[{"a": 1}, 2]`, "some rows have names"},
		"not closed":   {"signature:\n  inputs: '[{\n", `{}`, "not written as MLflow"},
		"literal":      {"signature:\n  inputs: |\n    []\n", `{}`, "not written as MLflow"},
		"no list":      {"signature:\n  inputs: '{}'\n", `{}`, "read the inputs"},
	} {
		if _, err := mlflow.Misfits(tt.file, tt.request); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", name, err, tt.want)
		}
	}
}

func TestSignature_AgainstAStandIn(t *testing.T) {
	t.Parallel()
	golden := unit.Path(file(t, "golden.json", `{"amount": "4711-secret", "items": 1}`))
	const wrong, text = "model:fraud.champion:signature/type/amount", "amount: the model takes double, and this is a text"
	const history = `[{"run_id":"r1","artifact_path":"other","signature":{"inputs":"[]"}},{"run_id":"r1","artifact_path":"model","signature":{"inputs":"[{\"name\":\"amount\",\"type\":\"double\"},{\"name\":\"items\",\"type\":\"long\"}]"}},{"run_id":"r1","artifact_path":"later"}]`
	for name, tt := range map[string]struct {
		change   func(s *standin)
		id, text string
		severity jobs.Severity
	}{
		"proxy": {func(*standin) {}, wrong, text, jobs.Critical},
		"address of the proxy": {func(s *standin) {
			s.models["fraud"][2]["source"] = s.URL + "/api/2.0/mlflow-artifacts/artifacts/1/r1/artifacts/model"
		}, wrong, text, jobs.Critical},
		"page of the UI": {func(s *standin) {
			s.models["fraud"][2]["source"], s.pages["fraud/9/MLmodel"] = "s3://bucket/1/r1/artifacts/model", modelFile
		}, wrong, text, jobs.Critical},
		"tag of the run": {func(s *standin) {
			s.models["fraud"][2]["source"] = "s3://bucket/1/r1/artifacts/model"
			s.runs[0]["data"].(map[string]any)["tags"] = []map[string]any{{"key": "mlflow.log-model.history", "value": history}}
		}, wrong, text, jobs.Critical},
		"tag, because the store is out of reach": {func(s *standin) {
			s.models["fraud"][2]["source"] = "s3://bucket/1/r1/artifacts/model"
			s.faults["model-versions/get-artifact"] = []fault{{status: 500, body: `{"error_code":"INTERNAL_ERROR","message":"no credentials"}`}}
			s.runs[0]["data"].(map[string]any)["tags"] = []map[string]any{{"key": "mlflow.log-model.history", "value": history}}
		}, wrong, text, jobs.Critical},
		"nowhere": {func(s *standin) { clear(s.artifacts) }, "unseen:model:fraud.champion:signature", "No such artifact", jobs.Warning},
		"page for people": {func(s *standin) {
			s.artifacts["1/r1/artifacts/model/MLmodel"] = "<!DOCTYPE html><title>log in</title>"
		}, "unseen:model:fraud.champion:signature", "a page for people", jobs.Warning},
		"no signature": {func(s *standin) { s.artifacts["1/r1/artifacts/model/MLmodel"] = "artifact_path: model\n" }, "model:fraud.champion:signature", "has no signature", jobs.Warning},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			tt.change(s)
			m := champion()
			m.Golden = golden
			r := ask(t, optionsOf(t, s, m))
			wants(t, r, tt.id, tt.severity, tt.text)
			if strings.Contains(r.Summary, "4711") || r.Values["models_sick"] != 1 {
				t.Errorf("summary %q, values %v", r.Summary, r.Values)
			}
		})
	}
}

func FuzzMisfits(f *testing.F) {
	f.Add(modelFile, `{"dataframe_split": {"columns": ["amount"], "data": [[1]]}}`)
	f.Add(tensorFile, `{"inputs": [[[1, 2], [3, 4]]]}`)
	f.Add(columnsFile, `[[1, 2]]`)
	f.Fuzz(func(_ *testing.T, file, request string) { _, _ = mlflow.Misfits(file, request) })
}

func FuzzRequirements(f *testing.F) {
	f.Add("scikit-learn[x]==1.3.2,!=1.4.* ; python_version < '3' --hash=x", "1.3.2.post1+cu")
	f.Add("a @ https://h/x", "1!2.0rc1")
	f.Add("- pip:\n  - a==1\n", "[{\"name\":\"a\"}]")
	f.Fuzz(func(_ *testing.T, line, have string) {
		_, _ = mlflow.Requirement(line, have)
		_, _ = mlflow.Packages(line)
		_ = mlflow.Conda(line)
	})
}
