// Package registry is what the families of plugins share: finding an
// implementation by its name, and handing it options. It knows none of the
// families (kinds of jobs, of stores, of channels) and refuses to register
// anything by itself: lists are written in code. It is a leaf; of ours it
// imports configs/unit only.
package registry

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/configs/unit"
)

// Registry finds the members of one family by name. It does not change and may
// be used from several goroutines; the zero Registry is empty.
type Registry[K any] struct {
	members []K
	name    func(K) string
}

// New returns a registry of members, sorted by what name says of each. It
// panics on a duplicate or nameless member, because the list is written in
// code; family stands in front of the message.
func New[K any](family string, name func(K) string, members ...K) *Registry[K] {
	sorted := slices.SortedFunc(slices.Values(members), func(a, b K) int { return strings.Compare(name(a), name(b)) })
	for i, m := range sorted {
		if name(m) == "" || i > 0 && name(sorted[i-1]) == name(m) {
			panic(fmt.Sprintf("%s: kind %q is nameless or listed twice", family, name(m)))
		}
	}
	return &Registry[K]{members: sorted, name: name}
}

// Lookup returns the member of that name.
func (r *Registry[K]) Lookup(name string) (K, bool) {
	i, ok := slices.BinarySearchFunc(r.members, name, func(m K, name string) int { return strings.Compare(r.name(m), name) })
	if !ok {
		var none K
		return none, false
	}
	return r.members[i], true
}

// All returns the members sorted by name.
func (r *Registry[K]) All() []K { return slices.Clone(r.members) }

// Names returns the names of the members, sorted.
func (r *Registry[K]) Names() []string {
	names := make([]string, len(r.members))
	for i, m := range r.members {
		names[i] = r.name(m)
	}
	return names
}

// Fresh returns a function that returns a pointer to a new deep copy of
// defaults at every call, to decode into or to describe.
func Fresh[O any](defaults O) func() any {
	return func() any {
		o := unit.Clone(defaults)
		return &o
	}
}

// Validate asks options to judge themselves when they have a method
// Validate() error.
func Validate(options any) error {
	if v, ok := options.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// Summary returns the first line of a documentation text.
func Summary(doc string) string {
	line, _, _ := strings.Cut(doc, "\n")
	return line
}
