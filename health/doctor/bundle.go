package doctor

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// MostBundled bounds what a bundle holds, in bytes before it is compressed.
const MostBundled = 50 << 20

// Bundle is a report as files, for those who help from afar.
type Bundle struct {
	// Folder is where the files lie in the archive.
	Folder string
	// Files are in the order of the archive; the manifest is the first.
	Files []Packed

	at time.Time
}

// Packed is a file of a bundle.
type Packed struct {
	// Name is its path below the folder.
	Name    string
	Content []byte

	end  bool
	json bool
}

// Manifest is what the first file of a bundle says about the others.
type Manifest struct {
	Schema  int       `json:"schema"`
	Version string    `json:"version"`
	Host    string    `json:"host"`
	Node    string    `json:"node"`
	At      time.Time `json:"at"`
	Verdict Verdict   `json:"verdict"`
	Files   []Listed  `json:"files"`
	// Cut is what was shortened or left out, because the bundle would have become
	// too large.
	Cut []Shortened `json:"cut"`
}

// Listed is a file in a manifest.
type Listed struct {
	Name   string `json:"name"`
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Shortened is a file that is not whole.
type Shortened struct {
	Name  string `json:"name"`
	Bytes int    `json:"bytes"`
	Kept  int    `json:"kept"`
}

const manifestName = "manifest.json"

// Pack makes a bundle of a report, of at most limit bytes of content: what is
// too long of texts is cut, the longest first, and then facts are left out.
func Pack(r *Report, limit int) (*Bundle, error) {
	b := &Bundle{Folder: fmt.Sprintf("upkeep-doctor-%s-%s", plainName(r.Host), r.At.UTC().Format("20060102T150405Z")), at: r.At}
	text := &bytes.Buffer{}
	if err := r.WriteText(text); err != nil {
		return nil, err
	}
	b.Files = append(b.Files, Packed{Name: "report.txt", Content: text.Bytes()})
	if err := b.addJSON("report.json", r.brief()); err != nil {
		return nil, err
	}
	for _, s := range r.Sections {
		if err := b.addJSON("sections/"+s.Name+".json", s); err != nil {
			return nil, err
		}
		if len(s.Lines) > 0 {
			b.Files = append(b.Files, Packed{Name: "sections/" + s.Name + ".txt", Content: []byte(strings.Join(s.Lines, "\n") + "\n")})
		}
		for _, f := range s.Files {
			b.Files = append(b.Files, Packed{Name: "files/" + plainName(f.Name), Content: []byte(f.Content), end: f.End})
		}
	}
	slices.SortStableFunc(b.Files, func(x, y Packed) int { return strings.Compare(x.Name, y.Name) })
	m := Manifest{Schema: reportSchema, Version: r.Version, Host: r.Host, Node: r.Node, At: r.At, Verdict: r.Verdict, Files: []Listed{}, Cut: b.shorten(limit)}
	for _, f := range b.Files {
		sum := sha256.Sum256(f.Content)
		m.Files = append(m.Files, Listed{Name: f.Name, Bytes: len(f.Content), SHA256: hex.EncodeToString(sum[:])})
	}
	content, err := encode(m)
	if err != nil {
		return nil, err
	}
	b.Files = slices.Insert(b.Files, 0, Packed{Name: manifestName, Content: content})
	return b, nil
}

// brief is the report without the facts, which have files of their own.
func (r *Report) brief() Report {
	out := *r
	out.Sections = slices.Clone(r.Sections)
	for i := range out.Sections {
		out.Sections[i].Facts = nil
	}
	return out
}

func (b *Bundle) addJSON(name string, v any) error {
	content, err := encode(v)
	if err != nil {
		return err
	}
	b.Files = append(b.Files, Packed{Name: name, Content: content, json: true})
	return nil
}

func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode the report: %w", err)
	}
	return out.Bytes(), nil
}

// plainName keeps a name to one plain segment of a path.
func plainName(name string) string {
	name = strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' {
			return c
		}
		return '_'
	}, name)
	return cmp.Or(strings.Trim(name, "."), "unknown")
}

// leastKept is how much stays of a text that is cut.
const leastKept = 4 << 10

// shorten makes the files fit, and says what it cut.
func (b *Bundle) shorten(limit int) []Shortened {
	out := []Shortened{}
	total := 0
	for _, f := range b.Files {
		total += len(f.Content)
	}
	order := make([]int, len(b.Files))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int { return len(b.Files[y].Content) - len(b.Files[x].Content) })
	for _, i := range order {
		f := &b.Files[i]
		if total <= limit {
			return out
		}
		size := len(f.Content)
		keep := max(leastKept, size-(total-limit))
		if f.json || keep >= size {
			continue
		}
		if f.end {
			f.Content = wholeLines(f.Content[size-keep:], true)
		} else {
			f.Content = wholeLines(f.Content[:keep], false)
		}
		total -= size - len(f.Content)
		out = append(out, Shortened{Name: f.Name, Bytes: size, Kept: len(f.Content)})
	}
	gone := map[string]bool{}
	for _, i := range order {
		f := b.Files[i]
		if total <= limit || f.Name == "report.json" {
			continue
		}
		total -= len(f.Content)
		gone[f.Name] = true
		out = append(out, Shortened{Name: f.Name, Bytes: len(f.Content)})
	}
	b.Files = slices.DeleteFunc(b.Files, func(f Packed) bool { return gone[f.Name] })
	return out
}

// wholeLines leaves the line out that was cut.
func wholeLines(text []byte, end bool) []byte {
	if end {
		if _, rest, found := bytes.Cut(text, []byte{'\n'}); found {
			return rest
		}
		return text
	}
	return text[:bytes.LastIndexByte(text, '\n')+1]
}

// Write writes the bundle as a gzipped tar archive. The same report makes the
// same bytes.
func (b *Bundle) Write(w io.Writer) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return fmt.Errorf("compress the bundle: %w", err)
	}
	archive := tar.NewWriter(z)
	for _, f := range b.Files {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: b.Folder + "/" + f.Name, Size: int64(len(f.Content)), Mode: 0o600, ModTime: b.at.UTC().Truncate(time.Second), Format: tar.FormatUSTAR,
		}
		if err := archive.WriteHeader(header); err != nil {
			return fmt.Errorf("write the bundle: %s: %w", f.Name, err)
		}
		if _, err := archive.Write(f.Content); err != nil {
			return fmt.Errorf("write the bundle: %s: %w", f.Name, err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("compress the bundle: %w", err)
	}
	return nil
}
