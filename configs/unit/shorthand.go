package unit

import "encoding"

// Shorthand is implemented by structs of the configuration that may also be
// written as one value, which UnmarshalText reads: `verify: L2` instead of
// `verify: {each: L2}`.
type Shorthand interface {
	encoding.TextUnmarshaler
	// Shorthand does nothing: it tells such a struct from one that is only a
	// value, such as an instant.
	Shorthand()
}
