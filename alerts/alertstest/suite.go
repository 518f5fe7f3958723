// Package alertstest is the suite that every channel passes, and stand-ins for
// the receiving sides that do what a test wants: a mail server, Slack,
// PagerDuty and a server for webhooks. It knows the contract of channels, not
// any of them.
package alertstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/jobs"
)

// Behavior is how the receiving side of a channel treats what it gets.
type Behavior string

// The behaviors.
const (
	Accepting Behavior = "accepting"
	Busy      Behavior = "busy"     // refuses for the moment
	Refusing  Behavior = "refusing" // refuses this message for good
	Silent    Behavior = "silent"   // takes the connection and says nothing
	Deaf      Behavior = "deaf"     // keeps the message and hangs up before it answers
	Locked    Behavior = "locked"   // refuses the password or the token
	Absent    Behavior = "absent"   // nobody listens
)

// Delivery is a message as it arrived.
type Delivery struct {
	// ID is what identifies it to the receiving side.
	ID string
	// Text is all that people and programs get to see of it, decoded.
	Text string
}

// Subject is a channel and its receiving side.
type Subject struct {
	Channel alerts.Channel
	// Secrets must not be told by errors and receipts.
	Secrets []string
	// Received returns what the receiving side kept, oldest first.
	Received func() []Delivery
	// Met tells how many messages or connections reached the point at which
	// the receiving side behaves as asked for; nil when it cannot tell.
	Met func() int
	// Turn changes how the receiving side behaves.
	Turn func(Behavior)
	// Final are the behaviors, besides Refusing, at which the channel gives a
	// message up, because nothing that could be repaired is behind them.
	Final []Behavior
}

// Run runs the suite. open returns a channel whose receiving side behaves so.
func Run(t *testing.T, open func(t *testing.T, b Behavior) Subject) {
	t.Run("every action arrives", func(t *testing.T) {
		t.Parallel()
		arrives(t, open)
	})
	t.Run("refusals steer", func(t *testing.T) {
		t.Parallel()
		refusals(t, open)
	})
	t.Run("a silent receiver is left", func(t *testing.T) {
		t.Parallel()
		silent(t, open)
	})
	t.Run("a canceled context sends nothing", func(t *testing.T) {
		t.Parallel()
		s := open(t, Accepting)
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("the day is over")
		cancel(cause)
		if _, err := s.Channel.Send(ctx, Fault()); !errors.Is(err, cause) {
			t.Errorf("Send = %v, want an error that wraps the cause", err)
		}
		if got := s.Received(); len(got) > 0 {
			t.Errorf("%d messages arrived", len(got))
		}
	})
	t.Run("sending again has the same identity", func(t *testing.T) {
		t.Parallel()
		again(t, open)
	})
	t.Run("hostile texts stay texts", func(t *testing.T) {
		t.Parallel()
		hostile(t, open)
	})
	t.Run("a preview shows it and sends nothing", func(t *testing.T) {
		t.Parallel()
		previews(t, open)
	})
	t.Run("several at once", func(t *testing.T) {
		t.Parallel()
		s := open(t, Accepting)
		var all sync.WaitGroup
		for i := range 5 {
			all.Go(func() {
				m := Fault()
				m.ID, m.Incident.ID = fmt.Sprintf("%s-%d", m.ID, i), fmt.Sprintf("%s-%d", m.Incident.ID, i)
				if _, err := s.Channel.Send(t.Context(), m); err != nil {
					t.Errorf("Send: %v", err)
				}
			})
		}
		all.Wait()
		ids := map[string]bool{}
		for _, d := range s.Received() {
			ids[d.ID] = true
		}
		if len(ids) != 5 {
			t.Errorf("%d different messages arrived, want 5", len(ids))
		}
	})
}

