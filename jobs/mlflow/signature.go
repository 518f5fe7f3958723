package mlflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// signature is what a model takes
// (mlflow.org/docs/latest/model/signatures.html).
type signature struct {
	inputs []column
	params []parameter
	// none tells that the model has no signature.
	none bool
}

// column is one input.
type column struct {
	Name     string          `json:"name"`
	Type     string          `json:"type"`
	Required *bool           `json:"required"`
	Optional *bool           `json:"optional"`
	Tensor   *tensor         `json:"tensor-spec"`
	Items    json.RawMessage `json:"items"`
}

// tensor is the type and the shape of a tensor; -1 stands for any length.
type tensor struct {
	Type  string `json:"dtype"`
	Shape []int  `json:"shape"`
}

// parameter is one parameter of inference.
type parameter struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// required tells whether a request must have the input.
func (c column) required() bool {
	if c.Required != nil {
		return *c.Required
	}
	return c.Optional == nil || !*c.Optional
}

// signatureText is a signature as MLflow stores it: lists in JSON, as texts.
type signatureText struct {
	Inputs string `json:"inputs"`
	Params string `json:"params"`
}

func (t signatureText) parse() (signature, error) {
	var s signature
	if t.Inputs == "" || t.Inputs == "null" {
		s.none = true
	} else if err := json.Unmarshal([]byte(t.Inputs), &s.inputs); err != nil {
		return s, fmt.Errorf("read the inputs of the signature: %w", err)
	}
	if t.Params == "" || t.Params == "null" {
		return s, nil
	}
	if err := json.Unmarshal([]byte(t.Params), &s.params); err != nil {
		return s, fmt.Errorf("read the parameters of the signature: %w", err)
	}
	return s, nil
}

// errModelFile says that the file MLmodel is not as MLflow writes it.
var errModelFile = errors.New("the signature in the file MLmodel is not written as MLflow writes it")

// parseModelFile finds the signature in a file MLmodel, which MLflow writes in a
// small part of YAML: a block `signature:` with texts in one style of quotes,
// folded over several lines.
func parseModelFile(text string) (signature, error) {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	var t signatureText
	inside, found := false, false
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case strings.HasPrefix(line, "signature:"):
			inside, found = true, true
			if rest := strings.TrimSpace(strings.TrimPrefix(line, "signature:")); rest == "null" || rest == "~" {
				return signature{none: true}, nil
			} else if rest != "" {
				return signature{}, errModelFile
			}
		case inside && line != "" && line[0] != ' ' && line[0] != '#':
			inside = false
		case inside:
			key, value, ok := strings.Cut(strings.TrimSpace(line), ":")
			if !ok {
				continue
			}
			whole, used, err := scalar(strings.TrimSpace(value), lines[i+1:])
			if err != nil {
				return signature{}, err
			}
			i += used
			switch key {
			case "inputs":
				t.Inputs = whole
			case "params":
				t.Params = whole
			}
		}
	}
	if !found {
		return signature{none: true}, nil
	}
	return t.parse()
}

// scalar reads a text of YAML that begins with first and may go on in more; it
// returns how many of those lines it used.
func scalar(first string, more []string) (text string, used int, err error) {
	if first == "" || first[0] != '\'' && first[0] != '"' {
		return plainScalar(first, more)
	}
	quote := first[0]
	rest, out := first[1:], strings.Builder{}
	for {
		piece, closed, continued := unquote(rest, quote)
		out.WriteString(piece)
		if closed {
			return out.String(), used, nil
		}
		blank := 0
		for used < len(more) && strings.TrimSpace(more[used]) == "" {
			blank++
			used++
		}
		if used >= len(more) {
			return "", used, errModelFile
		}
		switch {
		case continued: // the line break was escaped
		case blank > 0:
			out.WriteString(strings.Repeat("\n", blank))
		default:
			out.WriteByte(' ')
		}
		rest = strings.TrimSpace(more[used])
		used++
	}
}

// plainScalar reads a text without quotes.
func plainScalar(first string, more []string) (text string, used int, err error) {
	switch {
	case first == "null" || first == "~":
		return "", 0, nil
	case strings.HasPrefix(first, "|") || strings.HasPrefix(first, ">"):
		return "", 0, errModelFile
	}
	parts := []string{first}
	for _, line := range more {
		// What goes on is indented more than a key of the block.
		if !strings.HasPrefix(line, "   ") {
			break
		}
		parts = append(parts, strings.TrimSpace(line))
		used++
	}
	return strings.TrimSpace(strings.Join(parts, " ")), used, nil
}

// unquote reads up to the closing quote or the end of the line. continued tells
// that the line ends in an escaped line break.
func unquote(s string, quote byte) (text string, closed, continued bool) {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == quote && quote == '\'' && i+1 < len(s) && s[i+1] == '\'':
			out.WriteByte('\'')
			i++
		case c == quote:
			return out.String(), true, false
		case c == '\\' && quote == '"':
			if i+1 == len(s) {
				return out.String(), false, true
			}
			i++
			i += escaped(&out, s[i:])
		default:
			out.WriteByte(c)
		}
	}
	return strings.TrimRight(out.String(), " "), false, false
}

// escaped writes what stands behind a backslash and returns how many bytes more
// than one it took.
func escaped(out *strings.Builder, s string) int {
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[0]]
	if digits > 0 && len(s) > digits {
		var r rune
		if _, err := fmt.Sscanf(s[1:1+digits], "%x", &r); err == nil {
			out.WriteRune(r)
			return digits
		}
	}
	switch s[0] {
	case 'n':
		out.WriteByte('\n')
	case 't':
		out.WriteByte('\t')
	default:
		out.WriteByte(s[0])
	}
	return 0
}
