package jobstest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/jobs"
)

var kindName = regexp.MustCompile(`^[a-z][a-z0-9]*$`)

// checkDocumented wants a sentence for the kind and one for every option.
func checkDocumented(t *testing.T, kind jobs.Kind) {
	if !kindName.MatchString(kind.Name) {
		t.Errorf("the kind's name %q is not a package name", kind.Name)
	}
	if len(kind.Summary()) < 10 {
		t.Errorf("the kind's documentation starts with %q, want a sentence", kind.Summary())
	}
	for _, o := range kind.Describe() {
		if o.Path == "" || strings.HasSuffix(o.Path, ".") {
			t.Errorf("an option has no yaml name: %+v", o)
		}
		if len(o.Doc) < 10 {
			t.Errorf("option %q is not documented", o.Path)
		}
	}
}

// CheckResult wants a result that can be stored, encoded and read.
func CheckResult(t testing.TB, r jobs.Result) {
	t.Helper()
	switch {
	case r.Summary == "":
		t.Error("the result has no summary")
	case strings.Contains(r.Summary, "\n"):
		t.Errorf("the summary has several lines: %q", r.Summary)
	case strings.HasSuffix(r.Summary, "."):
		t.Errorf("the summary ends in a full stop: %q", r.Summary)
	}
	for name, v := range r.Values {
		if !jobs.ValidName(name) || math.IsNaN(v) || math.IsInf(v, 0) {
			t.Errorf("value %q = %v has a bad name or is not finite", name, v)
		}
	}
	for name, text := range r.Outputs {
		if !jobs.ValidName(name) || len(text) > 4096 {
			t.Errorf("output %q has a bad name or %d bytes", name, len(text))
		}
	}
	for _, f := range r.Findings {
		if !jobs.ValidFindingID(f.ID) || f.Severity.Rank() < 0 || f.Text == "" || strings.Contains(f.Text, "\n") {
			t.Errorf("bad finding: %+v", f)
		}
	}
	encode(t, r)
}

func encode(t testing.TB, r jobs.Result) string {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Errorf("the result does not encode: %v", err)
	}
	return string(text)
}

// Tree describes every file below root: its mode, size, modification time,
// target or content hash by relative path. Comparing two trees shows any
// change.
func Tree(t testing.TB, root string) map[string]string {
	t.Helper()
	files, err := tree(root)
	if err != nil {
		t.Fatalf("describe %s: %v", root, err)
	}
	return files
}

func tree(root string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil && !os.IsPermission(err) {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		files[relative], err = describeFile(path)
		return err
	})
	return files, err
}

func describeFile(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("%s %d %s", info.Mode(), info.Size(), info.ModTime().UTC().Format("2006-01-02T15:04:05.000000000"))
	switch {
	case info.Mode().IsRegular():
		content, err := os.ReadFile(path)
		if err != nil && !os.IsPermission(err) {
			return "", err
		}
		sum := sha256.Sum256(content)
		return text + " " + hex.EncodeToString(sum[:8]), nil
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return text + " -> " + target, err
	}
	return text, nil
}
