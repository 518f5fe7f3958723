package pgbackup_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	osexec "os/exec"
	"path"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/local"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
	"github.com/ghosteam/upkeep/storage/object/s3"
)

// scene is one run that something happens to, and what is around it.
type scene struct {
	t    *testing.T
	at   arrow
	blow blow
	// dir is where the store's bytes lie on this machine, and tmp the temporary
	// directory of the run.
	dir, tmp string
	wire     *pgtest.Proxy
	gate     *objecttest.S3Gate
	bucket   *s3.Options // nil for a directory
	// direct is the store as seen past everything that fails.
	direct object.Store
	run    victim

	mu     sync.Mutex
	fired  bool
	child  *os.Process
	heard  chan struct{} // a child says that it was told to end
	err    error         // what the run returned
	stayed bool          // whether it ran in this process
}

// sources are the databases of all scenes: one whose dump has three parts of
// 5 MiB, and a small one.
func sources(t testing.TB) (large, small string) {
	t.Helper()
	return pgtest.SharedDatabase(t, "upkeep_arrows", `CREATE TABLE t (id int, v text)`, `INSERT INTO t SELECT i, repeat(md5(i::text), 64) FROM generate_series(1, 6000) i`),
		pgtest.SharedDatabase(t, "upkeep_arrows_small", `CREATE TABLE t (id int)`, `INSERT INTO t VALUES (1), (2)`)
}

func newScene(t *testing.T, a arrow, b blow) *scene {
	t.Helper()
	name, _ := sources(t)
	s := &scene{t: t, at: a, blow: b, tmp: t.TempDir(), wire: pgtest.NewProxy(t, pgtest.URL(t, name)), heard: make(chan struct{})}
	s.run = victim{Dir: t.TempDir(), URL: s.wire.URL, Run: "run-" + rand.Text(), At: a, Jobs: max(1, a.Jobs)}
	switch a.Database {
	case "opened":
		s.wire.Watch(s.watch, nil)
	case "closed":
		s.wire.Watch(nil, s.watch)
	}
	return s
}

// newFolderScene plays in a directory.
func newFolderScene(t *testing.T, a arrow, b blow) *scene {
	t.Helper()
	s := newScene(t, a, b)
	s.dir = filepath.Join(t.TempDir(), "store")
	s.open()
	return s
}

