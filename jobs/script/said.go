package script

import (
	"bytes"
	"slices"
	"strings"
	"sync"
)

// tail keeps the last bytes written to it. It is safe for several goroutines.
type tail struct {
	limit int

	mu  sync.Mutex
	buf []byte
	cut bool
}

// Write keeps the end of what was written.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cut = t.cut || len(t.buf)+len(p) > t.limit
	t.buf = append(t.buf, p[max(len(p)-t.limit, 0):]...)
	if excess := len(t.buf) - t.limit; excess > 0 {
		t.buf = append(t.buf[:0], t.buf[excess:]...)
	}
	return len(p), nil
}

// String returns the last whole lines: half of one could be half of a secret,
// which nobody would recognize.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.cut {
		return string(t.buf)
	}
	_, whole, _ := strings.Cut(string(t.buf), "\n")
	return whole
}

// head keeps the first bytes written to it.
type head struct {
	limit int
	buf   bytes.Buffer
	cut   bool
}

// Write keeps the beginning of what was written.
func (h *head) Write(p []byte) (int, error) {
	room := max(h.limit-h.buf.Len(), 0)
	h.cut = h.cut || len(p) > room
	h.buf.Write(p[:min(len(p), room)])
	return len(p), nil
}

// String returns the first whole lines.
func (h *head) String() string {
	text := h.buf.String()
	if !h.cut {
		return text
	}
	return text[:strings.LastIndexByte(text, '\n')+1]
}

// hintPrefix and errorPrefix begin lines in which a program explains itself.
const (
	hintPrefix  = "hint: "
	errorPrefix = "error: "
)

// lastLine is the last line of output that says something.
func lastLine(said string) string {
	for _, line := range backward(said) {
		if line != "" && !strings.HasPrefix(line, hintPrefix) {
			return strings.TrimPrefix(line, errorPrefix)
		}
	}
	return ""
}

// lineWith returns what follows prefix in the last line that begins with it.
func lineWith(said, prefix string) string {
	for _, line := range backward(said) {
		if text, ok := strings.CutPrefix(line, prefix); ok {
			return text
		}
	}
	return ""
}

// backward yields the lines of a text, trimmed, the last one first.
func backward(text string) func(yield func(int, string) bool) {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return slices.Backward(lines)
}
