package email_test

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/alertstest"
	"github.com/ghosteam/upkeep/alerts/email"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

// open returns a channel that submits to server, changed by change.
func open(t *testing.T, server *alertstest.SMTP, change func(*email.Options)) *email.Channel {
	t.Helper()
	o := *email.Kind().Options().(*email.Options)
	o.Server, o.Port, o.CAFile = server.Host, server.Port, unit.Path(server.CAFile)
	o.From, o.To = "upkeep <upkeep@example.org>", unit.Names{"ops@example.org"}
	o.Username, o.Password = server.User, secret.New(server.Password)
	o.Timeout = unit.Duration(10 * time.Second)
	if change != nil {
		change(&o)
	}
	c, err := email.Open("ops", o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func scriptOf(b alertstest.Behavior) alertstest.Script {
	busy := &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "later"}
	refusing := &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "never"}
	switch b {
	case alertstest.Busy:
		return alertstest.Script{Answers: map[alertstest.Step]*smtp.SMTPError{alertstest.AtContent: busy}}
	case alertstest.Refusing:
		return alertstest.Script{Answers: map[alertstest.Step]*smtp.SMTPError{alertstest.AtContent: refusing}}
	case alertstest.Silent:
		return alertstest.Script{Stall: alertstest.AtContent}
	case alertstest.Deaf:
		return alertstest.Script{Drop: alertstest.AtEnd}
	case alertstest.Locked:
		return alertstest.Script{Answers: map[alertstest.Step]*smtp.SMTPError{alertstest.AtLogin: smtp.ErrAuthFailed}}
	default:
		return alertstest.Script{}
	}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	alertstest.Run(t, func(t *testing.T, b alertstest.Behavior) alertstest.Subject {
		server := alertstest.NewSMTP(t, scriptOf(b))
		s := alertstest.Subject{
			Channel: open(t, server, func(o *email.Options) {
				if b == alertstest.Absent {
					o.Port = 1 // tcpmux: nobody listens
				}
			}),
			Secrets: []string{server.Password},
			Received: func() []alertstest.Delivery {
				var out []alertstest.Delivery
				for _, m := range server.Mails() {
					out = append(out, alertstest.Delivery{ID: m.Header.Get("Message-Id"), Text: everything(t, m)})
				}
				return out
			},
			Turn: func(b alertstest.Behavior) { server.Change(scriptOf(b)) },
		}
		switch b {
		case alertstest.Busy, alertstest.Refusing, alertstest.Silent:
			s.Met = func() int { return server.Met(alertstest.AtContent) }
		case alertstest.Deaf:
			s.Met = func() int { return server.Met(alertstest.AtEnd) }
		case alertstest.Locked:
			s.Met = func() int { return server.Met(alertstest.AtLogin) }
		default:
		}
		return s
	})
}

// everything returns subject, headers and bodies, decoded.
func everything(t *testing.T, m alertstest.Mail) string {
	t.Helper()
	plain, rich := bodies(t, m)
	return decoded(t, m, "Subject") + "\n" + plain + "\n" + rich
}

func decoded(t *testing.T, m alertstest.Mail, header string) string {
	t.Helper()
	text, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get(header))
	if err != nil {
		t.Errorf("decode %s: %v", header, err)
	}
	return text
}

// bodies returns the text and the HTML of a mail.
func bodies(t *testing.T, m alertstest.Mail) (plain, rich string) {
	t.Helper()
	media, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || media != "multipart/alternative" {
		t.Fatalf("Content-Type is %q: %v", m.Header.Get("Content-Type"), err)
	}
	parts := multipart.NewReader(bytes.NewReader(m.Body), params["boundary"])
	var texts []string
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := part.Header.Get("Content-Transfer-Encoding"); got != "quoted-printable" {
			t.Errorf("encoding %q", got)
		}
		text, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, strings.ReplaceAll(string(text), "\r\n", "\n"))
	}
	if len(texts) != 2 {
		t.Fatalf("the mail has %d parts, want text and HTML", len(texts))
	}
	return texts[0], texts[1]
}

