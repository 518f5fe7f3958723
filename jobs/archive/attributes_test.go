package archive_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs/archive"
)

// acl encodes an ACL with one more user as Linux stores it (acl_ea_header and
// acl_ea_entry of <linux/posix_acl_xattr.h>).
func acl(uid uint32, perm uint16) []byte {
	out := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{0x01, 6, ^uint32(0)}, {0x02, perm, uid}, {0x04, 4, ^uint32(0)}, {0x10, 6, ^uint32(0)}, {0x20, 0, ^uint32(0)}} {
		out = binary.LittleEndian.AppendUint16(out, e.tag)
		out = binary.LittleEndian.AppendUint16(out, e.perm)
		out = binary.LittleEndian.AppendUint32(out, e.id)
	}
	return out
}

// xattrs returns the extended attributes of a file.
func xattrs(t *testing.T, path string) map[string]string {
	t.Helper()
	names := make([]byte, 4096)
	n, err := unix.Llistxattr(path, names)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		if name == "" || name == "security.selinux" {
			continue
		}
		value := make([]byte, 64<<10)
		size, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = string(value[:size])
	}
	return out
}

func TestXattrs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.store = openLocal(t, b.path("store"))
	for _, name := range []string{"data/file", "data/readonly", "data/dir/inner", "data/plain"} {
		b.write(name, name)
	}
	set := map[string]map[string][]byte{
		"data/file":     {"user.comment": []byte("ünï\ncode=1"), "user.empty": {}, "user.binary": {0, 255, 10, 0}, "system.posix_acl_access": acl(4242, 6)},
		"data/readonly": {"user.x": bytes.Repeat([]byte("v"), 1000)},
		"data/dir":      {"user.dir": []byte("d"), "system.posix_acl_default": acl(77, 4)},
	}
	if os.Geteuid() == 0 {
		set["data/readonly"]["trusted.t"] = []byte("root's")
		// CAP_NET_RAW, permitted and effective (vfs_cap_data, revision 2).
		set["data/readonly"]["security.capability"] = []byte{1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	}
	for name, attrs := range set {
		for key, value := range attrs {
			if err := unix.Setxattr(b.path(name), key, value, 0); err != nil {
				t.Fatalf("set %s of %s: %v", key, name, err)
			}
		}
	}
	if err := os.Chmod(b.path("data/readonly"), 0o444); err != nil {
		t.Fatal(err)
	}
	r, a := b.saved()
	if len(r.Findings) != 0 {
		t.Errorf("findings %+v", r.Findings)
	}
	target := filepath.Join(t.TempDir(), "r")
	x, err := archive.Extract(t.Context(), a, archive.Extraction{Target: target, Owners: os.Geteuid() == 0})
	if err != nil || x.XattrsLost != 0 {
		t.Fatalf("%+v, %v", x, err)
	}
	same(t, b.path("data"), filepath.Join(target, "data"))
	gnu := b.unpack(a, "--xattrs", "--xattrs-include=*")
	for _, name := range []string{"data/file", "data/readonly", "data/dir", "data/dir/inner", "data/plain"} {
		want := xattrs(t, b.path(name))
		if len(want) < len(set[name]) {
			t.Fatalf("%s has only %q", name, want)
		}
		if diff := cmp.Diff(want, xattrs(t, filepath.Join(target, name))); diff != "" {
			t.Errorf("%s (-saved +restored):\n%s", name, diff)
		}
		if diff := cmp.Diff(want, xattrs(t, filepath.Join(gnu, name))); diff != "" {
			t.Errorf("GNU tar: %s (-saved +unpacked):\n%s", name, diff)
		}
	}
}

// Where nobody is root, what only root's programs may say about files is left
// alone.
func TestXattrs_NotOurs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.write("data/file", "x")
	if err := unix.Setxattr(b.path("data/file"), "user.mine", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := unix.Setxattr(b.path("data/file"), "trusted.t", []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
	_, a := b.saved()
	target := filepath.Join(t.TempDir(), "r")
	if _, err := archive.Extract(t.Context(), a, archive.Extraction{Target: target}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"user.mine": "1"}, xattrs(t, filepath.Join(target, "data/file"))); diff != "" {
		t.Errorf("without owners (-want +got):\n%s", diff)
	}
}

