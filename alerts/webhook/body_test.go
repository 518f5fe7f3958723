package webhook_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/alerts/alertstest"
	"github.com/ghosteam/upkeep/alerts/webhook"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

const template = `{"text": {{json .title}}, "more": [{{range $i, $f := .failures}}{{if $i}}, {{end}}{{json $f.error}}{{end}}]{{with .incident}}, "since": {{json .opened_at}}{{end}}}`

// TestSend_Limits: whatever the message is, the body is JSON within its limit.
func TestSend_Limits(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"document": "", "template": template} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := alertstest.NewHook(t, alertstest.Trusted, false)
			c := open(t, server, func(o *webhook.Options) { o.Body = body })
			rapid.Check(t, func(t *rapid.T) {
				m := alertstest.Arbitrary().Draw(t, "message")
				before := len(server.Requests())
				if _, err := c.Send(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				got := server.Requests()
				if len(got) != before+1 || len(got[before].Body) > 1<<20 || len(got[before].Header.Get("Idempotency-Key")) > 128 {
					t.Fatalf("%d requests", len(got)-before)
				}
			})
		})
	}
}

func TestBody(t *testing.T) {
	t.Parallel()
	m := alertstest.Fault()
	m.Title = `a "quote" & <tag>`
	got, err := webhook.Render(template, m)
	want := `{"text": "a \"quote\" & <tag>", "more": ["store offsite: no space left on device"], "since": "2026-03-14T01:31:35Z"}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestBody_Wrong(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ body, says string }{
		"no template":         {`{"text": {{.title}`, "bad character"},
		"no quoting":          {`{"text": "{{.title}}"}`, "valid JSON"},
		"no JSON":             {`text={{.version}}&more`, "valid JSON"},
		"an unknown key":      {`{"text": {{json .titel}}}`, "titel"},
		"a key of nothing":    {`{"workflow": {{json .incident.workflow}}}`, "with the action"},
		"an unknown function": {`{"text": {{env "HOME"}}}`, "env"},
		"for ever":            {`[{{range 1000000000000}}{{end}}]`, "range goes over a list"},
		"for ever, hidden":    {`{{$n := 1000000000000}}[{{range $n}}{{end}}]`, "range goes over a list"},
		"within itself":       {`{{define "x"}}{{template "x"}}{{end}}{{template "x"}}`, "exceeded"},
		"too deep":            {`[{{range .items}}{{range $.items}}{{range $.items}}{{range $.items}}{{end}}{{end}}{{end}}{{end}}]`, "deep"},
		"too much":            {`[{{printf "%999999d" 1}},{{printf "%999999d" 1}}]`, "more than"},
		"too long":            {`"` + strings.Repeat("x", 70_000) + `"`, "longer than"},
		"two values":          {`{} {}`, "valid JSON"},
	}
	for name, test := range tests {
		_, err := webhook.Render(test.body, alertstest.Fault())
		if wrong, ok := errors.AsType[*jobs.FieldError](err); !ok || wrong.Field != "body" || !strings.Contains(wrong.Why, test.says) {
			t.Errorf("%s: %v, want a complaint that says %q", name, err, test.says)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	const url = "https://hooks.example.org/secret-0123456789"
	tests := map[string]struct {
		change func(*webhook.Options)
		field  string
	}{
		"no url":      {func(o *webhook.Options) { o.URL = secret.String{} }, "url"},
		"unprotected": {func(o *webhook.Options) { o.URL = secret.New("http://hooks.example.org/secret-0123456789") }, "url"},
		"a fragment":  {func(o *webhook.Options) { o.URL = secret.New(url + "#secret-0123456789") }, "url"},
		"a method":    {func(o *webhook.Options) { o.Method = "GET" }, "method"},
		"a header":    {func(o *webhook.Options) { o.Headers = map[string]secret.String{"X Y": secret.New("1")} }, "headers"},
		"a header line": {func(o *webhook.Options) {
			o.Headers = map[string]secret.String{"X": secret.New("secret-0123456789\r\nY: 1")}
		}, "headers.X"},
		"our header":    {func(o *webhook.Options) { o.Headers = map[string]secret.String{"idempotency-key": secret.New("1")} }, "headers.idempotency-key"},
		"a weak secret": {func(o *webhook.Options) { o.Secret = secret.New("short") }, "secret"},
		"no success":    {func(o *webhook.Options) { o.Success = nil }, "success"},
		"any success":   {func(o *webhook.Options) { o.Success = unit.Names{"2xx", "4xx"} }, "success[1]"},
		"a body":        {func(o *webhook.Options) { o.Body = "{{" }, "body"},
		"a proxy":       {func(o *webhook.Options) { o.Proxy = secret.New("secret-0123456789") }, "proxy"},
	}
	for name, test := range tests {
		o := *webhook.Kind().Options().(*webhook.Options)
		o.URL = secret.New(url)
		test.change(&o)
		_, err := webhook.Open("hook", o)
		if wrong, ok := errors.AsType[*jobs.FieldError](err); !ok || wrong.Field != test.field || strings.Contains(err.Error(), "secret-0123456789") {
			t.Errorf("%s: %v, want a complaint about %s", name, err, test.field)
		}
	}
	o := *webhook.Kind().Options().(*webhook.Options)
	o.URL, o.AllowHTTP = secret.New("http://hooks.example.org/"), true
	if _, err := webhook.Open("hook", o); err != nil {
		t.Error(err)
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]bool{199: false, 200: true, 204: true, 205: false, 210: true, 299: false, 300: false} {
		if got, err := webhook.Good([]string{"200-204", "210"}, status); err != nil || got != want {
			t.Errorf("%d: %v, %v", status, got, err)
		}
	}
}

func FuzzBody(f *testing.F) {
	f.Add(template, "title")
	f.Add(`{{json .}}`, "x")
	f.Add(`[{{range .commands}}{{json .line}},{{end}}0]`, "x")
	f.Add(`{{range`, "x")
	f.Fuzz(func(t *testing.T, text, title string) {
		m := alertstest.Fault()
		m.Title = title
		got, err := webhook.Render(text, m)
		if err == nil && (!json.Valid(got) || len(got) > 1<<20 || !utf8.Valid(got) && utf8.ValidString(text)) {
			t.Errorf("%q makes %.300q", text, got)
		}
	})
}
