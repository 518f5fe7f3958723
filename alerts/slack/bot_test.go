package slack_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/alertstest"
	"github.com/ghosteam/upkeep/alerts/slack"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

// answering returns m with the receipt of what opened its conversation.
func answering(m alerts.Message, receipt string) alerts.Message {
	m.ThreadReceipt = receipt
	return m
}

// TestSend_Conversation follows one incident, with a new channel for each
// message, as after a restart: only the receipt holds it together.
func TestSend_Conversation(t *testing.T) {
	t.Parallel()
	server := alertstest.NewSlack(t)
	receipt, err := open(t, server, true, nil).Send(t.Context(), alertstest.Fault())
	if err != nil || receipt != "channel C024BE91L ts 1773451896.000001" {
		t.Fatalf("Send = %q, %v", receipt, err)
	}
	resolve := alertstest.Recovery()
	resolve.Was = alertstest.Fault().Failures
	for i, step := range []struct {
		m             alerts.Message
		broadcast     bool
		header, color string
		says          []string
	}{
		{m: alertstest.Worse(), broadcast: true, header: "CRITICAL: daily failed", color: "#ff0000", says: []string{"pg_dump: error: could not write"}},
		{m: alertstest.Repeat(), broadcast: true, header: "CRITICAL: daily failed", color: "#ff0000", says: []string{"Nobody has acknowledged it"}},
		{m: alertstest.Ack(), header: "ACKNOWLEDGED: daily failed", color: "#ff0000", says: []string{"anna works on it", "pg_dump: error: could not write"}},
		{m: resolve, header: "RESOLVED: daily failed", color: "#36a64f", says: []string{"It was down for 25h58m25s.", "pg_dump: error: could not write"}},
	} {
		at, err := open(t, server, true, nil).Send(t.Context(), answering(step.m, receipt))
		if err != nil || !strings.HasPrefix(at, "channel C024BE91L ts ") || at == receipt {
			t.Fatalf("Send %s = %q, %v", step.m.Action, at, err)
		}
		posts := server.Posts()
		if len(posts) != i+2 {
			t.Fatalf("%d messages after %s", len(posts), step.m.Action)
		}
		first, reply := posts[0], posts[len(posts)-1]
		if reply.Thread != first.TS || reply.Broadcast != step.broadcast || !strings.Contains(reply.Shown(), step.m.Title) {
			t.Errorf("the reply of %s is %+v", step.m.Action, reply)
		}
		if first.Changed != i+1 || !strings.Contains(first.Blocks[0].Text.Text, step.header) || first.Attachments[0].Color != step.color {
			t.Errorf("after %s the first message is %q in %s, changed %d times", step.m.Action, first.Blocks[0].Text.Text, first.Attachments[0].Color, first.Changed)
		}
		for _, text := range step.says {
			if !strings.Contains(first.Shown(), text) {
				t.Errorf("after %s the first message does not say %q:\n%s", step.m.Action, text, first.Shown())
			}
		}
	}
	if wrong := server.Complaints(); len(wrong) > 0 {
		t.Errorf("Slack would refuse: %v", wrong)
	}
}

// TestSend_Strays holds that a message is told also when its conversation is
// lost.
func TestSend_Strays(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		receipt string
		forget  bool
		mishap  alertstest.Mishap
		thread  bool
		says    string
	}{
		"the receipt of a webhook":      {receipt: "200 OK: ok"},
		"a receipt of something":        {receipt: "250 2.0.0 queued as C0 ts 1.1"},
		"the first message is gone":     {forget: true, says: "message_not_found"},
		"it cannot be changed any more": {mishap: alertstest.Mishap{Only: "/api/chat.update", Status: 200, Body: `{"ok":false,"error":"edit_window_closed"}`}, thread: true, says: "edit_window_closed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := alertstest.NewSlack(t)
			c := open(t, server, true, nil)
			receipt, err := c.Send(t.Context(), alertstest.Fault())
			if err != nil {
				t.Fatal(err)
			}
			if test.receipt != "" {
				receipt = test.receipt
			}
			if test.forget {
				server.Forget(server.Posts()[0].TS)
			}
			server.Change(test.mishap)
			got, err := c.Send(t.Context(), answering(alertstest.Recovery(), receipt))
			if err != nil || !strings.Contains(got, test.says) {
				t.Fatalf("Send = %q, %v", got, err)
			}
			posts := server.Posts()
			if last := posts[len(posts)-1]; (last.Thread != "") != test.thread || !strings.Contains(last.Shown(), "works again") {
				t.Errorf("the last message is %+v", last)
			}
			// What is sent after it finds this receipt as good as any.
			if _, err := c.Send(t.Context(), answering(alertstest.Recovery(), got)); err != nil {
				t.Errorf("after the receipt %q: %v", got, err)
			}
		})
	}
}

