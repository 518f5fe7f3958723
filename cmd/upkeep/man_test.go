package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// roffRequest is what may begin a line of a page besides text.
var roffRequest = regexp.MustCompile(`^\.(TH|SH|TP|PP|B|BR|I|nf|fi)\b`)

// Every command that the help lists has a page, and the pages hold nothing that
// a formatter would misread.
func TestMan(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	call(t, 0, "man", dir)
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil {
		t.Fatal(err)
	}
	help := call(t, 0, "--help")
	for _, m := range commandLine.FindAllStringSubmatch(help, -1) {
		if _, err := os.Stat(filepath.Join(dir, "upkeep-"+m[1]+".1")); err != nil {
			t.Errorf("no page: %v", err)
		}
	}
	if strings.Contains(help, "manual pages") {
		t.Error("the help lists the command that is for packages")
	}
	for _, path := range pages {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if (strings.HasPrefix(line, ".") && !roffRequest.MatchString(line)) || strings.HasPrefix(line, "'") {
				t.Errorf("%s: the line %q is a request", filepath.Base(path), line)
			}
			if strings.Count(line, `\fB`)+strings.Count(line, `\fI`) != strings.Count(line, `\fR`) {
				t.Errorf("%s: the font of %q stays", filepath.Base(path), line)
			}
		}
		name := strings.TrimSuffix(filepath.Base(path), ".1")
		for _, part := range []string{
			".SH \"NAME\"\n" + strings.ReplaceAll(name, "-", `\-`) + ` \- `, ".SH \"SYNOPSIS\"", ".SH \"DESCRIPTION\"", ".SH \"EXIT STATUS\"", `\-\-config`,
		} {
			if !strings.Contains(string(text), part) {
				t.Errorf("%s does not contain %q", filepath.Base(path), part)
			}
		}
	}
	if stdout := call(t, 1, "man", filepath.Join(dir, "absent")); stdout != "" {
		t.Errorf("stdout %q", stdout)
	}
}
