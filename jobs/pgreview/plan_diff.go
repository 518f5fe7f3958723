package pgreview

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// Difference is what changed between two plans.
type Difference struct {
	// Since is when the earlier plan was made, UTC.
	Since time.Time `json:"since"`
	// Statement tells that the plans are of different statements; other values,
	// comments and white space do not make another one.
	Statement bool `json:"other_statement"`
	// Version is set when the server's version changed: "15.3 -> 16.1".
	Version string `json:"version,omitempty"`
	// Cost and Rows are how many times the earlier estimates the new ones are,
	// Time how many times as long it ran; 0 when unknown.
	Cost float64 `json:"cost_ratio"`
	Rows float64 `json:"rows_ratio"`
	Time float64 `json:"time_ratio,omitempty"`
	// Gained and Lost are indexes that only one of the plans uses.
	Gained []string `json:"indexes_gained"`
	Lost   []string `json:"indexes_lost"`
	// Nodes are the steps that differ.
	Nodes []NodeChange `json:"nodes"`
}

// NodeChange is one step that differs.
type NodeChange struct {
	// Path is its place: the numbers of the steps from the root on, such as
	// "1.2"; empty for the root.
	Path string `json:"path"`
	// Was and Is are what the step did and does; one is empty when the step was
	// added or went.
	Was string `json:"was"`
	Is  string `json:"is"`
	// Cost and Rows are how many times the earlier estimates the new ones are,
	// when the step does the same as before; else 0.
	Cost float64 `json:"cost_ratio,omitempty"`
	Rows float64 `json:"rows_ratio,omitempty"`
}

// told is from which factor on a change of an estimate is told.
const told = 2

// Diff tells what changed from an earlier plan to p.
func (p Plan) Diff(earlier Plan) Difference {
	d := Difference{
		Since: earlier.At, Statement: unended(p.SQL) != unended(earlier.SQL),
		Cost: ratio(p.Root.TotalCost, earlier.Root.TotalCost), Rows: ratio(p.Root.Rows, earlier.Root.Rows),
		Gained: []string{}, Lost: []string{}, Nodes: []NodeChange{},
	}
	if p.Version != earlier.Version {
		d.Version = earlier.Version + " -> " + p.Version
	}
	if p.Analyzed && earlier.Analyzed && p.ExecutionTime > 0 && earlier.ExecutionTime > 0 {
		d.Time = ratio(p.ExecutionTime, earlier.ExecutionTime)
	}
	now, before := p.Root.indexes(), earlier.Root.indexes()
	for _, name := range now {
		if !slices.Contains(before, name) {
			d.Gained = append(d.Gained, name)
		}
	}
	for _, name := range before {
		if !slices.Contains(now, name) {
			d.Lost = append(d.Lost, name)
		}
	}
	d.compare("", &earlier.Root, &p.Root)
	return d
}

// compare goes down both trees at once.
func (d *Difference) compare(path string, was, is *Node) {
	switch {
	case was == nil && is == nil:
		return
	case was == nil:
		d.Nodes = append(d.Nodes, NodeChange{Path: path, Is: is.label()})
		return
	case is == nil:
		d.Nodes = append(d.Nodes, NodeChange{Path: path, Was: was.label()})
		return
	case was.label() != is.label():
		d.Nodes = append(d.Nodes, NodeChange{Path: path, Was: was.label(), Is: is.label()})
	default:
		cost, rows := ratio(is.TotalCost, was.TotalCost), ratio(is.Rows, was.Rows)
		if isFar(cost) || isFar(rows) {
			d.Nodes = append(d.Nodes, NodeChange{Path: path, Was: was.label(), Is: is.label(), Cost: cost, Rows: rows})
		}
	}
	for i := range max(len(was.Plans), len(is.Plans)) {
		below := strings.TrimPrefix(fmt.Sprintf("%s.%d", path, i+1), ".")
		d.compare(below, nth(was.Plans, i), nth(is.Plans, i))
	}
}

func nth(nodes []Node, i int) *Node {
	if i < len(nodes) {
		return &nodes[i]
	}
	return nil
}

// Changed tells that the server means to run the statement in another way.
func (d Difference) Changed() bool {
	return len(d.Gained)+len(d.Lost) > 0 || slices.ContainsFunc(d.Nodes, func(n NodeChange) bool { return n.Was != n.Is })
}

// Worse tells that the plan costs, or took, at least twice as much as before.
func (d Difference) Worse() bool { return d.Cost >= told || d.Time >= told }

// WriteText shows the difference to people.
func (d Difference) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Since %s: cost %s, rows %s", d.Since.UTC().Format("2006-01-02 15:04:05 MST"), times(d.Cost), times(d.Rows))
	if d.Time > 0 {
		fmt.Fprintf(&b, ", time %s", times(d.Time))
	}
	b.WriteByte('\n')
	if d.Statement {
		b.WriteString("  the earlier plan is of another statement\n")
	}
	if d.Version != "" {
		fmt.Fprintf(&b, "  the server was %s\n", jobs.OneLine(d.Version))
	}
	for _, name := range d.Gained {
		fmt.Fprintf(&b, "  uses index %s\n", jobs.OneLine(name))
	}
	for _, name := range d.Lost {
		fmt.Fprintf(&b, "  no longer uses index %s\n", jobs.OneLine(name))
	}
	for _, n := range d.Nodes {
		fmt.Fprintf(&b, "  %s\n", n.text())
	}
	if !d.Changed() && len(d.Nodes) == 0 {
		b.WriteString("  the plan is the same\n")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the difference: %w", err)
	}
	return nil
}

func (n NodeChange) text() string {
	where := n.Path
	if where == "" {
		where = "top"
	}
	switch {
	case n.Was == "":
		return fmt.Sprintf("%s: new: %s", where, n.Is)
	case n.Is == "":
		return fmt.Sprintf("%s: gone: %s", where, n.Was)
	case n.Was != n.Is:
		return fmt.Sprintf("%s: %s -> %s", where, n.Was, n.Is)
	}
	return fmt.Sprintf("%s: %s: cost %s, rows %s", where, n.Is, times(n.Cost), times(n.Rows))
}

// ratio is how many times was is is; 1 when both are nothing, 0 when that cannot
// be told.
func ratio(is, was float64) float64 {
	switch {
	case is == was:
		return 1
	case was <= 0:
		return 0
	}
	return float64(int64(is/was*1000+0.5)) / 1000
}

func isFar(ratio float64) bool { return ratio >= told || ratio > 0 && ratio <= 1.0/told }

func times(ratio float64) string {
	switch ratio {
	case 0:
		return "unknown"
	case 1:
		return "the same"
	}
	return fmt.Sprintf("%.4g times", ratio)
}

// unended is a statement without its values and what ends it.
func unended(sql string) string { return strings.TrimRight(normalized(sql), "; ") }
