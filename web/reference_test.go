package web_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// TestReference compares docs/api.md with what testdata/api.md, the codes and
// the OpenAPI document say.
func TestReference(t *testing.T) {
	t.Parallel()
	intro, err := os.ReadFile("testdata/api.md")
	if err != nil {
		t.Fatal(err)
	}
	spec := specification(t, web.New(newFake().options()).Handler())
	var codes, operations strings.Builder
	codes.WriteString("| code | status | exit |\n|---|---|---|\n")
	for _, c := range api.Codes() {
		fmt.Fprintf(&codes, "| `%s` | %d %s | %d |\n", c, c.Status(), http.StatusText(c.Status()), c.Exit())
	}
	operations.WriteString("| | | does |\n|---|---|---|\n")
	count := 0
	paths := at(spec, "paths").(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for _, method := range slices.Sorted(maps.Keys(paths[path].(map[string]any))) {
			count++
			fmt.Fprintf(&operations, "| %s | `%s` | %s%s |\n", strings.ToUpper(method), strings.TrimPrefix(path, web.Prefix),
				at(paths, path, method, "summary"), parameters(at(paths, path, method, "parameters")))
		}
	}
	if count < 30 {
		t.Fatalf("found only %d operations", count)
	}
	text := strings.Replace(string(intro), "CODES\n", codes.String(), 1)
	text = strings.Replace(text, "OPERATIONS\n", operations.String(), 1)
	compareFile(t, "../docs/api.md", text)
}

// parameters names the query parameters of an operation.
func parameters(list any) string {
	var names []string
	all, _ := list.([]any)
	for _, p := range all {
		if at(p, "in") == "query" {
			names = append(names, fmt.Sprintf("`%s`", at(p, "name")))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names, " ") + ")"
}
