package unit_test

import (
	"encoding"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/configs/unit"
)

func TestDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"90m": 90 * time.Minute, "1.5h": 90 * time.Minute, "7d": 7 * 24 * time.Hour, "2w": 14 * 24 * time.Hour, "1d12h": 36 * time.Hour,
		"1d12h30m15s": 36*time.Hour + 30*time.Minute + 15*time.Second, "0s": 0, "250ms": 250 * time.Millisecond, "5us": 5 * time.Microsecond, "5µs": 5 * time.Microsecond, "1ns": 1,
	} {
		var d unit.Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d.Std() != want {
			t.Errorf("%s = %v, %v", text, d.Std(), err)
		}
	}
	for _, text := range []string{"", "90", "-1h", "1 h", "h", "1.h", ".5h", "1..5h", "1y", "1M", "1h ", "+1h", "1e3s", "500y", "100000w", "9999999999h"} {
		if d, err := unit.ParseDuration(text); err == nil {
			t.Errorf("%q was read as %v", text, d)
		}
	}
}

func TestDuration_String(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]time.Duration{"7d": 7 * 24 * time.Hour, "1h": time.Hour, "1h30m": 90 * time.Minute, "36h": 36 * time.Hour, "1m30s": 90 * time.Second, "0s": 0} {
		if got := unit.Duration(d).String(); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"1000": 1000, "512MiB": 512 << 20, "4GB": 4e9, "4 GiB": 4 << 30, "1.5k": 1500, "1Ki": 1024, "0": 0, "7B": 7} {
		var s unit.Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s.Bytes() != want {
			t.Errorf("%s = %d, %v", text, s.Bytes(), err)
		}
	}
	for _, text := range []string{"", "-1", "1,000", "lots", "1 XB", "MB", "99999PB", "1e3", "0x10"} {
		var s unit.Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %d", text, s.Bytes())
		}
	}
	if got := unit.Size(4 << 30).String(); got != "4.0 GiB" {
		t.Errorf("got %s", got)
	}
	if got := unit.Size(-1024).String(); got != "-1.0 KiB" {
		t.Errorf("got %s", got)
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{"25%": 0.25, "0%": 0, "100%": 1, "99.9%": 0.999, "100.0%": 1} {
		var s unit.Share
		if err := s.UnmarshalText([]byte(text)); err != nil || math.Abs(s.Fraction()-want) > 1e-12 {
			t.Errorf("%s = %v, %v", text, s.Fraction(), err)
		}
	}
	for _, text := range []string{"", "0.5", "25", "101%", "-1%", "1e1%", "NaN%", "% ", "100.1%"} {
		var s unit.Share
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %v", text, s)
		}
	}
}

func TestPath(t *testing.T) {
	t.Parallel()
	var p unit.Path
	if err := p.UnmarshalText([]byte("var/log")); err != nil || p.String() != "var/log" {
		t.Errorf("got %q, %v", p, err)
	}
	for _, text := range []string{"", "a\x00b"} {
		if err := p.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken for a path", text)
		}
	}
}

func TestNamesAndCommand(t *testing.T) {
	t.Parallel()
	var n unit.Names
	if err := n.UnmarshalText([]byte("local")); err != nil || !cmp.Equal(n, unit.Names{"local"}) {
		t.Errorf("got %v, %v", n, err)
	}
	if err := n.UnmarshalText(nil); err == nil {
		t.Error("the empty name was taken")
	}
	var c unit.Command
	if err := c.UnmarshalText([]byte("echo $HOME")); err != nil || !c.IsShell() || c[2] != "echo $HOME" {
		t.Errorf("got %v, %v", c, err)
	}
	if err := c.UnmarshalText([]byte(" \n")); err == nil {
		t.Error("the empty command was taken")
	}
	if (unit.Command{"echo"}).IsShell() {
		t.Error("a list was taken for a script")
	}
}

func TestShellWord(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"configs/quickstart.yaml": "configs/quickstart.yaml",
		"with blank":              "'with blank'",
		"it's":                    `'it'\''s'`,
		"":                        "''",
		"$(id)":                   "'$(id)'",
		"a\n":                     "'a\n'",
		"größe":                   "'größe'",
	} {
		if got := unit.ShellWord(text); got != want {
			t.Errorf("ShellWord(%q) = %s, want %s", text, got, want)
		}
	}
}

