package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	depguardBegin = "    # depguard: begin\n"
	depguardEnd   = "    # depguard: end\n"
	updateLinter  = "UPKEEP_TEST_UPDATE"
)

// TestLayers_Linter keeps the linter's copy of the walls equal to the tables of layers_test.go, so that
// an editor shows the reason at the wrong import.
func TestLayers_Linter(t *testing.T) {
	t.Parallel()
	file := filepath.Join(moduleRoot(t), ".golangci.yml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), depguardBegin)
	if !ok {
		t.Fatalf("%s has no line %q", file, depguardBegin)
	}
	got, after, ok := strings.Cut(rest, depguardEnd)
	if !ok {
		t.Fatalf("%s has no line %q", file, depguardEnd)
	}
	want := depguard()
	if got == want {
		return
	}
	if os.Getenv(updateLinter) == "" {
		t.Fatalf("depguard in .golangci.yml (-want +got); write it anew with\n%s=1 go test -run TestLayers_Linter ./cmd/upkeep\n%s",
			updateLinter, cmp.Diff(want, got))
	}
	if err := os.WriteFile(file, []byte(before+depguardBegin+want+depguardEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A depguardRule is one list of depguard in mode lax: an import is refused when deny has a prefix of it
// and allow has no longer one. A closing "$" asks for the whole path.
type depguardRule struct {
	name        string
	files       []string
	allow, deny []string
	why         string
}

func depguard() string {
	var b strings.Builder
	b.WriteString("    depguard:\n      rules:\n")
	for _, rule := range depguardRules() {
		fmt.Fprintf(&b, "        %s:\n          list-mode: lax\n          files:\n", rule.name)
		for _, file := range rule.files {
			fmt.Fprintf(&b, "            - %q\n", file)
		}
		if len(rule.allow) > 0 {
			b.WriteString("          allow:\n")
		}
		for _, path := range rule.allow {
			fmt.Fprintf(&b, "            - %s\n", path)
		}
		b.WriteString("          deny:\n")
		for _, path := range rule.deny {
			fmt.Fprintf(&b, "            - pkg: %s\n              desc: %s\n", path, strconv.Quote(rule.why))
		}
	}
	return b.String()
}

func depguardRules() []depguardRule {
	// A test may import everything, and so may the packages that exist for tests.
	free := []string{"!$test"}
	tests := depguardRule{name: "test-packages", why: "it exists for tests"}
	for _, folder := range testPackages {
		free = append(free, "!"+filesOf(folder))
		tests.deny = append(tests.deny, modulePath+"/"+folder)
	}
	tests.files = append([]string{"$all"}, free...)

	var rules []depguardRule
	for i, layer := range layers {
		if slices.Contains(layer.may, "...") {
			continue
		}
		rule := depguardRule{name: "layer-" + layer.name, files: []string{filesOf(layer.packages), "!$test"}, why: layer.why}
		for _, folder := range testPackages {
			if matches(layer.packages, folder) {
				rule.files = append(rule.files, "!"+filesOf(folder))
			}
		}
		for _, earlier := range layers[:i] {
			if matches(layer.packages, strings.TrimSuffix(earlier.packages, "/...")) {
				rule.files = append(rule.files, "!"+filesOf(earlier.packages))
			}
		}
		rule.allow = prefixes(layer.may)
		rule.deny = []string{modulePath}
		rules = append(rules, rule)
	}
	rules = append(rules, tests)
	for _, keeper := range keepers {
		rule := depguardRule{name: "library-" + keeper.name, files: append([]string{"$all"}, free...), deny: []string{keeper.library}, why: keeper.why}
		for _, folder := range keeper.may {
			rule.files = append(rule.files, "!"+filesOf(folder))
		}
		rules = append(rules, rule)
	}
	return rules
}

// filesOf returns the pattern of the files of the packages.
func filesOf(packages string) string {
	if above, ok := strings.CutSuffix(packages, "/..."); ok {
		return "${base-path}/" + above + "/**.go"
	}
	return "${base-path}/" + packages + "/*.go"
}

// prefixes returns the patterns as depguard's prefixes, sorted. depguard compares an import only with the
// closest prefix in that order, so what a shorter one covers must not stand in the list.
func prefixes(patterns []string) []string {
	var all []string
	for _, pattern := range patterns {
		if above, ok := strings.CutSuffix(pattern, "/..."); ok {
			all = append(all, modulePath+"/"+above+"$", modulePath+"/"+above+"/")
		} else if above, ok := strings.CutSuffix(pattern, "/*"); ok {
			all = append(all, modulePath+"/"+above+"/")
		} else {
			all = append(all, modulePath+"/"+pattern+"$")
		}
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Clone(all), func(path string) bool {
		return slices.ContainsFunc(all, func(other string) bool { return other != path && strings.HasPrefix(path, other) })
	})
}
