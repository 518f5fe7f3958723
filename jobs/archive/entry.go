package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/ghosteam/upkeep/storage/object"
)

// The streams of an archive.
const (
	streamTar   = "archive.tar"
	streamIndex = "files.jsonl"
)

// The types of entries.
const (
	typeFile     = "file"
	typeDir      = "dir"
	typeSymlink  = "symlink"
	typeHardlink = "hardlink"
)

// Entry is one line of the index that lies beside the tar: what an entry of
// the tar is, as it was read from the source.
type Entry struct {
	// Name is the name in the tar.
	Name Name `json:"name"`
	// Type is "file", "dir", "symlink" or "hardlink".
	Type string `json:"type"`
	// Mode holds the permission bits.
	Mode Mode `json:"mode"`
	// Modified is in UTC. The tar has its whole seconds.
	Modified time.Time `json:"modified"`
	// Bytes and SHA256 describe the content of a file. The hash of a sparse
	// file is that of its segments of data, one after another.
	Bytes  int64  `json:"bytes,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	// Sparse tells that a file has holes, and Data where it has none.
	Sparse bool      `json:"sparse,omitempty"`
	Data   []Segment `json:"data,omitempty"`
	// Xattrs are the extended attributes, ACLs among them.
	Xattrs map[string][]byte `json:"xattrs,omitempty"`
	// Target is what a link points to.
	Target Name `json:"target,omitempty"`
	// Torn says how the file changed while it was read; empty if it did not.
	Torn string `json:"torn,omitempty"`
	// Again tells that the entry replaces an earlier one of this name, which
	// was torn.
	Again bool `json:"again,omitempty"`
}

// appendLine appends the entry as a line of the index.
func (e *Entry) appendLine(dst []byte) ([]byte, error) {
	text, err := json.Marshal(e)
	return append(append(dst, text...), '\n'), err
}

// Name is a file name, which on Linux is any bytes. In JSON it is a string, or
// {"base64": "…"} when it is not valid UTF-8.
type Name string

type rawName struct {
	Base64 []byte `json:"base64"`
}

// MarshalJSON implements json.Marshaler.
func (n Name) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(n)) {
		return json.Marshal(string(n))
	}
	return json.Marshal(rawName{Base64: []byte(n)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *Name) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '{' {
		var raw rawName
		err := json.Unmarshal(text, &raw)
		*n = Name(raw.Base64)
		return err
	}
	var s string
	err := json.Unmarshal(text, &s)
	*n = Name(s)
	return err
}

// Mode is permission bits, including set-user-id, set-group-id and sticky,
// written in octal.
type Mode uint32

// MarshalText implements encoding.TextMarshaler.
func (m Mode) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%04o", uint32(m)), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Mode) UnmarshalText(text []byte) error {
	bits, err := strconv.ParseUint(string(text), 8, 12)
	if err != nil {
		return fmt.Errorf("%q is not a file mode: %w", text, err)
	}
	*m = Mode(bits)
	return nil
}

// Details is the archive's part of the manifest.
type Details struct {
	// Sources are the configured paths and their names in the tar.
	Sources []Source `json:"sources"`
	// Exclude, ExcludeCaches and FollowMounts repeat the options.
	Exclude       []string `json:"exclude,omitempty"`
	ExcludeCaches bool     `json:"exclude_caches,omitempty"`
	FollowMounts  bool     `json:"follow_mounts,omitempty"`
	Totals
}

// Source is a configured path and its name in the tar.
type Source struct {
	Path Name `json:"path"`
	Name Name `json:"name"`
}

// Totals counts what is in an archive.
type Totals struct {
	Files       int64 `json:"files"`
	Directories int64 `json:"directories"`
	Symlinks    int64 `json:"symlinks"`
	Hardlinks   int64 `json:"hardlinks"`
	// Bytes is the sum of the files' lengths, also of what was read twice.
	Bytes int64 `json:"bytes"`
	// HoleBytes is how much of that is holes, which are not stored.
	HoleBytes int64 `json:"hole_bytes,omitempty"`
	// Torn counts the files that changed while they were read.
	Torn int64 `json:"torn"`
	// Skipped counts what was met and is not in the archive.
	Skipped int64 `json:"skipped"`
}

// add counts an entry.
func (t *Totals) add(e Entry) {
	switch e.Type {
	case typeFile:
		t.Bytes += e.Bytes
		if e.Sparse {
			t.HoleBytes += e.Bytes - stored(e.Data)
		}
		if e.Again {
			if e.Torn == "" {
				t.Torn-- // what it replaces was
			}
			return
		}
		t.Files++
	case typeDir:
		t.Directories++
	case typeSymlink:
		t.Symlinks++
	case typeHardlink:
		t.Hardlinks++
	}
	if e.Torn != "" {
		t.Torn++
	}
}

func (t Totals) values(took time.Duration) map[string]float64 {
	return map[string]float64{
		"files": float64(t.Files), "directories": float64(t.Directories), "links": float64(t.Symlinks + t.Hardlinks),
		"hole_bytes": float64(t.HoleBytes), "torn": float64(t.Torn), "skipped": float64(t.Skipped), "write_seconds": took.Seconds(),
	}
}

// DetailsOf returns the archive's part of a manifest.
func DetailsOf(m object.Manifest) (Details, error) {
	var d Details
	if m.Kind != "archive" {
		return d, fmt.Errorf("artifact %s is not an archive but was made by the kind %s", m.ID, m.Kind)
	}
	if err := json.Unmarshal(m.Details, &d); err != nil {
		return d, fmt.Errorf("artifact %s: %w: details: %w", m.ID, object.ErrDamaged, err)
	}
	return d, nil
}

// indexReader reads an index entry by entry.
type indexReader struct {
	lines *json.Decoder
}

func newIndexReader(r io.Reader) *indexReader { return &indexReader{lines: json.NewDecoder(r)} }

// next returns io.EOF after the last entry.
func (r *indexReader) next() (Entry, error) {
	var e Entry
	err := r.lines.Decode(&e)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: index: %w", object.ErrDamaged, err)
	}
	return e, err
}
