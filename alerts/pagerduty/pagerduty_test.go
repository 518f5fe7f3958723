package pagerduty_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/alertstest"
	"github.com/ghosteam/upkeep/alerts/pagerduty"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

func open(t *testing.T, p *alertstest.PagerDuty, change func(*pagerduty.Options)) *pagerduty.Channel {
	t.Helper()
	o := *pagerduty.Kind().Options().(*pagerduty.Options)
	o.IntegrationKey, o.URL, o.CAFile, o.Timeout = secret.New(p.Key), p.URL, unit.Path(p.CAFile), unit.Duration(10*time.Second)
	if change != nil {
		change(&o)
	}
	c, err := pagerduty.Open("pager", o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// everything makes all severities page.
func everything(o *pagerduty.Options) {
	o.Severities = alerts.Severities{jobs.Info, jobs.Warning, jobs.Critical}
}

func mishap(b alertstest.Behavior) alertstest.Mishap {
	switch b {
	case alertstest.Busy:
		return alertstest.Mishap{Status: 429}
	case alertstest.Refusing:
		return alertstest.Mishap{Status: 400, Body: `{"status":"invalid event","message":"Event object is invalid","errors":["no"]}`}
	case alertstest.Silent:
		return alertstest.Mishap{Stall: true}
	case alertstest.Deaf:
		return alertstest.Mishap{Deaf: true}
	case alertstest.Locked:
		return alertstest.Mishap{Status: 403, Body: "forbidden"}
	default:
		return alertstest.Mishap{}
	}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	alertstest.Run(t, func(t *testing.T, b alertstest.Behavior) alertstest.Subject {
		server := alertstest.NewPagerDuty(t)
		server.Change(mishap(b))
		s := alertstest.Subject{
			Channel: open(t, server, func(o *pagerduty.Options) {
				everything(o)
				if b == alertstest.Absent {
					o.URL = "https://127.0.0.1:1/v2/enqueue" // tcpmux: nobody listens
				}
			}),
			Secrets: []string{server.Key},
			Received: func() []alertstest.Delivery {
				var out []alertstest.Delivery
				for _, e := range server.Events() {
					out = append(out, alertstest.Delivery{ID: e.DedupKey, Text: e.Text})
				}
				return out
			},
			Turn: func(b alertstest.Behavior) { server.Change(mishap(b)) },
		}
		if b != alertstest.Accepting && b != alertstest.Absent {
			s.Met = server.Met
		}
		return s
	})
}

func TestSend_Event(t *testing.T) {
	t.Parallel()
	server := alertstest.NewPagerDuty(t)
	c := open(t, server, func(o *pagerduty.Options) {
		o.Links = []pagerduty.Link{{Href: "https://wiki.example.org/backup", Text: "runbook"}}
	})
	m := alertstest.Fault()
	receipt, err := c.Send(t.Context(), m)
	key := "upkeep/ghosteam-v5/" + m.Incident.ID
	if err != nil || receipt != "202 Accepted: Event processed "+key {
		t.Fatalf("Send = %q, %v", receipt, err)
	}
	got := server.Events()[0]
	details := got.Payload.Details
	got.Payload.Details, got.Text = nil, ""
	want := alertstest.PageEvent{
		RoutingKey: server.Key, Action: "trigger", DedupKey: key, Client: "upkeep",
		Payload: alertstest.PagePayload{
			Summary: "[ghosteam-v5] daily failed: backup failed", Source: "db-1", Severity: "critical", Timestamp: "2026-03-14T01:31:35Z",
			Component: "daily", Group: "ghosteam-v5", Class: "failed",
		},
		Links: []alertstest.PageLink{{Href: "https://wiki.example.org/backup", Text: "runbook"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, value := range map[string]any{"notice": m.ID, "incident": m.Incident.ID, "workflow": "daily", "state": "failed (error)", "severity": "critical"} {
		if details[name] != value {
			t.Errorf("custom_details: %s is %v, want %v", name, details[name], value)
		}
	}
}

// TestSend_Life follows one alert: all its events have one key, and repeating
// them changes nothing.
func TestSend_Life(t *testing.T) {
	t.Parallel()
	server := alertstest.NewPagerDuty(t)
	c := open(t, server, nil)
	key := "upkeep/ghosteam-v5/" + alertstest.Fault().Incident.ID
	for _, step := range []struct {
		m             alerts.Message
		action, state string
	}{
		{alertstest.Fault(), "trigger", "triggered"},
		{alertstest.Worse(), "trigger", "triggered"},
		{alertstest.Repeat(), "trigger", "triggered"},
		{alertstest.Ack(), "acknowledge", "acknowledged"},
		{alertstest.Recovery(), "resolve", "resolved"},
	} {
		for range 2 {
			if _, err := c.Send(t.Context(), step.m); err != nil {
				t.Fatal(err)
			}
		}
		events := server.Events()
		if last := events[len(events)-1]; last.Action != step.action {
			t.Errorf("%s is sent as %s, want %s", step.m.Action, last.Action, step.action)
		}
		if diff := cmp.Diff(map[string]string{key: step.state}, server.Alerts()); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", step.m.Action, diff)
		}
	}
}

// TestSend_Severities holds who is paged, and that ends are always told.
func TestSend_Severities(t *testing.T) {
	t.Parallel()
	warning := func(m alerts.Message) alerts.Message {
		m.Incident.Severity = jobs.Warning
		return m
	}
	tests := map[string]struct {
		m      alerts.Message
		change func(*pagerduty.Options)
		sent   bool
	}{
		"critical":                   {m: alertstest.Fault(), sent: true},
		"warning":                    {m: warning(alertstest.Fault())},
		"a warning that lasts":       {m: warning(alertstest.Repeat())},
		"worse":                      {m: alertstest.Worse(), sent: true},
		"the end of a warning":       {m: warning(alertstest.Recovery()), sent: true},
		"a warning is acknowledged":  {m: warning(alertstest.Ack()), sent: true},
		"a reminder":                 {m: alertstest.Reminder()},
		"a test":                     {m: alertstest.Trial(), sent: true},
		"a warning, where they page": {m: warning(alertstest.Fault()), change: everything, sent: true},
		"a word that nobody knows": {m: func() alerts.Message {
			m := alertstest.Fault()
			m.Incident.Severity = "dreadful"
			return m
		}(), sent: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := alertstest.NewPagerDuty(t)
			receipt, err := open(t, server, test.change).Send(t.Context(), test.m)
			if err != nil {
				t.Fatal(err)
			}
			if sent := len(server.Events()) == 1; sent != test.sent || sent == strings.HasPrefix(receipt, "not sent") {
				t.Errorf("sent %v, want %v; receipt %q", sent, test.sent, receipt)
			}
		})
	}
}

func TestSend_Answers(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		mishap    alertstest.Mishap
		permanent bool
		after     time.Duration
		says      string
	}{
		"400":                 {mishap: alertstest.Mishap{Status: 400, Body: `{"status":"invalid event","message":"Event object is invalid","errors":["Length of 'routing_key' is incorrect"]}`}, permanent: true, says: "routing_key"},
		"413":                 {mishap: alertstest.Mishap{Status: 413}, permanent: true, says: "413"},
		"403":                 {mishap: alertstest.Mishap{Status: 403}, says: "403"},
		"429":                 {mishap: alertstest.Mishap{Status: 429, Header: map[string]string{"Retry-After": "120"}}, after: 2 * time.Minute, says: "429"},
		"500":                 {mishap: alertstest.Mishap{Status: 500, Body: "oops"}, says: "oops"},
		"503":                 {mishap: alertstest.Mishap{Status: 503}, says: "503"},
		"200 of somebody":     {mishap: alertstest.Mishap{Status: 200, Body: "<html>welcome</html>"}, says: "200"},
		"a redirect":          {mishap: alertstest.Mishap{Status: 307, Header: map[string]string{"Location": "https://evil.example/"}}, says: "307"},
		"hanging up":          {mishap: alertstest.Mishap{Drop: true}, says: "EOF"},
		"an endless message":  {mishap: alertstest.Mishap{Status: 500, Body: strings.Repeat("x", 1<<20)}, says: "500"},
		"what was sent, back": {mishap: alertstest.Mishap{Status: 400, Echo: true}, permanent: true, says: "400"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := alertstest.NewPagerDuty(t)
			server.Change(test.mishap)
			_, err := open(t, server, nil).Send(t.Context(), alertstest.Fault())
			if err == nil || server.Met() != 1 {
				t.Fatalf("Send = %v after %d answers", err, server.Met())
			}
			_, permanent := errors.AsType[*alerts.PermanentError](err)
			temporary, ok := errors.AsType[*alerts.TemporaryError](err)
			if permanent != test.permanent || ok == permanent || ok && temporary.After != test.after {
				t.Errorf("%#v, want permanent %v after %s", err, test.permanent, test.after)
			}
			if !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error()+jobs.HintOf(err), server.Key) || len(err.Error()) > 2000 {
				t.Errorf("it says %q", err)
			}
		})
	}
}
