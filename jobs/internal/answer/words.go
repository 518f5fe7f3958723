package answer

import (
	"bytes"
	"slices"
	"strings"
	"sync"
)

// Tail keeps the last bytes written to it. It is safe for several goroutines.
type Tail struct {
	// Limit is how many bytes are kept.
	Limit int

	mu  sync.Mutex
	buf []byte
	cut bool
}

// Write keeps the end of what was written.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cut = t.cut || len(t.buf)+len(p) > t.Limit
	t.buf = append(t.buf, p[max(len(p)-t.Limit, 0):]...)
	if excess := len(t.buf) - t.Limit; excess > 0 {
		t.buf = append(t.buf[:0], t.buf[excess:]...)
	}
	return len(p), nil
}

// String returns the last whole lines: half of one could be half of a secret,
// which nobody would recognize.
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.cut {
		return string(t.buf)
	}
	_, whole, _ := strings.Cut(string(t.buf), "\n")
	return whole
}

// Head keeps the first bytes written to it.
type Head struct {
	// Limit is how many bytes are kept.
	Limit int

	buf bytes.Buffer
	cut bool
}

// Write keeps the beginning of what was written.
func (h *Head) Write(p []byte) (int, error) {
	room := max(h.Limit-h.buf.Len(), 0)
	h.cut = h.cut || len(p) > room
	h.buf.Write(p[:min(len(p), room)])
	return len(p), nil
}

// Cut tells whether more was written than is kept.
func (h *Head) Cut() bool { return h.cut }

// String returns the first whole lines.
func (h *Head) String() string {
	text := h.buf.String()
	if !h.cut {
		return text
	}
	return text[:strings.LastIndexByte(text, '\n')+1]
}

// HintPrefix and ErrorPrefix begin lines in which a program explains itself.
const (
	HintPrefix  = "hint: "
	ErrorPrefix = "error: "
)

// LastLine is the last line of output that says something.
func LastLine(said string) string {
	for _, line := range backward(said) {
		if line != "" && !strings.HasPrefix(line, HintPrefix) {
			return strings.TrimPrefix(line, ErrorPrefix)
		}
	}
	return ""
}

// LineWith returns what follows prefix in the last line that begins with it.
func LineWith(said, prefix string) string {
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
