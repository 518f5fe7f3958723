package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	upkeep "github.com/ghosteam/upkeep/cmd/upkeep"
)

func TestOneLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		most int
		want string
	}{
		{"plain", 0, "plain"},
		{"  two\nlines\t", 0, "two lines"},
		{"\x1b[31mred", 0, "[31mred"},
		{"a\u202eb\u009bc\x7fd", 0, "a b c d"},
		{"größer", 4, "grö…"},
		{"größer", 6, "größer"},
		{"größer", 1, "…"},
		{"", 5, ""},
	} {
		if got := upkeep.OneLine(tt.text, tt.most); got != tt.want {
			t.Errorf("oneLine(%q, %d) = %q, want %q", tt.text, tt.most, got, tt.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain\ttext\n":             "plain\ttext\n",
		"\x1b]0;x\a":                "^[]0;x^G",
		"\x7f\x00":                  "^?^@",
		"50 %\r100 %\r\ndone\r":     "50 %\n100 %\ndone\n",
		"caf\u00e9 \u009b2J":        `café \u009b2J`,
		"\xff\xc3":                  `\xff\xc3`,
		"\u202egpj\u2066\u2028":     `\u202egpj\u2066\u2028`,
		"\U000e0001 tag \U0001f600": "\\U000e0001 tag \U0001f600",
	} {
		if got := string(upkeep.Printable([]byte(text))); got != want {
			t.Errorf("printable(%q) = %q, want %q", text, got, want)
		}
	}
}

// Whatever a job writes: nothing that a terminal obeys comes out, and following
// it in pieces shows the same as reading it whole.
func FuzzPrintable(f *testing.F) {
	f.Add([]byte("caf\xc3\xa9 \x1b[2J\r\n"), 4)
	f.Add([]byte("\xe2\x82\xac\xff\u202e"), 1)
	f.Fuzz(func(t *testing.T, text []byte, at int) {
		whole := upkeep.Printable(text)
		for _, r := range string(whole) {
			if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
				t.Fatalf("printable(%q) = %q lets %U through", text, whole, r)
			}
		}
		if !utf8.Valid(whole) {
			t.Fatalf("printable(%q) = %q is not UTF-8", text, whole)
		}
		at = max(0, min(at, len(text)))
		if at > 0 && text[at-1] == '\r' {
			return // whether a line feed follows is not known yet
		}
		first := text[:at]
		first = first[:len(first)-upkeep.CutRune(first)]
		pieces := append(upkeep.Printable(first), upkeep.Printable(text[len(first):])...)
		if !bytes.Equal(pieces, whole) {
			t.Errorf("%q in two pieces, cut at %d of %d, is %q, whole %q", text, len(first), at, pieces, whole)
		}
	})
}

func TestWrap(t *testing.T) {
	t.Parallel()
	got := upkeep.Wrap("a text  of\nsome words and averyveryverylongone end", 12)
	want := []string{"a text of", "some words", "and", "averyveryverylongone", "end"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("wrap (-want +got):\n%s", diff)
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		v    float64
		want string
	}{
		{"files", 3, "3"},
		{"rows", 1234567890123, "1234567890123"},
		{"accuracy", 0.9251234567, "0.925123"},
		{"freed_bytes", 53687091200, "53687091200 (50 GiB)"},
		{"freed_bytes", 12, "12"},
		{"change_bytes", -53687091200, "-53687091200"},
		{"huge", 1e300, "1e+300"},
	} {
		if got := upkeep.Number(tt.name, tt.v); got != tt.want {
			t.Errorf("number(%s, %g) = %q, want %q", tt.name, tt.v, got, tt.want)
		}
	}
}

// JSON stays what it says, with everything escaped that a terminal obeys.
func TestWriteJSON(t *testing.T) {
	t.Parallel()
	want := []string{"plain", "\x1b[2J\x07", "\u009b2J\x7f", "\u202egpj", "\U000e0001<&>", "größer 漢", "two\nlines"}
	var b bytes.Buffer
	if err := upkeep.WriteJSON(&b, want); err != nil {
		t.Fatal(err)
	}
	for _, r := range b.String() {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			t.Errorf("the text has %U:\n%s", r, b.String())
		}
	}
	if !strings.Contains(b.String(), "größer 漢") || !strings.Contains(b.String(), "<&>") {
		t.Errorf("harmless characters are escaped:\n%s", b.String())
	}
	var got []string
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	if err := upkeep.WriteJSON(brokenWriter{}, want); !errors.Is(err, errBroken) {
		t.Errorf("a failing writer: %v", err)
	}
}

var errBroken = errors.New("broken")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestMoment(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                          {},
		"36h":                       now.Add(-36 * time.Hour),
		"7d":                        now.AddDate(0, 0, -7),
		"2026-11-20":                time.Date(2026, 11, 20, 0, 0, 0, 0, time.Local),
		"2026-11-20 02:30":          time.Date(2026, 11, 20, 2, 30, 0, 0, time.Local),
		"2026-11-20T02:30:00+01:00": time.Date(2026, 11, 20, 1, 30, 0, 0, time.UTC),
	} {
		got, err := upkeep.Moment("since", text, now)
		if err != nil || !got.Equal(want) {
			t.Errorf("moment(%q) = %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"yesterday", "-3h", "2026-13-01", "7"} {
		if got, err := upkeep.Moment("since", text, now); err == nil || upkeep.CodeOf(err) != 2 {
			t.Errorf("moment(%q) = %s, %v, want a mistake on the command line", text, got, err)
		}
	}
}

func TestLooksLikeID(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"01a20654-b1b6-7523-b9d0-f30dab83c710": true,
		"01A206":                               true,
		"01a20":                                false,
		"daily":                                false,
		"facade":                               true, // findRun tries both
		"last":                                 false,
		"2026-11-23":                           true,
	} {
		if got := upkeep.LooksLike(text); got != want {
			t.Errorf("looksLikeID(%q) = %v", text, got)
		}
	}
}

func TestNotes(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	log := upkeep.NewLog(&b).With("run", "01a2")
	log.Debug("not shown")
	log.Info("not shown")
	log.Warn("look for a lost run", "error", errors.New("no\x1b[2J route"), "job", "backup")
	log.WithGroup("inner").Error("cannot go on", slog.Int("count", 3))
	want := "warning: look for a lost run: no [2J route (run 01a2, job backup)\n" +
		"error: cannot go on (run 01a2, count 3)\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}
