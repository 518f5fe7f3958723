// Package unit holds the value types of the configuration: durations, sizes,
// shares and paths as people write them. It is a leaf: kinds, stores and the
// loader share these types, and it imports nothing of ours.
package unit

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// DurationPattern is the regular expression that every text form of a
// Duration matches; the JSON Schema shows it to editors.
const DurationPattern = `^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d|w))+$`

// SizePattern is the regular expression that every text form of a Size
// matches.
const SizePattern = `^\d+(\.\d+)?\s*([kKMGTPE]i?)?[bB]?$`

// SharePattern is the regular expression that every text form of a Share
// matches.
const SharePattern = `^(100(\.0+)?|\d{1,2}(\.\d+)?)%$`

var (
	durationPattern = regexp.MustCompile(DurationPattern)
	sizePattern     = regexp.MustCompile(SizePattern)
	sharePattern    = regexp.MustCompile(SharePattern)
)

// Duration is a length of time written as a string such as "90m", "1.5h",
// "7d" or "1d12h". A day is 24 hours and a week 7 days: calendar arithmetic
// belongs to runner/schedule. It is never negative.
type Duration time.Duration

// Std returns d as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String writes d in its shortest form, using days where they are whole.
func (d Duration) String() string {
	const day = 24 * time.Hour
	std := time.Duration(d)
	if std >= day && std%day == 0 {
		return strconv.FormatInt(int64(std/day), 10) + "d"
	}
	return Brief(std)
}

// MarshalText writes the form that UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a duration; see ParseDuration.
func (d *Duration) UnmarshalText(text []byte) error {
	std, err := ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = Duration(std)
	return nil
}

// ParseDuration reads "90m", "1.5h", "7d", "2w" or a sequence of these such as
// "1d12h". A number without a unit is an error, because people disagree on
// whether it means seconds or minutes.
func ParseDuration(text string) (time.Duration, error) {
	if !durationPattern.MatchString(text) {
		return 0, durationError(text)
	}
	rest := text
	var total float64
	for rest != "" {
		digits := 0
		for digits < len(rest) && (rest[digits] >= '0' && rest[digits] <= '9' || rest[digits] == '.') {
			digits++
		}
		letters := digits
		for letters < len(rest) && (rest[letters] < '0' || rest[letters] > '9') && rest[letters] != '.' {
			letters++
		}
		number, err := strconv.ParseFloat(rest[:digits], 64)
		if err != nil {
			return 0, durationError(text)
		}
		scale, ok := durationUnit(rest[digits:letters])
		if !ok {
			return 0, durationError(text)
		}
		total += number * float64(scale)
		rest = rest[letters:]
	}
	if total >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is too long: the longest duration is 292 years", text)
	}
	return time.Duration(math.Round(total)), nil
}

func durationUnit(unit string) (time.Duration, bool) {
	switch unit {
	case "ns":
		return time.Nanosecond, true
	case "us", "µs":
		return time.Microsecond, true
	case "ms":
		return time.Millisecond, true
	case "s":
		return time.Second, true
	case "m":
		return time.Minute, true
	case "h":
		return time.Hour, true
	case "d":
		return 24 * time.Hour, true
	case "w":
		return 7 * 24 * time.Hour, true
	}
	return 0, false
}

func durationError(text string) error {
	return fmt.Errorf("%q is not a duration: write a number and a unit, such as 30s, 90m, 12h, 7d or 1d12h", text)
}

// Size is a number of bytes written as "512MiB", "4GB" or "1000". Units with
// an i are powers of 1,024, the others powers of 1,000.
type Size int64

// Bytes returns s in bytes.
func (s Size) Bytes() int64 { return int64(s) }

// String writes s in powers of 1,024, as in "4.0 GiB".
func (s Size) String() string {
	if s < 0 {
		return "-" + Size(-s).String()
	}
	return humanize.IBytes(uint64(s))
}

// MarshalText writes the exact number of bytes, which UnmarshalText reads.
func (s Size) MarshalText() ([]byte, error) {
	return strconv.AppendInt(nil, int64(s), 10), nil
}

// UnmarshalText reads a size. It refuses negative and absurd ones.
func (s *Size) UnmarshalText(text []byte) error {
	bytes, err := humanize.ParseBytes(string(text))
	if err != nil || bytes > math.MaxInt64 || !sizePattern.Match(text) {
		return fmt.Errorf("%q is not a size: write a number and a unit, such as 500MB or 4GiB", text)
	}
	*s = Size(bytes)
	return nil
}

// Share is a part of a whole in percent, 0 to 100, written as "25%".
type Share float64

// Fraction returns s as a number from 0 to 1.
func (s Share) Fraction() float64 { return float64(s) / 100 }

// String writes s as in "25%".
func (s Share) String() string {
	return strconv.FormatFloat(float64(s), 'f', -1, 64) + "%"
}

// MarshalText writes the form that UnmarshalText reads.
func (s Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a share. The percent sign is required, so that 0.5
// cannot be mistaken for a half.
func (s *Share) UnmarshalText(text []byte) error {
	value, err := strconv.ParseFloat(strings.TrimSuffix(string(text), "%"), 64)
	if err != nil || !sharePattern.Match(text) {
		return fmt.Errorf("%q is not a share: write a percentage from 0%% to 100%%, such as 25%%", text)
	}
	*s = Share(value)
	return nil
}

// Path is a path of the file system. The loader makes it absolute against the
// configuration's root before anyone sees it.
type Path string

// String returns the path.
func (p Path) String() string { return string(p) }

// UnmarshalText reads a path. It refuses the empty path and the NUL byte, so
// that an empty variable can never widen a path to its parent.
func (p *Path) UnmarshalText(text []byte) error {
	switch {
	case len(text) == 0:
		return errors.New("the path is empty")
	case strings.IndexByte(string(text), 0) >= 0:
		return errors.New("the path contains a NUL byte")
	}
	*p = Path(text)
	return nil
}
