package unit

import "errors"

// Names is one name or a list of names: `store: local` and
// `store: [local, offsite]` both decode into it.
type Names []string

// UnmarshalText reads the form of a single name. A list needs no text form.
func (n *Names) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return errors.New("the name is empty")
	}
	*n = Names{string(text)}
	return nil
}
