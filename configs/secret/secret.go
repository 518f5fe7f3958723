// Package secret holds values that never print, and the redactor that scrubs
// them from whatever a job says. It is a leaf: it imports nothing of ours.
package secret

import (
	"errors"
	"log/slog"
)

// Redacted is what stands in the place of a secret wherever it would be shown.
const Redacted = "<redacted>"

// String is a secret text such as a password or a URL that holds one. Every
// way of printing, logging or encoding it yields Redacted; only Reveal returns
// the text. The zero value is the empty secret.
type String struct {
	text string
}

// New returns text as a secret.
func New(text string) String { return String{text: text} }

// Reveal returns the text. Call it where the secret is used, as late as
// possible, and never to build an argument list, a log line or an error.
func (s String) Reveal() string { return s.text }

// IsEmpty tells whether there is no text.
func (s String) IsEmpty() bool { return s.text == "" }

// String returns Redacted, or nothing for the empty secret.
func (s String) String() string {
	if s.text == "" {
		return ""
	}
	return Redacted
}

// GoString returns what String returns, for %#v.
func (s String) GoString() string { return s.String() }

// LogValue returns what String returns, for slog.
func (s String) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText writes what String returns, for JSON and YAML.
func (s String) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the secret from a configuration value. It refuses the
// placeholder itself, which would come from a printed configuration.
func (s *String) UnmarshalText(text []byte) error {
	if string(text) == Redacted {
		return errors.New("the value is the placeholder of a redacted secret, not a secret")
	}
	s.text = string(text)
	return nil
}
