package alerts_test

import (
	"encoding"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner"
)

func TestTemplate(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ text, title, says, refused string }{
		"plain":          {text: "{{upper .Severity}} {{.Title}}\n{{range .Failures}}{{.Job}}: {{.Error}}{{end}}", title: "CRITICAL daily failed: backup failed", says: "backup: store offsite"},
		"condition":      {text: "{{if eq .Action \"open\"}}!{{end}} {{.Workflow}} since {{.OpenedAt}}", title: "! daily since 2026-03-14T01:31:35Z"},
		"nested range":   {text: "x\n{{range $i, $f := .Failures}}{{$i}} {{join $f.Output \"|\"}}{{end}}", title: "x", says: "0 dumping table orders|pg_dump"},
		"no title":       {text: "  \n\n", refused: "empty"},
		"blank line":     {text: "{{.Check}}\nbody", title: "body"},
		"header":         {text: "a\r\nBcc: x", title: "a", says: "Bcc: x"},
		"unknown field":  {text: "a\n{{.Password}}", refused: "2:2"},
		"syntax":         {text: "a\nb {{if}}", refused: "2: "},
		"unknown call":   {text: "{{env \"HOME\"}}", refused: `function "env" not defined`},
		"for ever":       {text: "{{range 1000000000}}{{end}}", refused: "a list only"},
		"for ever later": {text: "{{$n := 1000000000}}{{range $n}}{{end}}", refused: "a list only"},
		"with for ever":  {text: "{{with 1000000000}}{{range .}}{{end}}{{end}}", refused: "a list only"},
		"recursion":      {text: "{{define \"a\"}}{{template \"a\"}}{{end}}{{template \"a\"}}", refused: "exceeded maximum template depth"},
		"too much":       {text: "{{define \"a\"}}" + strings.Repeat("x", 10_000) + "{{end}}" + strings.Repeat("{{template \"a\"}}", 20), refused: "more than 65536 bytes"},
		"too long":       {text: strings.Repeat("x", 17_000), refused: "longer than 16384 bytes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			template, err := alerts.ParseTemplate(test.text)
			if test.refused != "" {
				if err == nil || !strings.Contains(err.Error(), test.refused) {
					t.Errorf("ParseTemplate = %v, want an error with %q", err, test.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			m, err := template.Apply(alerts.Sample(alerts.Origin{Project: "shop"}, runner.NoticeOpen))
			if err != nil || m.Title != test.title || !strings.Contains(m.Text, test.says) {
				t.Errorf("%v: title %q, text %q", err, m.Title, m.Text)
			}
		})
	}
}

func FuzzParseTemplate(f *testing.F) {
	for _, text := range []string{"{{.Title}}", "{{range .Items}}{{.Title}}{{end}}", "{{printf \"%9999d\" 1}}", "{{define \"x\"}}{{end}}{{block \"y\" .}}{{end}}"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		template, err := alerts.ParseTemplate(text)
		if err != nil {
			return
		}
		m, err := template.Apply(alerts.Sample(alerts.Origin{}, runner.NoticeOpen))
		if err != nil || m.Title == "" || strings.ContainsAny(m.Title, "\r\n\x00") {
			t.Errorf("what was taken makes %q, %v", m.Title, err)
		}
	})
}

func TestRate_Text(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]alerts.Rate{
		"20/5m": {Most: 20, Within: 5 * time.Minute}, "1/s": {Most: 1, Within: time.Second}, "3/1h30m": {Most: 3, Within: 90 * time.Minute},
	} {
		var r alerts.Rate
		if err := r.UnmarshalText([]byte(text)); err != nil || r != want {
			t.Errorf("%s: %+v, %v", text, r, err)
		}
		written, err := r.MarshalText()
		var again alerts.Rate
		if err != nil || again.UnmarshalText(written) != nil || again != r {
			t.Errorf("%s is written as %s: %v", text, written, err)
		}
	}
	for _, text := range []string{"", "5", "/5m", "0/5m", "-1/5m", "x/5m", "20/", "20/0s", "20/48h", "20/m5", "10001/1h", "1/100ms"} {
		if err := encoding.TextUnmarshaler(new(alerts.Rate)).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for a rate", text)
		}
	}
}

func TestTerms_Settings(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*alerts.Terms){
		"fallback_after": func(c *alerts.Terms) { c.FallbackAfter = unit.Duration(time.Second) },
		"group_wait":     func(c *alerts.Terms) { c.GroupWait = unit.Duration(time.Hour) },
		"send[1]":        func(c *alerts.Terms) { c.Send = unit.Names{"open", "everything"} },
		"template":       func(c *alerts.Terms) { c.Template = "{{.Nothing}}" },
	}
	for field, spoil := range tests {
		c := alerts.DefaultTerms()
		spoil(&c)
		if _, err := c.Settings(nil); err == nil || !strings.HasPrefix(err.Error(), field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
	if s, err := alerts.DefaultTerms().Settings(nil); err != nil || s.GroupWait != 20*time.Second || s.Style != alerts.OneByOne {
		t.Errorf("the defaults are %+v, %v", s, err)
	}
}

func TestPolicy_Raised(t *testing.T) {
	t.Parallel()
	p := lasting(t, alerts.Route{Match: alerts.Match{Reason: unit.Names{alerts.ReasonRaised}}, To: unit.Names{"ops"}})
	f, err := p.Raised(alerts.Raised{Type: "drift", Message: "81 %\n", Metadata: map[string]string{"model": "v41", "a": "b"}}, time.Unix(0, 0))
	if err != nil || f.Fingerprint != "alert/drift" || f.Severity != "warning" || f.Title != "drift: 81 % (a=b, model=v41)" || len(f.Channels) != 1 || len(f.Evidence) != 1 {
		t.Errorf("%+v, %v", f, err)
	}
	for _, r := range []alerts.Raised{{Type: "a b", Message: "x"}, {Type: "a", Message: " "}, {Type: "a", Message: "x", Severity: "fatal"}, {Message: "x"}} {
		if f, err := p.Raised(r, time.Unix(0, 0)); err == nil {
			t.Errorf("%+v is taken: %+v", r, f)
		}
	}
}
