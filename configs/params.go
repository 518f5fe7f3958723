package configs

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/expand"
	"github.com/ghosteam/upkeep/configs/internal/problem"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/jobs"
)

// The types of parameters.
const (
	paramString = "string"
	paramInt    = "int"
	paramBool   = "bool"
	paramEnum   = "enum"
)

// maxParam is the length of the longest value of a parameter, in bytes.
const maxParam = 4096

var wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,17})$`)

// Param is a value of a workflow that may differ from run to run.
type Param struct {
	Name, Description string
	// Type is "string", "int", "bool" or "enum"; Values are the words of an
	// enum.
	Type   string
	Values []string
	// Default is the value when none is given, which Required forbids.
	Default  string
	Required bool
	// Pattern is the regular expression that a string must match as a whole;
	// empty means any.
	Pattern string

	pattern *regexp.Regexp
}

// Check tells why text cannot be a value of p; nil when it can.
func (p Param) Check(text string) error {
	switch {
	case len(text) > maxParam:
		return fmt.Errorf("it is longer than %d bytes", maxParam)
	case !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0:
		return fmt.Errorf("%q is not text", text)
	}
	switch p.Type {
	case paramInt:
		if !wholeNumber.MatchString(text) {
			return fmt.Errorf("%q is not a whole number", text)
		}
	case paramBool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%q is neither true nor false", text)
		}
	case paramEnum:
		if !slices.Contains(p.Values, text) {
			return fmt.Errorf("%q is not one of %s", text, strings.Join(p.Values, ", "))
		}
	default:
		if p.pattern != nil && !p.pattern.MatchString(text) {
			return fmt.Errorf("%q does not match the pattern %s", text, p.Pattern)
		}
	}
	return nil
}

// Arguments returns the value of every parameter of the workflow: the given
// ones, checked, and the defaults of the others. Its error names everything
// that is wrong with given.
func (w *Workflow) Arguments(given map[string]string) (map[string]string, error) {
	out := map[string]string{}
	var wrong []string
	hint := ""
	for _, p := range w.Params {
		text, ok := given[p.Name]
		switch {
		case !ok && p.Required:
			wrong = append(wrong, fmt.Sprintf("parameter %s is required", p.Name))
			hint = fmt.Sprintf("give it: --param %s=…", p.Name)
			continue
		case !ok:
			text = p.Default
		default:
			if err := p.Check(text); err != nil {
				wrong = append(wrong, fmt.Sprintf("parameter %s: %v", p.Name, err))
				continue
			}
		}
		out[p.Name] = text
	}
	var names []string
	for _, p := range w.Params {
		names = append(names, p.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(names, name) {
			wrong = append(wrong, fmt.Sprintf("workflow %s has no parameter %q", w.Name, name))
			if hint = problem.DidYouMean(name, names); hint == "" && len(names) == 0 {
				hint = "it takes no parameters"
			}
		}
	}
	if len(wrong) > 0 {
		return nil, jobs.WithHint(fmt.Errorf("run %s: %s", w.Name, strings.Join(wrong, "; ")), hint)
	}
	return out, nil
}

// makeParams checks the declarations of parameters.
func makeParams(d *decode.Decoder, items decode.Named[paramFile], path string, scheduled bool) []Param {
	out := make([]Param, 0, len(items))
	for i := range items {
		item := &items[i]
		p := Param{
			Name: item.Name, Description: item.Value.Description, Type: item.Value.Type,
			Values: item.Value.Values, Required: item.Value.Required, Pattern: item.Value.Pattern,
		}
		if p.Type == "" {
			p.Type = paramString
		}
		report := func(key, message, hint string) {
			at, _, ok := item.Node.Find(key)
			if !ok {
				at = item.At
			}
			d.Report(at, "bad-param", path+"."+item.Name, fmt.Sprintf("parameter %s %s", item.Name, message), hint)
		}
		p.checkForm(report)
		p.checkDefault(item.Value.Default, scheduled, report)
		out = append(out, p)
	}
	return out
}

func (p *Param) checkForm(report func(key, message, hint string)) {
	switch {
	case p.Type == paramEnum && len(p.Values) == 0:
		report("type", "has no values to choose from", "list them: values: [fast, full]")
	case p.Type != paramEnum && len(p.Values) > 0:
		report("values", "lists values but is not an enum", "write type: enum")
	}
	if p.Pattern == "" {
		return
	}
	if p.Type != paramString {
		report("pattern", "has a pattern but is not a string", "")
		return
	}
	_, err := regexp.Compile(p.Pattern)
	if err != nil {
		report("pattern", fmt.Sprintf("has a pattern that is not a regular expression: %v", err), "the syntax is that of RE2")
		return
	}
	p.pattern = regexp.MustCompile(`^(?:` + p.Pattern + `)$`)
}

func (p *Param) checkDefault(given *string, scheduled bool, report func(key, message, hint string)) {
	switch {
	case p.Required && given != nil:
		report("required", "is required and has a default", "remove one of the two")
	case p.Required && scheduled:
		report("required", "is required, but nobody gives it when the schedule starts a run", "give it a default instead")
	case given != nil:
		p.Default = *given
		if err := p.Check(p.Default); err != nil {
			report("default", "has an impossible default: "+err.Error(), "")
		}
	case !p.Required && p.Type != paramString:
		report("", "has neither a default nor required: true", "")
	case !p.Required && p.pattern != nil && !p.pattern.MatchString(""):
		report("pattern", "has no default, and the empty text does not match its pattern", "give it a default or required: true")
	}
}

// arguments returns what ${param:…} stands for. Without values of a run it is
// the defaults; a required parameter is not known then.
func arguments(params []Param, values map[string]string) map[string]expand.Argument {
	out := map[string]expand.Argument{}
	for _, p := range params {
		out[p.Name] = expand.Argument{Text: p.Default, Known: !p.Required}
		if text, ok := values[p.Name]; ok {
			out[p.Name] = expand.Argument{Text: text, Known: true}
		}
	}
	return out
}

// at returns the place of the value at path below n, or of the key before n.
func at(n *source.Node, path string, key source.Pos) source.Pos {
	if found, _, ok := n.Find(path); ok {
		return found
	}
	return key
}
