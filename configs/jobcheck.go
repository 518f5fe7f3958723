package configs

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/problem"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/executor"
	"github.com/ghosteam/upkeep/runner/retry"
)

// lockPattern is what the names of locks look like. Kinds name theirs in the
// same way: "family/name".
var lockPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_.:/-]{0,127}$`)

// retries takes the policy of a job for further attempts.
func (job *Job) retries(f *retryFile) {
	if f != nil {
		job.Retry = retry.Policy{Max: f.Max, Backoff: f.Backoff}
		job.RetryExitCodes = f.OnExitCodes
	}
}

// locks checks the names of a job's locks.
func (b *draft) locks(item *decode.Item[jobFile], path string) {
	e, _ := item.Node.Get("locks")
	for i, name := range item.Value.Locks {
		field := fmt.Sprintf("locks[%d]", i)
		place := at(item.Node, field, e.At)
		switch {
		case !lockPattern.MatchString(name):
			b.d.Report(place, "bad-name", path+"."+field, fmt.Sprintf("%q cannot be the name of a lock", name), "write a name such as database/main, with lower-case letters, digits and . : / - _")
		case slices.Contains(item.Value.Locks[:i], name):
			b.d.Report(place, "bad-value", path+"."+field, fmt.Sprintf("the lock %q is named twice", name), "")
		}
	}
}

// needs checks that the jobs wait for each other in some order.
func (b *draft) needs() {
	names := b.jobs.Names()
	for i := range b.jobs {
		item := &b.jobs[i]
		path := b.child("jobs") + "." + item.Name + ".needs"
		e, _ := item.Node.Get("needs")
		for k, name := range item.Value.Needs {
			place := at(item.Node, fmt.Sprintf("needs[%d]", k), e.At)
			if len(item.Value.Needs) == 1 {
				place = at(item.Node, "needs[0]", at(item.Node, "needs", e.At))
			}
			switch {
			case name == "": // its value has been reported
			case !slices.Contains(names, name):
				b.d.Report(place, "unknown-name", path, fmt.Sprintf("the workflow has no job %q", name), problem.DidYouMean(name, others(names, item.Name)))
			case name == item.Name:
				b.d.Report(place, "cycle", path, fmt.Sprintf("the job %s needs itself", name), "remove it")
			case slices.Contains(item.Value.Needs[:k], name):
				b.d.Report(place, "bad-value", path, fmt.Sprintf("the job %q is named twice", name), "remove one")
			}
		}
	}
	b.cycles()
}

func others(names []string, self string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == self })
}

// cycles reports each circle of jobs that wait for each other once, at the
// need that closes it.
func (b *draft) cycles() {
	const (
		unseen = iota
		open
		closed
	)
	state := map[string]int{}
	var way []string
	var visit func(name string)
	visit = func(name string) {
		item, ok := b.jobs.Lookup(name)
		if !ok {
			return
		}
		state[name] = open
		way = append(way, name)
		for k, need := range item.Value.Needs {
			switch {
			case need == name:
			case state[need] == unseen:
				visit(need)
			case state[need] == open:
				circle := append(slices.Clone(way[slices.Index(way, need):]), need)
				e, _ := item.Node.Get("needs")
				b.d.Report(at(item.Node, fmt.Sprintf("needs[%d]", k), e.At), "cycle", b.child("jobs")+"."+name+".needs",
					"these jobs wait for each other: "+strings.Join(circle, " -> "), "remove one of the needs")
			}
		}
		way = way[:len(way)-1]
		state[name] = closed
	}
	for _, name := range b.jobs.Names() {
		if state[name] == unseen {
			visit(name)
		}
	}
}

// ancestors returns the jobs that have ended, in any state, before the job
// starts.
func (b *draft) ancestors(item *decode.Item[jobFile]) []string {
	found := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		if found[name] || name == item.Name {
			return
		}
		if need, ok := b.jobs.Lookup(name); ok {
			found[name] = true
			for _, next := range b.waitsFor(need) {
				visit(next)
			}
		}
	}
	for _, name := range b.waitsFor(item) {
		visit(name)
	}
	return slices.DeleteFunc(b.jobs.Names(), func(name string) bool { return !found[name] })
}

// waitsFor returns what a job waits for: its needs or, for a job without needs
// that looks at failures, everything before it in the file.
func (b *draft) waitsFor(item *decode.Item[jobFile]) []string {
	f := &item.Value
	if len(f.Needs) > 0 || runner.When(f.When) != runner.OnFailure && runner.When(f.When) != runner.Always {
		return f.Needs
	}
	names := b.jobs.Names()
	return names[:slices.Index(names, item.Name)]
}

// condition checks the expression of a job.
func (b *draft) condition(item *decode.Item[jobFile], path string) {
	e, given := item.Node.Get("if")
	if !given || e.Value.Kind != source.Scalar || item.Value.If == "" && e.Value.Text != "" {
		return // its value has been reported
	}
	earlier := b.ancestors(item)
	err := executor.CompileCondition(item.Value.If, earlier)
	if err == nil {
		return
	}
	place, hint := e.Value.Pos, ""
	if wrong, ok := errors.AsType[*executor.ConditionError](err); ok {
		place, hint = inside(e.Value, wrong.Offset), wrong.Hint
	}
	if executor.CompileCondition(item.Value.If, b.jobs.Names()) == nil {
		hint = "a condition may look at jobs that have certainly ended: add the job to needs:"
	}
	b.d.Report(place, "condition", path+".if", "if: "+err.Error(), hint)
}
