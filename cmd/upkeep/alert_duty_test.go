package main_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/ghosteam/upkeep/alerts/alertstest"
)

// refusingMailbox is a channel whose server refuses every mail for good.
func refusingMailbox(t *testing.T) string {
	t.Helper()
	s := alertstest.NewSMTP(t, alertstest.Script{Refused: map[string]*smtp.SMTPError{"gone@example.org": {Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}}})
	return fmt.Sprintf("{kind: email, smtp_server: 127.0.0.1, smtp_port: %d, ca_file: %q, username: %s, password: \"%s\", from: upkeep <upkeep@example.org>, to: gone@example.org, fallback: ops}",
		s.Port, s.CAFile, s.User, s.Password)
}

const failingWorkflows = `
workflows:
  nightly:
    schedule: {every: 1s}
    alert: {after: 3}
    jobs:
      backup: {kind: script, with: {run: "echo x >> tries; exit 3"}}
`

// A workflow that is told after three failures, through a channel that refuses
// the mail: the fallback gets it, with why, and once.
func TestAlerts_FallbackAfterFailures(t *testing.T) {
	t.Parallel()
	box := newMailbox(t)
	box.open(t)
	h := newHouse(t, "project: shop\nnode: db-1\nballast: off\nkill_grace: 1s\nchannels:\n  ops: "+box.channel()+"\n  gone: "+refusingMailbox(t)+
		"\nroutes: [{to: [gone]}]\n"+failingWorkflows)
	h.env = []string{"SMTP_PASSWORD=" + box.server.Password}
	d := h.serve(t)
	letter := arrived(t, box, 1)[0]
	if tries := strings.Count(h.read(t, "tries"), "x"); tries < 3 {
		t.Errorf("it is told after %d failures, want 3", tries)
	}
	for _, want := range []string{"The channel gone could not be told", "no such user"} {
		if !strings.Contains(letter.text, want) {
			t.Errorf("the mail does not say %q:\n%s", want, letter.text)
		}
	}
	h.noticed(t, "one is dead and one is sent", func(list []notice) bool {
		states := map[string]string{}
		for _, n := range list {
			states[n.Channel] = n.State
		}
		return len(list) == 2 && states["gone"] == "dead" && states["ops"] == "sent"
	})
	d.stop(t)
	if got := len(box.letters(t)); got != 1 {
		t.Errorf("%d mails arrived, want 1", got)
	}
}

// ready asks a service whether it is ready.
func (h *house) ready(t *testing.T) int {
	t.Helper()
	socket := filepath.Join(h.dir, "var", "upkeep.sock")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	return answer.StatusCode
}

// While alerts do not get out, the service is not ready, and nobody outside
// hears that it is well.
func TestAlerts_Heartbeat(t *testing.T) {
	t.Parallel()
	var told atomic.Int64
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ping/s3cret-TOKEN" {
			told.Add(1)
		}
	}))
	defer outside.Close()
	box := newMailbox(t)
	h := newHouse(t, mailing(box, "heartbeat: {url: \"${env:HC_TOKEN}\", every: 10s}\nworkflows:\n  manual:\n    jobs:\n      one: {kind: script, with: {run: [\"true\"]}}\n"))
	h.env = []string{"SMTP_PASSWORD=" + box.server.Password, "HC_TOKEN=" + outside.URL + "/ping/s3cret-TOKEN"}
	d := h.serve(t)
	eventually(t, "the heartbeat is told", func() (bool, string) { return told.Load() > 0, "nothing" })
	if status := h.ready(t); status != http.StatusOK {
		t.Errorf("a service that is well answers %d", status)
	}
	h.upkeep(t, 0, "alert", "send", "drift", "it drifts")
	h.noticed(t, "the mail was tried in vain", func(list []notice) bool { return len(list) == 1 && list[0].Attempts > 0 })
	d.stop(t)

	h.sqlite(t, "UPDATE notices SET created_at = created_at - 600*1000000")
	before := told.Load()
	d = h.serve(t)
	d.await(t, `msg="the heartbeat is not told" .*1 notices are owed, the oldest since`)
	if status := h.ready(t); status != http.StatusServiceUnavailable {
		t.Errorf("a service whose alerts do not get out answers %d", status)
	}
	if now := told.Load(); now != before {
		t.Errorf("the heartbeat was told %d times meanwhile", now-before)
	}
	box.open(t)
	h.upkeep(t, 0, "alert", "outbox", "retry", h.outbox(t)[0].ID)
	arrived(t, box, 1)
	eventually(t, "the service is ready again", func() (bool, string) { s := h.ready(t); return s == http.StatusOK, fmt.Sprint(s) })
	eventually(t, "the heartbeat is told again", func() (bool, string) { return told.Load() > before, "nothing" })
	d.stop(t)
	if strings.Count(d.said(t), "the heartbeat is not told") != 1 {
		t.Errorf("it is not said once:\n%s", d.said(t))
	}
	if strings.Contains(d.said(t), "s3cret-TOKEN") {
		t.Error("the log tells the address of the heartbeat")
	}
}
