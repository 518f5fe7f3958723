// Package pagerduty pages people through PagerDuty's Events API v2. It knows
// that API's events, their limits and its answers; it refuses to page for what
// is less grave than it is told, and keeps nothing between messages: the key
// that holds an incident together follows from the incident.
package pagerduty

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/internal/post"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

const doc = `Pages through PagerDuty (Events API v2): triggers, acknowledges and resolves.

Everything about one incident carries the same 'dedup_key', so that a message that had to be
sent again, or an incident that gets worse, changes the alert there instead of opening
another, and its end resolves it. The integration must be of the type Events API v2.

Only what is critical pages, unless 'severities' says otherwise; the rest is taken without
being sent, and its receipt says so. Acknowledgements and ends are always sent: PagerDuty
drops those of what it does not know. Of a fault that was over before it could be told,
nothing is sent.

With 'changes: true' deploys ('upkeep event deploy') go there as change events, which PagerDuty
shows beside the alerts that follow; they page nobody.

A test ('upkeep alert test') opens an alert with the severity info, which somebody has to
resolve there.

429, 5xx, a lost connection and an answer that is not PagerDuty's are tried again; an event
that is refused as invalid (400), such as one with a wrong key, is given up at once.`

// Kind returns the kind of channel.
func Kind() alerts.Kind {
	return alerts.Define("pagerduty", doc, defaults(), func(name string, o Options) (alerts.Channel, error) {
		return Open(name, o)
	})
}

// Channel is one integration of a service of PagerDuty.
type Channel struct {
	name   string
	o      Options
	client *post.Client
}

var (
	_ alerts.Styled     = (*Channel)(nil)
	_ alerts.Selective  = (*Channel)(nil)
	_ alerts.Chronicler = (*Channel)(nil)
	_ alerts.Previewer  = (*Channel)(nil)
)

// Open returns the channel of that configured name. It reaches out to nobody.
func Open(name string, o Options) (*Channel, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return &Channel{name: name, o: o, client: post.New("PagerDuty", o.Options, false, nil, []string{o.IntegrationKey.Reveal()})}, nil
}

// Style implements alerts.Styled: PagerDuty keeps a record of each incident.
func (c *Channel) Style() alerts.Style { return alerts.Recording }

// Chronicles implements alerts.Chronicler.
func (c *Channel) Chronicles() bool { return c.o.Changes }

// Takes implements alerts.Selective.
func (c *Channel) Takes() []jobs.Severity { return c.o.Severities }

// Send implements alerts.Channel. The receipt is what PagerDuty answered, with
// the key of the alert.
func (c *Channel) Send(ctx context.Context, m alerts.Message) (string, error) {
	if err := context.Cause(ctx); err != nil {
		return "", &alerts.TemporaryError{Err: fmt.Errorf("PagerDuty: %w", err)}
	}
	if !c.pages(m) {
		return fmt.Sprintf("not sent: the severity %s does not page here", severity(m)), nil
	}
	if m.Action == runner.NoticeChange {
		return c.sendChange(ctx, m)
	}
	e := c.compose(m)
	text, err := e.encode()
	if err != nil {
		return "", err
	}
	a, err := c.client.Do(ctx, post.Request{
		Method: http.MethodPost, URL: c.o.address(), Header: http.Header{"Content-Type": {"application/json"}}, Body: text,
	})
	if err != nil {
		return "", err
	}
	if a.Status == http.StatusAccepted {
		said := read(a.Body)
		return c.client.Receipt(a, strings.TrimSpace(said.Message+" "+e.DedupKey)), nil
	}
	return "", c.client.Refused(a, refused(a))
}

// Preview implements alerts.Previewer: the JSON of the event, with the key
// redacted.
func (c *Channel) Preview(m alerts.Message) (string, error) {
	if !c.pages(m) {
		return fmt.Sprintf("nothing: the severity %s does not page here\n", severity(m)), nil
	}
	e := c.compose(m)
	e.RoutingKey = secret.Redacted
	text, err := e.encode()
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return "", fmt.Errorf("show the event: %w", err)
	}
	return b.String(), nil
}

// refused judges an answer that is not a yes:
// https://developer.pagerduty.com/docs/events-api-v2-overview#response-codes--retry-logic.
func refused(a *post.Answer) post.Refusal {
	said := read(a.Body)
	why := said.Status
	if said.Message != "" {
		why = said.Message
	}
	if len(said.Errors) > 0 {
		why += ": " + strings.Join(said.Errors, "; ")
	}
	r := post.Refusal{Why: why}
	switch a.Status {
	case http.StatusBadRequest:
		r.Forever = true
		if strings.Contains(why, "routing_key") {
			r.Hint = "set integration_key to the key of an integration of the type Events API v2"
		}
	case http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		r.Forever = true
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		r.Hint = "check integration_key and region; the message waits, and a new key is used without a restart"
	case http.StatusOK:
		r.Hint = "is url right, and does nothing in between answer in PagerDuty's place?"
	}
	return r
}
