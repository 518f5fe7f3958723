package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/archive"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// forge publishes an archive with any entries, whose index agrees with it.
func forge(t *testing.T, headers ...tar.Header) *object.Artifact {
	t.Helper()
	var data, index bytes.Buffer
	w := tar.NewWriter(&data)
	lines := json.NewEncoder(&index)
	var totals archive.Totals
	for _, h := range headers {
		body := strings.Repeat("x", int(h.Size))
		e := archive.Entry{Name: archive.Name(strings.TrimSuffix(h.Name, "/")), Mode: archive.Mode(h.Mode), Modified: time.Unix(0, 0).UTC(), Target: archive.Name(h.Linkname), Bytes: h.Size}
		switch h.Typeflag {
		case tar.TypeReg:
			sum := sha256.Sum256([]byte(body))
			e.Type, e.SHA256 = "file", hex.EncodeToString(sum[:])
			totals.Files++
			totals.Bytes += h.Size
		case tar.TypeDir:
			e.Type, e.Name = "dir", archive.Name(strings.TrimSuffix(h.Name, "/"))
			totals.Directories++
		case tar.TypeSymlink:
			e.Type = "symlink"
			totals.Symlinks++
		case tar.TypeLink:
			e.Type = "hardlink"
			totals.Hardlinks++
		default:
			e.Type = "device"
		}
		for key, value := range h.PAXRecords {
			if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
				if e.Xattrs == nil {
					e.Xattrs = map[string][]byte{}
				}
				e.Xattrs[name] = []byte(value)
			}
		}
		h.ModTime = time.Unix(0, 0)
		h.Format = tar.FormatPAX
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		if err := lines.Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return publish(t, data.Bytes(), index.Bytes(), totals)
}

func publish(t *testing.T, data, index []byte, totals archive.Totals) *object.Artifact {
	t.Helper()
	o := artifact.Defaults()
	o.Store, o.Verify.Each, o.Level = unit.Names{"s"}, object.L1, 1
	deps := jobstest.NewDeps(t)
	store := objecttest.NewMemory("s")
	deps.AddStore("s", store)
	p, err := artifact.New("archive", o, deps)
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Publish(t.Context(), jobs.NewEnv(jobs.Env{Workflow: "daily", Job: "files"}, jobs.Hooks{}), artifact.Work{
		Produce: func(_ context.Context, w *artifact.Writer) (artifact.Note, error) {
			for name, body := range map[string][]byte{"archive.tar": data, "files.jsonl": index} {
				s, err := w.Stream(name)
				if err != nil {
					return artifact.Note{}, err
				}
				_, err = s.Write(body)
				if err := errors.Join(err, s.Close()); err != nil {
					return artifact.Note{}, err
				}
			}
			return artifact.Note{Details: archive.Details{Totals: totals}}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Copies[0].Artifact
}

func TestExtractRefuses(t *testing.T) {
	t.Parallel()
	file := func(name string) tar.Header {
		return tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 4, Mode: 0o644}
	}
	link := func(name, target string) tar.Header {
		return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}
	}
	hard := func(name, target string) tar.Header {
		return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644}
	}
	for name, headers := range map[string][]tar.Header{
		"absolute name":             {file("/etc/evil")},
		"name going up":             {file("../evil")},
		"name going up later":       {file("a/../../evil")},
		"odd name":                  {file("a//b")},
		"dot":                       {file("./a")},
		"file below a link":         {link("out", "a"), file("out/evil")},
		"file below a refused link": {link("out", "/tmp"), file("out/x"), link("out/x", "y")},
		"file below a file":         {file("a"), file("a/b")},
		"same file twice":           {file("a"), file("a")},
		"file over a link":          {link("a", "b"), file("a")},
		"hard link going up":        {hard("a", "../evil")},
		"hard link to absolute":     {hard("a", "/etc/passwd")},
		"device":                    {{Typeflag: tar.TypeChar, Name: "null", Devmajor: 1, Devminor: 3, Mode: 0o666}},
		"FIFO":                      {{Typeflag: tar.TypeFifo, Name: "fifo", Mode: 0o666}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			top := t.TempDir()
			target := filepath.Join(top, "a", "target")
			x, err := archive.Extract(t.Context(), forge(t, headers...), archive.Extraction{Target: target})
			if err == nil {
				t.Errorf("extracted %+v", x)
			}
			for path := range jobstest.Tree(t, top) {
				if path != "." && path != "a" && !strings.HasPrefix(path, "a/target") {
					t.Errorf("%s was made outside of the target", path)
				}
			}
		})
	}
}

