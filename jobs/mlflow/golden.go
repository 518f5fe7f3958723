package mlflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ghosteam/upkeep/jobs"
)

// golden is a stored request.
type golden struct {
	// names are the inputs in the order of the request, where they have names;
	// values holds for each one value for every row.
	names  []string
	values map[string][]any
	// whole holds for each name all rows together, as a tensor; of a request
	// without names it is under "".
	whole  map[string]any
	params map[string]any
}

// longestGolden bounds a stored request, in bytes.
const longestGolden = 8 << 20

// errGolden says that a file is no request.
var errGolden = errors.New("it is not a request as MLflow's scoring server takes it: dataframe_split, dataframe_records, instances, inputs, or one record")

// readGolden reads a stored request.
func readGolden(path string) (golden, error) {
	text, err := readBounded(path, longestGolden)
	if err != nil {
		return golden{}, fmt.Errorf("read the golden request: %w", err)
	}
	g, err := parseGolden(text)
	if err != nil {
		return golden{}, jobs.WithHint(fmt.Errorf("read the golden request %s: %w", path, err), "store a request in JSON that production really sends")
	}
	return g, nil
}

// readBounded reads a file that must not be longer than most bytes.
func readBounded(path string, most int64) (_ []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s is longer than %d bytes", path, most)
	}
	return text, err
}

// parseGolden reads the formats of the scoring protocol
// (mlflow.org/docs/latest/deployment/deploy-model-locally.html).
func parseGolden(text []byte) (golden, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return golden{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return golden{}, errors.New("something stands behind the request")
	}
	g := golden{values: map[string][]any{}, whole: map[string]any{}}
	body, ok := v.(map[string]any)
	if !ok {
		return g.rows(v)
	}
	if params, ok := body["params"].(map[string]any); ok {
		g.params = params
	}
	switch {
	case body["dataframe_split"] != nil:
		return g.split(body["dataframe_split"])
	case body["dataframe_records"] != nil:
		return g.rows(body["dataframe_records"])
	case body["instances"] != nil:
		return g.rows(body["instances"])
	case body["inputs"] != nil:
		return g.inputs(body["inputs"])
	case body["columns"] != nil && body["data"] != nil:
		return g.split(body)
	}
	return g.rows([]any{body})
}

// split reads columns and rows apart.
func (g golden) split(v any) (golden, error) {
	body, ok := v.(map[string]any)
	columns, okColumns := body["columns"].([]any)
	rows, okRows := body["data"].([]any)
	if !ok || !okColumns || !okRows {
		return g, errGolden
	}
	for _, c := range columns {
		name, ok := c.(string)
		if !ok {
			name = fmt.Sprint(c)
		}
		g.names = append(g.names, name)
	}
	for i, row := range rows {
		cells, ok := row.([]any)
		if !ok || len(cells) != len(g.names) {
			return g, fmt.Errorf("row %d has not as many values as there are columns", i+1)
		}
		for j, cell := range cells {
			g.values[g.names[j]] = append(g.values[g.names[j]], cell)
		}
	}
	return g.joined(len(rows))
}

// rows reads a list of records or of tensors.
func (g golden) rows(v any) (golden, error) {
	rows, ok := v.([]any)
	if !ok {
		return g, errGolden
	}
	for i, row := range rows {
		record, named := row.(map[string]any)
		if named != (i == 0 && named || len(g.names) > 0) {
			return g, errors.New("some rows have names and others have none")
		}
		if !named {
			continue
		}
		if i == 0 {
			g.names = keys(record)
		}
		for name, value := range record {
			if i > 0 && len(g.values[name]) == 0 {
				g.names = append(g.names, name)
			}
			g.values[name] = append(g.values[name], value)
		}
	}
	if len(g.names) == 0 {
		if len(rows) == 0 {
			return g, errors.New("the request holds no row")
		}
		g.whole[""] = rows
		return g, nil
	}
	return g.joined(len(rows))
}

// inputs reads tensors: one without a name, or several with names.
func (g golden) inputs(v any) (golden, error) {
	body, ok := v.(map[string]any)
	if !ok {
		return g.rows(v)
	}
	g.names = keys(body)
	for name, value := range body {
		g.whole[name] = value
		if rows, ok := value.([]any); ok {
			g.values[name] = rows
		} else {
			g.values[name] = []any{value}
		}
	}
	return g, nil
}

// joined makes the tensors of all names from their rows.
func (g golden) joined(rows int) (golden, error) {
	if rows == 0 {
		return g, errors.New("the request holds no row")
	}
	for name, values := range g.values {
		g.whole[name] = values
	}
	return g, nil
}