func (s *scene) open() {
	s.t.Helper()
	s.run.Store = s.dir
	disk, err := local.Open("s", local.Options{Path: unit.Path(s.dir)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.direct = disk
}

// newBucketScene plays in a bucket of the real server, behind a gate.
func newBucketScene(t *testing.T, a arrow, b blow) *scene {
	t.Helper()
	s := newScene(t, a, b)
	o := newBucket(t)
	s.dir = filepath.Join(os.Getenv("UPKEEP_TEST_S3_DIR"), o.Bucket)
	s.gate = objecttest.NewS3Gate(t, o.Endpoint)
	if a.Database == "" {
		f := objecttest.S3Fault{Operation: a.Method, Key: a.Key, Call: a.Call, AfterWork: a.After}
		if b.bend != nil {
			b.bend(&f)
		} else if a.After || b.signal == syscall.SIGKILL {
			f.Reset = true
		}
		if a.After {
			f.Then = s.strike
		} else {
			f.Do = s.strike
		}
		s.gate.Arm(t, f)
	}
	s.bucket, s.direct = &o, openBucket(t, o)
	o.Endpoint = s.gate.URL
	s.run.Bucket = &place{Endpoint: o.Endpoint, Bucket: o.Bucket, Access: o.AccessKey.Reveal(), Secret: o.SecretKey.Reveal()}
	return s
}

// seeded returns what a store holds after two good runs.
func seeded(t *testing.T) map[string][]byte {
	t.Helper()
	_, small := sources(t)
	b := benchOn(t, small)
	for range 2 {
		if _, err := b.run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	out := map[string][]byte{}
	for info, err := range b.store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		out[info.Key] = content(t, b.store, info.Key)
	}
	return out
}

// plant puts two older good artifacts into the store.
func (s *scene) plant(seeds map[string][]byte) {
	s.t.Helper()
	for key, body := range seeds {
		if _, err := s.direct.Put(s.t.Context(), key, bytes.NewReader(body), object.PutOptions{}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// watch is told of each session on its way to the database.
func (s *scene) watch(session int) {
	// The plan, the snapshot, and then pg_dump.
	if session == 3 {
		s.strike()
	}
}

// strike lets it happen.
func (s *scene) strike() {
	s.mu.Lock()
	if s.fired {
		s.mu.Unlock()
		return
	}
	s.fired = true
	victim := s.child
	s.mu.Unlock()
	switch {
	case s.blow.signal != 0 && victim != nil:
		if err := victim.Signal(s.blow.signal); err != nil {
			s.t.Error(err)
		}
		if s.blow.signal == syscall.SIGTERM {
			<-s.heard
		}
	case s.blow.do != nil:
		s.blow.do(s)
	}
}

// terminate ends the sessions of the run on the server.
func (s *scene) terminate() {
	n := pgtest.Ask[int64](s.t, pgtest.Connect(s.t, pgtest.URL(s.t, "")), "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1", "upkeep "+s.run.Run)
	if s.at.reads && n == 0 {
		s.t.Error("the run had no session")
	}
}

// filler is what fills a disk.
func (s *scene) filler() string { return filepath.Join(filepath.Dir(s.dir), "filler") }

// fill leaves no byte free on the disk.
func (s *scene) fill() {
	f, err := os.OpenFile(s.filler(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Error(err)
		return
	}
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &stat); err != nil {
		s.t.Error(err)
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, int64(stat.Bfree)*stat.Bsize)
	if err := errors.Join(err, f.Close()); err != nil {
		s.t.Error(err)
	}
}

// empty gives the disk free again.
func (s *scene) empty() {
	s.t.Helper()
	if err := os.Remove(s.filler()); err != nil {
		s.t.Error(err)
	}
}

// begin runs the job until it ends, one way or the other.
func (s *scene) begin() {
	s.t.Helper()
	if s.blow.signal != 0 {
		s.beginChild()
	} else {
		s.stayed = true
		_, s.err = s.run.work(s.t.Context(), s.t, s.tmp, func(disk *local.Store) object.Store {
			return &stepped{Store: disk, at: s.at, do: s.strike, err: s.blow.err}
		})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fired {
		s.t.Fatalf("the run never came to that step: %v", s.err)
	}
}

// beginChild runs it in a process of its own.
func (s *scene) beginChild() {
	s.t.Helper()
	s.run.Signal = s.blow.signal
	text, err := json.Marshal(s.run)
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := osexec.CommandContext(s.t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), victimVariable+"="+string(text), "TMPDIR="+s.tmp)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	err = cmd.Start()
	s.child = cmd.Process
	s.mu.Unlock()
	if err != nil {
		s.t.Fatal(err)
	}
	told := sync.OnceFunc(func() { close(s.heard) })
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch lines.Text() {
		case victimStruck:
			s.mu.Lock()
			s.fired = true
			s.mu.Unlock()
		case victimHeard:
			told()
		}
	}
	told()
	err = cmd.Wait()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case s.blow.signal == syscall.SIGKILL && (!ok || status.Signal() != syscall.SIGKILL):
		s.t.Fatalf("it was not killed: %v: %s", err, said.String())
	case s.blow.signal == syscall.SIGTERM && (!ok || !status.Exited()):
		s.t.Fatalf("it did not end by itself: %v: %s", err, said.String())
	}
	if s.err = err; err != nil {
		s.err = fmt.Errorf("%w: %s", err, said.String())
	}
}

// aged makes everything look two days old.
func (s *scene) aged() {
	s.t.Helper()
	then := time.Now().Add(-48 * time.Hour)
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		return os.Chtimes(path, then, then)
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// folders lists what lies in the store, by the folders of artifacts.
func (s *scene) folders() map[string][]string {
	s.t.Helper()
	out := map[string][]string{}
	for info, err := range s.direct.List(s.t.Context(), "") {
		if err != nil {
			s.t.Fatal(err)
		}
		out[path.Dir(info.Key)] = append(out[path.Dir(info.Key)], path.Base(info.Key))
	}
	return out
}
