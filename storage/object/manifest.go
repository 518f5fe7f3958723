package object

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"path"
	"regexp"
	"time"
)

// ManifestSchema is the version of the JSON form of Manifest. Fields may be
// added without raising it; a reader ignores what it does not know.
const ManifestSchema = 1

// Manifest says what an artifact is, what it consists of and how far it was
// proven when it was published. An artifact exists when, and only when, its
// manifest does. It is complete enough to find, judge and restore the artifact
// without the ledger.
type Manifest struct {
	// Schema is ManifestSchema.
	Schema int `json:"schema"`
	// ID identifies this artifact in this store; see NewID. Set is the id that
	// the copies of one artifact in several stores share.
	ID  string `json:"id"`
	Set string `json:"set"`
	// Kind is the kind of the job that made it; Workflow, Job, Run, Attempt and
	// Node say which execution did, where.
	Kind     string `json:"kind"`
	Workflow string `json:"workflow"`
	Job      string `json:"job"`
	Run      string `json:"run"`
	Attempt  int    `json:"attempt"`
	Node     string `json:"node"`
	// Process names the process that makes it, in a form that whoever sweeps
	// understands; empty for nobody's. It stands beside the artifact as long as
	// it is unfinished, and not in the manifest.
	Process string `json:"-"`
	// Upkeep is the version of the program that wrote it.
	Upkeep string `json:"upkeep"`
	// Started is when the job began to read its source, and Created when the
	// artifact was complete, both UTC.
	Started time.Time `json:"started"`
	Created time.Time `json:"created"`
	// Streams are what the artifact consists of; the first is the main one.
	Streams []Stream `json:"streams"`
	// Details are the kind's own: counts, versions, settings.
	Details json.RawMessage `json:"details,omitempty"`
	// Suspect says why the artifact should not be trusted although it was
	// proven, such as "rows fell by 92%"; empty when nothing is odd.
	Suspect string `json:"suspect,omitempty"`
	// Level is how far it was proven before the manifest was written, and
	// Proven when, UTC.
	Level  Level     `json:"level"`
	Proven time.Time `json:"proven"`
}

// Stream is a sequence of bytes, stored compressed in one or several parts
// which follow each other.
type Stream struct {
	// Name is what the plain bytes would be called as a file, such as
	// "archive.tar".
	Name string `json:"name"`
	// Plain describes the bytes before compression.
	Plain Digest `json:"plain"`
	// Compression is "none", "gzip" or "zstd".
	Compression string `json:"compression"`
	// Recipients are the public keys the stream is encrypted to; empty when it
	// is not encrypted.
	Recipients []string `json:"recipients,omitempty"`
	// Parts are the stored objects in their order.
	Parts []Part `json:"parts"`
}

// Part is one stored object of an artifact.
type Part struct {
	// Name is the last segment of the object's key; the object lies beside the
	// manifest.
	Name string `json:"name"`
	Digest
}

// Digest describes bytes.
type Digest struct {
	// Bytes is their number.
	Bytes int64 `json:"bytes"`
	// SHA256 is their hash in lower-case hexadecimal.
	SHA256 string `json:"sha256"`
}

// Stored returns the number of bytes of all parts.
func (m *Manifest) Stored() int64 {
	var total int64
	for part := range m.parts() {
		total += part.Bytes
	}
	return total
}

// Stream returns the stream of that name.
func (m *Manifest) Stream(name string) (Stream, bool) {
	for _, s := range m.Streams {
		if s.Name == name {
			return s, true
		}
	}
	return Stream{}, false
}

func (m *Manifest) parts() iter.Seq[Part] {
	return func(yield func(Part) bool) {
		for _, s := range m.Streams {
			for _, p := range s.Parts {
				if !yield(p) {
					return
				}
			}
		}
	}
}

// The objects beside an artifact's parts.
const (
	manifestName = "manifest.json"
	markerName   = "unfinished.json"
	proofName    = "proof.json"
)

// Folder returns the key prefix, with a final slash, under which the artifacts
// of a job lie.
func Folder(workflow, job string) string { return workflow + "/" + job + "/" }

func (m *Manifest) dir() string { return path.Join(m.Workflow, m.Job, m.ID) }

var (
	hashPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)
	namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)
)

// validate judges a manifest that is about to be written or was just read.
// Because keys are made from its names, nothing in it may reach outside the
// artifact's own folder.
func (m *Manifest) validate() error {
	if _, err := IDTime(m.ID); err != nil {
		return err
	}
	for _, name := range []string{m.Workflow, m.Job} {
		if !namePattern.MatchString(name) {
			return fmt.Errorf("%q is not the name of a workflow or job", name)
		}
	}
	if len(m.Streams) == 0 {
		return errors.New("there is no stream")
	}
	seen := map[string]bool{manifestName: true, markerName: true, proofName: true}
	for _, s := range m.Streams {
		if len(s.Parts) == 0 {
			return fmt.Errorf("stream %q has no parts", s.Name)
		}
		if err := s.Plain.validate(); err != nil {
			return fmt.Errorf("stream %q: %w", s.Name, err)
		}
		for _, p := range s.Parts {
			if why := badSegment(p.Name); why != "" || seen[p.Name] {
				return fmt.Errorf("stream %q: %q is not usable as the name of a part", s.Name, p.Name)
			}
			seen[p.Name] = true
			if err := p.validate(); err != nil {
				return fmt.Errorf("part %q: %w", p.Name, err)
			}
		}
	}
	return nil
}

func (d Digest) validate() error {
	if d.Bytes < 0 {
		return fmt.Errorf("the length %d is negative", d.Bytes)
	}
	if !hashPattern.MatchString(d.SHA256) {
		return fmt.Errorf("%q is not a SHA-256 in hexadecimal", d.SHA256)
	}
	return nil
}
