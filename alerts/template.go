package alerts

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"text/template"
	"text/template/parse"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

const (
	// longestTemplate and longestRendered bound a template and what it writes,
	// in bytes; longestRendering what it may take.
	longestTemplate  = 16 << 10
	longestRendered  = 64 << 10
	longestRendering = time.Second
)

// Fields are what a template of a channel may use.
type Fields struct {
	// Action is what the message tells: open, worse, repeat, ack, resolve,
	// remind, weekly, test or digest.
	Action string
	// Severity, Reason, Workflow and Check are those of the incident; empty when
	// there is none.
	Severity, Reason, Workflow, Check string
	// Title and Text are what the channel would say by itself.
	Title, Text string
	// Project and Node say where it comes from; Incident and Run are IDs.
	Project, Node, Incident, Run string
	// At is when the notice was made, OpenedAt and ResolvedAt bound the incident,
	// RFC 3339; empty when there is none. Down is how long it lasts, in words.
	At, OpenedAt, ResolvedAt, Down string
	// Count is how often the fault occurred; Combined tells that the message
	// stands for the beginning too.
	Count    int
	Combined bool
	// AckedBy is who works on it.
	AckedBy string
	// Failures are what failed; Items what a digest stands for; Commands what to
	// type next.
	Failures []FailureFields
	Items    []ItemFields
	Commands []Command
}

// FailureFields are what a template may use of a failure.
type FailureFields struct {
	Job, Kind, State, Reason, Error, Hint string
	Output                                []string
}

// ItemFields are what a template may use of an item of a digest.
type ItemFields struct{ Action, Severity, Title, Incident string }

// Template writes the title and the text of messages.
type Template struct {
	t *template.Template
	// lists tells that it shows what a digest stands for.
	lists bool
}

// ParseTemplate reads a template and tries it on a sample of every action: a
// template that fails then would fail when it matters. Its functions are those
// of text/template without those that call or reach anything.
func ParseTemplate(text string) (*Template, error) {
	if len(text) > longestTemplate {
		return nil, fmt.Errorf("it is longer than %d bytes", longestTemplate)
	}
	t, err := template.New("template").Option("missingkey=error").Funcs(template.FuncMap{
		"upper": strings.ToUpper, "lower": strings.ToLower, "join": func(list []string, between string) string { return strings.Join(list, between) },
	}).Parse(text)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "template: "))
	}
	if t.Tree == nil || parse.IsEmptyTree(t.Root) {
		return nil, errors.New("it is empty")
	}
	for _, part := range t.Templates() {
		if part.Tree != nil {
			if err := bounds(part.Tree, part.Root); err != nil {
				return nil, err
			}
		}
	}
	out := &Template{t: t, lists: strings.Contains(text, ".Items")}
	for _, action := range Samples() {
		if _, _, err := out.render(Sample(Origin{Project: "sample", Node: "sample"}, action)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// bounds refuses what may go on for ever: ranges over anything but the lists
// that a message has.
func bounds(tree *parse.Tree, n parse.Node) error {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		for _, one := range n.Nodes {
			if err := bounds(tree, one); err != nil {
				return err
			}
		}
	case *parse.IfNode:
		return errors.Join(bounds(tree, n.List), bounds(tree, n.ElseList))
	case *parse.WithNode:
		return errors.Join(bounds(tree, n.List), bounds(tree, n.ElseList))
	case *parse.RangeNode:
		if !isList(n.Pipe) {
			place, _ := tree.ErrorContext(n)
			return fmt.Errorf("%s: range goes over a list only, such as .Failures, .Items, .Commands or .Output", place)
		}
		return errors.Join(bounds(tree, n.List), bounds(tree, n.ElseList))
	default:
	}
	return nil
}

// isList tells whether a pipeline is a field and nothing else.
func isList(p *parse.PipeNode) bool {
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

// Apply replaces the title and the text of a message. The commands, the output
// and whatever else the message carries stay, for channels that show them. A digest stays as it is when
// the template would not say what it stands for.
func (t *Template) Apply(m Message) (Message, error) {
	if m.Action == runner.NoticeDigest && !t.lists {
		return m, nil
	}
	title, text, err := t.render(m)
	if err != nil {
		return m, err
	}
	m.Title, m.Text = title, text
	return m, nil
}

// render writes the template: the first line is the title, the rest the text.
func (t *Template) render(m Message) (title, text string, err error) {
	b := &bounded{until: time.Now().Add(longestRendering)}
	if err := t.t.Execute(b, fieldsOf(m)); err != nil {
		return "", "", errors.New(strings.TrimPrefix(err.Error(), "template: "))
	}
	first, rest, _ := strings.Cut(strings.TrimLeft(b.String(), " \t\r\n"), "\n")
	if title = jobs.OneLine(first); title == "" {
		title = m.Title
	}
	return title, strings.TrimSpace(rest), nil
}

// bounded takes so many bytes and so much time.
type bounded struct {
	bytes.Buffer

	until time.Time
}

// Write refuses what exceeds the bounds.
func (b *bounded) Write(p []byte) (int, error) {
	switch {
	case b.Len()+len(p) > longestRendered:
		return 0, fmt.Errorf("it writes more than %d bytes", longestRendered)
	case time.Now().After(b.until):
		return 0, fmt.Errorf("it takes longer than %s", longestRendering)
	}
	return b.Buffer.Write(p)
}

// fieldsOf are the fields of a message.
func fieldsOf(m Message) Fields {
	f := Fields{
		Action: string(m.Action), Title: m.Title, Text: m.Text, Project: m.Project, Node: m.Node, At: stamp(m.At, m.At), Combined: m.Combined,
		Commands: m.Commands,
	}
	if i := m.Incident; i != nil {
		f.Severity, f.Reason, f.Workflow, f.Check, f.Incident = string(i.Severity), i.Reason, i.Workflow, i.Check, i.ID
		f.OpenedAt, f.ResolvedAt, f.Count, f.AckedBy = stamp(i.OpenedAt, m.At), stamp(i.ResolvedAt, m.At), i.Count, i.AckedBy
		f.Down = rough(m.At.Sub(i.OpenedAt))
		if !i.ResolvedAt.IsZero() {
			f.Down = rough(m.Down())
		}
	}
	if m.Run != nil {
		f.Run = string(m.Run.ID)
	}
	for _, x := range m.Failures {
		f.Failures = append(f.Failures, FailureFields{x.Job, x.Kind, string(x.State), string(x.Reason), x.Error, x.Hint, x.Output})
	}
	for _, x := range m.Items {
		item := ItemFields{Action: string(x.Action), Title: x.Title}
		if x.Incident != nil {
			item.Severity, item.Incident = string(x.Incident.Severity), x.Incident.ID
		}
		f.Items = append(f.Items, item)
	}
	return f
}

// stamp writes an instant in the zone of the message.
func stamp(t, like time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(like.Location()).Format(time.RFC3339)
}

// Samples are the actions of which there is a sample message.
func Samples() []runner.NoticeAction {
	return []runner.NoticeAction{
		runner.NoticeOpen, runner.NoticeResolve, runner.NoticeWorse, runner.NoticeRepeat, runner.NoticeAck, runner.NoticeRemind, runner.NoticeDigest, runner.NoticeWeekly,
	}
}
