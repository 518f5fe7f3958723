package health

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// keptOutput is how much of what a probe says is kept, in bytes.
const keptOutput = 2 * mostEvidence

// output keeps the end of what a probe says. A probe that was left behind may
// go on writing for nobody.
type output struct {
	mu   sync.Mutex
	text []byte
	cut  bool
	over bool
}

// Write never fails.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return len(p), nil
	}
	o.text = append(o.text, p...)
	if excess := len(o.text) - keptOutput; excess > 0 {
		o.text, o.cut = append(o.text[:0], o.text[excess:]...), true
	}
	return len(p), nil
}

// take returns what was said, scrubbed, and takes nothing more. The first line
// goes when its beginning was cut: half a secret is not recognized.
func (o *output) take(scrub func(string) string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	text := strings.ToValidUTF8(string(o.text), "?")
	o.text = nil
	if o.cut {
		_, text, _ = strings.Cut(text, "\n")
	}
	return scrub(text)
}

// tail returns the end of a text, whole lines where it can, at most so many
// bytes.
func tail(text string, most int) string {
	if len(text) <= most {
		return text
	}
	text = text[len(text)-most:]
	for len(text) > 0 && !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	if _, rest, found := strings.Cut(text, "\n"); found && rest != "" {
		return rest
	}
	return text
}
