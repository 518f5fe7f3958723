package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/alertstest"
	"github.com/ghosteam/upkeep/alerts/webhook"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

const (
	token = "tok-en-0a1b2c3d4e"
	key   = "key-to-sign-with-5e1f2c"
)

func options(h *alertstest.Hook) webhook.Options {
	o := *webhook.Kind().Options().(*webhook.Options)
	o.URL, o.CAFile, o.Timeout = secret.New(h.URL), unit.Path(h.CAFile), unit.Duration(10*time.Second)
	o.Headers = map[string]secret.String{"Authorization": secret.New("Bearer " + token)}
	o.Secret = secret.New(key)
	return o
}

func open(t *testing.T, h *alertstest.Hook, change func(*webhook.Options)) *webhook.Channel {
	t.Helper()
	o := options(h)
	if change != nil {
		change(&o)
	}
	c, err := webhook.Open("hook", o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mishap(b alertstest.Behavior) alertstest.Mishap {
	switch b {
	case alertstest.Busy:
		return alertstest.Mishap{Status: 503, Echo: true}
	case alertstest.Refusing:
		return alertstest.Mishap{Status: 422, Echo: true}
	case alertstest.Silent:
		return alertstest.Mishap{Stall: true}
	case alertstest.Deaf:
		return alertstest.Mishap{Deaf: true}
	case alertstest.Locked:
		return alertstest.Mishap{Status: 401, Echo: true}
	default:
		return alertstest.Mishap{}
	}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	alertstest.Run(t, func(t *testing.T, b alertstest.Behavior) alertstest.Subject {
		server := alertstest.NewHook(t, alertstest.Trusted, false)
		server.Change(mishap(b))
		s := alertstest.Subject{
			Channel: open(t, server, func(o *webhook.Options) {
				if b == alertstest.Absent {
					o.URL = secret.New("https://127.0.0.1:1/hooks/4f1d8a7be2c04c") // tcpmux: nobody listens
				}
			}),
			Secrets: []string{token, key, "4f1d8a7be2c04c"},
			Received: func() []alertstest.Delivery {
				var out []alertstest.Delivery
				for _, r := range server.Requests() {
					out = append(out, alertstest.Delivery{ID: r.Header.Get("Idempotency-Key"), Text: r.Text})
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

// TestSend_Request holds what a receiver relies on, with code that shares
// nothing with the channel.
func TestSend_Request(t *testing.T) {
	t.Parallel()
	server := alertstest.NewHook(t, alertstest.Trusted, false)
	m := alertstest.Fault()
	receipt, err := open(t, server, func(o *webhook.Options) { o.Method = "PUT" }).Send(t.Context(), m)
	if err != nil || receipt != "202 Accepted: taken" {
		t.Fatalf("Send = %q, %v", receipt, err)
	}
	r := server.Requests()[0]
	if r.Method != "PUT" || r.Header.Get("Idempotency-Key") != m.ID || r.Header.Get("Content-Type") != "application/json" ||
		r.Header.Get("Authorization") != "Bearer "+token || r.Header.Get("User-Agent") != "upkeep" {
		t.Errorf("%s with %v", r.Method, r.Header)
	}
	var at, sum string
	for part := range strings.SplitSeq(r.Header.Get("X-Upkeep-Signature"), ",") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "t":
			at = value
		case "v1":
			sum = value
		}
	}
	mac := hmac.New(sha256.New, []byte(key))
	_, _ = fmt.Fprintf(mac, "%s.%s", at, r.Body) // a hash takes all
	if got, err := hex.DecodeString(sum); err != nil || !hmac.Equal(got, mac.Sum(nil)) {
		t.Errorf("the signature %q does not fit", r.Header.Get("X-Upkeep-Signature"))
	}
	if seconds, err := strconv.ParseInt(at, 10, 64); err != nil || time.Since(time.Unix(seconds, 0)).Abs() > time.Minute {
		t.Errorf("the time of the signature is %q", at)
	}
	var d map[string]any
	if err := json.Unmarshal(r.Body, &d); err != nil {
		t.Fatal(err)
	}
	incident, _ := d["incident"].(map[string]any)
	if d["version"] != 1.0 || d["action"] != "open" || d["title"] != m.Title || incident["fingerprint"] != "workflow/daily" || incident["resolved_at"] != "" {
		t.Errorf("the document is %s", r.Body)
	}
}

// TestDocument_Story: the document says what was found, and what had changed
// before.
func TestDocument_Story(t *testing.T) {
	t.Parallel()
	server := alertstest.NewHook(t, alertstest.Trusted, false)
	m := alertstest.Unhealthy()
	m.Evidence = append(m.Evidence, runner.Evidence{Name: "long", Text: strings.Repeat(strings.Repeat("é", 500)+"\n", 40)})
	if _, err := open(t, server, nil).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	var d struct{ Evidence, Changes []map[string]string }
	if err := json.Unmarshal(server.Requests()[0].Body, &d); err != nil {
		t.Fatal(err)
	}
	long := d.Evidence[2]["text"]
	if len(long) > 17<<10 || !strings.HasSuffix(long, "é…") || len(long) < 15<<10 {
		t.Errorf("of a long piece %d bytes are kept, to %q", len(long), long[len(long)-10:])
	}
	d.Evidence = d.Evidence[:2]
	if diff := cmp.Diff([]map[string]string{
		{"name": "answer", "text": "critical after 12ms: 503\ncritical http:status: 503"}, {"name": "values", "text": "seconds 0.012"},
	}, d.Evidence); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]map[string]string{{"kind": "deploy", "subject": "api", "text": "1.4.2 ok", "by": "anna", "at": "2026-03-14T01:21:35Z"}}, d.Changes); diff != "" {
		t.Error(diff)
	}
}

// TestDocument_Keys holds that the documentation names every key, in the order
// in which they come.
func TestDocument_Keys(t *testing.T) {
	t.Parallel()
	server := alertstest.NewHook(t, alertstest.Trusted, false)
	c := open(t, server, nil)
	for _, m := range []alerts.Message{alertstest.Fault(), alertstest.Unhealthy(), alertstest.Digest()} {
		if _, err := c.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	doc := webhook.Kind().Doc
	from := strings.Index(doc, `{"version"`)
	to := strings.Index(doc, "All keys are always there")
	if from < 0 || to < from {
		t.Fatal("the documentation shows no document")
	}
	var shown any
	if err := json.Unmarshal([]byte(doc[from:to]), &shown); err != nil {
		t.Fatalf("the documented document is no JSON: %v", err)
	}
	sent := map[string]bool{}
	for _, r := range server.Requests() {
		var d any
		if err := json.Unmarshal(r.Body, &d); err != nil {
			t.Fatal(err)
		}
		paths("", d, sent)
	}
	documented := map[string]bool{}
	paths("", shown, documented)
	if diff := cmp.Diff(documented, sent); diff != "" {
		t.Errorf("documented and sent keys (-documented +sent):\n%s", diff)
	}
}

// paths collects the keys of a value.
func paths(at string, v any, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			into[at+"."+name] = true
			paths(at+"."+name, inner, into)
		}
	case []any:
		for _, inner := range v {
			paths(at+"[]", inner, into)
		}
	}
}

func TestSend_Answers(t *testing.T) {
	t.Parallel()
	to := func(status int, location string) alertstest.Mishap {
		return alertstest.Mishap{Only: "/hooks/", Status: status, Header: map[string]string{"Location": location}}
	}
	tests := map[string]struct {
		mishap    alertstest.Mishap
		change    func(*webhook.Options)
		permanent bool
		after     time.Duration
		says      string
	}{
		"400":                   {mishap: alertstest.Mishap{Status: 400, Body: "no such field"}, permanent: true, says: "no such field"},
		"404":                   {mishap: alertstest.Mishap{Status: 404}, permanent: true, says: "404"},
		"403":                   {mishap: alertstest.Mishap{Status: 403}, says: "403"},
		"408":                   {mishap: alertstest.Mishap{Status: 408}, says: "408"},
		"425":                   {mishap: alertstest.Mishap{Status: 425}, says: "425"},
		"429":                   {mishap: alertstest.Mishap{Status: 429, Header: map[string]string{"Retry-After": "90"}}, after: 90 * time.Second, says: "429"},
		"503 for ever":          {mishap: alertstest.Mishap{Status: 503, Header: map[string]string{"Retry-After": "99999999999999999999"}}, after: time.Hour, says: "503"},
		"503 for long":          {mishap: alertstest.Mishap{Status: 503, Header: map[string]string{"Retry-After": "999999"}}, after: time.Hour, says: "503"},
		"another success":       {mishap: alertstest.Mishap{Status: 204}, change: func(o *webhook.Options) { o.Success = unit.Names{"200-202"} }, permanent: true, says: "204"},
		"302":                   {mishap: to(302, "/elsewhere"), says: "307 or 308"},
		"307 to another server": {mishap: to(307, "https://localhost:1/hooks/x"), says: "another server, https://localhost:1"},
		"307 for ever":          {mishap: to(307, "/hooks/4f1d8a7be2c04c"), says: "redirects"},
		"hanging up":            {mishap: alertstest.Mishap{Drop: true}, says: "EOF"},
		"what was sent, back":   {mishap: alertstest.Mishap{Status: 400, Echo: true}, permanent: true, says: "400"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := alertstest.NewHook(t, alertstest.Trusted, false)
			server.Change(test.mishap)
			_, err := open(t, server, test.change).Send(t.Context(), alertstest.Fault())
			if err == nil || server.Met() == 0 {
				t.Fatalf("Send = %v after %d answers", err, server.Met())
			}
			_, permanent := errors.AsType[*alerts.PermanentError](err)
			temporary, ok := errors.AsType[*alerts.TemporaryError](err)
			if permanent != test.permanent || ok == permanent || ok && temporary.After != test.after {
				t.Errorf("%#v, want permanent %v after %s", err, test.permanent, test.after)
			}
			said := err.Error() + jobs.HintOf(err)
			if !strings.Contains(said, test.says) {
				t.Errorf("it says %q, want %q", said, test.says)
			}
			for _, secret := range []string{token, key, "4f1d8a7be2c04c"} {
				if strings.Contains(said, secret) {
					t.Errorf("it tells a secret: %q", said)
				}
			}
			if got := server.Requests(); len(got) > 0 {
				t.Errorf("%d messages arrived", len(got))
			}
		})
	}
}

// TestSend_Redirect follows a redirect within one server, with the body.
func TestSend_Redirect(t *testing.T) {
	t.Parallel()
	server := alertstest.NewHook(t, alertstest.Trusted, false)
	server.Change(alertstest.Mishap{Only: "/hooks/", Status: 308, Header: map[string]string{"Location": "/new"}})
	if _, err := open(t, server, nil).Send(t.Context(), alertstest.Fault()); err != nil {
		t.Fatal(err)
	}
	if got := server.Requests(); len(got) != 1 || got[0].Path != "/new" || got[0].Method != "POST" || got[0].Header.Get("X-Upkeep-Signature") == "" {
		t.Errorf("arrived: %+v", got)
	}
}

// TestSend_Protection: nothing is sent to a server that cannot prove who it is.
func TestSend_Protection(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		certificate alertstest.Certificate
		change      func(*webhook.Options)
		says        string
	}{
		"an untrusted certificate": {certificate: alertstest.Untrusted, says: "certificate"},
		"an expired certificate":   {certificate: alertstest.Expired, says: "expired"},
		"another's certificate":    {certificate: alertstest.OtherName, says: "certificate"},
		"the system's authorities": {change: func(o *webhook.Options) { o.CAFile = "" }, says: "certificate"},
		"no such ca_file":          {change: func(o *webhook.Options) { o.CAFile = "/nonexistent/ca.pem" }, says: "ca_file"},
		"an empty ca_file":         {change: func(o *webhook.Options) { o.CAFile = "/dev/null" }, says: "no certificate"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := alertstest.NewHook(t, test.certificate, false)
			_, err := open(t, server, test.change).Send(t.Context(), alertstest.Fault())
			if _, ok := errors.AsType[*alerts.TemporaryError](err); !ok || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "4f1d8a7be2c04c") {
				t.Errorf("Send = %v, want a temporary error that says %q", err, test.says)
			}
			if len(server.Requests()) > 0 {
				t.Error("it arrived all the same")
			}
		})
	}
}

func TestSend_Plain(t *testing.T) {
	t.Parallel()
	server := alertstest.NewHook(t, alertstest.Trusted, true)
	if _, err := open(t, server, func(o *webhook.Options) { o.CAFile = "" }).Send(t.Context(), alertstest.Fault()); err != nil {
		t.Errorf("http on this machine: %v", err)
	}
}
