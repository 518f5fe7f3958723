package configs_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ghosteam/upkeep/configs"
)

// FuzzLoad looks for texts that make the loader panic, point beside the file,
// or accept what it cannot compile.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/*/*.yaml", "*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range files {
			text, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			if len(text) < 2000 {
				f.Add(text)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		catalog := testCatalog(testEnv())
		const path = "/nonexistent/upkeep.yaml"
		catalog.ReadFile = func(name string) ([]byte, error) {
			if name == path {
				return text, nil
			}
			return nil, os.ErrNotExist
		}
		c, err := configs.Load(path, catalog)
		var problems configs.Problems
		if err != nil && !errors.As(err, &problems) {
			t.Fatalf("not a list of problems: %v", err)
		}
		if err == nil {
			problems = c.Warnings
		}
		lines := strings.Split(strings.ReplaceAll(strings.TrimPrefix(string(text), "\ufeff"), "\r\n", "\n"), "\n")
		for _, p := range problems {
			if p.Line == 0 && p.Rule != "too-large" && p.Rule != "encoding" || p.Line > len(lines) || p.Line > 0 && (p.Col < 1 || p.Col > utf8.RuneCountInString(lines[p.Line-1])+1) {
				t.Errorf("%s is not a place in the file: %s", p.Position(), p.Message)
			}
			if p.Message == "" || p.Rule == "" || strings.Contains(p.Message, "\n") && p.Rule != "bad-value" {
				t.Errorf("a poor message: %+v", p)
			}
		}
		if err != nil {
			return
		}
		for _, w := range c.Workflows {
			arguments, err := w.Arguments(nil)
			if err != nil {
				continue // a parameter is required
			}
			if _, err := c.Compile(t.Context(), w.Spec, arguments); err != nil {
				t.Errorf("a workflow that loads does not compile: %v\n%s", err, w.Spec.Text)
			}
		}
	})
}
