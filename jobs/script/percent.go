package script

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Percent is a part of something, written as "25%"; unlike a share it may be
// more than the whole.
type Percent float64

// UnmarshalText reads a percentage. The sign is required, so that 0.5 cannot be
// mistaken for a half.
func (p *Percent) UnmarshalText(text []byte) error {
	digits, ok := strings.CutSuffix(string(text), "%")
	v, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || !(v > 0) || math.IsInf(v, 0) {
		return fmt.Errorf("%q is not a percentage above 0%%, such as 25%% or 150%%", text)
	}
	*p = Percent(v)
	return nil
}

// MarshalText writes the form that UnmarshalText reads.
func (p Percent) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// String writes p as in "25%".
func (p Percent) String() string { return strconv.FormatFloat(float64(p), 'f', -1, 64) + "%" }
