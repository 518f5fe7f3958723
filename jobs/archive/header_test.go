package archive_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/jobs/archive"
)

// Go's reader must find in a tar what was written, whatever the attributes.
func TestHeader_Reads(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-z0-9 =\n]{1,5}|[äß日本]{1,40}|[a-z]{90,110}(/[a-z]{1,200}){0,3}`)
		raw := rapid.SliceOfN(rapid.ByteRange(1, 255), 1, 120)
		name := rapid.OneOf(text, rapid.Map(raw, func(b []byte) string { return strings.ReplaceAll(string(b), "/", "_") }))
		h := archive.Header{
			Flag: archive.FlagFile, Name: name.Draw(t, "name"), Mode: rapid.Uint32Range(0, 0o7777).Draw(t, "mode"),
			UID: rapid.Uint32().Draw(t, "uid"), GID: rapid.Uint32().Draw(t, "gid"),
			Uname: text.Draw(t, "uname"), Gname: text.Draw(t, "gname"),
			Mtime: rapid.OneOf(rapid.Int64Range(-1e9, 1e9), rapid.Int64Range(1<<33-2, 1<<35)).Draw(t, "mtime"),
			Size:  rapid.OneOf(rapid.Int64Range(0, 1e6), rapid.Int64Range(1<<33-2, math.MaxInt64/2)).Draw(t, "size"), Sparse: -1,
		}
		if rapid.Bool().Draw(t, "link") {
			h.Flag, h.Link, h.Size = archive.FlagSymlink, name.Draw(t, "target"), 0
		}
		xattrs := map[string][]byte{}
		for range rapid.IntRange(0, 3).Draw(t, "xattrs") {
			xattrs["user."+rapid.StringMatching(`[a-zß. ]{1,20}`).Draw(t, "key")] = rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value")
		}
		h.Xattrs = xattrs
		data := archive.AppendHeader(nil, &h)
		if len(data)%512 != 0 {
			t.Fatalf("%d bytes are no whole blocks", len(data))
		}
		got, err := tar.NewReader(bytes.NewReader(data)).Next()
		if err != nil {
			t.Fatalf("%+v: %v", h, err)
		}
		if got.Name != h.Name || got.Linkname != h.Link || got.Size != h.Size || got.Mode != int64(h.Mode) ||
			got.Uid != int(h.UID) || got.Gid != int(h.GID) || got.Uname != h.Uname || got.Gname != h.Gname ||
			!got.ModTime.Equal(time.Unix(h.Mtime, 0)) || !maps.EqualFunc(archive.XattrsOf(got), h.Xattrs, bytes.Equal) {
			t.Fatalf("wrote %+v\nread  %+v", h, got)
		}
	})
}

// GNU tar must list what lies beyond the limits of a ustar header.
func TestHeader_GNUTarLists(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("d/", 80) + strings.Repeat("n", 200)
	h := archive.Header{Flag: archive.FlagFile, Name: long, UID: 1 << 22, GID: math.MaxUint32 - 1, Size: 9 << 30, Mode: 0o640, Mtime: 1 << 34, Sparse: -1}
	file := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(file, archive.AppendHeader(nil, &h), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, int64(len(archive.AppendHeader(nil, &h)))+h.Size+2*512); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "tar", "--numeric-owner", "--full-time", "--utc", "-tvf", file)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	want := "-rw-r----- 4194304/4294967294 9663676416 2514-05-30 01:53:04 " + long + "\n"
	if err != nil || string(out) != want {
		t.Errorf("tar: %v\n%s\nwant\n%s", err, out, want)
	}
}

func FuzzSparseMap(f *testing.F) {
	f.Add(int64(0), int64(10), int64(5), int64(1), int64(100))
	f.Add(int64(3), int64(0), int64(0), int64(0), int64(0))
	f.Fuzz(func(t *testing.T, gap1, len1, gap2, len2, tail int64) {
		lengths := []*int64{&gap1, &len1, &gap2, &len2, &tail}
		for _, v := range lengths {
			*v &= 1<<14 - 1
		}
		var segments []archive.Segment
		if len1 > 0 {
			segments = append(segments, archive.Segment{gap1, len1})
		}
		if len2 > 0 {
			segments = append(segments, archive.Segment{gap1 + len1 + gap2 + 1, len2})
		}
		size := gap1 + len1 + gap2 + 1 + len2 + tail
		want := make([]byte, size)
		m := archive.SparseMap(segments, size)
		h := archive.Header{Flag: archive.FlagFile, Name: "dir/sparse", Mode: 0o600, Size: int64(len(m)) + archive.Stored(segments), Sparse: size}
		data := append(archive.AppendHeader(nil, &h), m...)
		var content []byte
		for _, s := range segments {
			for at := s[0]; at < s[0]+s[1]; at++ {
				want[at] = byte(at) | 1
				content = append(content, want[at])
			}
		}
		data = archive.AppendPadded(data, content)
		r := tar.NewReader(bytes.NewReader(append(data, make([]byte, 2*512)...)))
		got, err := r.Next()
		if err != nil || got.Name != h.Name || got.Size != size {
			t.Fatalf("%+v, %v", got, err)
		}
		body, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(body, want) {
			t.Fatalf("read %d bytes, want %d: %v", len(body), len(want), err)
		}
		// What the index calls the data of the file.
		e := archive.Entry{Bytes: size, Data: segments}
		parts, err := io.ReadAll(archive.NewDataReader(e, bytes.NewReader(want)))
		if err = errors.Join(err, archive.CheckSegments(e)); err != nil || !bytes.Equal(parts, content) {
			t.Fatalf("the data of %v is %d bytes, %v", segments, len(parts), err)
		}
	})
}