func TestExtractLinks(t *testing.T) {
	t.Parallel()
	var headers []tar.Header
	headers = append(headers, tar.Header{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o755}, tar.Header{Typeflag: tar.TypeReg, Name: "d/file", Size: 3, Mode: 0o600})
	want := map[string]bool{ // link below d -> whether it is restored
		"file": true, "./file": true, "../d/file": true, "../x": true, "..": true, ".": true, "sub/x": true,
		"/etc": false, "../..": false, "../../x": false, "file/../../..": false, "sub/../x": false, "a/../../../x": false,
	}
	var refused []string
	i := 0
	for target, ok := range want {
		name := "d/" + string(rune('A'+i))
		i++
		headers = append(headers, tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777})
		if !ok {
			refused = append(refused, name+" -> "+target)
		}
	}
	headers = append(headers,
		tar.Header{Typeflag: tar.TypeLink, Name: "hard", Linkname: "d/file", Mode: 0o600},
		tar.Header{Typeflag: tar.TypeLink, Name: "nowhere", Linkname: "d/missing", Mode: 0o600},
		tar.Header{Typeflag: tar.TypeLink, Name: "todir", Linkname: "d", Mode: 0o600},
	)
	refused = append(refused, "nowhere -> d/missing", "todir -> d")
	target := filepath.Join(t.TempDir(), "r")
	x, err := archive.Extract(t.Context(), forge(t, headers...), archive.Extraction{Target: target})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(refused)
	slices.Sort(x.Refused)
	if diff := cmp.Diff(refused, x.Refused); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
	if x.Totals.Hardlinks != 1 || x.Totals.Files != 1 || int(x.Totals.Symlinks) != len(want)-6 {
		t.Errorf("totals %+v", x.Totals)
	}
}

func TestExtractParts(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, name := range []string{"data/a/1", "data/a/2", "data/ab", "data/c/d/3"} {
		b.write(name, name)
	}
	_, a := b.saved()
	target := filepath.Join(t.TempDir(), "r")
	var last int64
	only := []string{"/data/a/", "data/c/d/3"}
	x, err := archive.Extract(t.Context(), a, archive.Extraction{Target: target, Only: only, Progress: func(done, total int64) { last = done*100 + total }})
	if err != nil || x.Totals.Files != 3 || last == 0 || only[0] != "/data/a/" {
		t.Errorf("%+v, %v, progress %d, only %q", x, err, last, only)
	}
	if _, err := os.Stat(filepath.Join(target, "data/ab")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("data/ab was restored although it was not wanted: %v", err)
	}
	_, err = archive.Extract(t.Context(), a, archive.Extraction{Target: target})
	if _, ok := errors.AsType[*jobs.RefusedError](err); !ok || jobs.HintOf(err) == "" {
		t.Errorf("into a directory that holds something: %v, want a refusal with a hint", err)
	}
	if _, err := archive.Extract(t.Context(), a, archive.Extraction{Target: filepath.Join(t.TempDir(), "n"), Only: []string{"nothing"}}); err == nil {
		t.Error("extracting what is not there succeeded")
	}
}

