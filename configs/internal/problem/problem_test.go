package problem_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/internal/problem"
)

func TestNearest(t *testing.T) {
	t.Parallel()
	keys := []string{"needs", "when", "timeout", "retry", "on_crash", "with", "if", "older_than", "max_running"}
	for word, want := range map[string]string{
		"need": "needs", "when": "when", "time_out": "timeout", "retries": "retry", "onCrash": "on_crash", "with": "with", "older-than": "older_than",
		"maxRunnning": "max_running", "xyz": "", "fi": "if", "": "", "NEEDS": "needs", "completely_different": "",
	} {
		if got := problem.Nearest(word, keys); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
	if got := problem.Nearest(strings.Repeat("x", 100_000), keys); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestDidYouMean(t *testing.T) {
	t.Parallel()
	if got := problem.DidYouMean("zzz", []string{"b", "a"}); got != "use one of: a, b" {
		t.Errorf("got %q", got)
	}
	if got := problem.DidYouMean("zzz", nil); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestProblem_String(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		problem problem.Problem
		want    string
	}{
		"whole":          {problem.Problem{File: "f.yaml", Line: 12, Col: 3, Message: "wrong", Hint: "right", Source: "  x: y"}, "f.yaml:12:3: wrong\n   12 |   x: y\n      |   ^\n      hint: right"},
		"warning":        {problem.Problem{Severity: problem.Warning, File: "f", Line: 1, Col: 1, Message: "odd", Source: "x"}, "f:1:1: warning: odd\n    1 | x\n      | ^"},
		"file":           {problem.Problem{File: "f", Message: "gone"}, "f: gone"},
		"empty line":     {problem.Problem{File: "f", Line: 2, Col: 1, Message: "m", Source: "  "}, "f:2:1: m"},
		"tab":            {problem.Problem{File: "f", Line: 1, Col: 3, Message: "m", Source: "\tab"}, "f:1:3: m\n    1 | \tab\n      | \t ^"},
		"beyond the end": {problem.Problem{File: "f", Line: 1, Col: 99, Message: "m", Source: "ab"}, "f:1:99: m\n    1 | ab\n      |   ^"},
		"control":        {problem.Problem{File: "f", Line: 1, Col: 2, Message: "m", Source: "a\x1b[31mb"}, "f:1:2: m\n    1 | a�[31mb\n      |  ^"},
	} {
		if diff := cmp.Diff(tc.want, tc.problem.String()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestProblem_LongLines(t *testing.T) {
	t.Parallel()
	source := strings.Repeat("é", 500) + "X" + strings.Repeat("é", 500)
	shown := problem.Problem{File: "f", Line: 1, Col: 501, Message: "m", Source: source}.String()
	lines := strings.Split(shown, "\n")
	if len([]rune(lines[1])) > 130 {
		t.Errorf("the line has %d characters", len([]rune(lines[1])))
	}
	at := strings.IndexRune(lines[2], '^')
	if runes := []rune(lines[1]); at >= len(runes) || runes[at] != 'X' {
		t.Errorf("the caret misses:\n%s", shown)
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	ps := problem.Problems{
		{File: "b", Line: 1, Col: 1, Message: "second", Severity: problem.Warning, Rule: "w"},
		{File: "a", Line: 9, Col: 1, Message: "x", Severity: problem.Error, Rule: "e"},
		{File: "b", Line: 1, Col: 1, Message: "first", Severity: problem.Error, Rule: "e"},
		{File: "b", Line: 1, Col: 1, Message: "first", Severity: problem.Error, Rule: "e"},
	}
	var order []string
	for _, p := range ps.Sorted() {
		order = append(order, p.File+" "+p.Message)
	}
	if diff := cmp.Diff([]string{"b first", "b second", "a x"}, order); diff != "" {
		t.Error(diff)
	}
	if ps.Err() == nil || ps.Warnings().Err() != nil || len(ps.Errors()) != 3 || !ps.Only("e") || ps.Only("w") {
		t.Error("severities are mixed up")
	}
}
