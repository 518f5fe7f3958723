package executor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/runner"
)

// graph is the jobs of one run in the order of the file, and who waits for
// whom.
type graph struct {
	places []*place
}

// newGraph lays out the jobs of plan that only names; an empty only means all.
// Needs outside of only count as satisfied. Its errors say why the plan cannot
// be executed; a plan that the loader accepted has none.
func newGraph(plan runner.Plan, only []string) (*graph, error) {
	names := make([]string, len(plan.Jobs))
	for i, job := range plan.Jobs {
		names[i] = job.Name
	}
	for _, name := range only {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("the run asks for job %q, which the workflow does not have", name)
		}
	}
	g := &graph{}
	byName := map[string]*place{}
	for _, job := range plan.Jobs {
		if len(only) > 0 && !slices.Contains(only, job.Name) {
			continue
		}
		if byName[job.Name] != nil {
			return nil, fmt.Errorf("job %q stands twice in the workflow", job.Name)
		}
		p := &place{PlannedJob: job}
		byName[job.Name] = p
		g.places = append(g.places, p)
	}
	for _, p := range g.places {
		if err := p.connect(names, byName); err != nil {
			return nil, err
		}
	}
	if err := g.acyclic(); err != nil {
		return nil, err
	}
	g.impliedNeeds(len(only) > 0)
	return g, nil
}

// connect resolves the names in needs and if.
func (p *place) connect(names []string, byName map[string]*place) error {
	left := 0
	for _, name := range p.Needs {
		need := byName[name]
		switch {
		case need != nil:
			p.needs = append(p.needs, need)
		case slices.Contains(names, name):
			left++
		default:
			return fmt.Errorf("job %q needs %q, which the workflow does not have", p.Name, name)
		}
	}
	p.alone = left > 0 && len(p.needs) == 0
	if p.If == "" {
		return nil
	}
	compiled, err := compileCondition(p.If, names)
	if err != nil {
		return fmt.Errorf("if of job %q: %w", p.Name, err)
	}
	for _, name := range compiled.asks {
		if byName[name] == nil {
			return nil
		}
	}
	p.condition = compiled
	return nil
}

// impliedNeeds makes jobs without needs that look at failures wait for all
// that stands before them in the file, except for what waits for them.
func (g *graph) impliedNeeds(restricted bool) {
	for i, p := range g.places {
		if len(p.Needs) > 0 || p.When != runner.OnFailure && p.When != runner.Always {
			continue
		}
		after := g.after(p)
		for _, earlier := range g.places[:i] {
			if !after[earlier] {
				p.needs = append(p.needs, earlier)
			}
		}
		p.alone = restricted && len(p.needs) == 0
	}
}

// after returns the jobs that wait for p, directly or over others.
func (g *graph) after(p *place) map[*place]bool {
	after := map[*place]bool{}
	for grew := true; grew; {
		grew = false
		for _, other := range g.places {
			if !after[other] && slices.ContainsFunc(other.needs, func(need *place) bool { return need == p || after[need] }) {
				after[other] = true
				grew = true
			}
		}
	}
	return after
}

// acyclic refuses jobs that wait for themselves.
func (g *graph) acyclic() error {
	var circle []string
	for _, p := range g.places {
		if g.after(p)[p] {
			circle = append(circle, p.Name)
		}
	}
	if len(circle) > 0 {
		return fmt.Errorf("these jobs wait for each other: %s", strings.Join(circle, ", "))
	}
	return nil
}

// names lists the run's jobs with their kinds.
func (g *graph) names() []runner.JobName {
	names := make([]runner.JobName, len(g.places))
	for i, p := range g.places {
		names[i] = runner.JobName{Name: p.Name, Kind: p.Kind}
	}
	return names
}

// count tells how many jobs are in phase.
func (g *graph) count(in phase) int {
	n := 0
	for _, p := range g.places {
		if p.phase == in {
			n++
		}
	}
	return n
}