func TestSend_Mail(t *testing.T) {
	t.Parallel()
	server := alertstest.NewSMTP(t, alertstest.Script{})
	c := open(t, server, func(o *email.Options) { o.To = unit.Names{"ops@example.org", "Anna <anna@example.org>"} })
	for _, m := range []alerts.Message{alertstest.Fault(), alertstest.Recovery()} {
		if _, err := c.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	mails := server.Mails()
	first, second := mails[0], mails[1]
	if !first.Encrypted || first.User != server.User || first.From != "upkeep@example.org" {
		t.Errorf("encrypted %v, user %q, from %q", first.Encrypted, first.User, first.From)
	}
	if diff := cmp.Diff([]string{"ops@example.org", "anna@example.org"}, first.To); diff != "" {
		t.Errorf("recipients (-want +got):\n%s", diff)
	}
	root := "<0195f1c0-0000-7000-8000-00000000000a.upkeep@example.org>"
	want := map[string]string{
		"From": `"upkeep" <upkeep@example.org>`, "To": `<ops@example.org>, "Anna" <anna@example.org>`,
		"Subject": "[ghosteam-v5] CRITICAL: daily failed: backup failed", "Message-Id": root,
		"Date": "Sat, 14 Mar 2026 01:31:36 +0000", "Auto-Submitted": "auto-generated", "In-Reply-To": "", "References": "",
		"X-Upkeep-Workflow": "daily", "X-Upkeep-Severity": "critical", "X-Upkeep-Reason": "failed", "X-Mailer": "", "User-Agent": "",
	}
	headers(t, first, want)
	headers(t, second, map[string]string{
		"Subject":     "[ghosteam-v5] RESOLVED: daily works again after 25 h 58 min",
		"In-Reply-To": root, "References": root, "Message-Id": "<0195f1c0-0000-7000-8000-00000000000b.upkeep@example.org>",
	})
	plain, rich := bodies(t, first)
	if diff := cmp.Diff(firstMail, plain); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	if !strings.Contains(rich, "<pre") || !strings.Contains(rich, "upkeep retry ") {
		t.Errorf("HTML:\n%s", rich)
	}
	plain, _ = bodies(t, second)
	for _, text := range []string{"It was down for 25h58m25s.", "Wrong since: Sat 2026-03-14 01:31:35 UTC", "Right since: Sun 2026-03-15 03:30:00 UTC", "What was wrong: daily failed: backup failed"} {
		if !strings.Contains(plain, text) {
			t.Errorf("the mail about the end does not say %q:\n%s", text, plain)
		}
	}
}

// TestSend_Thread: all that is told of an incident answers its first mail.
func TestSend_Thread(t *testing.T) {
	t.Parallel()
	server := alertstest.NewSMTP(t, alertstest.Script{})
	c := open(t, server, nil)
	const root = "<0195f1c0-0000-7000-8000-00000000000a.upkeep@example.org>"
	for i, test := range []struct {
		m                         alerts.Message
		thread, subject, severity string
	}{
		{m: alertstest.Worse(), thread: root, subject: "[ghosteam-v5] CRITICAL: now critical: daily failed: backup failed", severity: "critical"},
		{m: alertstest.Repeat(), thread: root, subject: "[ghosteam-v5] CRITICAL: still, after 4 h 0 min: daily failed: backup failed", severity: "critical"},
		{m: alertstest.Ack(), thread: root, subject: "[ghosteam-v5] ACKNOWLEDGED: anna works on it: daily failed: backup failed", severity: "critical"},
		{m: alertstest.Recovery(), thread: root, subject: "[ghosteam-v5] RESOLVED: daily works again after 25 h 58 min", severity: "critical"},
		{m: alertstest.Digest(), subject: "[ghosteam-v5] ALERTS: 2 alerts: 2 new, the worst is critical"},
	} {
		if _, err := c.Send(t.Context(), test.m); err != nil {
			t.Fatal(err)
		}
		headers(t, server.Mails()[i], map[string]string{
			"In-Reply-To": test.thread, "References": test.thread, "Subject": test.subject,
			"X-Upkeep-Action": string(test.m.Action), "X-Upkeep-Severity": test.severity,
		})
	}
}

const firstMail = `CRITICAL: daily failed: backup failed

job backup (pgbackup) failed (error), exit code 3, attempt 3, after 1m32s
  error: store offsite: no space left on device
  hint:  make room or set a smaller keep
  last lines of output:
    | …
    | dumping table orders
    | pg_dump: error: could not write

What to type next:
  upkeep show 0195f1c0-0000-7000-8000-000000000001   # what happened
  upkeep retry 0195f1c0-0000-7000-8000-000000000001   # try again

Workflow: daily
Severity: critical
Wrong since: Sat 2026-03-14 01:31:35 UTC
Run: 0195f1c0-0000-7000-8000-000000000001
State: failed (error)
Because: backup failed
Due: Sat 2026-03-14 01:30:00 UTC
Started: Sat 2026-03-14 01:30:01 UTC
Ended: Sat 2026-03-14 01:31:35 UTC, after 1m34s
Trigger: schedule, by cron
Ran on: db-1

-- 
upkeep on db-1, project ghosteam-v5
`

func headers(t *testing.T, m alertstest.Mail, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got := m.Header.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
}

// TestSend_Hostile looks for what foreign texts must not become: headers,
// recipients and markup.
func TestSend_Hostile(t *testing.T) {
	t.Parallel()
	server := alertstest.NewSMTP(t, alertstest.Script{})
	c := open(t, server, nil)
	for _, text := range alertstest.Hostile() {
		m := alertstest.Fault()
		m.Title, m.Project, m.Node, m.Thread = text, text, text, text
		m.Incident.Workflow, m.Incident.Reason, m.Incident.Severity = text, text, jobs.Severity(text)
		m.Failures[0].Output = []string{jobs.OneLine(text)}
		m.Commands = []alerts.Command{{Does: text, Line: text}}
		if _, err := c.Send(t.Context(), m); err != nil {
			t.Fatalf("Send with %.40q: %v", text, err)
		}
		mails := server.Mails()
		got := mails[len(mails)-1]
		if len(got.To) != 1 || got.Header.Get("Bcc") != "" || len(got.Header["Subject"]) != 1 {
			t.Errorf("%.40q changed the header: %v", text, got.Header)
		}
		for name := range got.Header {
			if !known(name) {
				t.Errorf("%.40q added the header %s", text, name)
			}
		}
		head, _, _ := bytes.Cut(got.Raw, []byte("\r\n\r\n"))
		for line := range bytes.Lines(head) {
			if len(line) > 998+2 { // RFC 5322, section 2.1.1
				t.Errorf("%.40q makes a header line of %d bytes", text, len(line))
			}
			if bytes.ContainsFunc(line, func(r rune) bool { return r >= 0x80 }) {
				t.Errorf("%.40q makes a header that is not ASCII: %q", text, line)
			}
		}
		if subject := decoded(t, got, "Subject"); len([]rune(subject)) > 160 {
			t.Errorf("the subject has %d characters", len([]rune(subject)))
		}
		plain, rich := bodies(t, got)
		for _, bad := range []string{"<script", "<img", "\x1b", "\x00"} {
			if strings.Contains(rich, bad) {
				t.Errorf("%.40q puts %q into the HTML", text, bad)
			}
		}
		if strings.ContainsAny(plain, "\x1b\x00\r") {
			t.Errorf("%.40q puts control characters into the text", text)
		}
	}
}

func known(header string) bool {
	switch header {
	case "From", "To", "Subject", "Date", "Message-Id", "In-Reply-To", "References", "Auto-Submitted", "X-Auto-Response-Suppress",
		"Mime-Version", "Content-Type", "X-Upkeep-Action", "X-Upkeep-Severity", "X-Upkeep-Reason", "X-Upkeep-Incident", "X-Upkeep-Workflow", "X-Upkeep-Check":
		return true
	}
	return false
}

// TestSend_Protection holds what may never happen: a mail or a password over a
// connection that is not encrypted and verified.
func TestSend_Protection(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		script alertstest.Script
		change func(*email.Options)
		says   string
	}{
		"no STARTTLS":                {script: alertstest.Script{Plain: true, Open: true, Unencrypted: true}, says: "STARTTLS"},
		"an untrusted certificate":   {script: alertstest.Script{Certificate: alertstest.Untrusted}, says: "certificate"},
		"an expired certificate":     {script: alertstest.Script{Certificate: alertstest.Expired}, says: "expired"},
		"a certificate of another":   {script: alertstest.Script{Certificate: alertstest.OtherName}, says: "certificate"},
		"untrusted, TLS from start":  {script: alertstest.Script{Implicit: true, Certificate: alertstest.Untrusted}, change: implicit, says: "certificate"},
		"of another, TLS from start": {script: alertstest.Script{Implicit: true, Certificate: alertstest.OtherName}, change: implicit, says: "certificate"},
		"TLS that is not there":      {script: alertstest.Script{Plain: true}, change: implicit, says: "TLS"},
		"the system's authorities":   {change: func(o *email.Options) { o.CAFile = "" }, says: "certificate"},
		"no such ca_file":            {change: func(o *email.Options) { o.CAFile = "/nonexistent/ca.pem" }, says: "ca_file"},
		"an empty ca_file":           {change: func(o *email.Options) { o.CAFile = "/dev/null" }, says: "no certificate"},
		"no login offered":           {script: alertstest.Script{Mechanisms: []string{"GSSAPI"}}, says: "GSSAPI"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := alertstest.NewSMTP(t, test.script)
			_, err := open(t, server, test.change).Send(t.Context(), alertstest.Fault())
			if _, ok := errors.AsType[*alerts.TemporaryError](err); !ok || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Send = %v, want a temporary error that says %q", err, test.says)
			}
			if server.Met(alertstest.AtGreeting) == 0 && !strings.Contains(name, "ca_file") {
				t.Error("nobody came")
			}
			if logins, senders := server.Met(alertstest.AtLogin), server.Met(alertstest.AtSender); logins+senders > 0 {
				t.Errorf("%d logins and %d mails were tried", logins, senders)
			}
		})
	}
}

