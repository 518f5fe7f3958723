package schedule

import "fmt"

// ParseError says what is wrong with one text of a Rule, CatchUp or
// WindowRule, and where, so that a loader can point at it.
type ParseError struct {
	// Field is the name of the wrong field as the configuration spells it, such
	// as "cron"; "schedule" when the combination of fields is wrong.
	Field string
	// Item is the index of Text in a field that is a list, otherwise 0.
	Item int
	// Offset is the byte in Text at which the fault begins, 0 ≤ Offset ≤ len(Text).
	Offset int
	// Text is the whole text of the field.
	Text string
	// Why is what is wrong, without the field and the text.
	Why string
	// Hint is what to write instead; it may be empty.
	Hint string
}

// Error names the field, its text and what is wrong; the hint is left to the
// caller's form of hints.
func (e *ParseError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("%s: %s", e.Field, e.Why)
	}
	return fmt.Sprintf("%s %q: %s", e.Field, e.Text, e.Why)
}

// fault is a ParseError under construction: what the small parsers know.
type fault struct {
	at        int
	why, hint string
}

func faultf(at int, hint, format string, args ...any) *fault {
	return &fault{at: at, why: fmt.Sprintf(format, args...), hint: hint}
}

func (f *fault) in(field, text string) *ParseError {
	return &ParseError{Field: field, Offset: min(max(f.at, 0), len(text)), Text: text, Why: f.why, Hint: f.hint}
}
