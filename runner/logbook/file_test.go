package logbook_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/runner/logbook"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

func openFile(t *testing.T, o logbook.FileOptions) *logbook.File {
	t.Helper()
	f, err := logbook.OpenFile(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// files are all files of a log, by name.
func files(t *testing.T, path string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(filepath.Dir(path), e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was tidied away meanwhile
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(e.Name(), ".gz") {
			zip, err := gzip.NewReader(bytes.NewReader(raw))
			if err != nil {
				t.Fatalf("%s: %v", e.Name(), err)
			}
			if raw, err = io.ReadAll(zip); err != nil {
				t.Fatalf("%s: %v", e.Name(), err)
			}
		}
		out[e.Name()] = string(raw)
	}
	return out
}

// lines counts the lines in all files of a log.
func lines(t *testing.T, path string) map[string]int {
	t.Helper()
	count := map[string]int{}
	for name, text := range files(t, path) {
		for line := range strings.Lines(text) {
			if !strings.HasSuffix(line, "\n") {
				t.Errorf("%s ends with half a line: %q", name, line)
			}
			count[strings.TrimSuffix(line, "\n")]++
		}
	}
	return count
}

// Many write at once while the file is rotated all the time: every line is
// there once, whole, in files that are not larger than they may be.
func TestFile_Writers(t *testing.T) {
	t.Parallel()
	const writers, each, size = 8, 500, 4000
	path := filepath.Join(t.TempDir(), "deep", "logs", "upkeep.log")
	f := openFile(t, logbook.FileOptions{Path: path, Rotation: logbook.Rotation{Size: size, Compress: true}})
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				if _, err := fmt.Fprintf(f, "%d-%d %s\n", w, i, strings.Repeat("x", i%50)); err != nil {
					t.Error(err)
				}
				if i%100 == 50 {
					if err := f.Reopen(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	count := lines(t, path)
	for w := range writers {
		for i := range each {
			line := fmt.Sprintf("%d-%d %s", w, i, strings.Repeat("x", i%50))
			if count[line] != 1 {
				t.Fatalf("the line %q is there %d times", line, count[line])
			}
		}
	}
	if len(count) != writers*each {
		t.Errorf("%d lines", len(count))
	}
	parts := files(t, path)
	if len(parts) < 10 {
		t.Errorf("only %d files", len(parts))
	}
	for name, text := range parts {
		if len(text) > size {
			t.Errorf("%s has %d bytes", name, len(text))
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// Age rotates as well, only the newest old files stay, all of them compressed,
// and nothing else in the folder is touched.
func TestFile_AgeAndKeep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "upkeep.log")
	strangers := []string{"upkeep.log.1", "upkeep-2026.log", "upkeep-20260101T000000.000000000Z.log.bak", "other-20260101T000000.000000000Z.log"}
	for _, name := range strangers {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("mine\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, strangers[0]), filepath.Join(dir, "upkeep-20250101T000000.000000000Z.log")); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	clock := func() time.Time { return now }
	o := logbook.FileOptions{Path: path, Rotation: logbook.Rotation{Age: time.Hour, Keep: 2, Compress: true}, Now: clock}
	for i := range 5 {
		// Each process writes for a while.
		f, err := logbook.OpenFile(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(f, "%d\n", i); err != nil {
			t.Fatal(err)
		}
		now = now.Add(2 * time.Hour)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	f := openFile(t, o)
	if _, err := fmt.Fprintf(f, "5\n"); err != nil {
		t.Fatal(err)
	}
	want := func() (bool, string) {
		texts := files(t, path)
		var zipped []string
		for name, text := range texts {
			if strings.HasSuffix(name, ".log.gz") {
				zipped = append(zipped, text)
			}
		}
		return len(zipped) == 2 && len(texts) == 2+1+len(strangers)+1 && texts["upkeep.log"] == "5\n", fmt.Sprint(texts)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		ok, texts := want()
		if ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(texts)
		}
		time.Sleep(5 * time.Millisecond)
	}
	for _, name := range strangers {
		if text := files(t, path)[name]; text != "mine\n" {
			t.Errorf("%s: %q", name, text)
		}
	}
}

// Somebody moved the file away: after Reopen a new one is written, and the other
// is theirs.
func TestFile_Reopen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "upkeep.log")
	f := openFile(t, logbook.FileOptions{Path: path})
	write := func(text string) {
		t.Helper()
		if _, err := io.WriteString(f, text); err != nil {
			t.Fatal(err)
		}
	}
	write("one\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write("two\n")
	if err := f.Reopen(); err != nil {
		t.Fatal(err)
	}
	write("three\n")
	// When it cannot be opened, the one that is open stays.
	if err := os.Rename(path, path+".2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := f.Reopen(); err == nil {
		t.Error("a folder was opened")
	}
	write("four\n")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	texts := files(t, path)
	if texts["upkeep.log.1"] != "one\ntwo\n" || texts["upkeep.log.2"] != "three\nfour\n" {
		t.Errorf("%q", texts)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("late\n")); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("%v", err)
	}
}

// Rotating is impossible: the file grows, that is told once, and nothing is
// lost.
func TestFile_CannotRotate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "logs", "upkeep.log")
	var complaints bytes.Buffer
	f := openFile(t, logbook.FileOptions{Path: path, Rotation: logbook.Rotation{Size: 20}, Complaints: &complaints})
	// The folder becomes another one, so that there is nothing to rename, and
	// its place is taken by a file, so that no new one can be made.
	if err := os.Rename(filepath.Dir(path), filepath.Join(dir, "moved")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Dir(path), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if _, err := fmt.Fprintf(f, "line number %d\n", i); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if text := files(t, filepath.Join(dir, "moved", "x"))["upkeep.log"]; strings.Count(text, "\n") != 10 {
		t.Errorf("%q", text)
	}
	if strings.Count(complaints.String(), "it cannot be rotated, and grows") != 1 {
		t.Errorf("%q", complaints.String())
	}
}

// A file that cannot be opened at first is no reason not to start: it is told,
// and tried again.
func TestFile_Patient(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	blocked := filepath.Join(dir, "logs")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o := logbook.FileOptions{Path: filepath.Join(blocked, "upkeep.log")}
	if _, err := logbook.OpenFile(o); err == nil {
		t.Fatal("a file below a file was opened")
	}
	var complaints bytes.Buffer
	o.Patient, o.Complaints = true, &complaints
	f := openFile(t, o)
	if _, err := io.WriteString(f, "one\n"); err == nil {
		t.Error("nothing was lost")
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, "two\n"); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if text := files(t, o.Path)["upkeep.log"]; text != "two\n" {
		t.Errorf("%q", text)
	}
	if said := complaints.String(); !strings.Contains(said, "it cannot be opened: ") || !strings.Contains(said, "1 records are not in it\n") {
		t.Error(said)
	}
}

// The disk is full: what is lost is counted and told, no half record stays, and
// it goes on when there is room again.
func TestFile_FullDisk(t *testing.T) {
	t.Parallel()
	objecttest.OnSmallDisk(t, 1<<20, func(dir string) {
		path := filepath.Join(dir, "upkeep.log")
		var complaints bytes.Buffer
		var lost atomic.Int64
		f := openFile(t, logbook.FileOptions{Path: path, Complaints: &complaints, Lost: func() { lost.Add(1) }, Rotation: logbook.Rotation{Size: 1 << 30}})
		filler := filepath.Join(dir, "filler")
		hold, err := os.Create(filler)
		if err != nil {
			t.Fatal(err)
		}
		var stat unix.Statfs_t
		if err := errors.Join(unix.Fstatfs(int(hold.Fd()), &stat), unix.Fallocate(int(hold.Fd()), 0, 0, int64(stat.Bfree)*stat.Bsize-3*4096), hold.Close()); err != nil {
			t.Fatal(err)
		}
		record := func(i int) []byte { return fmt.Appendf(nil, "%04d %s\n", i, strings.Repeat("x", 700)) }
		written := map[string]bool{}
		failed := 0
		try := func(i int) {
			if _, err := f.Write(record(i)); err != nil {
				if !errors.Is(err, syscall.ENOSPC) {
					t.Fatal(err)
				}
				failed++
				return
			}
			written[strings.TrimSuffix(string(record(i)), "\n")] = true
		}
		for i := range 100 {
			try(i)
		}
		if failed == 0 || failed == 100 {
			t.Fatalf("%d of 100 failed", failed)
		}
		if int(lost.Load()) != failed {
			t.Errorf("%d were lost, told of %d", failed, lost.Load())
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		for i := 100; i < 120; i++ {
			try(i)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		count := lines(t, path)
		for line := range written {
			if count[line] != 1 {
				t.Errorf("%.10s is there %d times", line, count[line])
			}
		}
		if len(count) != len(written) {
			t.Errorf("%d lines, %d were written", len(count), len(written))
		}
		for _, want := range []string{"it cannot be written, 1 records are not in it so far: ", fmt.Sprintf("is written again; %d records are not in it\n", failed)} {
			if strings.Count(complaints.String(), want) != 1 {
				t.Errorf("%q is not told once: %s", want, complaints.String())
			}
		}
	})
}

// A process died within a line and while it compressed: the next one begins on a
// line of its own, and finishes or removes what was left.
func TestFile_Torn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "upkeep.log")
	const first, second = "upkeep-20260101T000000.000000000Z.log", "upkeep-20260102T000000.000000000Z.log"
	var whole bytes.Buffer
	zip := gzip.NewWriter(&whole)
	if _, err := io.WriteString(zip, "second\n"); err != nil || zip.Close() != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"upkeep.log":       "whole\n{\"half",
		first:              "first\n",
		first + ".gz.part": "\x1f\x8bhalf", // killed while compressing
		second:             "second\n",     // killed before the plain one was removed
		second + ".gz":     whole.String(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := openFile(t, logbook.FileOptions{Path: path, Rotation: logbook.Rotation{Compress: true}})
	if _, err := io.WriteString(f, "next\n"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		left, err := filepath.Glob(filepath.Join(dir, "*Z.log*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 2 && strings.HasSuffix(left[0], first+".gz") && strings.HasSuffix(left[1], second+".gz") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(left)
		}
	}
	texts := files(t, path)
	if texts["upkeep.log"] != "whole\n{\"half\nnext\n" || texts[first+".gz"] != "first\n" || texts[second+".gz"] != "second\n" {
		t.Errorf("%q", texts)
	}
}

// writerVariable makes the test binary a process that writes a log and says
// after each record that it is written.
const writerVariable = "UPKEEP_TEST_LOG_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerVariable); path != "" {
		os.Exit(writeForever(path))
	}
	os.Exit(m.Run())
}

func writeForever(path string) int {
	f, err := logbook.OpenFile(logbook.FileOptions{Path: path, Rotation: logbook.Rotation{Size: 20_000, Compress: true}, Complaints: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for i := 0; ; i++ {
		if _, err := fmt.Fprintf(f, "%d-%d %s\n", os.Getpid(), i, strings.Repeat("x", i%200)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if _, err := fmt.Println(i); err != nil {
			return 1
		}
	}
}

// Processes that write, rotate and compress are killed at random: of every
// record that was said to be written, the line is there once and whole.
func TestFile_Killed(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "upkeep.log")
	kills := 8
	said := map[int]int{} // the last record of each process that it said to have written
	for range kills {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), writerVariable+"="+path)
		var complaints bytes.Buffer
		cmd.Stderr = &complaints
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		last, enough := -1, 200+rand.IntN(3000)
		acknowledged := bufio.NewScanner(out)
		for acknowledged.Scan() {
			n, err := strconv.Atoi(acknowledged.Text())
			if err != nil {
				break // killed within its number
			}
			last = n
			if n == enough {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("it was not killed: %v\n%s", err, complaints.String())
		}
		said[cmd.Process.Pid] = last
	}
	// One more puts in order what they left.
	f := openFile(t, logbook.FileOptions{Path: path, Rotation: logbook.Rotation{Size: 1 << 30, Compress: true}})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		plain, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*Z.log"))
		half, errHalf := filepath.Glob(filepath.Join(filepath.Dir(path), "*.part"))
		if err := errors.Join(err, errHalf); err != nil {
			t.Fatal(err)
		}
		if len(plain)+len(half) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(plain, half)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	count := lines(t, path)
	for pid, last := range said {
		for i := range last + 1 {
			line := fmt.Sprintf("%d-%d %s", pid, i, strings.Repeat("x", i%200))
			if count[line] != 1 {
				t.Fatalf("line %d of %d is there %d times", i, last, count[line])
			}
		}
	}
	if parts := files(t, path); len(parts) < kills {
		t.Errorf("only %d files: nothing was rotated", len(parts))
	}
}
