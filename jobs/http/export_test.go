package http

import (
	"encoding/json"
	"strings"
)

// Find returns the text form of what stands at a place of a JSON text.
func Find(at, text string) (string, bool) {
	p, err := parsePointer(at)
	if err != nil {
		return "", false
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return "", false
	}
	v, ok := p.find(v)
	return scalar(v), ok
}
