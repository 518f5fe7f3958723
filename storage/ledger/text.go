package ledger

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of stored texts in bytes. They bound what a run can cost, not what a
// job may say: a job's own words are its output.
const (
	maxName      = 255
	maxShortText = 1 << 10  // who asked, a command
	maxLine      = 4 << 10  // summary, message, hint, one finding, one output fact
	maxError     = 16 << 10 // an attempt's error
	maxSpec      = 1 << 20  // a frozen workflow
	maxParams    = 1 << 20  // all parameters of a run
)

// clean makes text storable in either database: valid UTF-8, without NUL, at
// most limit bytes. What is cut is counted in the text.
func clean(text string, limit int) string {
	const replacement = string(utf8.RuneError)
	text = strings.ReplaceAll(strings.ToValidUTF8(text, replacement), "\x00", replacement)
	if len(text) <= limit {
		return text
	}
	keep := limit
	for keep > 0 && !utf8.RuneStart(text[keep]) {
		keep--
	}
	return fmt.Sprintf("%s… (%d bytes cut)", text[:keep], len(text)-keep)
}

// cleanLine is clean for texts that people read on one line.
func cleanLine(text string, limit int) string {
	return clean(strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), " "), limit)
}

// checkText refuses texts that identify or configure something and that a
// database would refuse or change.
func checkText(what, text string, limit int) error {
	switch {
	case len(text) > limit:
		return fmt.Errorf("%s is too long: %d bytes, at most %d", what, len(text), limit)
	case !utf8.ValidString(text):
		return fmt.Errorf("%s is not valid UTF-8", what)
	case strings.ContainsRune(text, 0):
		return fmt.Errorf("%s contains NUL", what)
	}
	return nil
}

// checkName is checkText for names that must not be empty.
func checkName(what, name string) error {
	if name == "" {
		return fmt.Errorf("%s has no name", what)
	}
	return checkText(what, name, maxName)
}
