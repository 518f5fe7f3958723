package webhook

import "github.com/ghosteam/upkeep/alerts"

// Render parses a body and writes it for a message.
func Render(text string, m alerts.Message) ([]byte, error) {
	b, err := parseBody(text)
	if err != nil {
		return nil, err
	}
	return b.write(m)
}

// Good tells whether a status is among those that texts name.
func Good(texts []string, status int) (bool, error) {
	s, err := parseStatuses(texts)
	return s.has(status), err
}