func arrives(t *testing.T, open func(t *testing.T, b Behavior) Subject) {
	s := open(t, Accepting)
	for i, m := range Messages() {
		receipt, err := s.Channel.Send(t.Context(), m)
		if err != nil {
			t.Fatalf("Send %s: %v", m.Action, err)
		}
		if receipt == "" || strings.ContainsAny(receipt, "\r\n") {
			t.Errorf("the receipt of %s is %q, want one line", m.Action, receipt)
		}
		for _, secret := range s.Secrets {
			if strings.Contains(receipt, secret) {
				t.Errorf("the receipt of %s tells a secret: %s", m.Action, receipt)
			}
		}
		got := s.Received()
		if len(got) != i+1 {
			t.Fatalf("%d messages arrived after %s, want %d", len(got), m.Action, i+1)
		}
		want := []string{m.Title, m.Project, m.Text}
		for _, f := range m.Failures {
			want = append(want, f.Job, f.Error, f.Hint)
			want = append(want, f.Output...)
		}
		for _, c := range m.Commands {
			want = append(want, c.Line)
		}
		for _, text := range want {
			if !strings.Contains(got[i].Text, text) {
				t.Errorf("the message of %s does not say %q:\n%s", m.Action, text, got[i].Text)
			}
		}
	}
}

// previews looks at channels that can show what they would send.
func previews(t *testing.T, open func(t *testing.T, b Behavior) Subject) {
	s := open(t, Accepting)
	p, ok := s.Channel.(alerts.Previewer)
	if !ok {
		return
	}
	for _, m := range Messages() {
		text, err := p.Preview(m)
		if err != nil || !strings.Contains(text, m.Title) {
			t.Errorf("the preview of %s is %q, %v", m.Action, text, err)
		}
		for _, secret := range s.Secrets {
			if strings.Contains(text, secret) {
				t.Errorf("the preview of %s tells a secret: %s", m.Action, text)
			}
		}
	}
	if got := s.Received(); len(got) > 0 {
		t.Errorf("%d messages arrived", len(got))
	}
}

func refusals(t *testing.T, open func(t *testing.T, b Behavior) Subject) {
	for behavior, permanent := range map[Behavior]bool{Busy: false, Refusing: true, Locked: false, Absent: false} {
		t.Run(string(behavior), func(t *testing.T) {
			s := open(t, behavior)
			receipt, err := s.Channel.Send(t.Context(), Fault())
			if err == nil {
				t.Fatalf("Send = %q, want an error", receipt)
			}
			_, got := errors.AsType[*alerts.PermanentError](err)
			if want := permanent || slices.Contains(s.Final, behavior); got != want {
				t.Errorf("permanent = %v, want %v: %v", got, want, err)
			}
			met(t, s)
			quiet(t, s, err)
			if got := s.Received(); len(got) > 0 {
				t.Errorf("%d messages arrived", len(got))
			}
		})
	}
}

