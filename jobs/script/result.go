package script

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/object"
)

const (
	mostResultBytes = 1 << 20
	mostEntries     = 1000
	mostOutputBytes = 4096
	mostTextBytes   = 4096

	// fileStore stands in the store's place for files that a program left on
	// this machine.
	fileStore = "file"
)

// resultFile is the JSON form that programs write.
type resultFile struct {
	Schema    int                `json:"schema"`
	Summary   string             `json:"summary"`
	Values    map[string]float64 `json:"values"`
	Outputs   map[string]string  `json:"outputs"`
	Findings  []jobs.Finding     `json:"findings"`
	Artifacts []artifactFile     `json:"artifacts"`
}

// artifactFile is a file that the program says it made.
type artifactFile struct {
	Name   string `json:"name"`
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// readResult reads what a program measured. Whatever is wrong with the file
// is an error: a program that measured nothing has not succeeded.
func readResult(path string) (jobs.Result, error) {
	text, err := readBounded(path)
	if err != nil {
		return jobs.Result{}, badResult(err)
	}
	var file resultFile
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return jobs.Result{}, badResult(fmt.Errorf("read it as JSON: %w", err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return jobs.Result{}, badResult(errors.New("more follows after the JSON object"))
	}
	if err := file.check(); err != nil {
		return jobs.Result{}, badResult(err)
	}
	result := jobs.Result{Summary: clean(file.Summary), Values: file.Values, Outputs: file.Outputs, Findings: file.Findings}
	for i := range result.Findings {
		result.Findings[i].Text = clean(result.Findings[i].Text)
	}
	for _, a := range file.Artifacts {
		info, err := a.prove()
		if err != nil {
			return result, badResult(err)
		}
		result.Artifacts = append(result.Artifacts, info)
	}
	if result.Summary == "" {
		result.Summary = fmt.Sprintf("%d values, %d findings", len(result.Values), len(result.Findings))
	}
	return result, nil
}

func badResult(err error) error {
	return jobs.WithHint(fmt.Errorf("the program ended well but its result file is no proof: %w", err),
		"with `result: json` a program writes what it measured to the file named by UPKEEP_RESULT; see `upkeep kinds script`")
}

// readBounded reads a regular file of a bounded size without following links.
func readBounded(path string) (_ []byte, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("it was not written")
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	text, err := io.ReadAll(io.LimitReader(f, mostResultBytes+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) == 0:
		return nil, errors.New("it is empty")
	case len(text) > mostResultBytes:
		return nil, fmt.Errorf("it is larger than %d bytes", mostResultBytes)
	}
	return text, nil
}

func (f *resultFile) check() error {
	if f.Schema != jobs.ResultSchema {
		return fmt.Errorf("its schema is %d, not %d", f.Schema, jobs.ResultSchema)
	}
	if n := max(len(f.Values), len(f.Outputs), len(f.Findings), len(f.Artifacts)); n > mostEntries {
		return fmt.Errorf("it has %d entries of one sort, more than %d", n, mostEntries)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Values)) {
		if !valueName.MatchString(name) {
			return fmt.Errorf("value name %q: use a-z, 0-9, _, . and -", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Outputs)) {
		if !valueName.MatchString(name) || len(f.Outputs[name]) > mostOutputBytes {
			return fmt.Errorf("output %q: its name is not legal or it is longer than %d bytes", name, mostOutputBytes)
		}
	}
	for i, finding := range f.Findings {
		if finding.ID == "" || len(finding.ID) > mostTextBytes || len(finding.Text) > mostTextBytes {
			return fmt.Errorf("finding %d: it has no id or is too long", i)
		}
		// A severity that is absent decodes to nothing and would be lost.
		if finding.Severity.Rank() < 0 {
			return fmt.Errorf("finding %q: it has no severity", finding.ID)
		}
	}
	return nil
}

// prove reads the file that the program says it made and compares.
func (a artifactFile) prove() (_ object.Info, err error) {
	f, err := os.OpenFile(a.Path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return object.Info{}, fmt.Errorf("artifact %q: %w", a.Name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return object.Info{}, fmt.Errorf("artifact %q: %w", a.Name, err)
	}
	if !info.Mode().IsRegular() {
		return object.Info{}, fmt.Errorf("artifact %q: %s is not a regular file", a.Name, a.Path)
	}
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err != nil {
		return object.Info{}, fmt.Errorf("artifact %q: %w", a.Name, err)
	}
	digest := hex.EncodeToString(sum.Sum(nil))
	if n != a.Bytes || digest != a.SHA256 {
		return object.Info{}, fmt.Errorf("artifact %q: %s holds other bytes than the program says", a.Name, a.Path)
	}
	return object.Info{Store: fileStore, Key: a.Path, Bytes: n, SHA256: digest, Modified: info.ModTime().UTC()}, nil
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
