package alerts

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Previewer is a Channel that can show what it would send.
type Previewer interface {
	Channel
	// Preview returns what Send would hand over for m, as text without secrets.
	Preview(m Message) (string, error)
}

// Compose makes the message that a notice of an incident would be, without
// sending it.
func Compose(ctx context.Context, records Records, stories Stories, o Origin, n runner.Notice) (Message, error) {
	return (&Dispatcher{o: Options{Records: records, Stories: stories, Origin: o}}).message(ctx, n)
}

// Preview returns what a channel would send for m under its settings.
func Preview(c Channel, s Settings, m Message) (string, error) {
	if s.Template != nil {
		var err error
		if m, err = s.Template.Apply(m); err != nil {
			return "", fmt.Errorf("apply the template: %w", err)
		}
	}
	if p, ok := c.(Previewer); ok {
		return p.Preview(m)
	}
	return plain(m), nil
}

// plain writes a message as text.
func plain(m Message) string {
	var b strings.Builder
	b.WriteString(m.Title + "\n")
	if m.Text != "" {
		b.WriteString("\n" + strings.TrimSpace(m.Text) + "\n")
	}
	for _, f := range m.Failures {
		fmt.Fprintf(&b, "\njob %s (%s) %s: %s\n", f.Job, f.Kind, f.State, f.Error)
		if f.Hint != "" {
			fmt.Fprintf(&b, "hint: %s\n", f.Hint)
		}
		for _, line := range f.Output {
			b.WriteString("  | " + line + "\n")
		}
	}
	if len(m.Commands) > 0 {
		b.WriteString("\n")
	}
	for _, c := range m.Commands {
		fmt.Fprintf(&b, "%s   # %s\n", c.Line, c.Does)
	}
	if i := m.Incident; i != nil {
		fmt.Fprintf(&b, "\nincident %s, %s, since %s\n", i.ID, i.Severity, i.OpenedAt.In(m.At.Location()).Format(time.RFC3339))
	}
	return b.String()
}
