package web_test

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/web"
)

//go:generate go test -run ^Test(OpenAPI|Reference)$ -update .

var update = flag.Bool("update", false, "write docs/openapi.yaml and docs/api.md anew")

const specFile = "../docs/openapi.yaml"

// TestOpenAPI compares the committed document with the generated one.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	got, err := web.New(web.Options{}).OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	compareFile(t, specFile, string(got))
}

func compareFile(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not up to date; write it anew with: go generate ./web (-committed +generated)\n%s", path, diff)
	}
}
