package configs

import (
	"fmt"
	"slices"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/expand"
	"github.com/ghosteam/upkeep/configs/internal/problem"
	"github.com/ghosteam/upkeep/configs/internal/source"
)

// scriptKind is the kind that runs what people write, so that its arguments
// deserve a look of their own.
const scriptKind = "script"

// arguments looks at what stands in the argument list of a script, which every
// user of a machine can read while it runs.
func (b *draft) arguments(item *decode.Item[jobFile], job *Job) {
	e, _ := item.Value.With.Get("run")
	if e.Value == nil {
		return
	}
	shell := e.Value.Kind == source.Scalar
	for _, arg := range append([]*source.Node{e.Value}, e.Value.Items...) {
		parts, err := expand.Parse(arg.Text)
		if arg.Kind != source.Scalar || err != nil {
			continue
		}
		for _, part := range parts {
			if part.Ref != nil {
				b.argument(arg.Pos.Seek(part.Ref.Text), *part.Ref, shell, job)
			}
		}
	}
}

// argument judges one reference in an argument. What comes out of a file is a
// secret; of a variable that can only be guessed.
func (b *draft) argument(place source.Pos, ref expand.Ref, shell bool, job *Job) {
	path := job.path + ".with.run"
	if ref.Scheme == expand.Param {
		i := slices.IndexFunc(b.out.Params, func(p Param) bool { return p.Name == ref.Name })
		if shell && i >= 0 && b.out.Params[i].Type == paramString && b.out.Params[i].Pattern == "" {
			b.d.Warn(place, "shell-param", path, fmt.Sprintf("%s becomes part of a shell script, whatever it holds", ref.Text),
				"give the parameter a pattern, or pass it through env: and write \"$NAME\"")
		}
		return
	}
	severity := problem.Error
	if ref.Scheme == expand.Env {
		value, err := b.world.resolver().Resolve(ref)
		if err != nil || !value.Secret {
			return
		}
		severity = problem.Warning
	}
	b.d.Problems = append(b.d.Problems, place.Problem(severity, "secret-argument", path,
		fmt.Sprintf("%s would be visible to every user of this machine in the list of processes", ref.Text), "pass it through env:"))
}
