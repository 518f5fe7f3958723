package archive

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
)

// Go's reader must find in a tar what was written, whatever the attributes.
func TestHeader_Reads(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-z0-9 =\n]{1,5}|[äß日本]{1,40}|[a-z]{90,110}(/[a-z]{1,200}){0,3}`)
		raw := rapid.SliceOfN(rapid.ByteRange(1, 255), 1, 120)
		name := rapid.OneOf(text, rapid.Map(raw, func(b []byte) string { return strings.ReplaceAll(string(b), "/", "_") }))
		h := header{
			flag: flagFile, name: name.Draw(t, "name"), mode: rapid.Uint32Range(0, 0o7777).Draw(t, "mode"),
			uid: rapid.Uint32().Draw(t, "uid"), gid: rapid.Uint32().Draw(t, "gid"),
			uname: text.Draw(t, "uname"), gname: text.Draw(t, "gname"),
			mtime: rapid.OneOf(rapid.Int64Range(-1e9, 1e9), rapid.Int64Range(1<<33-2, 1<<35)).Draw(t, "mtime"),
			size:  rapid.OneOf(rapid.Int64Range(0, 1e6), rapid.Int64Range(1<<33-2, math.MaxInt64/2)).Draw(t, "size"), sparse: -1,
		}
		if rapid.Bool().Draw(t, "link") {
			h.flag, h.link, h.size = flagSymlink, name.Draw(t, "target"), 0
		}
		xattrs := map[string][]byte{}
		for range rapid.IntRange(0, 3).Draw(t, "xattrs") {
			xattrs["user."+rapid.StringMatching(`[a-zß. ]{1,20}`).Draw(t, "key")] = rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value")
		}
		h.xattrs = xattrs
		data := appendHeader(nil, &h)
		if len(data)%blockBytes != 0 {
			t.Fatalf("%d bytes are no whole blocks", len(data))
		}
		got, err := tar.NewReader(bytes.NewReader(data)).Next()
		if err != nil {
			t.Fatalf("%+v: %v", h, err)
		}
		if got.Name != h.name || got.Linkname != h.link || got.Size != h.size || got.Mode != int64(h.mode) ||
			got.Uid != int(h.uid) || got.Gid != int(h.gid) || got.Uname != h.uname || got.Gname != h.gname ||
			!got.ModTime.Equal(time.Unix(h.mtime, 0)) || !maps.EqualFunc(xattrsOf(got), h.xattrs, bytes.Equal) {
			t.Fatalf("wrote %+v\nread  %+v", h, got)
		}
	})
}

// GNU tar must list what lies beyond the limits of a ustar header.
func TestHeader_GNUTarLists(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("d/", 80) + strings.Repeat("n", 200)
	h := header{flag: flagFile, name: long, uid: 1 << 22, gid: math.MaxUint32 - 1, size: 9 << 30, mode: 0o640, mtime: 1 << 34, sparse: -1}
	file := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(file, appendHeader(nil, &h), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, int64(len(appendHeader(nil, &h)))+h.size+2*blockBytes); err != nil {
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
		var segments []Segment
		if len1 > 0 {
			segments = append(segments, Segment{gap1, len1})
		}
		if len2 > 0 {
			segments = append(segments, Segment{gap1 + len1 + gap2 + 1, len2})
		}
		size := gap1 + len1 + gap2 + 1 + len2 + tail
		want := make([]byte, size)
		m := sparseMap(segments, size)
		h := header{flag: flagFile, name: "dir/sparse", mode: 0o600, size: int64(len(m)) + stored(segments), sparse: size}
		data := append(appendHeader(nil, &h), m...)
		var content []byte
		for _, s := range segments {
			for at := s[0]; at < s.end(); at++ {
				want[at] = byte(at) | 1
				content = append(content, want[at])
			}
		}
		data = appendPadded(data, content)
		r := tar.NewReader(bytes.NewReader(append(data, make([]byte, 2*blockBytes)...)))
		got, err := r.Next()
		if err != nil || got.Name != h.name || got.Size != size {
			t.Fatalf("%+v, %v", got, err)
		}
		body, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(body, want) {
			t.Fatalf("read %d bytes, want %d: %v", len(body), len(want), err)
		}
		// What the index calls the data of the file.
		e := Entry{Bytes: size, Data: segments}
		parts, err := io.ReadAll(&dataReader{content: bytes.NewReader(want), segments: segments})
		if err = errors.Join(err, checkSegments(e)); err != nil || !bytes.Equal(parts, content) {
			t.Fatalf("the data of %v is %d bytes, %v", segments, len(parts), err)
		}
	})
}
