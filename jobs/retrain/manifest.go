package retrain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"time"
)

const (
	manifestName   = "upkeep-model.json"
	manifestSchema = 1
	// mostManifest bounds what is read of one, in bytes.
	mostManifest = 1 << 20
)

// The states of a version, in the order of its life.
const (
	stateTraining   = "training"
	stateTrained    = "trained"
	stateCandidate  = "candidate" // measured, and kept for a person
	stateRejected   = "rejected"
	statePromoted   = "promoted"
	stateRolledBack = "rolled_back"
)

// manifest is what is known about a version, and the proof that it is ours.
type manifest struct {
	Schema  int    `json:"schema"`
	Model   string `json:"model"`
	Version string `json:"version"`
	State   string `json:"state"`
	// Parent is the version that was in use when this one was trained.
	Parent   string    `json:"parent,omitempty"`
	Run      string    `json:"run"`
	Workflow string    `json:"workflow"`
	Job      string    `json:"job"`
	Node     string    `json:"node,omitempty"`
	Upkeep   string    `json:"upkeep,omitempty"`
	Slot     time.Time `json:"slot"`
	Seed     uint32    `json:"seed"`
	// Revision is the git revision of the working directory; Code the hash of
	// the files of code.
	Revision string `json:"revision,omitempty"`
	Code     string `json:"code_sha256,omitempty"`
	// Data is the hash of the data, and DataFiles those of each file.
	Data      string   `json:"data_sha256,omitempty"`
	DataFiles []source `json:"data_files,omitempty"`
	// Files is the hash of the model's own files.
	Files string `json:"files_sha256,omitempty"`
	// Seconds is how long the training took.
	Seconds    float64            `json:"train_seconds,omitempty"`
	Parameters map[string]string  `json:"parameters,omitempty"`
	Metrics    map[string]float64 `json:"metrics,omitempty"`
	// Incumbent are the metrics of the parent on the same data.
	Incumbent map[string]float64 `json:"incumbent_metrics,omitempty"`
	// Outcome says why the version is in its state.
	Outcome string `json:"outcome,omitempty"`
}

// versionName is what the folder of a version is called: the slot, the run, and
// a number when the run needed another one.
var versionName = regexp.MustCompile(`^\d{8}T\d{6}Z-[a-z0-9][a-z0-9_.-]{0,99}$`)

// readManifest reads the manifest in a folder of versions. A folder without one
// that speaks of this very folder is not ours.
func (m *model) readManifest(folder string) (*manifest, error) {
	text, err := m.readFile(path.Join(folder, manifestName))
	if err != nil {
		return nil, err
	}
	var out manifest
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, fmt.Errorf("read the manifest in %s: %w", folder, err)
	}
	if out.Schema != manifestSchema || out.Model != m.name || !versionName.MatchString(out.Version) {
		return nil, fmt.Errorf("the manifest in %s is of another model or version", folder)
	}
	return &out, nil
}

// writeManifest writes the manifest of a folder as a whole or not at all.
func (m *model) writeManifest(folder string, v *manifest) error {
	return m.writeJSON(path.Join(folder, manifestName), v)
}

// readFile reads a small regular file without following links out of the folder.
func (m *model) readFile(name string) (_ []byte, err error) {
	if info, err := m.root.Lstat(name); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	f, err := m.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := io.ReadAll(io.LimitReader(f, mostManifest+1))
	if err == nil && len(text) > mostManifest {
		err = fmt.Errorf("%s is larger than %d bytes", name, mostManifest)
	}
	return text, err
}

// writeJSON puts v into a file durably: a temporary file, fsync, rename, fsync
// of the folder.
func (m *model) writeJSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	temporary := name + ".new"
	f, err := m.root.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = io.Copy(f, bytes.NewReader(append(text, '\n')))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = m.root.Rename(temporary, name)
	}
	if err == nil {
		err = m.sync(path.Dir(name))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