func silent(t *testing.T, open func(t *testing.T, b Behavior) Subject) {
	s := open(t, Silent)
	cause := errors.New("too slow for the test")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	failed := make(chan error, 1)
	go func() {
		_, err := s.Channel.Send(ctx, Fault())
		failed <- err
	}()
	reached(t, s, failed)
	began := time.Now()
	cancel(cause)
	err := <-failed
	if !errors.Is(err, cause) {
		t.Errorf("Send = %v, want an error that wraps the cause", err)
	}
	if _, permanent := errors.AsType[*alerts.PermanentError](err); permanent {
		t.Errorf("Send = %v, which is permanent", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("Send took %s", took)
	}
	met(t, s)
	quiet(t, s, err)
}

// reached waits until the receiving side falls silent.
func reached(t *testing.T, s Subject, failed <-chan error) {
	t.Helper()
	if s.Met == nil {
		t.Fatal("the receiving side cannot tell when it is reached")
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for s.Met() == 0 {
		select {
		case err := <-failed:
			t.Fatalf("Send = %v before the receiving side was reached", err)
		case <-tick.C:
		}
	}
}

func again(t *testing.T, open func(t *testing.T, b Behavior) Subject) {
	s := open(t, Deaf)
	m := Fault()
	if _, err := s.Channel.Send(t.Context(), m); err == nil {
		t.Fatal("Send succeeded without an answer")
	} else if _, permanent := errors.AsType[*alerts.PermanentError](err); permanent {
		t.Errorf("Send = %v, which is permanent", err)
	}
	met(t, s)
	s.Turn(Accepting)
	if _, err := s.Channel.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := s.Received()
	if len(got) != 2 || got[0].ID == "" || got[0].ID != got[1].ID {
		t.Errorf("arrived %d messages with the IDs %v, want the same twice", len(got), ids(got))
	}
	m.ID += "0"
	m.Incident.ID += "0"
	if _, err := s.Channel.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if got := s.Received(); got[len(got)-1].ID == got[0].ID {
		t.Error("another message has the same identity")
	}
}

// Hostile are texts that must not do anything.
func Hostile() []string {
	return []string{
		"x\r\nBcc: thief@example.org\r\n\r\nbody of the thief",
		"x\nSubject: another",
		"<script>alert(1)</script><img src=x onerror=alert(2)>",
		"\x1b[31mred\x1b]8;;http://evil.example/\x07link\x1b]8;;\x07",
		"\xff\xfe not UTF-8 \xc3",
		"Grüße 日本語 🔥 \u202egnp.exe",
		".\r\n.\r\nMAIL FROM:<thief@example.org>",
		"{{.}} {{define \"x\"}} %s %d $(reboot) `reboot`",
		strings.Repeat("long ", 20_000),
		strings.Repeat("x", 50_000),
		"\x00\x01\x02",
		"<!channel> <!here|here> @everyone @here <@U024BE7LH> <#C024BE91L> <http://evil.example|harmless>",
		"&lt;!channel&gt; &amp;amp; & < >",
		"*bold* _italic_ ~gone~ `code` ```fence``` :fire: > quote\n> more",
		"a``````b``` ```",
		`"}],"event_action":"resolve","x":{"\u0000`,
		"\u2028\u2029\u0085 separators",
		strings.Repeat("🔥", 250_000),
		strings.Repeat("&<>\"\\\n", 10_000),
		"",
	}
}

func hostile(t *testing.T, open func(t *testing.T, b Behavior) Subject) {
	s := open(t, Accepting)
	for i, text := range Hostile() {
		m := Fault()
		m.ID = fmt.Sprintf("%s-%d", m.ID, i)
		m.Title, m.Project, m.Node = text, text, text
		m.Incident.Title, m.Incident.Workflow, m.Incident.Reason = text, text, text
		m.Incident.Check, m.Incident.AckedBy, m.Incident.Fingerprint = text, text, text
		m.Run.Message, m.Run.By, m.Run.Node = text, text, text
		m.Text = text
		m.Failures[0].Job, m.Failures[0].Error, m.Failures[0].Hint = text, text, text
		m.Failures[0].Output = []string{text, "." + text}
		m.Commands = []alerts.Command{{Does: text, Line: text}}
		if _, err := s.Channel.Send(t.Context(), m); err != nil {
			t.Errorf("Send with %.40q: %v", text, err)
		}
		if got := s.Received(); len(got) != i+1 {
			t.Fatalf("%d messages arrived after %.40q, want %d", len(got), text, i+1)
		}
	}
}

func met(t *testing.T, s Subject) {
	t.Helper()
	if s.Met != nil && s.Met() == 0 {
		t.Error("the receiving side never came to misbehave: the test shows nothing")
	}
}

// quiet looks for secrets in an error and its hint.
func quiet(t *testing.T, s Subject, err error) {
	t.Helper()
	for _, secret := range s.Secrets {
		if secret == "" {
			t.Error("an empty secret proves nothing")
		}
		if strings.Contains(fmt.Sprintf("%v %+v %#v %s", err, err, err, jobs.HintOf(err)), secret) {
			t.Errorf("the error tells a secret: %v", err)
		}
	}
}

func ids(deliveries []Delivery) []string {
	var out []string
	for _, d := range deliveries {
		out = append(out, d.ID)
	}
	return out
}
