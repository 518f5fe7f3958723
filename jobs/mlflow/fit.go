package mlflow

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// misfit is one way in which a request does not fit a signature.
type misfit struct {
	// trouble names it in the ID of a finding.
	trouble  string
	severity jobs.Severity
	text     string
}

func keys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// fits compares the golden request with the model's signature.
func (s *survey) fits(ctx context.Context, f *files) error {
	g, err := readGolden(string(f.model.Golden))
	if err != nil {
		return err
	}
	sig, err := f.signature(ctx)
	if err != nil {
		return s.blind(f.model, "signature", err)
	}
	if sig.none {
		s.bad(f.model, "signature", jobs.Warning, "it has no signature, so that no request can be checked against it")
		return nil
	}
	for _, wrong := range compare(sig, g) {
		s.bad(f.model, "signature/"+wrong.trouble, wrong.severity, "the golden request does not fit: %s", wrong.text)
	}
	return nil
}

// compare judges a request by a signature.
func compare(sig signature, g golden) []misfit {
	var out []misfit
	named := slices.ContainsFunc(sig.inputs, func(c column) bool { return c.Name != "" })
	switch {
	case named && len(g.names) == 0:
		return []misfit{{"names", jobs.Critical, "the model's inputs have names, those of the request have none"}}
	case named:
		out = compareNamed(sig, g)
	default:
		out = compareUnnamed(sig, g)
	}
	known := map[string]string{}
	for _, p := range sig.params {
		known[p.Name] = p.Type
	}
	for _, name := range keys(g.params) {
		if kind, ok := known[name]; !ok {
			out = append(out, misfit{"param/" + name, jobs.Warning, fmt.Sprintf("the model does not know the parameter %s", name)})
		} else if why := mismatch(kind, g.params[name]); why != "" {
			out = append(out, misfit{"param/" + name, jobs.Critical, fmt.Sprintf("parameter %s: %s", name, why)})
		}
	}
	return out
}

func compareNamed(sig signature, g golden) []misfit {
	var out []misfit
	known := map[string]bool{}
	for _, c := range sig.inputs {
		known[c.Name] = true
		if !slices.Contains(g.names, c.Name) {
			if c.required() {
				out = append(out, misfit{"missing/" + c.Name, jobs.Critical, fmt.Sprintf("the model requires %s, and the request has none", c.Name)})
			}
			continue
		}
		if why := c.mismatch(g.values[c.Name], g.whole[c.Name]); why != "" {
			out = append(out, misfit{"type/" + c.Name, jobs.Critical, fmt.Sprintf("%s: %s", c.Name, why)})
		}
	}
	for _, name := range g.names {
		if !known[name] {
			out = append(out, misfit{"extra/" + name, jobs.Warning, fmt.Sprintf("the model does not know %s", name)})
		}
	}
	return out
}

// compareUnnamed compares a request with inputs that have no names: one tensor,
// or columns that stand for themselves by their place.
func compareUnnamed(sig signature, g golden) []misfit {
	if len(sig.inputs) == 1 && sig.inputs[0].Tensor != nil {
		v, ok := g.whole[""]
		if !ok {
			return []misfit{{"names", jobs.Critical, "the model takes one tensor without a name, and the request names its inputs"}}
		}
		if why := sig.inputs[0].Tensor.mismatch(v); why != "" {
			return []misfit{{"type", jobs.Critical, why}}
		}
		return nil
	}
	rows, ok := g.whole[""].([]any)
	if !ok {
		if len(g.names) != len(sig.inputs) {
			return []misfit{{"shape", jobs.Critical, fmt.Sprintf("the model takes %d columns, and the request has %d", len(sig.inputs), len(g.names))}}
		}
		return nil
	}
	for i, row := range rows {
		cells, ok := row.([]any)
		if !ok {
			cells = []any{row}
		}
		if len(cells) != len(sig.inputs) {
			return []misfit{{"shape", jobs.Critical, fmt.Sprintf("the model takes %d columns, and row %d has %d", len(sig.inputs), i+1, len(cells))}}
		}
		for j, c := range sig.inputs {
			if why := mismatch(c.Type, cells[j]); why != "" {
				return []misfit{{"type", jobs.Critical, fmt.Sprintf("column %d of row %d: %s", j+1, i+1, why)}}
			}
		}
	}
	return nil
}

