package alerts_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/alertstest"
	"github.com/ghosteam/upkeep/alerts/slack"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// failedDaily is an outbox with an incident of a run that failed.
func failedDaily() *outbox {
	at := time.Date(2026, 3, 14, 1, 30, 0, 0, time.UTC)
	return &outbox{
		incident: runner.Incident{
			ID: "i1", State: runner.IncidentOpen, Count: 1, OpenedAt: at,
			Fault: runner.Fault{Fingerprint: "workflow/daily", Workflow: "daily", Severity: jobs.Critical, Title: "daily failed: backup failed", Run: "r1"},
		},
		run:      runner.Run{ID: "r1", Request: runner.Request{Spec: runner.Spec{Workflow: "daily"}}, State: runner.Failed},
		attempts: []runner.Attempt{{Run: "r1", Job: "backup", Kind: "pgbackup", Number: 1, State: runner.Failed, Error: "no space left on device"}},
		output:   runner.Output{Head: []byte("pg_dump: could not write\n")},
	}
}

// TestCompose_Thread: what follows a beginning knows what became of it.
func TestCompose_Thread(t *testing.T) {
	t.Parallel()
	opening := runner.Notice{ID: "n1", Incident: "i1", Channel: "chat", Action: runner.NoticeOpen}
	tests := map[string]struct {
		state           runner.NoticeState
		receipt, by     string
		thread, answers string
		was             int
	}{
		"sent":                    {state: runner.NoticeSent, receipt: "channel C0 ts 1.1", by: "chat", thread: "n1", answers: "channel C0 ts 1.1", was: 1},
		"sent in a digest":        {state: runner.NoticeSent, receipt: "in digest d1: channel C0 ts 1.1", by: "chat", thread: "d1", was: 1},
		"superseded":              {state: runner.NoticeSuperseded, receipt: "", by: "chat"},
		"sent by another channel": {state: runner.NoticeSent, receipt: "250 ok", by: "mail"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, action := range []runner.NoticeAction{runner.NoticeResolve, runner.NoticeAck, runner.NoticeWorse, runner.NoticeRepeat} {
				o := failedDaily()
				o.owe(opening)
				o.notices[0].State, o.notices[0].Receipt, o.notices[0].Channel = test.state, test.receipt, test.by
				m, err := alerts.Compose(t.Context(), o, nil, alerts.Origin{}, runner.Notice{ID: "n2", Incident: "i1", Channel: "chat", Action: action})
				if err != nil {
					t.Fatal(err)
				}
				if m.Thread != test.thread || m.ThreadReceipt != test.answers || len(m.Was) != test.was {
					t.Errorf("%s: thread %q, receipt %q, %d failures", action, m.Thread, m.ThreadReceipt, len(m.Was))
				}
			}
		})
	}
}

// TestCompose_SlackThread follows an incident from the outbox to Slack and back:
// the receipt on record is all that holds the conversation together.
func TestCompose_SlackThread(t *testing.T) {
	t.Parallel()
	server := alertstest.NewSlack(t)
	options := *slack.Kind().Options().(*slack.Options)
	options.Token, options.Channel, options.APIURL, options.CAFile = secret.New(server.Token), server.Channel, server.APIURL, unit.Path(server.CAFile)
	o := failedDaily()
	for i, action := range []runner.NoticeAction{runner.NoticeOpen, runner.NoticeAck, runner.NoticeResolve} {
		if action == runner.NoticeResolve {
			o.incident.State, o.incident.ResolvedAt = runner.IncidentResolved, o.incident.OpenedAt.Add(time.Hour)
		}
		n := runner.Notice{ID: string(action), Incident: "i1", Channel: "chat", Action: action, CreatedAt: o.incident.OpenedAt}
		o.owe(n)
		m, err := alerts.Compose(t.Context(), o, nil, alerts.Origin{Project: "p"}, n)
		if err != nil {
			t.Fatal(err)
		}
		channel, err := slack.Open("chat", options)
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := alerts.Deliver(t.Context(), channel, m)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Sent(t.Context(), n.ID, jobs.OneLine(receipt)); err != nil {
			t.Fatal(err)
		}
		if posts := server.Posts(); len(posts) != i+1 || i > 0 && posts[i].Thread != posts[0].TS {
			t.Fatalf("after %s: %+v", action, posts)
		}
	}
	first := server.Posts()[0]
	if diff := cmp.Diff("[p] RESOLVED: daily failed: backup failed", first.Blocks[0].Text.Text); diff != "" {
		t.Error(diff)
	}
	if first.Attachments[0].Color != "#36a64f" || !strings.Contains(first.Shown(), "no space left on device") || !strings.Contains(first.Shown(), "pg_dump: could not write") {
		t.Errorf("the first message in %s:\n%s", first.Attachments[0].Color, first.Shown())
	}
	if wrong := server.Complaints(); len(wrong) > 0 {
		t.Errorf("Slack would refuse: %v", wrong)
	}
}

// stories is what belongs to one fault.
type stories struct{ limit int }

func (s *stories) Timeline(_ context.Context, incident string) ([]runner.Entry, error) {
	return []runner.Entry{
		{Kind: runner.EntryOpened, Text: "opened " + incident},
		{Kind: runner.EntryEvidence, Name: "values", Text: "memory_percent 97"},
		{Kind: runner.EntryNote, Text: "anna looks"},
	}, nil
}

func (s *stories) Happenings(_ context.Context, f runner.HappeningFilter) ([]runner.Happening, error) {
	s.limit = f.Limit
	return []runner.Happening{{Kind: "deploy", Subject: "api", Text: "v41 ok", At: f.Until.Add(-time.Minute)}}, nil
}

// A message about a fault that lasts says what was found and what had changed;
// one about its end does not.
func TestCompose_Story(t *testing.T) {
	t.Parallel()
	for action, told := range map[runner.NoticeAction]bool{
		runner.NoticeOpen: true, runner.NoticeWorse: true, runner.NoticeRepeat: true, runner.NoticeAck: false, runner.NoticeResolve: false,
	} {
		o, s := failedDaily(), &stories{}
		if action == runner.NoticeResolve {
			o.incident.State, o.incident.ResolvedAt = runner.IncidentResolved, o.incident.OpenedAt.Add(time.Hour)
		}
		m, err := alerts.Compose(t.Context(), o, s, alerts.Origin{}, runner.Notice{ID: "n", Incident: "i1", Channel: "chat", Action: action})
		if err != nil {
			t.Fatal(err)
		}
		if (len(m.Evidence) == 1 && m.Evidence[0].Name == "values" && len(m.Changes) == 1 && s.limit > 0) != told || !told && len(m.Evidence)+len(m.Changes) > 0 {
			t.Errorf("%s: evidence %+v, changes %+v, asked for %d", action, m.Evidence, m.Changes, s.limit)
		}
	}
}
