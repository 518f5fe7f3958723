package configs

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/expand"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// jobMaker makes one job of a workflow, anew for every attempt.
type jobMaker struct {
	world         *world
	kind          jobs.Kind
	workflow, job string
	// jobs are the names of the workflow's jobs.
	jobs []string
	// node is the value under with:, path its name, key the key before it.
	node *source.Node
	path string
	key  source.Pos
	args map[string]expand.Argument
}

// build resolves all references and makes the job. It returns the secrets that
// the job can see, also when it fails.
func (m *jobMaker) build(h runner.HistoryReader) (jobs.Job, []string, error) {
	d := &decode.Decoder{}
	job, deps := m.make(d, m.world.resolver(), h)
	if deps.broken && len(d.Problems.Errors()) == 0 {
		// While loading this is reported where it stands; an attempt must hear it.
		d.Report(m.key, "broken", m.path, strings.Join(deps.reasons, "; "), deps.hint)
	}
	secrets := distinct(d.Secrets)
	wrong := scrub(d.Problems, secrets).Errors()
	if len(wrong) == 0 && job != nil {
		return job, secrets, nil
	}
	if len(wrong) == 0 {
		return nil, secrets, fmt.Errorf("make job %s: kind %s made none", m.job, m.kind.Name)
	}
	messages := make([]string, len(wrong))
	for i, p := range wrong {
		messages[i] = p.Message
	}
	return nil, secrets, jobs.WithHint(fmt.Errorf("make job %s: %s", m.job, strings.Join(messages, "; ")), wrong[0].Hint)
}

// rehearse makes the job to see whether it could be, and reports to d. late
// leaves references for later; what needs them is not looked at then.
func (m *jobMaker) rehearse(d *decode.Decoder, late bool) *scope {
	resolver := m.world.resolver()
	resolver.Late = late
	fork := d.Fork(resolver)
	_, deps := m.make(fork, resolver, nil)
	fork.Deferred = false
	d.Join(fork)
	return deps
}

func (m *jobMaker) make(d *decode.Decoder, resolver *expand.Resolver, h runner.HistoryReader) (job jobs.Job, deps *scope) {
	resolver.Params = m.args
	d.Resolver = resolver
	deps = &scope{world: m.world, decoder: d, workflow: m.workflow, job: m.job, jobs: m.jobs, history: h}
	o := options{values: m.kind.Options(), node: m.node, path: m.path, key: m.key}
	ok := m.world.construct(d, o, deps, func() (err error) {
		job, err = m.kind.Build(o.values, deps)
		return err
	})
	if !ok {
		job = nil
	}
	return job, deps
}

// distinct returns texts without repetitions, longest first.
func distinct(texts []string) []string {
	set := map[string]bool{}
	for _, text := range texts {
		if text != "" {
			set[text] = true
		}
	}
	return slices.SortedFunc(maps.Keys(set), func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
}

// unmistakable matches what is probably a URL with a password, or an identity of
// age, in a line that may hold it in a value that nobody understood.
var unmistakable = regexp.MustCompile(`://[^/\s:@]*:[^@\s]+@|AGE-SECRET-KEY-`)

// scrub returns problems without the given secrets in any of their texts. A
// line of the file that holds one is not shown.
func scrub(problems Problems, secrets []string) Problems {
	if len(problems) == 0 {
		return nil
	}
	r := secret.NewRedactor(secrets)
	out := slices.Clone(problems)
	for i := range out {
		out[i].Message = r.Scrub(out[i].Message)
		out[i].Hint = r.Scrub(out[i].Hint)
		if r.Scrub(out[i].Source) != out[i].Source || unmistakable.MatchString(out[i].Source) {
			out[i].Source = ""
		}
	}
	return out
}