// TestSend_UpdateFirst: what fails before the message is posted makes no second
// message when it is tried again.
func TestSend_UpdateFirst(t *testing.T) {
	t.Parallel()
	server := alertstest.NewSlack(t)
	c := open(t, server, true, nil)
	receipt, err := c.Send(t.Context(), alertstest.Fault())
	if err != nil {
		t.Fatal(err)
	}
	server.Change(alertstest.Mishap{Only: "/api/chat.update", Status: 429, Header: map[string]string{"Retry-After": "30"}})
	_, err = c.Send(t.Context(), answering(alertstest.Recovery(), receipt))
	if temporary, ok := errors.AsType[*alerts.TemporaryError](err); !ok || temporary.After != 30*time.Second || server.Met() != 1 {
		t.Errorf("Send = %v after %d answers", err, server.Met())
	}
	server.Change(alertstest.Mishap{})
	if _, err := c.Send(t.Context(), answering(alertstest.Recovery(), receipt)); err != nil {
		t.Fatal(err)
	}
	if got := server.Posts(); len(got) != 2 || got[0].Changed != 1 {
		t.Errorf("%d messages, the first changed %d times", len(got), got[0].Changed)
	}
}

func TestSend_Answers(t *testing.T) {
	t.Parallel()
	api := func(word string) alertstest.Mishap {
		return alertstest.Mishap{Status: 200, Body: `{"ok":false,"error":"` + word + `"}`}
	}
	tests := map[string]struct {
		bot       bool
		mishap    alertstest.Mishap
		permanent bool
		after     time.Duration
		says      string
	}{
		"webhook: invalid_payload":     {mishap: alertstest.Mishap{Status: 400, Body: "invalid_payload"}, permanent: true, says: "invalid_payload"},
		"webhook: no_text":             {mishap: alertstest.Mishap{Status: 400, Body: "no_text"}, permanent: true, says: "no_text"},
		"webhook: action_prohibited":   {mishap: alertstest.Mishap{Status: 403, Body: "action_prohibited"}, permanent: true, says: "action_prohibited"},
		"webhook: channel_not_found":   {mishap: alertstest.Mishap{Status: 404, Body: "channel_not_found"}, permanent: true, says: "channel_not_found"},
		"webhook: channel_is_archived": {mishap: alertstest.Mishap{Status: 410, Body: "channel_is_archived"}, permanent: true, says: "channel_is_archived"},
		"webhook: rollup_error":        {mishap: alertstest.Mishap{Status: 500, Body: "rollup_error"}, says: "rollup_error"},
		"webhook: 503":                 {mishap: alertstest.Mishap{Status: 503, Body: "<html>busy</html>"}, says: "503"},
		"webhook: 429":                 {mishap: alertstest.Mishap{Status: 429, Header: map[string]string{"Retry-After": "30"}}, after: 30 * time.Second, says: "429"},
		"webhook: a page for guests":   {mishap: alertstest.Mishap{Status: 200, Body: "<html>Welcome to the hotel</html>"}, says: "not what Slack answers"},
		"webhook: nearly ok":           {mishap: alertstest.Mishap{Status: 200, Body: "okay"}, says: "not what Slack answers"},
		"webhook: a redirect":          {mishap: alertstest.Mishap{Status: 302, Header: map[string]string{"Location": "/services/x"}}, says: "302"},
		"webhook: hanging up":          {mishap: alertstest.Mishap{Drop: true}, says: "EOF"},
		"webhook: what was sent":       {mishap: alertstest.Mishap{Status: 400, Echo: true}, permanent: true, says: "400"},
		"bot: channel_not_found":       {bot: true, mishap: api("channel_not_found"), permanent: true, says: "channel_not_found"},
		"bot: no_text":                 {bot: true, mishap: api("no_text"), permanent: true, says: "no_text"},
		"bot: invalid_blocks":          {bot: true, mishap: api("invalid_blocks"), permanent: true, says: "invalid_blocks"},
		"bot: invalid_auth":            {bot: true, mishap: api("invalid_auth"), after: 5 * time.Minute, says: "invalid_auth"},
		"bot: missing_scope":           {bot: true, mishap: alertstest.Mishap{Status: 200, Body: `{"ok":false,"error":"missing_scope","needed":"chat:write"}`}, after: 5 * time.Minute, says: "missing_scope chat:write"},
		"bot: not_in_channel":          {bot: true, mishap: api("not_in_channel"), after: time.Minute, says: "/invite"},
		"bot: ratelimited":             {bot: true, mishap: alertstest.Mishap{Status: 429, Header: map[string]string{"Retry-After": "9"}, Body: `{"ok":false,"error":"ratelimited"}`}, after: 9 * time.Second, says: "ratelimited"},
		"bot: service_unavailable":     {bot: true, mishap: api("service_unavailable"), says: "service_unavailable"},
		"bot: a word of tomorrow":      {bot: true, mishap: api("phase_of_the_moon"), says: "phase_of_the_moon"},
		"bot: 502":                     {bot: true, mishap: alertstest.Mishap{Status: 502, Body: "<html>"}, says: "502"},
		"bot: a page for guests":       {bot: true, mishap: alertstest.Mishap{Status: 200, Body: "<html>Welcome</html>"}, says: "not what Slack answers"},
		"bot: a no without a word":     {bot: true, mishap: alertstest.Mishap{Status: 200, Body: `{"ok":false}`}, says: "200"},
		"bot: nothing":                 {bot: true, mishap: alertstest.Mishap{Status: 200}, says: "not what Slack answers"},
		"bot: what was sent":           {bot: true, mishap: alertstest.Mishap{Status: 500, Echo: true}, says: "500"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := alertstest.NewSlack(t)
			server.Change(test.mishap)
			_, err := open(t, server, test.bot, nil).Send(t.Context(), alertstest.Fault())
			if err == nil || server.Met() != 1 {
				t.Fatalf("Send = %v after %d answers", err, server.Met())
			}
			_, permanent := errors.AsType[*alerts.PermanentError](err)
			temporary, ok := errors.AsType[*alerts.TemporaryError](err)
			if permanent != test.permanent || ok == permanent || ok && temporary.After != test.after {
				t.Errorf("%#v, want permanent %v after %s", err, test.permanent, test.after)
			}
			said := err.Error() + " " + jobs.HintOf(err)
			if !strings.Contains(said, test.says) {
				t.Errorf("it says %q, want %q", said, test.says)
			}
			if strings.Contains(said, server.Token) || strings.Contains(said, "XXXXXXXXXXXXXXXXXXXXXXXX") {
				t.Errorf("it tells a secret: %q", said)
			}
			if got := server.Posts(); len(got) > 0 {
				t.Errorf("%d messages arrived", len(got))
			}
		})
	}
}

