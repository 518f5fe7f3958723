package doctor

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
)

// line makes a text one line. It cuts nothing off: secrets are taken out later,
// and a part of one would not be recognized.
func line(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// WriteText writes the report for people: what is wrong, what it means and what
// comes next, then what was looked at. Nothing in it moves a cursor.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s on %s, upkeep %s, %s\n", cmp.Or(r.Project, "upkeep"), r.Host, r.Version, r.At.UTC().Format(time.RFC3339))
	fmt.Fprintf(&b, "verdict: %s\n\n", r.Verdict)
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%s  %s: %s\n    %s\n", strings.ToUpper(string(f.Severity)), f.Section, f.Text, f.Means)
		if f.Next != "" {
			fmt.Fprintf(&b, "    next: %s\n", f.Next)
		}
	}
	for _, u := range r.Unseen {
		fmt.Fprintf(&b, "NOT SEEN  %s: %s: %s\n", u.Section, u.What, u.Why)
	}
	for _, s := range r.Sections {
		fmt.Fprintf(&b, "\n%s (%s): %s, in %.3f s\n%s\n", s.Name, s.Title, s.State, s.TookSeconds, s.Summary)
		for _, l := range s.Lines {
			fmt.Fprintf(&b, "  %s\n", l)
		}
	}
	text := strings.Map(func(c rune) rune {
		if c != '\n' && (unicode.IsControl(c) || unicode.Is(unicode.Cf, c)) {
			return ' '
		}
		return c
	}, b.String())
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
