package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// wantedRows are the numbers of the rows of docs/coverage.md.
func wantedRows() []string {
	var out []string
	for n := 1; n <= 131; n++ {
		if n == 97 {
			out = append(out, "97a", "97b", "97c", "97d", "97e")
			continue
		}
		out = append(out, fmt.Sprint(n))
	}
	return out
}

// quotedText is what stands in backquotes.
var quotedText = regexp.MustCompile("`([^`]+)`")

// TestDocs_Coverage: docs/coverage.md has every row of the guide once, and every
// test that it names exists.
func TestDocs_Coverage(t *testing.T) {
	t.Parallel()
	root := moduleRoot(t)
	text, err := os.ReadFile(filepath.Join(root, "docs", "coverage.md"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	named := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.ReplaceAll(strings.TrimSpace(line), `\|`, "/"), "|"), "|")
		if len(cells) < 3 || strings.HasPrefix(cells[0], "---") {
			continue
		}
		tests := cells[2]
		if len(cells) == 5 {
			tests = cells[3]
			if rows = append(rows, strings.TrimSpace(cells[0])); strings.TrimSpace(cells[0]) == "#" {
				rows = rows[:len(rows)-1]
				continue
			}
		}
		found := quotedText.FindAllStringSubmatch(tests, -1)
		if strings.TrimSpace(tests) != "test" && len(found) == 0 && !strings.Contains(tests, "not yet") {
			t.Errorf("no test is named: %s", strings.TrimSpace(line))
		}
		for _, f := range found {
			named[f[1]] = true
		}
	}
	if want := wantedRows(); !slices.Equal(rows, want) {
		t.Errorf("%d rows, want %d: %v", len(rows), len(want), rows)
	}
	for name := range named {
		if why := testMissing(root, name); why != "" {
			t.Errorf("%s: %s", name, why)
		}
	}
	if len(named) < 100 {
		t.Errorf("only %d tests are named; the reading is broken", len(named))
	}
	for _, wrong := range []string{"jobs/system.TestNothing", "nowhere.TestKind", "script/nothing.txtar", "TestKind", "scripts/tests/nothing.py"} {
		if testMissing(root, wrong) == "" {
			t.Errorf("%s is taken for a test", wrong)
		}
	}
}

// testMissing tells why there is no test of that name; "" when there is one.
func testMissing(root, name string) string {
	folders := map[string]string{
		"script/": "cmd/upkeep/testdata/script", "postgres/": "cmd/upkeep/testdata/postgres", "lint/": "configs/testdata/lint", "scripts/tests/": "scripts/tests",
	}
	for prefix, folder := range folders {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			if info, err := os.Stat(filepath.Join(root, folder, rest)); err != nil || !info.Mode().IsRegular() {
				return "there is no such file"
			}
			return ""
		}
	}
	folder, test, ok := strings.Cut(name, ".")
	if !ok || !strings.HasPrefix(test, "Test") {
		return "it is not folder.TestName"
	}
	files, err := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
	if err != nil || len(files) == 0 {
		return "there are no tests in that folder"
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(text), "\nfunc "+test+"(t *testing.T)") {
			return ""
		}
	}
	return "there is no such test"
}
