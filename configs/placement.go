package configs

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// defaultAbsence is how late the run of a workflow may begin that only some
// nodes can run, when neither the workflow nor its schedule says less: long
// enough for a node to be restarted.
const defaultAbsence = 15 * time.Minute

// RunsOn says which nodes run something.
type RunsOn struct {
	// EveryNode tells that each node has a share of its own; Label restricts the
	// nodes to those with that label, and is empty for all.
	EveryNode bool
	Label     string
}

// Fits tells whether a node with these labels is one of them.
func (r RunsOn) Fits(labels []string) bool {
	return r.Label == "" || slices.Contains(labels, r.Label)
}

// Target is where a run may be executed that is not the share of one node.
func (r RunsOn) Target() runner.Target {
	if r.Label == "" || r.EveryNode {
		return ""
	}
	return runner.OnLabel(r.Label)
}

// Where says it in a word or two: "any", "every", "every db" or "db".
func (r RunsOn) Where() string {
	switch {
	case r.EveryNode && r.Label != "":
		return "every " + r.Label
	case r.EveryNode:
		return "every"
	case r.Label != "":
		return r.Label
	}
	return "any"
}

// StartWithin is how long after its slot a scheduled run may begin at the
// latest; 0 means that there is no such bound: any node may take it up, or it
// is caught up however late.
func (w *Workflow) StartWithin() time.Duration {
	if !w.EveryNode && w.Label == "" {
		return 0
	}
	c := w.Policy.CatchUp
	if c.Run == "" || c.Run == schedule.CatchUpNone {
		return w.Policy.StartDeadline
	}
	if c.Within <= 0 {
		return 0
	}
	return max(w.Policy.StartDeadline, c.Within)
}

// absence takes how late a slot may begin that only some nodes can run: they
// may just be away for a moment. The slots of a busy schedule wait no longer
// than for the next one.
func (b *draft) absence() {
	w := b.out
	if w.Policy.StartDeadline > 0 || w.Schedule.IsZero() || !w.EveryNode && w.Label == "" {
		return
	}
	w.Policy.StartDeadline = defaultAbsence
	if distance, known := shortestDistance(w.Schedule); known {
		w.Policy.StartDeadline = max(schedule.DefaultStartDeadline, min(defaultAbsence, distance))
	}
}

// runsOn is RunsOn as it is written.
type runsOn struct{ RunsOn }

const runsOnHint = "write any, every, {label: db} or {every: {label: db}}"

// Decode reads any, every, {label: L} or {every: {label: L}}.
func (r *runsOn) Decode(d *decode.Decoder, n *source.Node, path string, at source.Pos) {
	type labeled struct {
		Label labelField `yaml:"label"`
	}
	var forms struct {
		Label labelField `yaml:"label"`
		Every *labeled   `yaml:"every"`
	}
	if n.Kind != source.Map {
		var word string
		d.Decode(n, &word, path, at)
		if r.EveryNode = word == "every"; word != "any" && word != "every" && word != "" {
			d.Report(n.Pos, "bad-value", path, fmt.Sprintf("%q is not a value of runs_on", word), runsOnHint)
		}
		return
	}
	before := len(d.Problems)
	d.Decode(n, &forms, path, at)
	if len(d.Problems) > before {
		return
	}
	r.Label = string(forms.Label)
	if forms.Every != nil {
		r.EveryNode, r.Label = true, string(forms.Every.Label)
	}
	if forms.Every != nil && forms.Label != "" || r.Label == "" {
		d.Report(n.Pos, "bad-value", path, "runs_on must name one label", runsOnHint)
	}
}

// Schema describes the four forms.
func (*runsOn) Schema(inner func(reflect.Type) map[string]any) map[string]any {
	label := map[string]any{
		"type": "object", "required": []string{"label"}, "additionalProperties": false,
		"properties": map[string]any{"label": inner(reflect.TypeFor[labelField]())},
	}
	return map[string]any{"oneOf": []any{
		map[string]any{"enum": []any{"any", "every"}},
		label,
		map[string]any{"type": "object", "required": []string{"every"}, "additionalProperties": false, "properties": map[string]any{"every": label}},
	}}
}

// labelField is one label of nodes.
type labelField string

// Decode reads the label.
func (l *labelField) Decode(d *decode.Decoder, n *source.Node, path string, at source.Pos) {
	var text string
	before := len(d.Problems)
	if d.Decode(n, &text, path, at); len(d.Problems) > before {
		return
	}
	if hint, ok := decode.CheckName(text); !ok {
		d.Report(n.Pos, "bad-name", path, fmt.Sprintf("%q cannot be a label of nodes", text), hint)
		return
	}
	*l = labelField(text)
}

// Schema describes the form of names.
func (*labelField) Schema(func(reflect.Type) map[string]any) map[string]any {
	return map[string]any{"type": "string", "pattern": decode.NamePattern, "maxLength": decode.MaxName}
}

// labelsField are the labels of this node: a list, or one text with commas
// between, which an environment variable can hold.
type labelsField []string

// Decode reads the labels.
func (l *labelsField) Decode(d *decode.Decoder, n *source.Node, path string, at source.Pos) {
	take := func(text, path string, place source.Pos) {
		switch hint, ok := decode.CheckName(text); {
		case !ok:
			d.Report(place, "bad-name", path, fmt.Sprintf("%q cannot be a label of this node", text), hint)
		case slices.Contains(*l, text):
			d.Report(place, "bad-value", path, fmt.Sprintf("the label %q is given twice", text), "remove one")
		default:
			*l = append(*l, text)
		}
	}
	if n.Kind != source.List {
		var text string
		d.Decode(n, &text, path, at)
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				take(part, path, n.Pos)
			}
		}
		return
	}
	for i, item := range n.Items {
		var text string
		before, place := len(d.Problems), fmt.Sprintf("%s[%d]", path, i)
		if d.Decode(item, &text, place, item.Pos); len(d.Problems) == before {
			take(text, place, item.Pos)
		}
	}
}

// Schema describes the two forms.
func (*labelsField) Schema(inner func(reflect.Type) map[string]any) map[string]any {
	return map[string]any{"oneOf": []any{
		map[string]any{"type": "array", "uniqueItems": true, "items": inner(reflect.TypeFor[labelField]())},
		map[string]any{"type": "string", "pattern": `^\s*([a-z0-9][a-z0-9_-]*\s*(,\s*|$))*$|\$\{(env|file):`},
	}}
}
