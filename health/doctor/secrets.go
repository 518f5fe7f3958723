package doctor

import (
	"net/url"
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
