package email

import (
	"bytes"
	"embed"
	"fmt"
	html "html/template"
	"strings"
	text "text/template"

	"github.com/wneessen/go-mail"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/jobs"
)

//go:embed body.txt.tmpl body.html.tmpl
var templates embed.FS

const (
	// longestSubject bounds a subject, in characters: mail programs show less.
	longestSubject = 160
	// longestID bounds our part of a Message-ID, in bytes.
	longestID = 64
)

// compose writes the mail. The same message always gives the same identity.
func (c *Channel) compose(m alerts.Message) (*mail.Msg, error) {
	view := newView(m)
	plain, err := render(view)
	if err != nil {
		return nil, err
	}
	rich, err := renderHTML(view)
	if err != nil {
		return nil, err
	}
	out := mail.NewMsg(mail.WithNoDefaultUserAgent())
	out.FromMailAddress(c.from)
	out.ToMailAddress(c.to...)
	out.Subject(subject(m, view.Verdict))
	out.SetDateWithValue(m.At)
	out.SetMessageIDWithValue(c.messageID(m.ID))
	if m.Thread != "" {
		// RFC 5322, section 3.6.4.
		root := "<" + c.messageID(m.Thread) + ">"
		out.SetGenHeaderPreformatted(mail.HeaderInReplyTo, root)
		out.SetGenHeaderPreformatted(mail.HeaderReferences, root)
	}
	// RFC 3834, section 5: nobody's holiday notice is to answer. Exchange wants
	// a header of its own for that.
	out.SetGenHeader("Auto-Submitted", "auto-generated")
	out.SetGenHeader("X-Auto-Response-Suppress", "All")
	for name, value := range view.Headers {
		out.SetGenHeader(mail.Header(name), value)
	}
	out.SetBodyString(mail.TypeTextPlain, plain)
	out.AddAlternativeString(mail.TypeTextHTML, rich)
	return out, nil
}

// messageID is stable for one notice, so that a mail that was sent twice can be
// recognized.
func (c *Channel) messageID(id string) string {
	id = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
			return r
		}
		return '_'
	}, id[:min(len(id), longestID)])
	_, domain, _ := strings.Cut(c.from.Address, "@")
	if domain == "" || strings.ContainsFunc(domain, notOfName) {
		domain = "upkeep.invalid"
	}
	return id + ".upkeep@" + domain
}

// subject says the most important things in one line. It says how the fault
// stands, so it differs within one conversation; the headers hold that together.
func subject(m alerts.Message, verdict string) string {
	project := ""
	if m.Project != "" {
		project = "[" + m.Project + "] "
	}
	line := []rune(jobs.OneLine(project + verdict + ": " + m.Title))
	if len(line) > longestSubject {
		line = append(line[:longestSubject-1], '…')
	}
	return string(line)
}

func render(v view) (string, error) {
	t, err := text.New("body.txt.tmpl").Funcs(text.FuncMap{"indent": indent}).ParseFS(templates, "body.txt.tmpl")
	if err != nil {
		return "", fmt.Errorf("read the text of the mail: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return "", fmt.Errorf("write the text of the mail: %w", err)
	}
	return b.String(), nil
}

// indent puts margin in front of all lines but the first.
func indent(text, margin string) string { return strings.ReplaceAll(text, "\n", "\n"+margin) }

func renderHTML(v view) (string, error) {
	t, err := html.ParseFS(templates, "body.html.tmpl")
	if err != nil {
		return "", fmt.Errorf("read the HTML of the mail: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return "", fmt.Errorf("write the HTML of the mail: %w", err)
	}
	return b.String(), nil
}

// Preview implements alerts.Previewer: the subject and the text of the mail.
func (c *Channel) Preview(m alerts.Message) (string, error) {
	view := newView(m)
	body, err := render(view)
	if err != nil {
		return "", err
	}
	var to []string
	for _, address := range c.to {
		to = append(to, address.String())
	}
	return fmt.Sprintf("From: %s\nTo: %s\nSubject: %s\n\n%s", c.from, strings.Join(to, ", "), subject(m, view.Verdict), body), nil
}
