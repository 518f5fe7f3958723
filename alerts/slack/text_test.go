package slack_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/alerts/alertstest"
	"github.com/ghosteam/upkeep/alerts/slack"
)

// TestSend_Limits: whatever the message is, Slack takes it. The stand-in holds
// every documented limit and refuses markup.
func TestSend_Limits(t *testing.T) {
	t.Parallel()
	for name, bot := range map[string]bool{"webhook": false, "bot": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := alertstest.NewSlack(t)
			c := open(t, server, bot, nil)
			rapid.Check(t, func(t *rapid.T) {
				m := alertstest.Arbitrary().Draw(t, "message")
				receipt, err := c.Send(t.Context(), m)
				if err != nil {
					t.Fatalf("Send: %v; %v", err, server.Complaints())
				}
				if bot {
					m.Thread, m.ThreadReceipt, m.Was = m.ID, receipt, m.Failures
					if _, err := c.Send(t.Context(), m); err != nil {
						t.Fatalf("Send into the thread: %v; %v", err, server.Complaints())
					}
				}
			})
			if wrong := server.Complaints(); len(wrong) > 0 {
				t.Errorf("Slack would refuse: %v", wrong)
			}
		})
	}
}

// TestSend_Risky: what could become markup stands where there is none.
func TestSend_Risky(t *testing.T) {
	t.Parallel()
	server := alertstest.NewSlack(t)
	m := alertstest.Fault()
	const text = "*bold* _it_ ~gone~ `code` <!channel> @here :fire: & &amp;"
	m.Title, m.Incident.Workflow, m.Run.Message = text, text, text
	m.Failures[0].Output = []string{text, "``` <!everyone>"}
	if _, err := open(t, server, false, nil).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := server.Posts()[0]
	for _, b := range append(got.Blocks, got.Attachments[0].Blocks...) {
		for _, f := range b.Fields {
			if f.Type == "mrkdwn" && strings.ContainsAny(strings.Replace(strings.TrimPrefix(f.Text, "*"), "*\n", "", 1), "*_~`:<&") && !strings.Contains(f.Text, "UTC") {
				t.Errorf("a field with markup: %q", f.Text)
			}
		}
		if b.Text != nil && b.Text.Type == "mrkdwn" && (!b.Text.Verbatim || strings.Count(b.Text.Text, "```") != 2) {
			t.Errorf("a code block that can be left: %q", b.Text.Text)
		}
	}
	if mass := regexp.MustCompile(`@(here|channel|everyone)`); mass.MatchString(got.Text) || mass.MatchString(got.Attachments[0].Fallback) {
		t.Errorf("the fallback %q may call everybody", got.Text)
	}
}

func FuzzFence(f *testing.F) {
	for _, text := range alertstest.Hostile() {
		if len(text) < 1000 {
			f.Add(text, 100, true)
		}
	}
	f.Add("`````\n``", 3000, false)
	f.Fuzz(func(t *testing.T, text string, times int, cut bool) {
		text = strings.ToValidUTF8(text, "?")
		got := slack.Fence(strings.Split(strings.Repeat(text, 1+max(0, times)%50), "\n"), cut)
		if got == "" {
			return
		}
		if n := slack.Units(got); n > 3000 {
			t.Errorf("%d characters", n)
		}
		if strings.Count(got, "```") != 2 || !strings.HasPrefix(got, "```\n") || !strings.HasSuffix(got, "\n```") {
			t.Errorf("the fence is open: %q", got)
		}
		if inner := got[4 : len(got)-4]; strings.ContainsAny(inner, "<>") || regexp.MustCompile(`&($|[^agl]|[agl]$)`).MatchString(inner) {
			t.Errorf("not escaped: %q", got)
		}
	})
}

func FuzzFit(f *testing.F) {
	f.Add("Grüße 🔥🔥", 5)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = 2 + max(0, limit)%5000
		text = strings.ToValidUTF8(text, "?")
		got := slack.Fit(text, limit)
		if slack.Units(got) > limit || !utf8.ValidString(got) || slack.Units(text) <= limit && got != text {
			t.Errorf("Fit(%q, %d) = %q", text, limit, got)
		}
	})
}

func FuzzPlaceOf(f *testing.F) {
	f.Add("channel C024BE91L ts 1503435956.000247")
	f.Add("channel C024BE91L ts 1503435956.000247; it could not be added")
	f.Add("200 OK: ok")
	f.Fuzz(func(t *testing.T, text string) {
		channel, ts, ok := slack.PlaceOf(text)
		if !ok {
			return
		}
		again, same, ok := slack.PlaceOf("channel " + channel + " ts " + ts)
		if !ok || again != channel || same != ts || strings.ContainsAny(channel+ts, " \n\"/") {
			t.Errorf("%q is %q at %q", text, channel, ts)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"ok":true,"channel":"C0","ts":"1.1"}`))
	f.Add([]byte(`{"ok":false,"error":"x"}`))
	f.Add([]byte(`ok`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if ok, word, err := slack.Read(body); err != nil && (ok || word != "") {
			t.Errorf("%q: an error and an answer", body)
		}
	})
}
