package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// notice is what these tests look at in `upkeep alert outbox --all -o json`.
type notice struct {
	ID       string `json:"id"`
	Incident string `json:"incident"`
	Channel  string `json:"channel"`
	Action   string `json:"action"`
	State    string `json:"state"`
	Attempts int    `json:"attempts"`
	Error    string `json:"error"`
}

// outbox returns all notices of a house, newest first.
func (h *house) outbox(t *testing.T) []notice {
	t.Helper()
	text, _ := h.upkeep(t, 0, "alert", "outbox", "--all", "-o", "json")
	var list []notice
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return list
}

// noticed waits until the outbox is as wanted.
func (h *house) noticed(t *testing.T, what string, wanted func([]notice) bool) {
	t.Helper()
	lookEvery(t, 4*glance, what, func() (bool, string) {
		list := h.outbox(t)
		return wanted(list), fmt.Sprintf("%+v", list)
	})
}

// runs waits until a workflow has a newest run in a state.
func (h *house) runs(t *testing.T, workflow, state string) {
	t.Helper()
	lookEvery(t, 4*glance, workflow+" is "+state, func() (bool, string) {
		text, _ := h.upkeep(t, 0, "history", "-w", workflow, "-n", "1", "-o", "csv")
		return strings.Contains(text, ","+workflow+","+state), text
	})
}

// mailing is a configuration that tells a mailbox.
func mailing(box mailbox, rest string) string {
	return "project: shop\ntimezone: Europe/Berlin\nnode: db-1\nballast: off\nkill_grace: 1s\nchannels:\n  ops: " + box.channel() +
		"\nroutes: [{to: [ops]}]\n" + rest
}

// The story of the issue: a scheduled workflow fails while the mail server is
// down, the service is killed, it comes back, the server too: exactly one mail.
// Then the workflow recovers: exactly one more, in the same thread.
func TestAlerts_Story(t *testing.T) {
	t.Parallel()
	box := newMailbox(t)
	story(t, box, box.server.Password)
}

func TestAlerts_StoryPostfix(t *testing.T) {
	t.Parallel()
	box, password := newPostfix(t)
	story(t, box, password)
}

const storyWorkflows = `
workflows:
  nightly:
    schedule: {every: 1s}
    jobs:
      backup:
        kind: script
        with:
          run: "echo connecting with $API_TOKEN; test -e good && { echo saved; exit; }; echo the disk of the store is gone >&2; exit 3"
          env: {API_TOKEN: "${env:API_TOKEN}"}
`

const apiToken = "tok-4f2e-do-not-tell"

func story(t *testing.T, box mailbox, password string) {
	h := newHouse(t, mailing(box, storyWorkflows))
	h.env = []string{"SMTP_PASSWORD=" + password, "API_TOKEN=" + apiToken}
	d := h.serve(t)
	h.runs(t, "nightly", "failed")
	h.noticed(t, "the mail was tried in vain", func(list []notice) bool {
		return len(list) == 1 && list[0].Action == "open" && list[0].Attempts >= 1 && list[0].State == "pending" && list[0].Error != ""
	})
	if list := h.outbox(t); !strings.Contains(list[0].Error, "connection refused") {
		t.Errorf("the outbox does not say that the server is down: %+v", list)
	}
	d.kill(t)
	if got := box.letters(t); len(got) != 0 {
		t.Fatalf("%d mails arrived through a closed gateway", len(got))
	}

	d = h.serve(t)
	h.runs(t, "nightly", "failed")
	box.open(t)
	first := arrived(t, box, 1)[0]
	for _, want := range []string{"nightly failed", "shop", "CRITICAL"} {
		if !strings.Contains(first.subject, want) {
			t.Errorf("the subject %q does not say %q", first.subject, want)
		}
	}
	for _, want := range []string{
		"db-1", "backup", "exit status 3: the disk of the store is gone", "connecting with <redacted>", "What to type next:",
		"upkeep -c " + filepath.Join(h.dir, "upkeep.yaml") + " show ", " logs ", " retry ", " history --workflow nightly",
	} {
		if !strings.Contains(first.text, want) {
			t.Errorf("the text does not say %q:\n%s", want, first.text)
		}
	}
	if !strings.Contains(first.html, "the disk of the store is gone") {
		t.Errorf("the HTML does not say why:\n%s", first.html)
	}

	h.write(t, "good", "")
	h.runs(t, "nightly", "succeeded")
	second := arrived(t, box, 2)[1]
	if !strings.Contains(second.subject, "nightly") || !strings.Contains(second.text, "nightly works again after ") {
		t.Errorf("the second mail is no recovery: %s\n%s", second.subject, second.text)
	}
	id := first.Get("Message-Id")
	if id == "" || second.Get("In-Reply-To") != id || !strings.Contains(second.Get("References"), id) {
		t.Errorf("the recovery answers %q (references %q), want %q", second.Get("In-Reply-To"), second.Get("References"), id)
	}
	d.stop(t)
	h.noticed(t, "two notices are sent and none is owed", func(list []notice) bool {
		return len(list) == 2 && list[0].State == "sent" && list[0].Action == "resolve" && list[1].State == "sent"
	})
	letters := box.letters(t)
	if len(letters) != 2 {
		t.Errorf("%d mails arrived, want exactly 2", len(letters))
	}
	for _, l := range letters {
		h.keepsSecrets(t, string(l.raw), l.text, l.html, l.subject)
	}
	h.keepsSecrets(t, d.said(t))
	h.keepsSecretsOnDisk(t)
}

