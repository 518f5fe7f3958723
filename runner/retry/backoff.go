package retry

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// BackoffPattern is the regular expression that every text form of a Backoff
// matches; the JSON Schema shows it to editors.
const BackoffPattern = `^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d|w))+(\.\.(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d|w))+)?$`

// waitForm is the form of one bound of a Backoff.
var waitForm = regexp.MustCompile(`^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d|w))+$`)

// maxWait is the longest wait that a Backoff may name. Longer ones are a
// schedule, not a retry.
const maxWait = 7 * 24 * time.Hour

// Backoff bounds the waits of a Policy: the first is Min, none is longer than
// Max. Its text form is "1m..10m", or "30s" when both are equal.
type Backoff struct {
	Min, Max time.Duration
}

// DefaultBackoff is what the zero Backoff stands for: one second to one minute.
func DefaultBackoff() Backoff { return Backoff{Min: time.Second, Max: time.Minute} }

// ParseBackoff reads "1m..10m" or "30s". Units are those of time.ParseDuration
// and d (24 hours) and w (7 days). The bounds lie between 1ms and 7d.
func ParseBackoff(text string) (Backoff, error) {
	low, high, ranged := strings.Cut(text, "..")
	if !ranged {
		high = low
	}
	var b Backoff
	var err error
	if b.Min, err = parseWait(low); err != nil {
		return Backoff{}, fmt.Errorf("backoff %q: %w", text, err)
	}
	if b.Max, err = parseWait(high); err != nil {
		return Backoff{}, fmt.Errorf("backoff %q: %w", text, err)
	}
	if err := b.validate(); err != nil {
		return Backoff{}, err
	}
	return b, nil
}

// String writes the text form of b. The zero value is written as the default
// that it stands for.
func (b Backoff) String() string {
	if b == (Backoff{}) {
		b = DefaultBackoff()
	}
	if b.Min == b.Max {
		return formatWait(b.Min)
	}
	return formatWait(b.Min) + ".." + formatWait(b.Max)
}

// MarshalText writes the form that UnmarshalText reads.
func (b Backoff) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads a backoff; see ParseBackoff.
func (b *Backoff) UnmarshalText(text []byte) error {
	parsed, err := ParseBackoff(string(text))
	if err != nil {
		return err
	}
	*b = parsed
	return nil
}

func (b Backoff) validate() error {
	switch {
	case b.Min < time.Millisecond:
		return fmt.Errorf("backoff starts at %s: the shortest wait is 1ms", formatWait(b.Min))
	case b.Max < b.Min:
		return fmt.Errorf("backoff ends at %s before it starts at %s: write the shorter wait first", formatWait(b.Max), formatWait(b.Min))
	case b.Max > maxWait:
		return fmt.Errorf("backoff ends at %s: the longest wait is %s", formatWait(b.Max), formatWait(maxWait))
	}
	return nil
}

// parseWait reads a duration with the units of time.ParseDuration and d and w,
// the larger ones first.
func parseWait(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0, errors.New("a duration such as 30s or 5m is missing")
	}
	malformed := fmt.Errorf("%q is not a duration such as 30s, 5m or 1d", text)
	if !waitForm.MatchString(text) {
		return 0, malformed
	}
	rest := text
	total := 0.0
	for _, long := range []struct {
		unit string
		size time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		digits, after, found := strings.Cut(rest, long.unit)
		if !found {
			continue
		}
		count, err := strconv.ParseFloat(digits, 64)
		if err != nil {
			return 0, malformed
		}
		total += count * float64(long.size)
		rest = after
	}
	if rest != "" {
		short, err := time.ParseDuration(rest)
		if err != nil {
			return 0, malformed
		}
		total += float64(short)
	}
	// Whatever is longer is refused by validate; the cap only keeps the
	// conversion defined.
	return time.Duration(min(total, float64(100*maxWait))), nil
}

// formatWait writes d in its shortest form.
func formatWait(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