func implicit(o *email.Options) { o.TLS = "implicit" }

func TestSend_Ways(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		script    alertstest.Script
		change    func(*email.Options)
		encrypted bool
		user      string
	}{
		"STARTTLS and PLAIN":   {encrypted: true, user: "upkeep"},
		"STARTTLS and LOGIN":   {script: alertstest.Script{Mechanisms: []string{"LOGIN"}}, encrypted: true, user: "upkeep"},
		"TLS from the start":   {script: alertstest.Script{Implicit: true}, change: implicit, encrypted: true, user: "upkeep"},
		"by the server's name": {change: func(o *email.Options) { o.Server = "localhost" }, encrypted: true, user: "upkeep"},
		"no login": {
			script: alertstest.Script{Open: true}, encrypted: true,
			change: func(o *email.Options) { o.Username, o.Password = "", secret.String{} },
		},
		"this machine, unprotected": {script: alertstest.Script{Plain: true, Open: true}, change: func(o *email.Options) {
			o.TLS, o.CAFile, o.Username, o.Password = "none", "", "", secret.String{}
		}},
		"this machine, unprotected, with a login": {
			script: alertstest.Script{Plain: true, Unencrypted: true}, user: "upkeep",
			change: func(o *email.Options) { o.TLS, o.CAFile = "none", "" },
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := alertstest.NewSMTP(t, test.script)
			if _, err := open(t, server, test.change).Send(t.Context(), alertstest.Fault()); err != nil {
				t.Fatal(err)
			}
			got := server.Mails()
			if len(got) != 1 || got[0].Encrypted != test.encrypted || got[0].User != test.user {
				t.Errorf("got %d mails, encrypted %v, user %q", len(got), got[0].Encrypted, got[0].User)
			}
		})
	}
}