// keepsSecrets fails when a text holds what the processes of the house were
// given in confidence.
func (h *house) keepsSecrets(t *testing.T, texts ...string) {
	t.Helper()
	for _, at := range h.env {
		name, secret, _ := strings.Cut(at, "=")
		if !strings.HasSuffix(name, "TOKEN") && !strings.HasSuffix(name, "PASSWORD") {
			continue
		}
		for _, text := range texts {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s is told: …%s…", name, text[max(0, i-200):min(len(text), i+200)])
			}
		}
	}
}

// keepsSecretsOnDisk looks into every file of the house.
func (h *house) keepsSecretsOnDisk(t *testing.T) {
	t.Helper()
	looked := 0
	err := filepath.WalkDir(h.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		looked++
		text, err := os.ReadFile(path)
		h.keepsSecrets(t, string(text))
		return err
	})
	if err != nil || looked < 3 {
		t.Errorf("looked into %d files: %v", looked, err)
	}
}

const quietWorkflows = `
workflows:
  manual:
    jobs:
      one: {kind: script, with: {run: [false]}}
  stubborn:
    schedule: {every: 1s}
    jobs:
      one: {kind: script, retry: {max: 1, backoff: 1s..1s}, with: {run: "test -e calm || { echo try >> tries; exit 1; }"}}
`

// What alerts and what does not: a foreground run does not unless asked, one
// that is left alone does; retries that are still to come do not.
func TestAlerts_WhoIsTold(t *testing.T) {
	t.Parallel()
	box := newMailbox(t)
	box.open(t)
	h := newHouse(t, mailing(box, quietWorkflows))
	h.env = []string{"SMTP_PASSWORD=" + box.server.Password}
	h.write(t, "calm", "")

	// Without a service: the command itself sends, before it ends.
	h.upkeep(t, 1, "run", "manual", "-q")
	if list := h.outbox(t); len(list) != 0 {
		t.Fatalf("a failure that somebody watched is told: %+v", list)
	}
	h.upkeep(t, 1, "run", "manual", "-q", "--alert")
	if got := box.letters(t); len(got) != 1 || !strings.Contains(got[0].subject, "manual failed") {
		t.Fatalf("--alert sent %d mails", len(got))
	}

	d := h.serve(t)
	h.upkeep(t, 1, "run", "manual", "-q")
	h.upkeep(t, 1, "run", "manual", "-q", "--alert") // the incident is open: no second mail
	h.upkeep(t, 0, "run", "manual", "--detach")
	h.runs(t, "manual", "failed")
	if list := h.outbox(t); len(list) != 1 {
		t.Fatalf("an incident that is open is told again: %+v", list)
	}

	if err := os.Remove(filepath.Join(h.dir, "calm")); err != nil {
		t.Fatal(err)
	}
	d.await(t, `attempt=2.*workflow=stubborn|workflow=stubborn.*attempt=2`)
	if list := h.outbox(t); len(list) != 1 && !strings.Contains(d.said(t), `msg="run ended" workflow=stubborn state=failed`) {
		t.Errorf("it is told although a retry is to come: %+v", list)
	}
	letters := arrived(t, box, 2)
	if !strings.Contains(letters[1].subject, "stubborn failed") {
		t.Errorf("the second mail is about %q", letters[1].subject)
	}
	d.stop(t)
	if tries := strings.Count(h.read(t, "tries"), "try"); tries < 2 {
		t.Errorf("it was told after %d tries, want 2", tries)
	}
}

