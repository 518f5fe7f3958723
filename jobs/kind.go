package jobs

import "github.com/ghosteam/upkeep/configs/registry"

// Kind is a type of job: its name, its documentation, its options and how to
// build a Job from them. Kinds are values in a visible list (jobs/all); nothing
// registers itself.
type Kind struct {
	// Name is the word under `kind:`, equal to the folder and the package.
	Name string
	// Doc is Markdown: the first line says in one sentence what the kind does;
	// the rest is the reference text.
	Doc string
	// Probe marks a kind without effects, which may serve as a check.
	Probe bool
	// Artifacts proves what jobs of the kind put into stores; nil for a kind
	// that makes no artifacts.
	Artifacts Artifacts

	options func() any
	build   func(options any, deps Deps) (Job, error)
}

// Validator is implemented by Options structs that can judge themselves after
// decoding: impossible values and contradictions, reported as *FieldError,
// several joined with errors.Join.
type Validator interface {
	Validate() error
}

// Define makes a kind whose options are the struct O. The loader copies
// defaults, decodes the job's `with:` strictly over the copy, calls Validate
// when *O implements Validator, and hands the outcome to build. Fields carry
// the tags `yaml:"name"`, `doc:"one sentence"`, and, where they apply,
// `required:"true"`, `enum:"a,b"` and `example:"text"`.
func Define[O any](name, doc string, defaults O, build func(O, Deps) (Job, error)) Kind {
	return Kind{
		Name:    name,
		Doc:     doc,
		options: registry.Fresh(defaults),
		build: func(options any, deps Deps) (Job, error) {
			return build(*options.(*O), deps) //nolint:forcetypeassert // only Options of this kind reach it
		},
	}
}

// AsProbe returns k marked as a kind without effects.
func (k Kind) AsProbe() Kind {
	k.Probe = true
	return k
}

// WithArtifacts returns k with what it knows about the artifacts of its jobs.
func (k Kind) WithArtifacts(a Artifacts) Kind {
	k.Artifacts = a
	return k
}

// Options returns a pointer to a fresh copy of the kind's default options, to
// decode into or to describe.
func (k Kind) Options() any { return k.options() }

// Build validates options, which must come from Options, and makes the job.
func (k Kind) Build(options any, deps Deps) (Job, error) {
	if err := registry.Validate(options); err != nil {
		return nil, err
	}
	return k.build(options, deps)
}

// Summary returns the first line of the kind's Doc.
func (k Kind) Summary() string { return registry.Summary(k.Doc) }

// Registry finds kinds by name.
type Registry = registry.Registry[Kind]

// NewRegistry returns a registry of kinds, sorted by name. It panics on a
// duplicate or nameless kind, because the list is written in code.
func NewRegistry(kinds ...Kind) *Registry {
	return registry.New("jobs", func(k Kind) string { return k.Name }, kinds...)
}