func TestSend_Answers(t *testing.T) {
	t.Parallel()
	answer := func(code int) *smtp.SMTPError { return &smtp.SMTPError{Code: code, Message: "because"} }
	at := func(step alertstest.Step, code int) alertstest.Script {
		return alertstest.Script{Answers: map[alertstest.Step]*smtp.SMTPError{step: answer(code)}}
	}
	tests := map[string]struct {
		script    alertstest.Script
		change    func(*email.Options)
		permanent bool
		after     time.Duration
	}{
		"greeting 554":      {script: at(alertstest.AtGreeting, 554)},
		"login 454":         {script: at(alertstest.AtLogin, 454), after: 5 * time.Minute},
		"login 535":         {script: at(alertstest.AtLogin, 535), after: 5 * time.Minute},
		"a wrong password":  {change: func(o *email.Options) { o.Password = secret.New("wrong-password") }, after: 5 * time.Minute},
		"sender 451":        {script: at(alertstest.AtSender, 451)},
		"sender 550":        {script: at(alertstest.AtSender, 550), permanent: true},
		"login wanted, 530": {change: func(o *email.Options) { o.Username, o.Password = "", secret.String{} }},
		"recipient 452":     {script: at(alertstest.AtRecipient, 452)},
		"recipient 550":     {script: at(alertstest.AtRecipient, 550), permanent: true},
		"content 421":       {script: at(alertstest.AtContent, 421)},
		"content 552":       {script: at(alertstest.AtContent, 552), permanent: true},
		"end 451":           {script: at(alertstest.AtEnd, 451)},
		"end 554":           {script: at(alertstest.AtEnd, 554), permanent: true},
		"drop at greeting":  {script: alertstest.Script{Drop: alertstest.AtGreeting}},
		"drop at login":     {script: alertstest.Script{Drop: alertstest.AtLogin}},
		"drop at sender":    {script: alertstest.Script{Drop: alertstest.AtSender}},
		"drop at recipient": {script: alertstest.Script{Drop: alertstest.AtRecipient}},
		"drop at content":   {script: alertstest.Script{Drop: alertstest.AtContent}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := alertstest.NewSMTP(t, test.script)
			_, err := open(t, server, test.change).Send(t.Context(), alertstest.Fault())
			_, permanent := errors.AsType[*alerts.PermanentError](err)
			if err == nil || permanent != test.permanent {
				t.Fatalf("Send = %v, permanent %v, want %v", err, permanent, test.permanent)
			}
			if temporary, ok := errors.AsType[*alerts.TemporaryError](err); !permanent && (!ok || temporary.After != test.after) {
				t.Errorf("Send = %#v, want a temporary error with a wait of %s", err, test.after)
			}
			if got := server.Mails(); len(got) > 0 {
				t.Errorf("%d mails were stored", len(got))
			}
			for step := range test.script.Answers {
				if server.Met(step) != 1 {
					t.Errorf("%s was met %d times", step, server.Met(step))
				}
			}
		})
	}
}