// TestSend_NoPlace: a yes that does not say where the message is is a yes.
func TestSend_NoPlace(t *testing.T) {
	t.Parallel()
	server := alertstest.NewSlack(t)
	server.Change(alertstest.Mishap{Status: 200, Body: `{"ok":true}`})
	c := open(t, server, true, nil)
	receipt, err := c.Send(t.Context(), alertstest.Fault())
	if err != nil || !strings.Contains(receipt, "accepted") {
		t.Fatalf("Send = %q, %v", receipt, err)
	}
	server.Change(alertstest.Mishap{})
	if _, err := c.Send(t.Context(), answering(alertstest.Recovery(), receipt)); err != nil {
		t.Error(err)
	}
}

// TestSend_Mention: people are called when a critical fault begins, and by
// nothing else.
func TestSend_Mention(t *testing.T) {
	t.Parallel()
	warning := alertstest.Fault()
	warning.Incident.Severity = jobs.Warning
	for name, bot := range map[string]bool{"webhook": false, "bot": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := alertstest.NewSlack(t)
			c := open(t, server, bot, func(o *slack.Options) { o.Mention = unit.Names{"here", "U024BE7LH", "S0614TZR7"} })
			for i, test := range []struct {
				m      alerts.Message
				called bool
			}{
				{alertstest.Fault(), true},
				{alertstest.Worse(), true},
				{alertstest.Digest(), true},
				{warning, false},
				{alertstest.Repeat(), false},
				{alertstest.Ack(), false},
				{alertstest.Recovery(), false},
				{alertstest.Reminder(), false},
			} {
				if _, err := c.Send(t.Context(), test.m); err != nil {
					t.Fatal(err)
				}
				const want = "<!here> <@U024BE7LH> <!subteam^S0614TZR7>"
				if blocks := server.Posts()[i].Blocks; (len(blocks) == 2) != test.called || test.called && blocks[1].Text.Text != want {
					t.Errorf("%s: %+v", test.m.Title, blocks)
				}
			}
		})
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	const hook = "https://hooks.slack.com/services/T000/B000/secret-0123456789"
	tests := map[string]struct {
		o     slack.Options
		field string
	}{
		"nothing":            {slack.Options{}, "webhook_url"},
		"both":               {slack.Options{WebhookURL: secret.New(hook), Token: secret.New("xoxb-1"), Channel: "C0"}, "token"},
		"a channel too many": {slack.Options{WebhookURL: secret.New(hook), Channel: "C0"}, "channel"},
		"no channel":         {slack.Options{Token: secret.New("xoxb-1")}, "channel"},
		"a line end":         {slack.Options{Token: secret.New("xoxb-1\n"), Channel: "C0"}, "token"},
		"unprotected":        {slack.Options{WebhookURL: secret.New("http://hooks.slack.com/services/secret-0123456789")}, "webhook_url"},
		"not a URL":          {slack.Options{WebhookURL: secret.New("hooks.slack.com/secret-0123456789")}, "webhook_url"},
		"a wrong api_url":    {slack.Options{Token: secret.New("xoxb-1"), Channel: "C0", APIURL: "http://slack.com/api"}, "api_url"},
	}
	for name, test := range tests {
		o := *slack.Kind().Options().(*slack.Options)
		o.WebhookURL, o.Token, o.Channel = test.o.WebhookURL, test.o.Token, test.o.Channel
		if test.o.APIURL != "" {
			o.APIURL = test.o.APIURL
		}
		_, err := slack.Open("chat", o)
		if wrong, ok := errors.AsType[*jobs.FieldError](err); !ok || wrong.Field != test.field || strings.Contains(wrong.Error()+wrong.Hint, "secret-0123456789") {
			t.Errorf("%s: %v, want a complaint about %s", name, err, test.field)
		}
	}
	o := *slack.Kind().Options().(*slack.Options)
	o.WebhookURL = secret.New(hook)
	if _, err := slack.Open("chat", o); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"everyone", "@here", "<!here>", "U1", "anna", "C024BE91L", ""} {
		o.Mention = unit.Names{"here", name}
		_, err := slack.Open("chat", o)
		if wrong, ok := errors.AsType[*jobs.FieldError](err); !ok || wrong.Field != "mention[1]" {
			t.Errorf("mention %q: %v", name, err)
		}
	}
}
