// Package all lists the kinds of artifact stores.
package all

import (
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/local"
	"github.com/ghosteam/upkeep/storage/object/s3"
)

// Kinds returns every kind of store, one line each.
func Kinds() []object.Kind {
	return []object.Kind{
		local.Kind(),
		s3.Kind(),
	}
}