// TestSend_Stall holds that a server that falls silent anywhere holds nobody
// up for longer than the timeout.
func TestSend_Stall(t *testing.T) {
	t.Parallel()
	for _, step := range []alertstest.Step{alertstest.AtGreeting, alertstest.AtLogin, alertstest.AtSender, alertstest.AtRecipient, alertstest.AtContent, alertstest.AtEnd} {
		t.Run(string(step), func(t *testing.T) {
			t.Parallel()
			server := alertstest.NewSMTP(t, alertstest.Script{Stall: step})
			c := open(t, server, func(o *email.Options) { o.Timeout = unit.Duration(time.Second) })
			began := time.Now()
			_, err := c.Send(t.Context(), alertstest.Fault())
			if _, ok := errors.AsType[*alerts.TemporaryError](err); !ok || !strings.Contains(err.Error(), "no end after 1s") {
				t.Errorf("Send = %v", err)
			}
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("Send took %s", took)
			}
			if server.Met(step) != 1 {
				t.Errorf("the server met %s %d times", step, server.Met(step))
			}
		})
	}
}

func TestSend_SomeRecipientsRefused(t *testing.T) {
	t.Parallel()
	never, later := &smtp.SMTPError{Code: 550, Message: "no such mailbox"}, &smtp.SMTPError{Code: 452, Message: "mailbox full"}
	to := func(o *email.Options) { o.To = unit.Names{"a@example.org", "b@example.org"} }
	tests := map[string]struct {
		refused   map[string]*smtp.SMTPError
		partial   bool
		permanent bool
	}{
		"one for good":    {refused: map[string]*smtp.SMTPError{"a@example.org": never}, partial: true},
		"one for now":     {refused: map[string]*smtp.SMTPError{"b@example.org": later}, partial: true},
		"all, one of now": {refused: map[string]*smtp.SMTPError{"a@example.org": never, "b@example.org": later}},
		"all for good":    {refused: map[string]*smtp.SMTPError{"a@example.org": never, "b@example.org": never}, permanent: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := alertstest.NewSMTP(t, alertstest.Script{Refused: test.refused})
			_, err := open(t, server, to).Send(t.Context(), alertstest.Fault())
			partial, isPartial := errors.AsType[*alerts.PartialError](err)
			_, permanent := errors.AsType[*alerts.PermanentError](err)
			if err == nil || isPartial != test.partial || permanent != test.permanent {
				t.Fatalf("Send = %v, partial %v, permanent %v", err, isPartial, permanent)
			}
			mails := server.Mails()
			if isPartial && (len(mails) != 1 || len(mails[0].To) != 1 || partial.Receipt == "" || test.refused[mails[0].To[0]] != nil) {
				t.Errorf("mails %v, receipt %q", mails, partial.Receipt)
			}
			if !isPartial && len(mails) != 0 {
				t.Errorf("%d mails", len(mails))
			}
			for address := range test.refused {
				if !strings.Contains(err.Error(), address) {
					t.Errorf("the error does not name %s: %v", address, err)
				}
			}
		})
	}
}

