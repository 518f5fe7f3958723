// Package expand finds and resolves the references that may stand inside a
// value of the configuration: ${env:NAME}, ${env:NAME:-default}, ${file:PATH}
// and ${param:NAME}. It works on single values after YAML was parsed, so what a
// reference stands for can never become more than a part of that one value.
//
// Only these three forms are references. Everything else with a dollar sign,
// such as ${HOME} or $1 or $$ in the text of a shell, stays what it is; a
// second dollar sign before a reference ("$${env:X}") takes its meaning away.
package expand

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/ghosteam/upkeep/configs/internal/problem"
)

// Scheme says where a reference takes its value from.
type Scheme string

// The schemes.
const (
	Env   Scheme = "env"
	File  Scheme = "file"
	Param Scheme = "param"
)

// Ref is one reference.
type Ref struct {
	Scheme Scheme
	// Name is the variable, the path or the parameter.
	Name string
	// Default stands in for a variable that is unset or empty, when HasDefault.
	Default    string
	HasDefault bool
	// Text is the whole reference as written.
	Text string
}

// Part is a piece of a value: literal text, or a reference when Ref is set.
type Part struct {
	Text string
	Ref  *Ref
}

// Fault is a reference that is written wrongly or has no value. Rule is the
// problem's rule, At the text to point at.
type Fault struct {
	Rule, At, Why, Hint string
}

// Error returns what is wrong.
func (f *Fault) Error() string { return f.Why }

var (
	envName   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	paramName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)
	// nearly matches what may be a misspelled reference. What follows the colon
	// rules out the parameter expansions of shells (${x:-y}, ${x:=y}, ${x:0:2}).
	nearly = regexp.MustCompile(`^\$\{([A-Za-z]{2,8}):[A-Za-z_/.]`)
)

// Parse splits a value into literal text and references. The error is a
// *Fault.
func Parse(text string) ([]Part, error) {
	var parts []Part
	literal := strings.Builder{}
	for text != "" {
		i := strings.IndexByte(text, '$')
		if i < 0 {
			break
		}
		literal.WriteString(text[:i])
		text = text[i:]
		if _, isRef := scheme(text[1:]); isRef && strings.HasPrefix(text, "$$") {
			literal.WriteString("${")
			text = text[len("$${"):]
			continue
		}
		name, isRef := scheme(text)
		if !isRef {
			literal.WriteByte('$')
			text = text[1:]
			continue
		}
		ref, rest, err := parseRef(name, text)
		if err != nil {
			return nil, err
		}
		if literal.Len() > 0 {
			parts = append(parts, Part{Text: literal.String()})
			literal.Reset()
		}
		parts = append(parts, Part{Ref: ref})
		text = rest
	}
	literal.WriteString(text)
	if literal.Len() > 0 || len(parts) == 0 {
		parts = append(parts, Part{Text: literal.String()})
	}
	return parts, nil
}

// scheme returns the scheme when text begins with a reference.
func scheme(text string) (Scheme, bool) {
	for _, s := range []Scheme{Env, File, Param} {
		if strings.HasPrefix(text, "${"+string(s)+":") {
			return s, true
		}
	}
	return "", false
}

func parseRef(s Scheme, text string) (*Ref, string, error) {
	body := text[len("${:")+len(s):]
	end := strings.IndexByte(body, '}')
	if end < 0 {
		return nil, "", &Fault{Rule: "reference", At: text, Why: fmt.Sprintf("the reference %s has no end", shorten(text)), Hint: "close it with }"}
	}
	ref := &Ref{Scheme: s, Name: body[:end], Text: text[:len(text)-len(body)+end+1]}
	if strings.Contains(ref.Name, "${") {
		return nil, "", &Fault{
			Rule: "reference", At: ref.Text, Why: "a reference cannot stand inside another",
			Hint: "combine them in the environment of upkeep instead",
		}
	}
	if s == Env {
		ref.Name, ref.Default, ref.HasDefault = strings.Cut(ref.Name, ":-")
	}
	switch {
	case ref.Name == "":
		return nil, "", &Fault{Rule: "reference", At: ref.Text, Why: fmt.Sprintf("the reference %s names nothing", ref.Text)}
	case s == Env && !envName.MatchString(ref.Name):
		return nil, "", &Fault{
			Rule: "reference", At: ref.Text, Why: fmt.Sprintf("%q is not the name of an environment variable", ref.Name),
			Hint: "write ${env:NAME} or ${env:NAME:-default}",
		}
	case s == Param && !paramName.MatchString(ref.Name):
		return nil, "", &Fault{
			Rule: "reference", At: ref.Text, Why: fmt.Sprintf("%q is not the name of a parameter", ref.Name),
			Hint: "write ${param:NAME}; a parameter's default stands under params:",
		}
	}
	return ref, body[end+1:], nil
}

// Suspect returns a Fault when text holds something that looks like a misspelled
// reference, and nil otherwise.
func Suspect(text string) *Fault {
	for i := range len(text) {
		if text[i] != '$' || i > 0 && text[i-1] == '$' {
			continue
		}
		if _, isRef := scheme(text[i:]); isRef {
			continue
		}
		found := nearly.FindStringSubmatch(text[i:])
		if found == nil {
			continue
		}
		if near := problem.Nearest(found[1], []string{string(Env), string(File), string(Param)}); near != "" {
			return &Fault{
				Rule: "reference-typo", At: text[i : i+len("${:")+len(found[1])],
				Why:  fmt.Sprintf("${%s:…} is not a reference and stays as it is", found[1]),
				Hint: fmt.Sprintf("did you mean ${%s:…}?", near),
			}
		}
	}
	return nil
}

func shorten(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	if runes := []rune(line); len(runes) > 40 {
		return string(runes[:40]) + "…"
	}
	return line
}
