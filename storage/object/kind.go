package object

import "github.com/ghosteam/upkeep/configs/registry"

// Kind is a type of store: its name, its documentation, its options and how
// to open one. Kinds are values in a visible list (storage/object/all);
// nothing registers itself.
type Kind = registry.Opener[Store]

// Define makes a kind of store whose options are the struct O, as
// registry.DefineOpener does.
func Define[O any](name, doc string, defaults O, open func(name string, o O) (Store, error)) Kind {
	return registry.DefineOpener(name, doc, defaults, open)
}

// Registry finds kinds of stores by name.
type Registry = registry.Registry[Kind]

// NewRegistry returns a registry of kinds, sorted by name. It panics on a
// duplicate or nameless kind, because the list is written in code.
func NewRegistry(kinds ...Kind) *Registry { return registry.NewOpeners("object", kinds...) }
