package main_test

import (
	"strings"
	"testing"
)

const outboxWorkflows = `
workflows:
  nightly:
    jobs:
      one: {kind: script, with: {run: ["false"]}}
  weekly:
    jobs:
      one: {kind: script, with: {run: ["false"]}}
`

// A channel can be tried, with a service and without, and says why it does not
// take the message.
func TestAlerts_Try(t *testing.T) {
	t.Parallel()
	box := newMailbox(t)
	h := newHouse(t, mailing(box, outboxWorkflows))
	h.env = []string{"SMTP_PASSWORD=" + box.server.Password}
	try := func() {
		t.Helper()
		_, told := h.upkeep(t, 75, "alert", "test", "ops")
		if !strings.Contains(told, "error: channel ops: ") || !strings.Contains(told, "connection refused") {
			t.Errorf("a server that is down is told as %s", told)
		}
		_, told = h.upkeep(t, 3, "alert", "test", "opps")
		if !strings.Contains(told, `there is no channel "opps"`) || !strings.Contains(told, `did you mean "ops"?`) {
			t.Errorf("an unknown channel is told as %s", told)
		}
	}
	try()
	d := h.serve(t)
	try()
	box.open(t)
	// The service has the password, whoever asks does not.
	env := h.env
	h.env = nil
	out, _ := h.upkeep(t, 0, "alert", "test", "ops")
	h.env = env
	if !strings.Contains(out, "channel ops took the message: 2.0.0 OK") {
		t.Errorf("it is told as %s", out)
	}
	d.stop(t)
	h.upkeep(t, 0, "alert", "test", "ops")
	for _, l := range arrived(t, box, 2) {
		if !strings.Contains(l.subject, "test of the channel ops") || !strings.Contains(l.text, "Nothing is wrong") {
			t.Errorf("the mail says %s\n%s", l.subject, l.text)
		}
	}
	if list := h.outbox(t); len(list) != 0 {
		t.Errorf("tests stand in the outbox: %+v", list)
	}

	// A login that the server refuses.
	h.env = []string{"SMTP_PASSWORD=wrong-pass-77TOKEN"}
	_, told := h.upkeep(t, 75, "alert", "test", "ops")
	if !strings.Contains(told, "hint: ") || strings.Contains(told, "wrong-pass-77TOKEN") {
		t.Errorf("a wrong password is told as %s", told)
	}
}

// What is owed is listed, tried again at once, and given up, with a service and
// without.
func TestAlerts_Outbox(t *testing.T) {
	t.Parallel()
	box := newMailbox(t)
	h := newHouse(t, mailing(box, outboxWorkflows))
	h.env = []string{"SMTP_PASSWORD=" + box.server.Password}
	if _, told := h.upkeep(t, 0, "alert", "outbox"); !strings.Contains(told, "nothing is owed") {
		t.Errorf("an empty outbox is told as %q", told)
	}
	d := h.serve(t)
	h.upkeep(t, 0, "run", "nightly", "--detach")
	h.upkeep(t, 0, "run", "weekly", "--detach")
	h.noticed(t, "both were tried in vain", func(list []notice) bool {
		return len(list) == 2 && list[0].Attempts > 0 && list[1].Attempts > 0 && list[0].State == "pending" && list[1].State == "pending"
	})
	out, _ := h.upkeep(t, 0, "alert", "outbox", "--channel", "ops")
	for _, want := range []string{"CREATED", "nightly failed", "weekly failed", "connection refused", "pending", "open"} {
		if !strings.Contains(out, want) {
			t.Errorf("the outbox does not say %q:\n%s", want, out)
		}
	}
	if out, _ := h.upkeep(t, 0, "alert", "outbox", "--channel", "nobody"); strings.Contains(out, "failed") {
		t.Errorf("the outbox of another channel holds %s", out)
	}
	h.upkeep(t, 2, "alert", "outbox", "-n", "0")

	// One is given up, the other goes out when it is asked for, not in a while.
	list := h.outbox(t)
	kept, dropped := list[0], list[1]
	h.upkeep(t, 0, "alert", "outbox", "drop", dropped.ID)
	if out, _ := h.upkeep(t, 0, "alert", "outbox"); !strings.Contains(out, "dead") || !strings.Contains(out, "dropped by ") {
		t.Errorf("what was given up is shown as\n%s", out)
	}
	box.open(t)
	h.upkeep(t, 0, "alert", "outbox", "retry", kept.ID)
	arrived(t, box, 1)
	h.noticed(t, "it is sent", func(list []notice) bool { return list[0].State == "sent" })
	h.upkeep(t, 4, "alert", "outbox", "retry", kept.ID)
	h.upkeep(t, 4, "alert", "outbox", "drop", kept.ID)
	h.upkeep(t, 3, "alert", "outbox", "retry", "0123")
	h.upkeep(t, 3, "alert", "outbox", "drop", "01a206f7-de08-71fc-8bdb-178c8d2346ea")
	d.stop(t)

	// Without a service the same; the next one sends what is due.
	h.upkeep(t, 3, "alert", "outbox", "retry", "01a206f7-de08-71fc-8bdb-178c8d2346ea")
	h.upkeep(t, 4, "alert", "outbox", "drop", kept.ID)
	h.upkeep(t, 0, "alert", "outbox", "retry", dropped.ID)
	if got := len(box.letters(t)); got != 1 {
		t.Errorf("%d mails arrived, want 1", got)
	}
	d = h.serve(t)
	arrived(t, box, 2)
	d.stop(t)
}
