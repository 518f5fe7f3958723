package email_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/mail"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/alertstest"
	"github.com/ghosteam/upkeep/alerts/email"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
)

// mta is a real mail server, started by scripts/dev/servers.sh.
type mta struct {
	options         email.Options
	implicit        uint16 // its port with TLS from the start
	domain, maildir string
}

func server(t *testing.T) mta {
	t.Helper()
	variable := func(name string) string {
		value := os.Getenv("UPKEEP_TEST_SMTP_" + name)
		if value == "" {
			t.Fatalf("UPKEEP_TEST_SMTP_%s is not set: this test needs a mail server.\nhint: scripts/dev/servers.sh run -- go test ./alerts/email, as root", name)
		}
		return value
	}
	port := func(name string) uint16 {
		n, err := strconv.ParseUint(variable(name), 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		return uint16(n)
	}
	o := *email.Kind().Options().(*email.Options)
	o.Server, o.Port, o.CAFile = variable("HOST"), port("PORT"), unit.Path(variable("CA"))
	o.Username, o.Password = variable("USER"), secret.New(variable("PASSWORD"))
	_, domain, _ := strings.Cut(variable("TO"), "@")
	o.From = "upkeep <upkeep@" + domain + ">"
	// A recipient of its own for each test, all in one mailbox.
	o.To = unit.Names{fmt.Sprintf("t%d@%s", time.Now().UnixNano(), domain)}
	return mta{options: o, implicit: port("TLS_PORT"), domain: domain, maildir: variable("MAILDIR")}
}

func (s mta) send(t *testing.T, o email.Options, m alerts.Message) (string, error) {
	t.Helper()
	c, err := email.Open("ops", o)
	if err != nil {
		t.Fatal(err)
	}
	return c.Send(t.Context(), m)
}

// arrived waits for so many mails to that recipient.
func (s mta) arrived(t *testing.T, to string, count int) []alertstest.Mail {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		var found []alertstest.Mail
		files, err := filepath.Glob(filepath.Join(s.maildir, "new", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := mail.ReadMessage(bytes.NewReader(raw))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if parsed.Header.Get("X-Original-To") != to {
				continue
			}
			var body bytes.Buffer
			if _, err := body.ReadFrom(parsed.Body); err != nil {
				t.Fatal(err)
			}
			found = append(found, alertstest.Mail{Raw: raw, Header: parsed.Header, Body: body.Bytes()})
		}
		if len(found) >= count {
			return found
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d mails to %s arrived within 30 s, want %d", len(found), to, count)
		}
		time.Sleep(20 * time.Millisecond) // a real server delivers when it does
	}
}

func TestPostfix_Conversation(t *testing.T) {
	t.Parallel()
	s := server(t)
	for _, m := range []alerts.Message{alertstest.Fault(), alertstest.Recovery()} {
		receipt, err := s.send(t, s.options, m)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(receipt, "queued as") {
			t.Errorf("receipt %q", receipt)
		}
	}
	mails := s.arrived(t, s.options.To[0], 2)
	byAction := map[string]alertstest.Mail{}
	for _, m := range mails {
		byAction[m.Header.Get("X-Upkeep-Action")] = m
		if received := m.Header.Get("Received"); !strings.Contains(received, "ESMTPSA") { // RFC 3848: TLS and a login
			t.Errorf("Received: %s", received)
		}
	}
	first, second := byAction["open"], byAction["resolve"]
	if id := first.Header.Get("Message-Id"); id == "" || second.Header.Get("In-Reply-To") != id || second.Header.Get("References") != id {
		t.Errorf("first %v, second %v", first.Header, second.Header)
	}
	if plain, _ := bodies(t, first); plain != firstMail {
		t.Errorf("text:\n%s", plain)
	}
}

func TestPostfix_Ways(t *testing.T) {
	t.Parallel()
	s := server(t)
	o := s.options
	o.TLS, o.Port = "implicit", s.implicit
	if _, err := s.send(t, o, alertstest.Fault()); err != nil {
		t.Fatal(err)
	}
	o = s.options
	o.Server = "localhost"
	if _, err := s.send(t, o, alertstest.Fault()); err != nil {
		t.Fatal(err)
	}
	s.arrived(t, s.options.To[0], 2)
}

func TestPostfix_Hostile(t *testing.T) {
	t.Parallel()
	s := server(t)
	for i, text := range alertstest.Hostile() {
		m := alertstest.Fault()
		m.ID = fmt.Sprint("hostile-", i)
		m.Title, m.Project, m.Incident.Workflow = text, text, text
		m.Failures[0].Output = []string{text}
		if _, err := s.send(t, s.options, m); err != nil {
			t.Errorf("Send with %.40q: %v", text, err)
		}
	}
	for _, m := range s.arrived(t, s.options.To[0], len(alertstest.Hostile())) {
		bodies(t, m)
		for name := range m.Header {
			switch name {
			case "Return-Path", "X-Original-To", "Delivered-To", "Received":
			default:
				if !known(name) {
					t.Errorf("a header %s came from nowhere", name)
				}
			}
		}
	}
}

func TestPostfix_Refusals(t *testing.T) {
	t.Parallel()
	s := server(t)
	never, later := "never@"+s.domain, "later@"+s.domain
	tests := map[string]struct {
		change             func(*email.Options)
		permanent, partial bool
		says               string
	}{
		"a wrong password":         {change: func(o *email.Options) { o.Password = secret.New("wrong-password") }, says: "535"},
		"no login":                 {change: func(o *email.Options) { o.Username, o.Password = "", secret.String{} }, permanent: true, says: "554"},
		"an unknown mailbox":       {change: func(o *email.Options) { o.To = unit.Names{never} }, permanent: true, says: "550"},
		"a busy mailbox":           {change: func(o *email.Options) { o.To = unit.Names{later} }, says: "451"},
		"a foreign domain":         {change: func(o *email.Options) { o.To = unit.Names{"ops@example.com"} }, permanent: true, says: "554"},
		"one unknown mailbox":      {change: func(o *email.Options) { o.To = append(unit.Names{never}, o.To...) }, partial: true, says: "550"},
		"the system's authorities": {change: func(o *email.Options) { o.CAFile = "" }, says: "certificate"},
		"the wrong TLS":            {change: func(o *email.Options) { o.TLS = "implicit" }, says: "TLS"},
		"nobody there":             {change: func(o *email.Options) { o.Port = 1 }, says: "refused"},
	}
	t.Run("each", func(t *testing.T) {
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				o := s.options
				o.To = append(unit.Names(nil), o.To...)
				test.change(&o)
				_, err := s.send(t, o, alertstest.Fault())
				_, permanent := errors.AsType[*alerts.PermanentError](err)
				_, partial := errors.AsType[*alerts.PartialError](err)
				if err == nil || permanent != test.permanent || partial != test.partial || !strings.Contains(err.Error(), test.says) {
					t.Errorf("Send = %v, permanent %v, partial %v", err, permanent, partial)
				}
				if err != nil && strings.Contains(err.Error(), s.options.Password.Reveal()) {
					t.Errorf("the error tells the password: %v", err)
				}
			})
		}
	})
	s.arrived(t, s.options.To[0], 1) // of the partial one
}
