package jobs_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/ghosteam/upkeep/jobs"
)

func TestNames(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text, name, id string
	}{
		{"cpu_percent", "cpu_percent", "cpu_percent"},
		{"/", "", ""},
		{"/var/Log Files", "var_log_files", "var/log_files"},
		{"disk:/mnt", "disk__mnt", "disk:/mnt"},
		{"Größe", "gr__e", "gr__e"},
		{"\xff\xfe.log", "log", "log"},
		{"...hidden", "hidden", "hidden"},
		{"日本", "", ""},
		{strings.Repeat("x", 1000), strings.Repeat("x", 250), strings.Repeat("x", 250)},
	}
	for _, tt := range tests {
		if got := jobs.NameFrom(tt.text); got != tt.name {
			t.Errorf("NameFrom(%q) = %q, want %q", tt.text, got, tt.name)
		}
		if got := jobs.FindingIDFrom(tt.text); got != tt.id {
			t.Errorf("FindingIDFrom(%q) = %q, want %q", tt.text, got, tt.id)
		}
	}
	for _, name := range []string{"", "A", "_x", "-x", "a b", "ä", "a\n", strings.Repeat("x", 251)} {
		if jobs.ValidName(name) || jobs.ValidFindingID(name) {
			t.Errorf("%q is taken for a name", name)
		}
	}
	if jobs.ValidName("a:b") || jobs.ValidName("a/b") || !jobs.ValidFindingID("a:/b.c-d_e") || !jobs.ValidName("0.a-b_c") {
		t.Error("the marks of names and of findings are mixed up")
	}
}

func FuzzNames(f *testing.F) {
	for _, seed := range []string{"", "/", "a b", "\xff", "Ä:/x", "._-:/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if name := jobs.NameFrom(text); name != "" && !jobs.ValidName(name) {
			t.Errorf("NameFrom(%q) = %q is not a name", text, name)
		}
		if id := jobs.FindingIDFrom(text); id != "" && !jobs.ValidFindingID(id) {
			t.Errorf("FindingIDFrom(%q) = %q is not an ID", text, id)
		}
		line := jobs.OneLine(text)
		if !utf8.ValidString(line) || utf8.RuneCountInString(line) > 300 || strings.ContainsFunc(line, unicode.IsControl) {
			t.Errorf("OneLine(%q) = %q", text, line)
		}
	})
}

func TestOneLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain":                            "plain",
		" two\n\tlines.\r\n":               "two lines",
		"\x1b[31mred\x1b[0m":               "[31mred [0m",
		"a\x00b\u202ec":                    "a b c",
		"caf\xe9":                          "caf?",
		"Größe 5 µm":                       "Größe 5 µm",
		strings.Repeat("ä", 301):           strings.Repeat("ä", 299) + "…",
		strings.Repeat("ä", 300):           strings.Repeat("ä", 300),
		"wait...":                          "wait",
		"\u2028line\u2029separators\u0085": "line separators",
	} {
		if got := jobs.OneLine(text); got != want {
			t.Errorf("OneLine(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestHeadline(t *testing.T) {
	t.Parallel()
	finding := func(s jobs.Severity, text string) jobs.Finding { return jobs.Finding{ID: "x", Severity: s, Text: text} }
	some := []jobs.Finding{
		finding(jobs.Info, "nothing"), finding(jobs.Warning, "w1"), finding(jobs.Critical, "c1"),
		finding(jobs.Warning, "w2"), finding(jobs.Critical, "c2"), finding(jobs.Warning, "w3"),
	}
	if got, want := jobs.Headline(some), "c1; c2; w1; and 2 more"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := jobs.Headline(some[:3]), "c1; w1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := jobs.Headline(some[:1]); got != "" {
		t.Errorf("an info finding is a headline: %q", got)
	}
	if some[0].Text != "nothing" || some[1].Text != "w1" {
		t.Error("the findings were sorted in place")
	}
}