func TestClone(t *testing.T) {
	t.Parallel()
	type inner struct{ List []string }
	type outer struct {
		Map     map[string]*inner
		Pointer *inner
		Plain   int
	}
	original := outer{Map: map[string]*inner{"a": {[]string{"x"}}}, Pointer: &inner{[]string{"y"}}, Plain: 1}
	copied := unit.Clone(original)
	if diff := cmp.Diff(original, copied); diff != "" {
		t.Fatal(diff)
	}
	copied.Map["a"].List[0], copied.Pointer.List[0], copied.Map["b"] = "changed", "changed", nil
	if original.Map["a"].List[0] != "x" || original.Pointer.List[0] != "y" || len(original.Map) != 1 {
		t.Errorf("the original changed: %+v", original)
	}
}

// The patterns are what editors check, so they must say what the parsers do.
func TestPatterns_SayWhatIsRead(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		pattern string
		fresh   func() encoding.TextUnmarshaler
	}{
		"duration": {unit.DurationPattern, func() encoding.TextUnmarshaler { return new(unit.Duration) }},
		"size":     {unit.SizePattern, func() encoding.TextUnmarshaler { return new(unit.Size) }},
		"share":    {unit.SharePattern, func() encoding.TextUnmarshaler { return new(unit.Share) }},
	} {
		pattern, long := regexp.MustCompile(tc.pattern), regexp.MustCompile(`\d{5}`)
		rapid.Check(t, func(t *rapid.T) {
			pieces := rapid.SliceOfN(rapid.SampledFrom([]string{"1", "0", "25", "100", ".", "5", "h", "m", "s", "d", "w", "ms", "µs", "k", "Ki", "M", "G", "B", "b", "%", " ", "-", "+", "e", ","}), 0, 5).Draw(t, "pieces")
			text := strings.Join(pieces, "")
			if long.MatchString(text) {
				return // a pattern knows nothing of ranges
			}
			err := tc.fresh().UnmarshalText([]byte(text))
			if pattern.MatchString(text) != (err == nil) {
				t.Fatalf("%s %q: pattern %v, parser %v", name, text, pattern.MatchString(text), err)
			}
		})
	}
}

func TestText_RoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := unit.Duration(rapid.Int64Range(0, math.MaxInt64/2).Draw(t, "duration"))
		d -= d % unit.Duration(time.Microsecond)
		var d2 unit.Duration
		s := unit.Size(rapid.Int64Range(0, math.MaxInt64/2).Draw(t, "size"))
		var s2 unit.Size
		p := unit.Share(float64(rapid.IntRange(0, 1000).Draw(t, "share")) / 10)
		var p2 unit.Share
		for _, pair := range []struct {
			from encoding.TextMarshaler
			to   encoding.TextUnmarshaler
		}{{d, &d2}, {s, &s2}, {p, &p2}} {
			text, err := pair.from.MarshalText()
			if err != nil {
				t.Fatal(err)
			}
			if err := pair.to.UnmarshalText(text); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
		// Durations are added up as floating-point numbers, which hold 53 bits.
		if drift := math.Abs(float64(d-d2)) / (1 + float64(d)); drift > 1e-15 {
			t.Fatalf("duration %v came back as %v", d, d2)
		}
		if math.Abs(float64(s-s2))/(1+float64(s)) > 1e-15 || p != p2 {
			t.Fatalf("%v %v came back as %v %v", s, p, s2, p2)
		}
	})
}

func FuzzParseDuration(f *testing.F) {
	for _, seed := range []string{"90m", "1d12h", "1.5h", "", "9223372036s", "1µs"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := unit.ParseDuration(text)
		if err != nil {
			return
		}
		if d < 0 {
			t.Fatalf("%q became %v", text, d)
		}
		again, err := unit.ParseDuration(unit.Duration(d).String())
		if err != nil || math.Abs(float64(again-d)) > 1e-9*float64(d)+1 {
			t.Fatalf("%q became %v, and that %v (%v)", text, d, again, err)
		}
	})
}

func FuzzSize(f *testing.F) {
	for _, seed := range []string{"1", "512MiB", "4 GB", "1.5k", "16EiB"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s unit.Size
		if err := s.UnmarshalText([]byte(text)); err == nil && s < 0 {
			t.Fatalf("%q became %s", text, fmt.Sprint(int64(s)))
		}
	})
}
