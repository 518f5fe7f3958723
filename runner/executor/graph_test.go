package executor_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// TestHandle_AnyGraph compares runs of random graphs with an oracle that knows
// only the rules as they are documented.
func TestHandle_AnyGraph(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		count := rapid.IntRange(1, 9).Draw(rt, "jobs")
		var planned []runner.PlannedJob
		fate := map[string]string{}
		order := rapid.Permutation(seq(count)).Draw(rt, "order") // needs point to what comes earlier here
		rank := make([]int, count)
		for at, i := range order {
			rank[i] = at
		}
		for i := range count {
			name := fmt.Sprintf("j%d", i)
			fate[name] = rapid.SampledFrom([]string{"fine", "fine", "fails", "warns"}).Draw(rt, "fate")
			p := job(name, map[string]doing{"fine": fine, "fails": fails, "warns": finds(jobs.Warning)}[fate[name]])
			p.When = rapid.SampledFrom([]runner.When{"", runner.OnSuccess, runner.OnFailure, runner.Always}).Draw(rt, "when")
			p.ContinueOnError = rapid.Bool().Draw(rt, "may")
			if rapid.IntRange(0, 4).Draw(rt, "if") == 0 {
				p.If = "false"
			}
			for other := range count {
				if rank[other] < rank[i] && rapid.IntRange(0, 2).Draw(rt, "need") == 0 {
					p.Needs = append(p.Needs, fmt.Sprintf("j%d", other))
				}
			}
			planned = append(planned, p)
		}
		parallel := rapid.IntRange(1, 4).Draw(rt, "parallel")
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, planned...)
			b.plan(func(p *runner.Plan) { p.Parallel = parallel })
			b.handle(t.Context())
			if diff := cmp.Diff(newOracle(planned, fate).all(), b.ledger.states()); diff != "" {
				rt.Fatalf("jobs (-want +got):\n%s\nplan: %+v", diff, planned)
			}
			if n := len(b.ledger.attempts); n != count {
				rt.Fatalf("%d attempts of %d jobs", n, count)
			}
		})
	})
}

func seq(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// oracle computes each job's end from the documented rules, by recursion.
type oracle struct {
	planned []runner.PlannedJob
	fate    map[string]string
	known   map[string]string
}

func newOracle(planned []runner.PlannedJob, fate map[string]string) *oracle {
	return &oracle{planned: planned, fate: fate, known: map[string]string{}}
}

func (o *oracle) all() map[string]string {
	for i := range o.planned {
		o.end(i)
	}
	return o.known
}

func (o *oracle) index(name string) int {
	return slices.IndexFunc(o.planned, func(p runner.PlannedJob) bool { return p.Name == name })
}

// waits lists what job i waits for; looks without needs look back.
func (o *oracle) waits(i int) []int {
	p := o.planned[i]
	var out []int
	for _, n := range p.Needs {
		out = append(out, o.index(n))
	}
	if len(p.Needs) > 0 || p.When != runner.OnFailure && p.When != runner.Always {
		return out
	}
	for before := range i {
		if !o.reaches(before, i, map[int]bool{}) {
			out = append(out, before)
		}
	}
	return out
}

// reaches tells whether from waits for to, over looks that stand before to only
// as far as they were laid out before.
func (o *oracle) reaches(from, to int, seen map[int]bool) bool {
	if seen[from] {
		return false
	}
	seen[from] = true
	p := o.planned[from]
	next := []int{}
	for _, n := range p.Needs {
		next = append(next, o.index(n))
	}
	if len(p.Needs) == 0 && (p.When == runner.OnFailure || p.When == runner.Always) && from < to {
		next = append(next, o.waits(from)...)
	}
	for _, n := range next {
		if n == to || o.reaches(n, to, seen) {
			return true
		}
	}
	return false
}

func (o *oracle) end(i int) string {
	p := o.planned[i]
	if known, ok := o.known[p.Name]; ok {
		return known
	}
	ok, trouble := true, false
	for _, n := range o.waits(i) {
		end := o.end(n)
		switch end {
		case "failed/error":
			ok = ok && o.planned[n].ContinueOnError
			trouble = true
		case "skipped/condition":
			ok = false
			trouble = trouble || o.trouble(n)
		}
	}
	end := map[string]string{"fine": "succeeded", "fails": "failed/error", "warns": "warned/findings"}[o.fate[p.Name]]
	if p.If == "false" || p.When == runner.OnFailure && !trouble || p.When != runner.OnFailure && p.When != runner.Always && !ok {
		end = "skipped/condition"
	}
	o.known[p.Name] = end
	return end
}

// trouble tells whether a skipped job has something wrong before it.
func (o *oracle) trouble(i int) bool {
	for _, n := range o.waits(i) {
		switch o.end(n) {
		case "failed/error":
			return true
		case "skipped/condition":
			if o.trouble(n) {
				return true
			}
		}
	}
	return false
}
