package object

import "fmt"

// Level says how far an artifact was proven, from "its parts are there" to "a
// throwaway server ran on it". The empty level means unproven.
type Level string

// The levels of proof, cheapest first.
const (
	// L0: every part is present and has its length.
	L0 Level = "L0"
	// L1: every stored byte was read back and hashed.
	L1 Level = "L1"
	// L2: the content was read in full by a reader of its own format and
	// compared with what the manifest says is in it.
	L2 Level = "L2"
	// L3: it was restored into a scratch place on a running server.
	L3 Level = "L3"
	// L4: it was restored into a throwaway server of its own.
	L4 Level = "L4"
)

// Rank returns 0 for L0 to 4 for L4 and -1 for any other word, so that levels
// can be compared.
func (l Level) Rank() int {
	switch l {
	case L0:
		return 0
	case L1:
		return 1
	case L2:
		return 2
	case L3:
		return 3
	case L4:
		return 4
	}
	return -1
}

// UnmarshalText reads one of the five words, or nothing for unproven.
func (l *Level) UnmarshalText(text []byte) error {
	if len(text) > 0 && Level(text).Rank() < 0 {
		return fmt.Errorf("%q is not a level of proof: use L0, L1, L2, L3 or L4", text)
	}
	*l = Level(text)
	return nil
}
