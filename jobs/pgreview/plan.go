package pgreview

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
)

// Plan is how a server means to run a statement, or has run it.
type Plan struct {
	// Database is its name in the configuration, Version the server's.
	Database string `json:"database"`
	Version  string `json:"version"`
	// At is when the plan was made, UTC.
	At time.Time `json:"at"`
	// SQL is the statement.
	SQL string `json:"sql"`
	// Analyzed tells that the statement was run: only then are there actual rows
	// and times.
	Analyzed bool `json:"analyzed"`
	// PlanningTime and ExecutionTime are milliseconds; 0 when unknown.
	PlanningTime  float64 `json:"planning_ms,omitempty"`
	ExecutionTime float64 `json:"execution_ms,omitempty"`
	// Settings are those that change plans and differ from the server's own.
	Settings map[string]string `json:"settings,omitempty"`
	// Root is the node that returns the result.
	Root Node `json:"plan"`
}

// Node is one step of a plan with the steps below it. The names are those of
// EXPLAIN (FORMAT JSON), postgresql.org/docs/current/sql-explain.html.
type Node struct {
	Type        string   `json:"Node Type"`
	Strategy    string   `json:"Strategy,omitempty"`
	Operation   string   `json:"Operation,omitempty"`
	JoinType    string   `json:"Join Type,omitempty"`
	Partial     string   `json:"Partial Mode,omitempty"`
	Direction   string   `json:"Scan Direction,omitempty"`
	Role        string   `json:"Parent Relationship,omitempty"`
	Subplan     string   `json:"Subplan Name,omitempty"`
	Relation    string   `json:"Relation Name,omitempty"`
	Alias       string   `json:"Alias,omitempty"`
	Index       string   `json:"Index Name,omitempty"`
	Function    string   `json:"Function Name,omitempty"`
	CTE         string   `json:"CTE Name,omitempty"`
	StartupCost float64  `json:"Startup Cost"`
	TotalCost   float64  `json:"Total Cost"`
	Rows        float64  `json:"Plan Rows"`
	Width       float64  `json:"Plan Width"`
	ActualRows  float64  `json:"Actual Rows,omitempty"`
	ActualTime  float64  `json:"Actual Total Time,omitempty"`
	Loops       float64  `json:"Actual Loops,omitempty"`
	Removed     float64  `json:"Rows Removed by Filter,omitempty"`
	IndexCond   string   `json:"Index Cond,omitempty"`
	RecheckCond string   `json:"Recheck Cond,omitempty"`
	HashCond    string   `json:"Hash Cond,omitempty"`
	MergeCond   string   `json:"Merge Cond,omitempty"`
	JoinFilter  string   `json:"Join Filter,omitempty"`
	Filter      string   `json:"Filter,omitempty"`
	SortMethod  string   `json:"Sort Method,omitempty"`
	SortSpace   float64  `json:"Sort Space Used,omitempty"`
	SortKey     []string `json:"Sort Key,omitempty"`
	GroupKey    []string `json:"Group Key,omitempty"`
	SharedHit   float64  `json:"Shared Hit Blocks,omitempty"`
	SharedRead  float64  `json:"Shared Read Blocks,omitempty"`
	TempWritten float64  `json:"Temp Written Blocks,omitempty"`
	Plans       []Node   `json:"Plans,omitempty"`
}