func TestOptions_Validate(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*email.Options)
		field  string // of the complaint
	}{
		"as it should be":         {change: func(*email.Options) {}},
		"a URL":                   {change: func(o *email.Options) { o.Server = "smtp://mail.example.org" }, field: "smtp_server"},
		"a port in the server":    {change: func(o *email.Options) { o.Server = "mail.example.org:25" }, field: "smtp_server"},
		"no server":               {change: func(o *email.Options) { o.Server = "" }, field: "smtp_server"},
		"a line in the server":    {change: func(o *email.Options) { o.Server = "mail\r\nRSET" }, field: "smtp_server"},
		"IPv6":                    {change: func(o *email.Options) { o.Server = "::1" }},
		"a sender without @":      {change: func(o *email.Options) { o.From = "upkeep" }, field: "from"},
		"a list as one address":   {change: func(o *email.Options) { o.To = unit.Names{"a@example.org, b@example.org"} }, field: "to[0]"},
		"nobody":                  {change: func(o *email.Options) { o.To = nil }, field: "to"},
		"a header in an address":  {change: func(o *email.Options) { o.To = unit.Names{"a@example.org\r\nBcc: b@example.org"} }, field: "to[0]"},
		"a user alone":            {change: func(o *email.Options) { o.Password = secret.String{} }, field: "password"},
		"a password alone":        {change: func(o *email.Options) { o.Username = "" }, field: "username"},
		"a password of two lines": {change: func(o *email.Options) { o.Password = secret.New("a\nb") }, field: "password"},
		"unprotected":             {change: func(o *email.Options) { o.TLS = "none" }, field: "tls"},
		"unprotected, at home":    {change: func(o *email.Options) { o.TLS, o.Server = "none", "localhost" }},
		"unprotected, 127.0.0.1":  {change: func(o *email.Options) { o.TLS, o.Server = "none", "127.0.0.1" }},
		"a CA for nothing":        {change: func(o *email.Options) { o.TLS, o.Server, o.CAFile = "none", "localhost", "/ca.pem" }, field: "ca_file"},
		"opportunistic":           {change: func(o *email.Options) { o.TLS = "maybe" }, field: "tls"},
		"no time":                 {change: func(o *email.Options) { o.Timeout = 0 }, field: "timeout"},
		"too much time":           {change: func(o *email.Options) { o.Timeout = unit.Duration(time.Minute) }, field: "timeout"},
		"a greeting of words":     {change: func(o *email.Options) { o.Helo = "a b" }, field: "helo"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := email.Kind().Options().(*email.Options)
			o.Server, o.From, o.To = "mail.example.org", "upkeep@example.org", unit.Names{"ops@example.org"}
			o.Username, o.Password = "upkeep", secret.New("secret-password")
			test.change(o)
			_, err := email.Kind().Open("ops", o)
			field, ok := errors.AsType[*jobs.FieldError](err)
			if test.field == "" && err != nil || test.field != "" && (!ok || field.Field != test.field) {
				t.Errorf("Open = %v, want a complaint about %q", err, test.field)
			}
		})
	}
}

// TestSend_ParsesAnywhere keeps the mail readable for a parser that is not the
// library that wrote it.
func TestSend_ParsesAnywhere(t *testing.T) {
	t.Parallel()
	server := alertstest.NewSMTP(t, alertstest.Script{})
	m := alertstest.Fault()
	m.Title = "größer als erwartet: 日本語 " + strings.Repeat("sehr ", 20)
	if _, err := open(t, server, nil).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	parsed, err := mail.ReadMessage(bytes.NewReader(server.Mails()[0].Raw))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject"))
	if want := "[ghosteam-v5] CRITICAL: " + strings.TrimSpace(m.Title); err != nil || subject != want {
		t.Errorf("Subject = %q, %v, want %q", subject, err, want)
	}
	if date, err := parsed.Header.Date(); err != nil || !date.Equal(m.At) {
		t.Errorf("Date = %v, %v", date, err)
	}
}
