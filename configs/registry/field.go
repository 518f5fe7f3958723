package registry

import "fmt"

// FieldError says that one option of a job, store or channel has an impossible
// value. The loader finds the option's place in the file and shows it.
type FieldError struct {
	// Field is the path of the option among the options of its plugin, such as
	// "older_than" or "limits.memory" or "match[1]".
	Field string
	// Why says what is wrong with the value.
	Why string
	// Hint says what to write instead; it may be empty.
	Hint string
}

// Error returns the field and the reason.
func (e *FieldError) Error() string { return fmt.Sprintf("%s: %s", e.Field, e.Why) }

// Fieldf returns a FieldError without a hint.
func Fieldf(field, format string, args ...any) *FieldError {
	return &FieldError{Field: field, Why: fmt.Sprintf(format, args...)}
}
