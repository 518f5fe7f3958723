package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/ghosteam/upkeep/runner"
)

// format is how a command shows what it found.
type format string

const (
	formatTable format = "table"
	formatJSON  format = "json"
	formatCSV   format = "csv"
)

// word is the value of a flag that is one of some words.
type word[T ~string] struct {
	to *T
	of []T
}

// oneOf makes a flag set *to, which holds the default, to one of the words.
func oneOf[T ~string](to *T, of ...T) pflag.Value { return word[T]{to: to, of: of} }

// Set implements pflag.Value.
func (w word[T]) Set(text string) error {
	if !slices.Contains(w.of, T(text)) {
		var words []string
		for _, one := range w.of {
			words = append(words, string(one))
		}
		last := len(words) - 1
		return fmt.Errorf("use %s or %s", strings.Join(words[:last], ", "), words[last])
	}
	*w.to = T(text)
	return nil
}

// String implements pflag.Value; pflag also asks the zero value.
func (w word[T]) String() string {
	if w.to == nil {
		return ""
	}
	return string(*w.to)
}

// Type names the value in the help.
func (w word[T]) Type() string { return "FORMAT" }

// outputFlag adds -o to a command that shows things.
func (a *app) outputFlag(cmd *cobra.Command) {
	a.format = formatTable
	cmd.Flags().VarP(oneOf(&a.format, formatTable, formatJSON, formatCSV), "output", "o", "table, json or csv")
	completeFlag(cmd, "output", completeWords([]format{formatTable, formatJSON, formatCSV}))
}

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
		return a.writeCSV(l)
	default:
		if len(l.rows) == 0 && l.empty != "" {
			fmt.Fprintln(a.std.Err, l.empty)
			return nil
		}
		return writeTable(a.std.Out, l.columns, l.rows)
	}
}

// writeCSV writes l as RFC 4180 wants it, with lower-case column names.
func (a *app) writeCSV(l listing) error {
	w := csv.NewWriter(a.std.Out)
	header := make([]string, len(l.columns))
	for i, c := range l.columns {
		header[i] = strings.ToLower(strings.ReplaceAll(c, " ", "_"))
	}
	records := [][]string{header}
	onTerminal := isTerminal(a.std.Out)
	for _, row := range l.rows {
		record := make([]string, len(row))
		for i := range row {
			record[i] = plain(row[i])
			if onTerminal {
				record[i] = oneLine(record[i], 0)
			}
		}
		records = append(records, record)
	}
	if err := w.WriteAll(records); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

// writeJSON writes data indented, with everything escaped that a terminal could
// take for an order.
func writeJSON(w io.Writer, data any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(data); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	text := make([]byte, 0, b.Len())
	for _, r := range b.String() {
		if r != '\n' && dangerous(r) { // only inside of texts: JSON has none elsewhere
			for _, unit := range utf16.AppendRune(nil, r) {
				text = fmt.Appendf(text, `\u%04x`, unit)
			}
			continue
		}
		text = utf8.AppendRune(text, r)
	}
	if _, err := w.Write(text); err != nil {
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

// isTerminal tells whether w is a terminal that may be painted.
func isTerminal(w io.Writer) bool {
	f, ok := raw(w).(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// dumb tells that the terminal understands no escape sequences.
func (a *app) dumb() bool {
	term, _ := a.getenv("TERM")
	return term == "dumb"
}

// painter colors words when the output is a terminal.
type painter struct{ on bool }

func (a *app) painter(w io.Writer) painter {
	unwanted, _ := a.getenv("NO_COLOR") // https://no-color.org: set and not empty
	return painter{on: isTerminal(w) && !a.noColor && unwanted == "" && !a.dumb()}
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

func (p painter) state(s runner.State) string { return p.as(s, string(s)) }

// as paints text in the color of a state.
func (p painter) as(s runner.State, text string) string {
	switch s {
	case runner.Succeeded:
		return p.paint("32", text)
	case runner.Warned:
		return p.paint("33", text)
	case runner.Failed, runner.Lost:
		return p.paint("31", text)
	case runner.Canceled:
		return p.paint("35", text)
	case runner.Running:
		return p.paint("36", text)
	case runner.Skipped, runner.Queued:
		return p.paint("2", text)
	}
	return text
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
