package alerts

import "github.com/ghosteam/upkeep/configs/registry"

// Kind is a type of channel: its name, its documentation, its options and how
// to open one. Kinds are values in a visible list (alerts/all); nothing
// registers itself.
type Kind struct {
	// Name is the word under `kind:`, equal to the folder and the package.
	Name string
	// Doc is Markdown: the first line says in one sentence what the channel is;
	// the rest is the reference text.
	Doc string

	options func() any
	open    func(name string, options any) (Channel, error)
}

// Define makes a kind of channel whose options are the struct O. The loader
// copies defaults, decodes the channel's settings strictly over the copy, and
// hands the outcome and the channel's configured name to open. open has no
// effects and does not reach out: it is called while the configuration loads,
// and again for every batch of messages, so that a changed secret is used.
// Fields of O carry the tags of jobs.Define; *O may have a method Validate()
// error that returns *jobs.FieldError.
func Define[O any](name, doc string, defaults O, open func(name string, o O) (Channel, error)) Kind {
	return Kind{
		Name:    name,
		Doc:     doc,
		options: registry.Fresh(defaults),
		open: func(name string, options any) (Channel, error) {
			return open(name, *options.(*O)) //nolint:forcetypeassert // only Options of this kind reach it
		},
	}
}

// Options returns a pointer to a fresh copy of the kind's default options, to
// decode into or to describe.
func (k Kind) Options() any { return k.options() }

// Open validates options, which must come from Options, when they have a
// method Validate() error, and makes the channel. name is the key under
// `channels:`.
func (k Kind) Open(name string, options any) (Channel, error) {
	if err := registry.Validate(options); err != nil {
		return nil, err
	}
	return k.open(name, options)
}

// Summary returns the first line of the kind's Doc.
func (k Kind) Summary() string { return registry.Summary(k.Doc) }

// Registry finds kinds of channels by name.
type Registry = registry.Registry[Kind]

// NewRegistry returns a registry of kinds, sorted by name. It panics on a
// duplicate or nameless kind, because the list is written in code.
func NewRegistry(kinds ...Kind) *Registry {
	return registry.New("alerts", func(k Kind) string { return k.Name }, kinds...)
}
