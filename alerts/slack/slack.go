// Package slack sends messages to a channel of Slack, through an incoming
// webhook or as a bot. It knows Slack's blocks, their limits and what Slack
// answers; it keeps nothing between messages: where a conversation stands is
// the receipt of the notice that opened it.
package slack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/internal/post"
)

const doc = `Posts to a channel of Slack, through an incoming webhook or as a bot.

A message has a colored bar (green, orange, red by severity; green when it is over), the
verdict and the title as its headline, severity and time, what failed and why, the last lines
of output and the commands to type next.

- With 'webhook_url' every message is a new one in the webhook's channel.
- With 'token' (of a bot with the scope chat:write that was invited to the channel) and
  'channel', everything about one incident goes into the thread of its first message, which
  is changed to show how things stand. What got worse, and what nobody acknowledged, is
  shown in the channel too.

'mention' calls people or groups when a critical fault begins. Texts of programs cannot call anybody, link, or change how the message looks. A message
that had to be sent again because the answer was lost may show twice; both carry the same
notice in the last line.

Slack's 429 and 5xx, an answer that is not Slack's, a token that is refused and a lost
connection are tried again, not before the time that Slack asks for; what Slack refuses for
good (invalid_payload, channel_not_found, no_text, a webhook that was removed) is given up
at once.`

// Kind returns the kind of channel.
func Kind() alerts.Kind {
	return alerts.Define("slack", doc, defaults(), func(name string, o Options) (alerts.Channel, error) {
		return Open(name, o)
	})
}

// Channel is a channel of Slack.
type Channel struct {
	name   string
	o      Options
	client *post.Client
}

var (
	_ alerts.Styled    = (*Channel)(nil)
	_ alerts.Previewer = (*Channel)(nil)
)

// Open returns the channel of that configured name. It reaches out to nobody.
func Open(name string, o Options) (*Channel, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	client := post.New("Slack", o.Options, false, []string{o.WebhookURL.Reveal()}, []string{o.Token.Reveal()})
	return &Channel{name: name, o: o, client: client}, nil
}

// Style implements alerts.Styled: one message may tell of several faults.
func (c *Channel) Style() alerts.Style { return alerts.Gathering }

// Send implements alerts.Channel. The receipt of a bot's message says where it
// is, so that what follows finds it.
func (c *Channel) Send(ctx context.Context, m alerts.Message) (string, error) {
	if c.o.Token.IsEmpty() {
		return c.hook(ctx, c.calling(m, compose(m)))
	}
	return c.talk(ctx, m)
}

// Preview implements alerts.Previewer: the JSON of the message.
func (c *Channel) Preview(m alerts.Message) (string, error) {
	out := c.calling(m, compose(m))
	if !c.o.Token.IsEmpty() {
		out = c.addressed(m)
	}
	text, err := encode(out)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return "", fmt.Errorf("show the message: %w", err)
	}
	return b.String(), nil
}
