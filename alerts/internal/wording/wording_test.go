package wording_test

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/alertstest"
	"github.com/ghosteam/upkeep/alerts/internal/wording"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

func TestHeadline(t *testing.T) {
	t.Parallel()
	warning := alertstest.Fault()
	warning.Incident.Severity = jobs.Warning
	strange := alertstest.Fault()
	strange.Incident.Severity = "dreadful"
	over := alertstest.Digest()
	for i := range over.Items {
		over.Items[i].Action = runner.NoticeResolve
	}
	for _, test := range []struct {
		m        alerts.Message
		headline string
		severity jobs.Severity
		lead     string
	}{
		{alertstest.Fault(), "CRITICAL: daily failed: backup failed", jobs.Critical, ""},
		{warning, "WARNING: daily failed: backup failed", jobs.Warning, ""},
		{strange, "CRITICAL: daily failed: backup failed", jobs.Critical, ""},
		{alertstest.Worse(), "CRITICAL: now critical: daily failed: backup failed", jobs.Critical, ""},
		{alertstest.Repeat(), "CRITICAL: still, after 4 h 0 min: daily failed: backup failed", jobs.Critical, "Nobody has acknowledged it, and it lasts: 3h58m25s by now."},
		{alertstest.Ack(), "ACKNOWLEDGED: anna works on it: daily failed: backup failed", jobs.Critical, "anna works on it; nobody is reminded until Sat 2026-03-14 07:30:00 UTC."},
		{alertstest.Recovery(), "RESOLVED: daily works again after 25 h 58 min", jobs.Critical, "It was down for 25h58m25s."},
		{alertstest.Reminder(), "REMINDER: daily is paused since Monday", jobs.Info, ""},
		{alertstest.Digest(), "ALERTS: 2 alerts: 2 new, the worst is critical", jobs.Critical, ""},
		{over, "ALERTS: 2 alerts: 2 new, the worst is critical", jobs.Info, ""},
		{alertstest.Trial(), "TEST: a test of the channel ops", jobs.Info, ""},
	} {
		if got := wording.Headline(test.m); got != test.headline {
			t.Errorf("Headline = %q, want %q", got, test.headline)
		}
		if got := wording.Severity(test.m); got != test.severity {
			t.Errorf("%s: Severity = %q, want %q", test.headline, got, test.severity)
		}
		if got := wording.Lead(test.m); got != test.lead {
			t.Errorf("%s: Lead = %q, want %q", test.headline, got, test.lead)
		}
	}
}

func TestFacts_Check(t *testing.T) {
	t.Parallel()
	m := alertstest.Fault()
	m.Run, m.Incident.Workflow, m.Incident.Check = nil, "", "database"
	m.Incident.LastGood, m.Incident.FirstBad = m.At.Add(-2*time.Minute), m.At.Add(-time.Minute)
	m.Incident.Flapping = true
	m.Changes = []runner.Happening{
		{Kind: "deploy", Subject: "api", Text: "v41 ok", At: m.At.Add(-2 * time.Minute)}, {Kind: "packages", Subject: "vm", Text: "12\nupgraded", At: m.At.Add(-time.Hour)},
	}
	got := map[string]string{}
	for _, f := range wording.Facts(m) {
		got[f.Name] = f.Value
	}
	want := map[string]string{"Check": "database", "Last good answer": "Sat 2026-03-14 01:29:36 UTC", "First bad answer": "Sat 2026-03-14 01:30:36 UTC", "Flapping": "it comes and goes", "Workflow": "", "Changed before": "deploy api, 01:29:36: v41 ok; packages vm, 00:31:36: 12 upgraded"}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s: %q, want %q", name, got[name], value)
		}
	}
}

// TestFailures_Evidence: what was found follows what failed, line by line, and
// no more of it than people read.
func TestFailures_Evidence(t *testing.T) {
	t.Parallel()
	m := alertstest.Fault()
	failed := len(m.Failures)
	m.Evidence = []runner.Evidence{{Name: "values", Text: "memory_percent 97\nswap_percent 3\n"}, {Name: "output", Text: strings.Repeat("line\n", 30)}}
	shown := wording.Failures(m)
	if len(shown) != failed+2 || shown[failed-1].Found {
		t.Fatalf("%d pieces: %+v", len(shown), shown)
	}
	if f := shown[failed]; !f.Found || f.Head != "found: values" || strings.Join(f.Output, "|") != "memory_percent 97|swap_percent 3" {
		t.Errorf("values: %+v", f)
	}
	if f := shown[failed+1]; len(f.Output) != 21 || f.Output[20] != "… and 10 lines more: upkeep incident show" {
		t.Errorf("output: %q", f.Output)
	}
}

// TestWords: whatever a message holds, what is said of it is valid, bounded and
// free of control characters.
func TestWords(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := alertstest.Arbitrary().Draw(t, "message")
		line := func(what, text string, limit int) {
			if !utf8.ValidString(text) || utf8.RuneCountInString(text) > limit || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsGraphic(r) }) {
				t.Fatalf("%s: %.200q", what, text)
			}
		}
		line("headline", wording.Headline(m), 300)
		line("footer", wording.Footer(m), 700)
		line("lead", wording.Lead(m), 400)
		for _, f := range wording.Facts(m) {
			line(f.Name, f.Value, 300)
		}
		for _, c := range wording.Commands(m) {
			line("command", c.Line, 1000)
		}
		for _, f := range wording.Failures(m) {
			line("head", f.Head, 300)
			for _, text := range f.Output {
				line("output", text, 1000)
			}
			if strings.Count(f.Error, "\n") > 100 || strings.ContainsFunc(strings.ReplaceAll(f.Error, "\n", ""), func(r rune) bool { return !unicode.IsGraphic(r) }) {
				t.Fatalf("error: %.200q", f.Error)
			}
		}
	})
}
