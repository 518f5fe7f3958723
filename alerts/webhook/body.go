package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/template"
	"text/template/parse"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/jobs"
)

const (
	// mostBody bounds a body, mostTemplate a template, both in bytes.
	mostBody     = 1 << 20
	mostTemplate = 64 << 10
	// longestWriting bounds how long a template may write.
	longestWriting = 2 * time.Second
)

// body writes the bodies of messages.
type body struct{ template *template.Template }

// parseBody reads a template and tries it on samples; the empty text stands for
// the whole document. The error is a *jobs.FieldError.
func parseBody(text string) (*body, error) {
	if text == "" {
		return &body{}, nil
	}
	wrong := func(why, hint string) error { return &jobs.FieldError{Field: "body", Why: why, Hint: hint} }
	if len(text) > mostTemplate {
		return nil, wrong(fmt.Sprintf("it is longer than %d bytes", mostTemplate), "")
	}
	t, err := template.New("body").Option("missingkey=error").Funcs(template.FuncMap{"json": quote}).Parse(text)
	if err != nil {
		return nil, wrong(jobs.OneLine(strings.TrimPrefix(err.Error(), "template: ")), "a value is written as {{json .title}}")
	}
	for _, part := range t.Templates() {
		if part.Tree != nil {
			if err := ranges(part.Root, 0); err != nil {
				return nil, wrong(err.Error(), "")
			}
		}
	}
	b := &body{t}
	for _, m := range samples() {
		if _, err := b.write(m); err != nil {
			return nil, wrong(jobs.OneLine(fmt.Sprintf("with the action %s: %s", m.Action, err)), jobs.HintOf(err))
		}
	}
	return b, nil
}

// ranges refuses loops that may go on for ever: those over anything but the
// lists of a message, and many of them inside one another.
func ranges(n parse.Node, depth int) error {
	const deepest = 3
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		var errs []error
		for _, one := range n.Nodes {
			errs = append(errs, ranges(one, depth))
		}
		return errors.Join(errs...)
	case *parse.IfNode:
		return errors.Join(ranges(n.List, depth), ranges(n.ElseList, depth))
	case *parse.WithNode:
		return errors.Join(ranges(n.List, depth), ranges(n.ElseList, depth))
	case *parse.RangeNode:
		if !isKey(n.Pipe) || depth == deepest {
			return fmt.Errorf("%s: range goes over a list of the message only, such as .failures, and at most %d deep", n.Pipe, deepest)
		}
		return errors.Join(ranges(n.List, depth+1), ranges(n.ElseList, depth+1))
	default:
		return nil
	}
}

// isKey tells whether a pipeline is a key of the message and nothing else.
func isKey(p *parse.PipeNode) bool {
	if len(p.Cmds) != 1 || len(p.Cmds[0].Args) != 1 {
		return false
	}
	switch n := p.Cmds[0].Args[0].(type) {
	case *parse.FieldNode:
		return true
	case *parse.VariableNode:
		return len(n.Ident) > 1
	default:
		return false
	}
}

// quote is the function json of templates.
func quote(v any) (string, error) {
	text, err := encode(v)
	return strings.TrimSuffix(string(text), "\n"), err
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	return b.Bytes(), nil
}

// write returns the body for a message, which is JSON of at most 1 MiB.
func (b *body) write(m alerts.Message) ([]byte, error) {
	text, err := encode(documentOf(m))
	if err != nil {
		return nil, err
	}
	if b.template != nil {
		if text, err = b.render(text); err != nil {
			return nil, err
		}
	}
	if len(text) > mostBody {
		return nil, fmt.Errorf("the body has %d bytes, at most %d are sent", len(text), mostBody)
	}
	return text, nil
}

// render writes the template over the keys of the document.
func (b *body) render(document []byte) ([]byte, error) {
	var keys map[string]any
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	if err := decoder.Decode(&keys); err != nil {
		return nil, fmt.Errorf("read the message back: %w", err)
	}
	out := &bounded{until: time.Now().Add(longestWriting)}
	if err := b.template.Execute(out, keys); err != nil {
		hint := ""
		if strings.Contains(err.Error(), "nil pointer") || strings.Contains(err.Error(), "nil data") {
			hint = "incident and run may be null: write {{with .incident}}…{{end}}"
		}
		return nil, jobs.WithHint(errors.New(strings.TrimPrefix(err.Error(), "template: ")), hint)
	}
	if text := out.Bytes(); json.Valid(text) {
		return text, nil
	}
	return nil, jobs.WithHint(errors.New("it does not make valid JSON: "+jobs.OneLine(head(out.String()))), "write every text as {{json .title}}, without quotes around it")
}

// head is the beginning of what a template wrote.
func head(text string) string { return text[:min(len(text), 200)] }

// bounded takes so many bytes and so much time.
type bounded struct {
	bytes.Buffer

	until time.Time
}

// Write refuses what exceeds the bounds.
func (b *bounded) Write(p []byte) (int, error) {
	switch {
	case b.Len()+len(p) > mostBody:
		return 0, fmt.Errorf("it writes more than %d bytes", mostBody)
	case time.Now().After(b.until):
		return 0, fmt.Errorf("it takes longer than %s", longestWriting)
	}
	return b.Buffer.Write(p)
}
