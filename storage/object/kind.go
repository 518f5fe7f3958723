package object

import "github.com/ghosteam/upkeep/configs/registry"

// Kind is a type of store: its name, its documentation, its options and how
// to open one. Kinds are values in a visible list (storage/object/all);
// nothing registers itself.
type Kind struct {
	// Name is the word under `kind:`, equal to the folder and the package.
	Name string
	// Doc is Markdown: the first line says in one sentence what the store is;
	// the rest is the reference text.
	Doc string

	options func() any
	open    func(name string, options any) (Store, error)
}

// Define makes a kind of store whose options are the struct O. The loader
// copies defaults, decodes the store's settings strictly over the copy, and
// hands the outcome and the store's configured name to open. open has no
// effects and does not reach out: it is called while the configuration loads.
// Fields of O carry the tags of jobs.Define.
func Define[O any](name, doc string, defaults O, open func(name string, o O) (Store, error)) Kind {
	return Kind{
		Name:    name,
		Doc:     doc,
		options: registry.Fresh(defaults),
		open: func(name string, options any) (Store, error) {
			return open(name, *options.(*O)) //nolint:forcetypeassert // only Options of this kind reach it
		},
	}
}

// Options returns a pointer to a fresh copy of the kind's default options, to
// decode into or to describe.
func (k Kind) Options() any { return k.options() }

// Open validates options, which must come from Options, when they have a
// method Validate() error, and makes the store. name is the key under
// `stores:`.
func (k Kind) Open(name string, options any) (Store, error) {
	if err := registry.Validate(options); err != nil {
		return nil, err
	}
	return k.open(name, options)
}

// Summary returns the first line of the kind's Doc.
func (k Kind) Summary() string { return registry.Summary(k.Doc) }

// Registry finds kinds of stores by name.
type Registry = registry.Registry[Kind]

// NewRegistry returns a registry of kinds, sorted by name. It panics on a
// duplicate or nameless kind, because the list is written in code.
func NewRegistry(kinds ...Kind) *Registry {
	return registry.New("object", func(k Kind) string { return k.Name }, kinds...)
}