func TestExtractOwners(t *testing.T) {
	t.Parallel()
	headers := []tar.Header{
		{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o2755, Uid: 12, Gid: 34},
		{Typeflag: tar.TypeReg, Name: "d/suid", Mode: 0o4755, Uid: 12, Gid: 34, Size: 1},
	}
	target := filepath.Join(t.TempDir(), "r")
	if _, err := archive.Extract(t.Context(), forge(t, headers...), archive.Extraction{Target: target}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"d", "d/suid"} {
		info, err := os.Stat(filepath.Join(target, name))
		if err != nil || info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 || info.Mode().Perm() != 0o755 {
			t.Errorf("%s is %v, %v; want no special bits", name, info, err)
		}
	}
	owned := filepath.Join(t.TempDir(), "r")
	_, err := archive.Extract(t.Context(), forge(t, headers...), archive.Extraction{Target: owned, Owners: true})
	if os.Geteuid() != 0 {
		if err == nil {
			t.Error("restoring other owners succeeded without root")
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(owned, "d/suid"))
	if err != nil || info.Mode()&os.ModeSetuid == 0 {
		t.Errorf("the set-user-id bit is lost: %v, %v", info, err)
	}
}

func TestVerifyFindsDisagreement(t *testing.T) {
	t.Parallel()
	tarOf := func(headers ...tar.Header) []byte {
		var data bytes.Buffer
		w := tar.NewWriter(&data)
		for _, h := range headers {
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(bytes.Repeat([]byte("x"), int(h.Size))); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return data.Bytes()
	}
	head := tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 1, Mode: 0o644, ModTime: time.Unix(9, 0)}
	line := func(change func(*archive.Entry)) []byte {
		e := archive.Entry{Name: "a", Type: "file", Mode: 0o644, Modified: time.Unix(9, 0).UTC(), Bytes: 1, SHA256: "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}
		change(&e)
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		return append(text, '\n')
	}
	same := func(*archive.Entry) {}
	totals := archive.Totals{Files: 1, Bytes: 1}
	if err := archive.Verify(t.Context(), publish(t, tarOf(head), line(same), totals)); err != nil {
		t.Fatalf("a sound archive: %v", err)
	}
	for name, tt := range map[string]struct {
		data, index []byte
		totals      archive.Totals
	}{
		"entry missing in the tar":   {tarOf(), line(same), totals},
		"entry missing in the index": {tarOf(head), nil, totals},
		"one more in the index":      {tarOf(head), append(line(same), line(same)...), totals},
		"another name":               {tarOf(head), line(func(e *archive.Entry) { e.Name = "b" }), totals},
		"another type":               {tarOf(head), line(func(e *archive.Entry) { e.Type = "dir" }), totals},
		"another length":             {tarOf(head), line(func(e *archive.Entry) { e.Bytes = 2 }), totals},
		"another mode":               {tarOf(head), line(func(e *archive.Entry) { e.Mode = 0o600 }), totals},
		"another time":               {tarOf(head), line(func(e *archive.Entry) { e.Modified = time.Unix(8, 0) }), totals},
		"another target":             {tarOf(head), line(func(e *archive.Entry) { e.Target = "x" }), totals},
		"another hash":               {tarOf(head), line(func(e *archive.Entry) { e.SHA256 = strings.Repeat("0", 64) }), totals},
		"index is no JSON":           {tarOf(head), []byte("{"), totals},
		"tar is no tar":              {bytes.Repeat([]byte("y"), 1024), line(same), totals},
		"other counts":               {tarOf(head), line(same), archive.Totals{Files: 2, Bytes: 1}},
		"other bytes":                {tarOf(head), line(same), archive.Totals{Files: 1, Bytes: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := archive.Verify(t.Context(), publish(t, tt.data, tt.index, tt.totals)); !errors.Is(err, object.ErrDamaged) {
				t.Errorf("Verify: %v, want ErrDamaged", err)
			}
		})
	}
}

func FuzzNames(f *testing.F) {
	f.Add("plain")
	f.Add("\xff\xfe")
	f.Add(`{"base64": "x"}`)
	f.Fuzz(func(t *testing.T, text string) {
		encoded, err := json.Marshal(archive.Name(text))
		if err != nil {
			t.Fatal(err)
		}
		var back archive.Name
		if err := json.Unmarshal(encoded, &back); err != nil || string(back) != text {
			t.Errorf("%q became %s became %q, %v", text, encoded, back, err)
		}
	})
}
