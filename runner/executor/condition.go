package executor

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"github.com/ghosteam/upkeep/runner"
)

// Bounds of a condition. It decides whether one job starts; whatever needs
// more than this belongs into a script.
const (
	conditionBytes  = 4096
	conditionNodes  = 500
	conditionMemory = 10_000 // elements that evaluation may make, such as those of 1..100
)

// ConditionError says what is wrong with an `if:` expression and where.
type ConditionError struct {
	// Text is the whole expression.
	Text string
	// Offset is the byte of Text at which the trouble starts, 0 to len(Text).
	Offset int
	// Why is one line for people.
	Why string
	// Hint says what to write instead; it may be empty.
	Hint string
}

// Error returns the reason without the place.
func (e *ConditionError) Error() string { return e.Why }

// condition is a compiled `if:` expression.
type condition struct {
	text    string
	program *vm.Program
	world   reflect.Type
	// asks are the jobs that the expression looks at.
	asks []string
}

// CompileCondition checks an `if:` expression against the names of the jobs
// that it may look at. The language is that of expr-lang.org, version 1.17;
// the expression must be a truth value over
//
//	jobs.<name>  .state .reason .summary .exit_code .attempts
//	             .values.<name> .outputs.<name>
//	             .findings.info .warning .critical .total
//	run          .workflow .trigger .slot .host .params.<name> .dry_run
//
// A name with a dash is written jobs["my-job"]. exit_code is that of the child
// process that made the attempt fail, and 0 for a job that succeeded or
// warned. A value or an output that a job did not report is 0 or the empty
// text. The error is a *ConditionError.
func CompileCondition(text string, jobNames []string) error {
	_, err := compileCondition(text, jobNames)
	return err
}

func compileCondition(text string, jobNames []string) (*condition, error) {
	if strings.TrimSpace(text) == "" {
		return nil, &ConditionError{Text: text, Why: "the condition is empty"}
	}
	if len(text) > conditionBytes {
		return nil, &ConditionError{
			Text: text, Offset: conditionBytes, Why: fmt.Sprintf("the condition is longer than %d bytes", conditionBytes),
			Hint: "let a script decide and test its result",
		}
	}
	world := worldType(jobNames)
	check := &conditionCheck{}
	program, err := expr.Compile(text, expr.Env(reflect.New(world).Elem().Interface()),
		expr.AsBool(), expr.WarnOnAny(), expr.MaxNodes(conditionNodes), expr.Patch(check))
	if err != nil {
		return nil, explainCondition(text, jobNames, err)
	}
	if check.err != nil {
		check.err.Text = text
		check.err.Offset = byteOffset(text, check.err.Offset)
		return nil, check.err
	}
	return &condition{text: text, program: program, world: world, asks: check.asks}, nil
}

// eval answers the condition. jobs are in the order of the names that the
// condition was compiled with.
func (c *condition) eval(jobs []jobView, run runView) (bool, error) {
	world := reflect.New(c.world).Elem()
	for i, job := range jobs {
		world.Field(0).Field(i).Set(reflect.ValueOf(job))
	}
	world.Field(1).Set(reflect.ValueOf(run))
	machine := vm.VM{MemoryBudget: conditionMemory}
	answer, err := machine.Run(c.program, world.Interface())
	if err != nil {
		why, _, _ := strings.Cut(err.Error(), "\n")
		return false, fmt.Errorf("evaluate if: %s: %s", c.text, why)
	}
	truth, ok := answer.(bool)
	if !ok {
		return false, fmt.Errorf("evaluate if: %s: the answer is %v, not true or false", c.text, answer)
	}
	return truth, nil
}

// conditionCheck walks a parsed expression: it collects the jobs that are
// asked about and refuses what the types cannot refuse. Its offsets count
// runes until compileCondition turns them into bytes.
type conditionCheck struct {
	asks []string
	err  *ConditionError
}

