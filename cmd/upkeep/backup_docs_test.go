package main_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every command below `backup` and every flag of it is on the page.
func TestDocs_Backup(t *testing.T) {
	t.Parallel()
	documented := map[string]string{}
	parts := regexp.MustCompile(`(?m)^##+ `).Split(readDoc(t, "cli.md"), -1)
	for _, part := range parts {
		title, body, _ := strings.Cut(part, "\n")
		if rest, ok := strings.CutPrefix(title, "backup "); ok {
			documented[rest] = body
		}
	}
	help := call(t, 0, "backup", "--help")
	own, _, _ := strings.Cut(help, "\nExamples:")
	names := commandLine.FindAllStringSubmatch(own, -1)
	if len(names) < 3 || len(names) != len(documented) {
		t.Fatalf("the program has %q, docs/cli.md has %d commands", names, len(documented))
	}
	for _, m := range names {
		help := call(t, 0, "backup", m[1], "--help")
		usage := regexp.MustCompile(`(?m)^  upkeep backup (.*?)(?: \[FLAGS\])?$`).FindStringSubmatch(help)
		body, ok := documented[usage[1]]
		if !ok {
			t.Errorf("docs/cli.md has no heading %q", "backup "+usage[1])
		}
		own, _, _ := strings.Cut(help, "Flags of every command:")
		var want, got []string
		for _, m := range flagName.FindAllStringSubmatch(own, -1) {
			want = append(want, "--"+m[2])
			if m[1] != "" {
				want = append(want, "-"+m[1])
			}
		}
		for _, m := range regexp.MustCompile("`(--?[a-z-]+)").FindAllStringSubmatch(tableOf(body), -1) {
			got = append(got, m[1])
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("flags of backup %s (-program +docs/cli.md):\n%s", m[1], diff)
		}
	}
}