// mismatch tells how the values of an input do not fit; empty when they do.
func (c column) mismatch(rows []any, whole any) string {
	if c.Tensor != nil {
		return c.Tensor.mismatch(whole)
	}
	for i, v := range rows {
		if why := c.misfit(v); why != "" {
			if len(rows) > 1 {
				why = fmt.Sprintf("row %d: %s", i+1, why)
			}
			return why
		}
	}
	return ""
}

func (c column) misfit(v any) string {
	if list, ok := v.([]any); ok && c.Type == "array" && len(c.Items) > 0 {
		var items column
		if json.Unmarshal(c.Items, &items) != nil {
			return "" // a type that this version does not know
		}
		for i, item := range list {
			if why := items.misfit(item); why != "" {
				return fmt.Sprintf("entry %d: %s", i+1, why)
			}
		}
		return ""
	}
	return mismatch(c.Type, v)
}

// mismatch tells how a value does not fit a type of columns; empty when it does.
// The value itself is never repeated, because it may be about a person.
func mismatch(kind string, v any) string {
	wrong := func() string { return fmt.Sprintf("the model takes %s, and this is %s", kind, describe(v)) }
	if v == nil {
		if kind == "integer" || kind == "long" || kind == "boolean" {
			return wrong()
		}
		return ""
	}
	ok := true
	switch kind {
	case "boolean":
		_, ok = v.(bool)
	case "integer":
		ok = isInteger(v, math.MinInt32, math.MaxInt32)
	case "long":
		ok = isInteger(v, math.MinInt64, math.MaxInt64)
	case "float", "double":
		_, ok = v.(json.Number)
	case "string", "binary":
		_, ok = v.(string)
	case "datetime":
		text, isText := v.(string)
		ok = isText && isDate(text)
	case "array":
		_, ok = v.([]any)
	case "object", "map":
		_, ok = v.(map[string]any)
	}
	if !ok {
		return wrong()
	}
	return ""
}

func isDate(text string) bool {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", time.DateOnly} {
		if _, err := time.Parse(layout, text); err == nil {
			return true
		}
	}
	return false
}

func isInteger(v any, low, high int64) bool {
	n, ok := v.(json.Number)
	if !ok || len(n) > 40 {
		return false
	}
	f, _, err := big.ParseFloat(string(n), 10, 128, big.ToNearestEven)
	if err != nil || !f.IsInt() {
		return false
	}
	i, _ := f.Int(nil)
	return i.Cmp(big.NewInt(low)) >= 0 && i.Cmp(big.NewInt(high)) <= 0
}

func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "missing"
	case bool:
		return "true or false"
	case string:
		return "a text"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	case json.Number:
		if strings.ContainsAny(string(v), ".eE") {
			return "a number with a fraction"
		}
		return "a whole number"
	}
	return "something else"
}

// mismatch tells how a value does not fit a tensor; empty when it does.
func (t *tensor) mismatch(v any) string {
	shape, why := t.measure(v)
	if why != "" {
		return why
	}
	fits := len(shape) == len(t.Shape)
	for i := range min(len(shape), len(t.Shape)) {
		fits = fits && (t.Shape[i] < 0 || t.Shape[i] == shape[i])
	}
	if !fits {
		return fmt.Sprintf("the model takes the shape %s, and this has %s", shapeText(t.Shape), shapeText(shape))
	}
	return ""
}

// measure returns the shape of a value and checks its entries.
func (t *tensor) measure(v any) (shape []int, why string) {
	list, ok := v.([]any)
	if !ok {
		return nil, mismatch(t.kind(), v)
	}
	if len(list) == 0 {
		return []int{0}, ""
	}
	var inner []int
	for i, entry := range list {
		s, why := t.measure(entry)
		if why != "" {
			return nil, why
		}
		if i > 0 && !slices.Equal(s, inner) {
			return nil, "its rows have different shapes"
		}
		inner = s
	}
	return append([]int{len(list)}, inner...), ""
}

// kind is the type of columns that fits the type of a tensor.
func (t *tensor) kind() string {
	switch {
	case strings.HasPrefix(t.Type, "int"), strings.HasPrefix(t.Type, "uint"):
		return "long"
	case strings.HasPrefix(t.Type, "float"), strings.HasPrefix(t.Type, "double"):
		return "double"
	case strings.HasPrefix(t.Type, "bool"):
		return "boolean"
	case strings.HasPrefix(t.Type, "str"):
		return "string"
	}
	return "any"
}

func shapeText(shape []int) string {
	parts := make([]string, len(shape))
	for i, n := range shape {
		parts[i] = fmt.Sprint(n)
	}
	return "(" + strings.Join(parts, ", ") + ")"
}
