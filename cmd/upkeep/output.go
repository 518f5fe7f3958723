package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/ghosteam/upkeep/runner"
)

const (
	formatTable = "table"
	formatJSON  = "json"
	formatCSV   = "csv"
)

// listing is one list in all the forms of -o.
type listing struct {
	columns []string
	rows    [][]string
	// data is what -o json encodes.
	data any
	// empty is said instead of a table without rows.
	empty string
}

// list writes l in the format that the user chose.
func (a *app) list(l listing) error {
	switch a.format {
	case formatJSON:
		return writeJSON(a.std.Out, l.data)
	case formatCSV:
		w := csv.NewWriter(a.std.Out)
		if err := w.Write(l.columns); err != nil {
			return fmt.Errorf("write CSV: %w", err)
		}
		for _, row := range l.rows {
			for i := range row {
				row[i] = plain(row[i])
			}
		}
		if err := w.WriteAll(l.rows); err != nil {
			return fmt.Errorf("write CSV: %w", err)
		}
		return nil
	case formatTable:
		if len(l.rows) == 0 && l.empty != "" {
			fmt.Fprintln(a.std.Err, l.empty)
			return nil
		}
		return writeTable(a.std.Out, l.columns, l.rows)
	}
	return usagef("unknown output format %q: use table, json or csv", a.format)
}

func writeJSON(w io.Writer, data any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(data); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// writeTable aligns columns by what is visible; the last column is not padded.
func writeTable(w io.Writer, columns []string, rows [][]string) error {
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = visible(c)
	}
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], visible(cell))
		}
	}
	var b strings.Builder
	line := func(cells []string) {
		for i, cell := range cells {
			b.WriteString(cell)
			if i < len(cells)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-visible(cell)+2))
			}
		}
		b.WriteByte('\n')
	}
	if len(columns) > 0 && columns[0] != "" {
		line(columns)
	}
	for _, row := range rows {
		line(row)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

// visible counts the characters of s that take room on a terminal.
func visible(s string) int { return utf8.RuneCountInString(plain(s)) }

// plain removes the color codes that paint added.
func plain(s string) string {
	for {
		start := strings.Index(s, "\x1b[")
		if start < 0 {
			return s
		}
		end := strings.IndexByte(s[start:], 'm')
		if end < 0 {
			return s
		}
		s = s[:start] + s[start+end+1:]
	}
}

// oneLine makes text that came from outside safe for one line of a terminal:
// control characters become spaces and long text is cut.
func oneLine(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if most > 0 && utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most-1]) + "…"
	}
	return s
}

// isTerminal tells whether w is a terminal that may be painted.
func isTerminal(w io.Writer) bool {
	if s, ok := w.(*stream); ok {
		w = s.w
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// painter colors words when the output is a terminal.
type painter struct{ on bool }

func (a *app) painter(w io.Writer) painter {
	value, set := a.getenv("NO_COLOR")
	return painter{on: isTerminal(w) && !a.noColor && (!set || value == "")}
}

func (p painter) paint(code, s string) string {
	if !p.on || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p painter) bold(s string) string   { return p.paint("1", s) }
func (p painter) faint(s string) string  { return p.paint("2", s) }
func (p painter) red(s string) string    { return p.paint("31", s) }
func (p painter) yellow(s string) string { return p.paint("33", s) }

func (p painter) state(s runner.State) string {
	code, ok := map[runner.State]string{
		runner.Succeeded: "32", runner.Warned: "33", runner.Failed: "31", runner.Lost: "31",
		runner.Canceled: "35", runner.Skipped: "2", runner.Running: "36", runner.Queued: "2",
	}[s]
	if !ok {
		return string(s)
	}
	return p.paint(code, string(s))
}

// stateGlyph is one character for a state.
func stateGlyph(s runner.State) string {
	switch s {
	case runner.Succeeded:
		return "✓"
	case runner.Warned:
		return "!"
	case runner.Failed, runner.Lost:
		return "✗"
	case runner.Canceled:
		return "■"
	case runner.Skipped:
		return "-"
	default:
		return "·"
	}
}

// stamp writes an instant in local time, or a dash for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// took writes a duration for people: 3 digits at most.
func took(d time.Duration) string {
	switch {
	case d < 0:
		return "-"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return strings.TrimSuffix(d.Round(time.Second).String(), "0s")
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}