// Visit looks at one node; children come before their parents.
func (c *conditionCheck) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.MemberNode:
		if name, ok := jobOf(n); ok && !slices.Contains(c.asks, name) {
			c.asks = append(c.asks, name)
		}
	case *ast.BinaryNode:
		if n.Operator == "==" || n.Operator == "!=" {
			c.compare(n.Left, n.Right)
			c.compare(n.Right, n.Left)
		}
	case *ast.PredicateNode:
		// The memory budget bounds one loop; loops inside loops would multiply
		// it into minutes.
		inner := &loopFinder{}
		ast.Walk(&n.Node, inner)
		if inner.found {
			c.refuse(n, "a loop stands inside a loop", "let a script decide and test its result")
		}
	}
}

// compare refuses the comparison of a job's state with a word that is no
// state: it would never be true.
func (c *conditionCheck) compare(side, other ast.Node) {
	member, ok := side.(*ast.MemberNode)
	if !ok {
		return
	}
	if property, ok := member.Property.(*ast.StringNode); !ok || property.Value != "state" {
		return
	}
	if inner, ok := member.Node.(*ast.MemberNode); !ok {
		return
	} else if _, ok := jobOf(inner); !ok {
		return
	}
	if word, ok := other.(*ast.StringNode); ok && !slices.Contains(runner.States(), runner.State(word.Value)) {
		c.refuse(other, fmt.Sprintf("%q is not a state, so the comparison is never true", word.Value),
			"states are "+joinStates())
	}
}

func (c *conditionCheck) refuse(at ast.Node, why, hint string) {
	if c.err == nil {
		c.err = &ConditionError{Offset: at.Location().From, Why: why, Hint: hint}
	}
}

// jobOf returns the job that jobs.<name> or jobs["name"] names.
func jobOf(n *ast.MemberNode) (string, bool) {
	base, ok := n.Node.(*ast.IdentifierNode)
	if !ok || base.Value != "jobs" {
		return "", false
	}
	name, ok := n.Property.(*ast.StringNode)
	if !ok {
		return "", false
	}
	return name.Value, true
}

type loopFinder struct{ found bool }

// Visit notes a predicate, which is the body of a loop.
func (l *loopFinder) Visit(node *ast.Node) {
	if _, ok := (*node).(*ast.PredicateNode); ok {
		l.found = true
	}
}

// explainCondition turns an error of the compiler into one for people, who
// know nothing of our types.
func explainCondition(text string, jobNames []string, err error) *ConditionError {
	out := &ConditionError{Text: text, Why: err.Error()}
	if placed, ok := errors.AsType[*file.Error](err); ok {
		out.Why = placed.Message
		out.Offset = byteOffset(text, placed.From)
	}
	out.Why, _, _ = strings.Cut(out.Why, "\n")
	switch owner, name, _ := strings.Cut(out.Why, " has no field "); {
	case name != "" && strings.Contains(owner, "struct {"):
		out.Why = fmt.Sprintf("there is no job %q to ask about here", name)
		out.Hint = "jobs to ask about: " + listOrNone(jobNames)
	case name != "":
		out.Why = fmt.Sprintf("there is no %q here", name)
		for _, view := range []reflect.Type{reflect.TypeFor[jobView](), reflect.TypeFor[runView](), reflect.TypeFor[findingCounts]()} {
			if strings.Contains(owner, view.Name()) {
				out.Hint = "there is " + listOrNone(fieldNames(view))
			}
		}
	case strings.Contains(out.Why, "struct {"), strings.Contains(out.Why, "executor."):
		out.Why = "this cannot be used here"
		out.Hint = `write jobs.<name> or jobs["name"] or run, then what to ask about it, such as .state`
	}
	for _, name := range jobNames {
		if strings.Contains(name, "-") && strings.Contains(text, "jobs."+name) {
			out.Hint = fmt.Sprintf("write jobs[%q]: a dash after jobs. is a minus", name)
		}
	}
	return out
}

// byteOffset returns the byte at which the rune of that number starts.
func byteOffset(text string, runes int) int {
	for i := range text {
		if runes == 0 {
			return i
		}
		runes--
	}
	return len(text)
}

func listOrNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(slices.Values(names)), ", ")
}

func joinStates() string {
	var words []string
	for _, s := range runner.States() {
		words = append(words, string(s))
	}
	return strings.Join(words, ", ")
}
