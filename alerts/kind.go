package alerts

import "github.com/ghosteam/upkeep/configs/registry"

// Kind is a type of channel: its name, its documentation, its options and how
// to open one. Kinds are values in a visible list (alerts/all); nothing
// registers itself.
type Kind = registry.Opener[Channel]

// Define makes a kind of channel whose options are the struct O, as
// registry.DefineOpener does. open is called while the configuration loads,
// and again for every message, so that a changed secret is used.
func Define[O any](name, doc string, defaults O, open func(name string, o O) (Channel, error)) Kind {
	return registry.DefineOpener(name, doc, defaults, open)
}

// Registry finds kinds of channels by name.
type Registry = registry.Registry[Kind]

// NewRegistry returns a registry of kinds, sorted by name. It panics on a
// duplicate or nameless kind, because the list is written in code.
func NewRegistry(kinds ...Kind) *Registry { return registry.NewOpeners("alerts", kinds...) }
