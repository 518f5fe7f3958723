package alerts

import (
	"regexp"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// escape matches the escape sequences by which programs color and move:
// ECMA-48, sections 5.3 and 5.4, and the strings of section 5.6.
var escape = regexp.MustCompile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|[\\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[ -/]*[0-~])")

// lastLines returns the last lines of an output, at most n, fit to be shown,
// and whether there was more before them. Empty lines do not count. Of a line
// that was written over, as progress bars do, the last version counts.
func lastLines(o runner.Output, n int) (lines []string, cut bool) {
	text := string(o.Tail)
	cut = o.Cut > 0
	switch {
	case !cut:
		text = string(o.Head) + text
	default:
		// The first line of the tail may have lost its beginning.
		if _, rest, found := strings.Cut(text, "\n"); found {
			text = rest
		}
	}
	for _, line := range slices.Backward(strings.Split(text, "\n")) {
		line = showable(line)
		if line == "" {
			continue
		}
		if len(lines) == n {
			cut = true
			break
		}
		lines = append(lines, line)
	}
	slices.Reverse(lines)
	return lines, cut
}

// showable makes one line of output fit for a mail. It keeps the indentation.
func showable(line string) string {
	line = escape.ReplaceAllString(line, "")
	line = strings.TrimRight(line, "\r")
	if i := strings.LastIndexByte(line, '\r'); i >= 0 {
		line = line[i+1:]
	}
	line = strings.ReplaceAll(line, "\t", "    ")
	rest := strings.TrimLeft(line, " ")
	indent := min(len(line)-len(rest), 20)
	if rest = jobs.OneLine(rest); rest == "" {
		return ""
	}
	return strings.Repeat(" ", indent) + rest
}
