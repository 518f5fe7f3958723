package pagerduty_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/alertstest"
	"github.com/ghosteam/upkeep/alerts/pagerduty"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// TestSend_Limits: whatever the message is, PagerDuty takes the event.
func TestSend_Limits(t *testing.T) {
	t.Parallel()
	server := alertstest.NewPagerDuty(t)
	c := open(t, server, everything)
	rapid.Check(t, func(t *rapid.T) {
		m := alertstest.Arbitrary().Draw(t, "message")
		before := len(server.Events())
		if _, err := c.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if got := len(server.Events()); got != before+1 {
			t.Fatalf("%d events instead of one", got-before)
		}
	})
}

// TestSend_Size: an event that is too long loses its output, not its sense.
func TestSend_Size(t *testing.T) {
	t.Parallel()
	server := alertstest.NewPagerDuty(t)
	m := alertstest.Fault()
	for range 30 {
		f := m.Failures[0]
		f.Output = nil
		for range 20 {
			f.Output = append(f.Output, strings.Repeat("\"", 1000))
		}
		m.Failures = append(m.Failures, f)
	}
	if _, err := open(t, server, nil).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if got := server.Events()[0]; !strings.Contains(got.Text, "left out") || !strings.Contains(got.Text, "no space left on device") {
		t.Errorf("the event says %.2000q", got.Text)
	}
}

// TestSend_Story: the details say what was found and what had changed before, as
// far as there is room.
func TestSend_Story(t *testing.T) {
	t.Parallel()
	server := alertstest.NewPagerDuty(t)
	c := open(t, server, nil)
	m := alertstest.Unhealthy()
	if _, err := c.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	details := server.Events()[0].Payload.Details
	want := map[string]any{"answer": []any{"critical after 12ms: 503", "critical http:status: 503"}, "values": []any{"seconds 0.012"}}
	if diff := cmp.Diff(want, details["evidence"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]any{"Sat 2026-03-14 01:21:35 UTC deploy api: 1.4.2 ok (by anna)"}, details["changed before"]); diff != "" {
		t.Error(diff)
	}
	for i := range 32 {
		m.Evidence = append(m.Evidence, runner.Evidence{Name: string(rune('a' + i)), Text: strings.Repeat(strings.Repeat("x", 3000)+"\n", 20)})
	}
	if _, err := c.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	details = server.Events()[1].Payload.Details
	if details["evidence"] != nil || details["changed before"] == nil {
		t.Errorf("an event that would be too long has the details %v", details)
	}
}

// TestSend_Keys: incidents and projects have keys of their own, whatever they
// are called.
func TestSend_Keys(t *testing.T) {
	t.Parallel()
	server := alertstest.NewPagerDuty(t)
	c := open(t, server, everything)
	seen := map[string]int{}
	send := func(m alerts.Message) {
		if _, err := c.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		events := server.Events()
		seen[events[len(events)-1].DedupKey]++
	}
	projects := append(alertstest.Hostile(), "a", "b")
	for _, project := range projects {
		for _, id := range []string{"1", "2", strings.Repeat("3", 300), "4\n"} {
			m := alertstest.Fault()
			m.Project, m.Incident.ID = project, id
			send(m)
			m.Action, m.ID = runner.NoticeResolve, "another"
			send(m)
		}
	}
	if want := len(projects) * 4; len(seen) != want {
		t.Errorf("%d keys, want %d", len(seen), want)
	}
	for key, n := range seen {
		if n != 2 {
			t.Errorf("%q was used %d times, want 2", key, n)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	const key = "e93facc04764012d7bfb002500d5d1a6"
	tests := map[string]struct {
		change func(*pagerduty.Options)
		field  string
	}{
		"no key":      {func(o *pagerduty.Options) { o.IntegrationKey = secret.String{} }, "integration_key"},
		"a short key": {func(o *pagerduty.Options) { o.IntegrationKey = secret.New(key[:31]) }, "integration_key"},
		"a line end":  {func(o *pagerduty.Options) { o.IntegrationKey = secret.New(key[:31] + "\n") }, "integration_key"},
		"nobody":      {func(o *pagerduty.Options) { o.Severities = nil }, "severities"},
		"a region":    {func(o *pagerduty.Options) { o.Region = "moon" }, "region"},
		"a link":      {func(o *pagerduty.Options) { o.Links = []pagerduty.Link{{Href: "wiki"}} }, "links[0].href"},
		"links":       {func(o *pagerduty.Options) { o.Links = make([]pagerduty.Link, 11) }, "links"},
		"unprotected": {func(o *pagerduty.Options) { o.URL = "http://events.pagerduty.com/v2/enqueue" }, "url"},
		"a timeout":   {func(o *pagerduty.Options) { o.Timeout = 1 }, "timeout"},
	}
	for name, test := range tests {
		o := *pagerduty.Kind().Options().(*pagerduty.Options)
		o.IntegrationKey = secret.New(key)
		test.change(&o)
		_, err := pagerduty.Open("pager", o)
		if wrong, ok := errors.AsType[*jobs.FieldError](err); !ok || wrong.Field != test.field || strings.Contains(err.Error(), key[:31]) {
			t.Errorf("%s: %v, want a complaint about %s", name, err, test.field)
		}
	}
	for _, region := range []string{"us", "eu"} {
		o := *pagerduty.Kind().Options().(*pagerduty.Options)
		o.IntegrationKey, o.Region = secret.New(key), region
		if _, err := pagerduty.Open("pager", o); err != nil {
			t.Error(err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"status":"success","message":"Event processed","dedup_key":"x"}`))
	f.Add([]byte(`{"status":1}`))
	f.Add([]byte(`<html>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if said := pagerduty.Read(body); len(said) > 3*len(body)+10 {
			t.Errorf("%q became %q", body, said)
		}
	})
}
