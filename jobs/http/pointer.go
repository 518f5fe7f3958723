package http

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// pointer is the place of a value in a JSON text, as RFC 6901 writes it: "" is
// the whole, "/a/0" the first entry of the list under "a".
type pointer []string

func parsePointer(text string) (pointer, error) {
	if text == "" {
		return nil, nil
	}
	if text[0] != '/' {
		return nil, fmt.Errorf("%q does not begin with /: a place looks like /predictions/0/score", text)
	}
	parts := strings.Split(text[1:], "/")
	for i, part := range parts {
		for rest := part; ; {
			_, after, found := strings.Cut(rest, "~")
			if !found {
				break
			}
			if after == "" || after[0] != '0' && after[0] != '1' {
				return nil, fmt.Errorf("%q holds a ~ that is followed by neither 0 nor 1", text)
			}
			rest = after
		}
		parts[i] = strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")
	}
	return parts, nil
}

// find returns what stands there.
func (p pointer) find(in any) (any, bool) {
	for _, part := range p {
		switch v := in.(type) {
		case map[string]any:
			inner, ok := v[part]
			if !ok {
				return nil, false
			}
			in = inner
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(v) || strconv.Itoa(i) != part {
				return nil, false
			}
			in = v[i]
		default:
			return nil, false
		}
	}
	return in, true
}

// scalar is the text form of a value; what consists of others is only named.
func scalar(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return v.String()
	case []any:
		return fmt.Sprintf("a list of %d", len(v))
	case map[string]any:
		return fmt.Sprintf("an object of %d", len(v))
	}
	return fmt.Sprint(v)
}

// equal compares a value with its text form: numbers by what they are worth.
func equal(v any, text string) bool {
	n, ok := v.(json.Number)
	if !ok {
		switch v.(type) {
		case []any, map[string]any:
			return false
		}
		return scalar(v) == text
	}
	if n.String() == text {
		return true
	}
	a, err := n.Float64()
	if err != nil {
		return false
	}
	b, err := strconv.ParseFloat(text, 64)
	return err == nil && a == b
}