// ParsePlan reads what EXPLAIN (FORMAT JSON) returns.
func ParsePlan(text []byte) (Plan, error) {
	var all []struct {
		Root          *Node             `json:"Plan"`
		PlanningTime  float64           `json:"Planning Time"`
		ExecutionTime float64           `json:"Execution Time"`
		Settings      map[string]string `json:"Settings"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return Plan{}, fmt.Errorf("read the plan: %w", err)
	}
	if len(all) == 0 || all[0].Root == nil || all[0].Root.Type == "" {
		return Plan{}, errors.New("the server returned no plan; the statement has none")
	}
	p := all[0]
	if len(p.Settings) == 0 {
		p.Settings = nil
	}
	return Plan{Root: *p.Root, PlanningTime: p.PlanningTime, ExecutionTime: p.ExecutionTime, Settings: p.Settings}, nil
}

// label names a node without its numbers: two nodes with one label do the same.
func (n Node) label() string {
	words := n.Type
	switch {
	case n.Type == "Aggregate" && n.Strategy == "Hashed":
		words = "HashAggregate"
	case n.Type == "Aggregate" && n.Strategy == "Sorted":
		words = "GroupAggregate"
	case n.Type == "ModifyTable":
		words = n.Operation
	}
	if n.Partial != "" && n.Partial != "Simple" {
		words = n.Partial + " " + words
	}
	if n.JoinType != "" && n.JoinType != "Inner" {
		words += " (" + n.JoinType + ")"
	}
	if n.Direction == "Backward" {
		words += " Backward"
	}
	if n.Index != "" {
		words += " using " + n.Index
	}
	object := n.Relation
	if object == "" {
		object = n.Function + n.CTE
	}
	if object != "" {
		words += " on " + object
	}
	if n.Alias != "" && n.Alias != object && object != "" {
		words += " " + n.Alias
	}
	return jobs.OneLine(words)
}

// indexes are the names of the indexes that a plan uses, sorted.
func (n Node) indexes() []string {
	var out []string
	n.walk(func(n Node) {
		if n.Index != "" && !slices.Contains(out, n.Index) {
			out = append(out, n.Index)
		}
	})
	slices.Sort(out)
	return out
}

func (n Node) walk(visit func(Node)) {
	visit(n)
	for _, below := range n.Plans {
		below.walk(visit)
	}
}

// misjudged is from which factor on an estimate of rows is told.
const misjudged = 10

// estimate tells how far the number of rows was misjudged; empty when it was
// not, or is not known.
func (n Node) estimate() string {
	if n.Loops == 0 {
		return ""
	}
	factor := max(n.ActualRows, 1) / max(n.Rows, 1)
	switch {
	case factor >= misjudged:
		return fmt.Sprintf("  <- %s times the rows that were expected", humanize.FormatFloat("#,###.", factor))
	case 1/factor >= misjudged:
		return fmt.Sprintf("  <- %s times fewer rows than expected", humanize.FormatFloat("#,###.", 1/factor))
	}
	return ""
}

// details are the conditions of a node, each on a line.
func (n Node) details() []string {
	var out []string
	add := func(name, text string) {
		if text != "" {
			out = append(out, name+": "+jobs.OneLine(text))
		}
	}
	add("Sort Key", strings.Join(n.SortKey, ", "))
	if n.SortMethod != "" {
		add("Sort Method", fmt.Sprintf("%s, %s", n.SortMethod, humanize.IBytes(uint64(n.SortSpace*1024))))
	}
	add("Group Key", strings.Join(n.GroupKey, ", "))
	add("Index Cond", n.IndexCond)
	add("Recheck Cond", n.RecheckCond)
	add("Hash Cond", n.HashCond)
	add("Merge Cond", n.MergeCond)
	add("Join Filter", n.JoinFilter)
	add("Filter", n.Filter)
	if n.Removed > 0 {
		add("Rows Removed by Filter", humanize.Comma(int64(n.Removed)))
	}
	if n.SharedHit+n.SharedRead+n.TempWritten > 0 {
		text := fmt.Sprintf("%s in memory, %s read", humanize.Comma(int64(n.SharedHit)), humanize.Comma(int64(n.SharedRead)))
		if n.TempWritten > 0 {
			text += fmt.Sprintf(", %s written to temporary files", humanize.Comma(int64(n.TempWritten)))
		}
		add("Blocks", text)
	}
	return out
}

// WriteText shows the plan to people.
func (p Plan) WriteText(w io.Writer) error {
	var b strings.Builder
	p.Root.write(&b, "", "")
	for _, name := range slices.Sorted(maps.Keys(p.Settings)) {
		fmt.Fprintf(&b, "Setting: %s = %s\n", jobs.OneLine(name), jobs.OneLine(p.Settings[name]))
	}
	if p.Analyzed {
		fmt.Fprintf(&b, "Planning %s, execution %s\n", milliseconds(p.PlanningTime), milliseconds(p.ExecutionTime))
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	return nil
}

func (n Node) write(b *strings.Builder, first, indent string) {
	fmt.Fprintf(b, "%s%s  (cost=%.2f..%.2f rows=%s)", first, n.named(), n.StartupCost, n.TotalCost, plainNumber(n.Rows))
	if n.Loops > 0 {
		fmt.Fprintf(b, " (actual %s, rows=%s, loops=%s)%s", milliseconds(n.ActualTime*n.Loops), plainNumber(n.ActualRows), plainNumber(n.Loops), n.estimate())
	}
	b.WriteByte('\n')
	for _, line := range n.details() {
		fmt.Fprintf(b, "%s      %s\n", indent, line)
	}
	for _, below := range n.Plans {
		below.write(b, indent+"  ->  ", indent+"      ")
	}
}

// named is the label with what the node is for its parent.
func (n Node) named() string {
	if n.Subplan != "" {
		return jobs.OneLine(n.Subplan) + ": " + n.label()
	}
	return n.label()
}

func plainNumber(n float64) string {
	if n == math.Trunc(n) {
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%.2f", n)
}