// An archive that nobody here made may name any attribute.
func TestXattrs_Refused(t *testing.T) {
	t.Parallel()
	target := filepath.Join(t.TempDir(), "r")
	x, err := archive.Extract(t.Context(), forge(t, tar.Header{
		Typeflag: tar.TypeReg, Name: "a", Size: 1, Mode: 0o600,
		PAXRecords: map[string]string{"SCHILY.xattr.system.unheard_of": "1", "SCHILY.xattr.user.fine": "2"},
	}), archive.Extraction{Target: target, Owners: os.Geteuid() == 0})
	if err != nil || x.Totals.Files != 1 {
		t.Fatalf("%+v, %v", x, err)
	}
	if diff := cmp.Diff(map[string]string{"user.fine": "2"}, xattrs(t, filepath.Join(target, "a"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if os.Geteuid() == 0 && (x.XattrsLost != 1 || len(x.Xattrs) != 1) {
		t.Errorf("nothing is said about what was left out: %+v", x)
	}
}

// blocks returns how many bytes a file takes on its disk.
func blocks(t *testing.T, path string) int64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

func TestSparse(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.store = openLocal(t, b.path("store"))
	deep := "data/" + strings.Repeat("deep/", 30)
	sizes := map[string]int64{
		"data/head": 10 << 20, "data/tail": 10 << 20, "data/middle": 10<<20 + 123, "data/hole": 5 << 20, deep + "many": 20 << 20,
		"data/huge": 1 << 36,
	}
	at := map[string][]int64{"data/head": {0}, "data/tail": {10<<20 - 4}, "data/middle": {3 << 20, 7<<20 + 1}, "data/huge": {50 << 30}}
	for i := range int64(100) {
		at[deep+"many"] = append(at[deep+"many"], i*200_000)
	}
	for name, size := range sizes {
		b.write(name, "")
		f, err := os.OpenFile(b.path(name), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, offset := range at[name] {
			if _, err := f.WriteAt([]byte("data"), offset); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	b.write("data/dense", strings.Repeat("dense", 100_000))
	if blocks(t, b.path("data/hole")) != 0 {
		t.Fatal("the file system of the tests has no sparse files")
	}
	r, a := b.saved()
	if r.Values["hole_bytes"] < 1<<36 || r.Values["bytes"] < 1<<36 {
		t.Errorf("values %v", r.Values)
	}
	target := filepath.Join(t.TempDir(), "r")
	if _, err := archive.Extract(t.Context(), a, archive.Extraction{Target: target}); err != nil {
		t.Fatal(err)
	}
	gnu := b.unpack(a)
	for name, size := range sizes {
		for _, root := range []string{target, gnu} {
			path := filepath.Join(root, name)
			info, err := os.Stat(path)
			if err != nil || info.Size() != size {
				t.Errorf("%s: %v, %v; want %d bytes", path, info, err, size)
				continue
			}
			if got, want := blocks(t, path), blocks(t, b.path(name)); got > want+64<<10 {
				t.Errorf("%s takes %d bytes on the disk, the original %d", path, got, want)
			}
			if size < 1<<30 {
				sameContent(t, b.path(name), path)
				continue
			}
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 6)
			if _, err := f.ReadAt(got, at[name][0]-1); err != nil || string(got) != "\x00data\x00" {
				t.Errorf("%s holds %q, %v", path, got, err)
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	sameContent(t, b.path("data/dense"), filepath.Join(gnu, "data/dense"))
}

func sameContent(t *testing.T, want, got string) {
	t.Helper()
	one, err := os.ReadFile(want)
	two, otherErr := os.ReadFile(got)
	if err = errors.Join(err, otherErr); err != nil || !bytes.Equal(one, two) {
		t.Errorf("%s and %s differ: %v", want, got, err)
	}
}

func TestOwnersAndTimes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.write("data/dir/file", "x")
	if err := os.Symlink("file", b.path("data/dir/link")); err != nil {
		t.Fatal(err)
	}
	names := []string{"data/dir/file", "data/dir/link", "data/dir", "data"}
	stamp := time.Unix(1_234_567_890, 123_456_789)
	for i, name := range names {
		if os.Geteuid() == 0 {
			if err := os.Lchown(b.path(name), 3_000_000_000+i, 70_000+i); err != nil {
				t.Fatal(err)
			}
		}
		times := []unix.Timespec{{Sec: 1}, unix.NsecToTimespec(stamp.Add(time.Duration(i) * time.Hour).UnixNano())}
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, b.path(name), times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			t.Fatal(err)
		}
	}
	_, a := b.saved()
	target := filepath.Join(t.TempDir(), "r")
	if _, err := archive.Extract(t.Context(), a, archive.Extraction{Target: target, Owners: os.Geteuid() == 0}); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		var want, got syscall.Stat_t
		if err := errors.Join(syscall.Lstat(b.path(name), &want), syscall.Lstat(filepath.Join(target, name), &got)); err != nil {
			t.Fatal(err)
		}
		if want.Uid != got.Uid || want.Gid != got.Gid || want.Mode != got.Mode || want.Mtim != got.Mtim {
			t.Errorf("%s: saved %d:%d %o %v, restored %d:%d %o %v", name, want.Uid, want.Gid, want.Mode, want.Mtim, got.Uid, got.Gid, got.Mode, got.Mtim)
		}
	}
}
