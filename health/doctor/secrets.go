package doctor

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/ghosteam/upkeep/configs/secret"
)

// Secrets are texts that must not be shown. It is safe for use by several
// goroutines; the zero value is empty.
type Secrets struct {
	mu    sync.Mutex
	texts []string
}

// Add adds texts that are secrets for certain.
func (s *Secrets) Add(texts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts = append(s.texts, texts...)
}

// AddEnvironment adds what in an environment, a list of NAME=VALUE, is probably
// secret: the values of names that sound so, and passwords in URLs.
func (s *Secrets) AddEnvironment(environ []string) {
	for _, at := range environ {
		name, value, _ := strings.Cut(at, "=")
		if looksSecret(name) && plausible(value) {
			s.Add(value)
		}
		if u, err := url.Parse(value); err == nil && u.User != nil {
			if password, given := u.User.Password(); given && plausible(password) {
				s.Add(password)
			}
		}
	}
}

// plausible keeps ordinary words, which stand for switches, from being taken
// out of every text.
func plausible(value string) bool {
	const shortest = 6
	switch strings.ToLower(value) {
	case "enabled", "disabled", "default", "required", "postgres":
		return false
	}
	return len(value) >= shortest && !strings.HasPrefix(value, "/")
}

// redactor returns what takes all of them out of texts, and whatever else looks
// like a secret. A nil receiver knows none.
func (s *Secrets) redactor() *redactor {
	if s == nil {
		return &redactor{known: secret.NewRedactor(nil)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return &redactor{known: secret.NewRedactor(s.texts)}
}

var (
	// reference is a reference of a configuration to the environment or a file.
	reference = regexp.MustCompile(`\$\{(env|file):([^}]+)\}`)
	// pair is a key of a configuration with a value on the same line.
	pair = regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_-]*)["']?\s*:\s*("(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s,{}\[\]#"'$][^\s,{}\[\]#]*)`)
)

// AddText adds what is secret in the text of a configuration that may not even
// load: what its references lead to, and the values of keys that sound secret.
// getenv and readFile look up what is referred to; what they do not find is left
// out.
func (s *Secrets) AddText(text string, getenv func(string) (string, bool), readFile func(string) (string, error)) {
	text = withoutComments(text)
	for _, m := range reference.FindAllStringSubmatch(text, -1) {
		name, _, _ := strings.Cut(m[2], ":-")
		if m[1] == "env" {
			if value, ok := getenv(name); ok && plausible(value) {
				s.Add(value)
			}
			continue
		}
		if content, err := readFile(name); err == nil && plausible(strings.TrimSpace(content)) {
			s.Add(strings.TrimSpace(content))
		}
	}
	for _, m := range pair.FindAllStringSubmatch(text, -1) {
		if value := strings.Trim(m[2], `"'`); looksSecret(m[1]) && plausible(value) {
			s.Add(value)
		}
	}
}

// References returns the files that a configuration takes values from.
func References(text string) []string {
	var out []string
	for _, m := range reference.FindAllStringSubmatch(withoutComments(text), -1) {
		if m[1] == "file" && !slices.Contains(out, m[2]) {
			out = append(out, m[2])
		}
	}
	return out
}

// comment is a line of a configuration that says nothing.
var comment = regexp.MustCompile(`(?m)^[ \t]*#.*$`)

func withoutComments(text string) string { return comment.ReplaceAllLiteralString(text, "") }
