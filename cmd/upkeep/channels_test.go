package main_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/alerts/alertstest"
)

// receivers are stand-ins for all that people are told by over HTTP.
type receivers struct {
	slack *alertstest.Slack
	pager *alertstest.PagerDuty
	hook  *alertstest.Hook
}

func (r receivers) change(m alertstest.Mishap) {
	r.slack.Change(m)
	r.pager.Change(m)
	r.hook.Change(m)
}

func (r receivers) config() string {
	return fmt.Sprintf(`
  chat: {kind: slack, token: "${env:SLACK_TOKEN}", channel: %s, api_url: %q, ca_file: %q}
  pager: {kind: pagerduty, integration_key: "${env:PAGER_KEY}", url: %q, ca_file: %q}
  hook: {kind: webhook, url: "${env:HOOK_URL}", secret: "${env:HOOK_SECRET}", ca_file: %q}
`, r.slack.Channel, r.slack.APIURL, r.slack.CAFile, r.pager.URL, r.pager.CAFile, r.hook.CAFile)
}

const hookSecret = "sign-with-this-0a1b2c3d"

func (r receivers) env() []string {
	return []string{"SLACK_TOKEN=" + r.slack.Token, "PAGER_KEY=" + r.pager.Key, "HOOK_URL=" + r.hook.URL, "HOOK_SECRET=" + hookSecret, "API_TOKEN=" + apiToken}
}

// TestChannels_Story: a workflow fails while no receiver works, and the service
// is killed before and after it is told; then it recovers. Slack has one
// conversation, PagerDuty one alert, and nobody hears a secret.
func TestChannels_Story(t *testing.T) {
	t.Parallel()
	r := receivers{alertstest.NewSlack(t), alertstest.NewPagerDuty(t), alertstest.NewHook(t, alertstest.Trusted, false)}
	r.change(alertstest.Mishap{Status: http.StatusServiceUnavailable, Echo: true})
	h := newHouse(t, "project: shop\nnode: db-1\nballast: off\nkill_grace: 1s\nchannels:"+r.config()+"routes: [{to: [chat, pager, hook]}]\n"+storyWorkflows)
	h.env = r.env()
	d := h.serve(t)
	h.noticed(t, "all were tried in vain", func(list []notice) bool {
		tried := 0
		for _, n := range list {
			if n.Attempts > 0 && strings.Contains(n.Error, "503") {
				tried++
			}
		}
		return tried == 3
	})
	d.kill(t)
	r.change(alertstest.Mishap{})
	d = h.serve(t)
	sent := func(action string) func([]notice) bool {
		return func(list []notice) bool {
			n := 0
			for _, one := range list {
				if one.Action == action && one.State == "sent" {
					n++
				}
			}
			return n == 3
		}
	}
	h.noticed(t, "the beginning is told everywhere", sent("open"))
	d.kill(t)
	h.write(t, "good", "")
	d = h.serve(t)
	h.noticed(t, "the end is told everywhere", sent("resolve"))
	d.stop(t)

	posts := r.slack.Posts()
	if len(posts) != 2 || posts[1].Thread != posts[0].TS || posts[0].Changed != 1 {
		t.Fatalf("Slack shows %+v", posts)
	}
	if first := posts[0]; first.Attachments[0].Color != "#36a64f" || !strings.Contains(first.Blocks[0].Text.Text, "RESOLVED: nightly failed") || !strings.Contains(first.Shown(), "the disk of the store is gone") {
		t.Errorf("the first message in Slack is %s", first.Shown())
	}
	if got := r.pager.Alerts(); len(got) != 1 {
		t.Errorf("PagerDuty has %v", got)
	}
	for key, state := range r.pager.Alerts() {
		if state != "resolved" || !strings.HasPrefix(key, "upkeep/shop/") {
			t.Errorf("the alert %s is %s", key, state)
		}
	}
	requests := r.hook.Requests()
	if len(requests) != 2 || requests[0].Header.Get("Idempotency-Key") == requests[1].Header.Get("Idempotency-Key") {
		t.Errorf("the webhook got %d messages", len(requests))
	}
	r.quiet(t, h)
}

// quiet looks for secrets in what was told and in what was written down.
func (r receivers) quiet(t *testing.T, h *house) {
	t.Helper()
	var told bytes.Buffer
	for _, p := range r.slack.Posts() {
		told.WriteString(p.Shown())
	}
	for _, e := range r.pager.Events() {
		told.WriteString(strings.ReplaceAll(e.Text, r.pager.Key, "")) // the routing key of the event itself
	}
	for _, one := range r.hook.Requests() {
		told.Write(one.Body)
	}
	outbox, _ := h.upkeep(t, 0, "alert", "outbox", "--all", "-o", "json")
	told.WriteString(outbox)
	for _, secret := range []string{apiToken, r.slack.Token, r.pager.Key, hookSecret, r.hook.URL[strings.LastIndex(r.hook.URL, "/")+1:]} {
		if strings.Contains(told.String(), secret) {
			t.Errorf("%q is told", secret)
		}
	}
}

// TestChannels_Answers: Slack asks to wait, PagerDuty says nothing at all, the
// webhook is broken. Each is tried again, Slack not before it said so, and
// everything arrives once.
func TestChannels_Answers(t *testing.T) {
	t.Parallel()
	r := receivers{alertstest.NewSlack(t), alertstest.NewPagerDuty(t), alertstest.NewHook(t, alertstest.Trusted, false)}
	const wait = 4 * time.Second
	r.slack.Change(alertstest.Mishap{Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "4"}, Body: `{"ok":false,"error":"ratelimited"}`})
	r.pager.Change(alertstest.Mishap{Stall: true})
	r.hook.Change(alertstest.Mishap{Status: http.StatusBadGateway})
	config := strings.Replace(r.config(), "kind: pagerduty,", "kind: pagerduty, timeout: 3s,", 1)
	h := newHouse(t, "project: shop\nnode: db-1\nballast: off\nkill_grace: 1s\nchannels:"+config+"routes: [{to: [chat, pager, hook]}]\n"+outboxWorkflows)
	h.env = r.env()
	d := h.serve(t)
	began := time.Now()
	h.upkeep(t, 0, "run", "nightly", "--detach")
	says := map[string]string{"chat": "429", "pager": "no answer within 3s", "hook": "502"}
	h.noticed(t, "all were tried in vain", func(list []notice) bool {
		for _, n := range list {
			if n.Attempts == 0 || n.State == "sent" || !strings.Contains(n.Error, says[n.Channel]) {
				return false
			}
		}
		return len(list) == 3
	})
	r.change(alertstest.Mishap{})
	eventually(t, "Slack has the message", func() (bool, string) { return len(r.slack.Posts()) > 0, d.said(t) })
	if took := time.Since(began); took < wait {
		t.Errorf("Slack was asked again after %s, which said %s", took, wait)
	}
	h.noticed(t, "everything is sent", func(list []notice) bool {
		for _, n := range list {
			if n.State != "sent" || n.Attempts < 2 {
				return false
			}
		}
		return len(list) == 3
	})
	d.stop(t)
	if posts, paged, requests := len(r.slack.Posts()), len(r.pager.Alerts()), len(r.hook.Requests()); posts != 1 || paged != 1 || requests != 1 {
		t.Errorf("%d messages in Slack, %d alerts of PagerDuty, %d requests of the webhook", posts, paged, requests)
	}
	if wrong := r.slack.Complaints(); len(wrong) > 0 {
		t.Errorf("Slack would refuse: %v", wrong)
	}
	r.quiet(t, h)
}