// A detached run that fails is told.
func TestAlerts_Detached(t *testing.T) {
	t.Parallel()
	box := newMailbox(t)
	box.open(t)
	h := newHouse(t, mailing(box, "workflows:\n  manual:\n    jobs:\n      one: {kind: script, with: {run: [\"false\"]}}\n"))
	h.env = []string{"SMTP_PASSWORD=" + box.server.Password}
	d := h.serve(t)
	h.upkeep(t, 0, "run", "manual", "--detach")
	if got := arrived(t, box, 1)[0]; !strings.Contains(got.subject, "manual failed") {
		t.Errorf("the mail is about %q", got.subject)
	}
	d.stop(t)
}

const lateWorkflows = `
workflows:
  yearly:
    schedule: {cron: "0 3 1 1 *"}
    jobs:
      one: {kind: script, with: {run: ["true"]}}
  fresh:
    schedule: {cron: "0 3 1 1 *"}
    catch_up: {run: last}
    fresh_within: 26h
    jobs:
      one: {kind: script, with: {run: ["true"]}}
`

// A slot that was missed and a workflow that has not succeeded for too long are
// told once each, also when the service starts again, and so is their end.
func TestAlerts_MissedAndStale(t *testing.T) {
	t.Parallel()
	box := newMailbox(t)
	box.open(t)
	// Found in one moment, they would be told in one mail.
	h := newHouse(t, strings.Replace(mailing(box, lateWorkflows), "{kind: email,", "{kind: email, group_wait: 0s,", 1))
	h.env = []string{"SMTP_PASSWORD=" + box.server.Password}
	first := h.serve(t)
	eventually(t, "both calendars are on record", func() (bool, string) {
		n := h.count(t, "SELECT COUNT(*) FROM cursors WHERE workflow IN ('yearly', 'fresh')")
		return n == 2, fmt.Sprintf("%d of them", n)
	})
	first.stop(t)
	// As if it had been away over the turn of two years.
	h.sqlite(t, `UPDATE cursors SET through = through - 400*86400*1000000, since = since - 500*86400*1000000 WHERE workflow = 'yearly'`)
	h.sqlite(t, `UPDATE cursors SET since = since - 2*86400*1000000 WHERE workflow = 'fresh'`)

	d := h.serve(t)
	letters := arrived(t, box, 2)
	subjects := letters[0].subject + "\n" + letters[1].subject
	for _, want := range []string{"yearly missed its slot", "fresh has never succeeded"} {
		if !strings.Contains(subjects, want) {
			t.Errorf("no subject says %q:\n%s", want, subjects)
		}
	}
	for _, l := range letters {
		name := "yearly"
		if strings.Contains(l.subject, "fresh") {
			name = "fresh"
		}
		for _, want := range []string{" why " + name, " run " + name} {
			if !strings.Contains(l.text, want) {
				t.Errorf("the mail about %s does not say %q:\n%s", name, want, l.text)
			}
		}
	}
	// A message that was accepted and is not on record as sent is sent once more.
	eventually(t, "both mails are on record as sent", func() (bool, string) {
		n := h.count(t, "SELECT COUNT(*) FROM notices WHERE state = 'sent'")
		return n == 2, fmt.Sprintf("%d of them", n)
	})
	d.kill(t)
	d = h.serve(t)
	h.upkeep(t, 0, "run", "yearly", "-q")
	h.upkeep(t, 0, "run", "fresh", "-q")
	letters = arrived(t, box, 4)
	for _, l := range letters[2:] {
		if !strings.Contains(l.text, "works again after ") || l.Get("In-Reply-To") == "" {
			t.Errorf("no recovery: %s\n%s", l.subject, l.text)
		}
	}
	d.stop(t)
	if got := len(box.letters(t)); got != 4 {
		t.Errorf("%d mails arrived, want exactly 4", got)
	}
}
