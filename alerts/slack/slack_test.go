package slack_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/alertstest"
	"github.com/ghosteam/upkeep/alerts/slack"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
)

// open returns a channel that posts to s: through its webhook, or as its bot.
func open(t *testing.T, s *alertstest.Slack, bot bool, change func(*slack.Options)) *slack.Channel {
	t.Helper()
	o := *slack.Kind().Options().(*slack.Options)
	o.CAFile, o.Timeout = unit.Path(s.CAFile), unit.Duration(10*time.Second)
	if bot {
		o.Token, o.Channel, o.APIURL = secret.New(s.Token), s.Channel, s.APIURL
	} else {
		o.WebhookURL = secret.New(s.WebhookURL)
	}
	if change != nil {
		change(&o)
	}
	c, err := slack.Open("chat", o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// mishap is what Slack does when it behaves so.
func mishap(b alertstest.Behavior, bot bool) alertstest.Mishap {
	switch b {
	case alertstest.Busy:
		return alertstest.Mishap{Status: 429, Header: map[string]string{"Retry-After": "7"}, Body: "rate_limited"}
	case alertstest.Refusing:
		if bot {
			return alertstest.Mishap{Status: 200, Body: `{"ok":false,"error":"channel_not_found"}`}
		}
		return alertstest.Mishap{Status: 400, Body: "invalid_payload"}
	case alertstest.Silent:
		return alertstest.Mishap{Stall: true}
	case alertstest.Deaf:
		return alertstest.Mishap{Deaf: true}
	case alertstest.Locked:
		if bot {
			return alertstest.Mishap{Status: 200, Body: `{"ok":false,"error":"invalid_auth"}`}
		}
		return alertstest.Mishap{Status: 403, Body: "invalid_token"}
	default:
		return alertstest.Mishap{}
	}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	for name, bot := range map[string]bool{"webhook": false, "bot": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alertstest.Run(t, func(t *testing.T, b alertstest.Behavior) alertstest.Subject {
				server := alertstest.NewSlack(t)
				server.Change(mishap(b, bot))
				t.Cleanup(func() {
					if wrong := server.Complaints(); len(wrong) > 0 {
						t.Errorf("Slack would refuse: %v", wrong)
					}
				})
				s := alertstest.Subject{
					Channel: open(t, server, bot, func(o *slack.Options) {
						if b == alertstest.Absent {
							absent(o)
						}
					}),
					Secrets: []string{server.Token, "XXXXXXXXXXXXXXXXXXXXXXXX"},
					Received: func() []alertstest.Delivery {
						var out []alertstest.Delivery
						for _, p := range server.Posts() {
							out = append(out, alertstest.Delivery{ID: p.Blocks[0].BlockID, Text: p.Shown()})
						}
						return out
					},
					Turn: func(b alertstest.Behavior) { server.Change(mishap(b, bot)) },
				}
				if !bot { // the webhook's address is its password
					s.Final = []alertstest.Behavior{alertstest.Locked}
				}
				if b != alertstest.Accepting && b != alertstest.Absent {
					s.Met = server.Met
				}
				return s
			})
		})
	}
}

// absent makes the channel turn to a port at which nobody listens.
func absent(o *slack.Options) {
	const nobody = "https://127.0.0.1:1" // tcpmux
	o.APIURL = nobody + "/api"
	if !o.WebhookURL.IsEmpty() {
		o.WebhookURL = secret.New(nobody + "/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX")
	}
}

func TestSend_Message(t *testing.T) {
	t.Parallel()
	server := alertstest.NewSlack(t)
	receipt, err := open(t, server, false, nil).Send(t.Context(), alertstest.Fault())
	if err != nil || receipt != "200 OK: ok" {
		t.Fatalf("Send = %q, %v", receipt, err)
	}
	got := server.Posts()[0]
	const headline = "[ghosteam-v5] CRITICAL: daily failed: backup failed"
	if got.Text != headline || got.Blocks[0].Text.Text != headline || got.Attachments[0].Color != "#ff0000" {
		t.Errorf("text %q, header %q, color %q", got.Text, got.Blocks[0].Text.Text, got.Attachments[0].Color)
	}
	if diff := cmp.Diff(shownFault, got.Shown()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

const shownFault = `[ghosteam-v5] CRITICAL: daily failed: backup failed
*Severity*
critical
*Timestamp*
Sat 2026-03-14 01:31:36 UTC
*Workflow*
daily
*Wrong since*
Sat 2026-03-14 01:31:35 UTC
*Run*
0195f1c0-0000-7000-8000-000000000001
*State*
failed (error)
*Because*
backup failed
*Due*
Sat 2026-03-14 01:30:00 UTC
*Started*
Sat 2026-03-14 01:30:01 UTC
*Ended*
Sat 2026-03-14 01:31:35 UTC, after 1m34s
job backup (pgbackup) failed (error), exit code 3, attempt 3, after 1m32s
error: store offsite: no space left on device
hint: make room or set a smaller keep
` + "```" + `
…
dumping table orders
pg_dump: error: could not write
` + "```\n```" + `
upkeep show 0195f1c0-0000-7000-8000-000000000001   # what happened
upkeep retry 0195f1c0-0000-7000-8000-000000000001   # try again
` + "```" + `
upkeep on db-1, project ghosteam-v5
notice 0195f1c0-0000-7000-8000-00000000000a`

// TestSend_Colors holds the colors of the guide.
func TestSend_Colors(t *testing.T) {
	t.Parallel()
	server := alertstest.NewSlack(t)
	c := open(t, server, false, nil)
	warning, info := alertstest.Fault(), alertstest.Fault()
	warning.Incident.Severity, info.Incident.Severity = "warning", "info"
	for i, test := range []struct {
		m     alerts.Message
		color string
	}{
		{alertstest.Fault(), "#ff0000"},
		{warning, "#ff9900"},
		{info, "#36a64f"},
		{alertstest.Recovery(), "#36a64f"},
		{alertstest.Reminder(), "#36a64f"},
		{alertstest.Digest(), "#ff0000"},
	} {
		if _, err := c.Send(t.Context(), test.m); err != nil {
			t.Fatal(err)
		}
		if got := server.Posts()[i].Attachments[0].Color; got != test.color {
			t.Errorf("%s is %s, want %s", test.m.Title, got, test.color)
		}
	}
}
