package pgbackup_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/ghosteam/upkeep/storage/object/local"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// arrow is one step of a run, at which something happens to it: a request to
// the S3 server, a call of the store, or what goes on at the database.
type arrow struct {
	Name string
	// Method, Key and Call say which call of a store it is, or, on the way to an
	// S3 server, which request. After means that the step itself was done, and
	// that nobody heard of it.
	Method, Key string
	Call        int
	After       bool
	// Database is "opened" when pg_dump connects, with the snapshot open, and
	// "closed" when it has gone.
	Database string
	// Jobs is how many connections dump; 0 means 1.
	Jobs int

	// reads tells that the database is still in use; made that the new artifact
	// exists, and sweeps that an old one is on its way out.
	reads, made, sweeps bool
}

// s3Arrows are the steps of a run into a bucket, in their order. The dump has
// three parts; two older artifacts are there, of which one has to go.
var s3Arrows = []arrow{
	{Name: "planned", Method: objecttest.PutObject, Key: "unfinished.json"},
	{Name: "snapshot open", Database: "opened", reads: true},
	{Name: "upload created, its id not heard", Method: objecttest.CreateUpload, After: true, reads: true},
	{Name: "upload id recorded", Method: objecttest.PutObject, Key: ".upkeep-uploads/", Call: 2, reads: true},
	{Name: "streaming", Method: objecttest.UploadPart, Call: 2, reads: true},
	{Name: "source exit 0", Database: "closed"},
	{Name: "stream closed", Method: objecttest.UploadPart, Call: 3},
	{Name: "completing", Method: objecttest.CompleteUpload},
	{Name: "object complete, not heard", Method: objecttest.CompleteUpload, After: true},
	{Name: "read back", Method: objecttest.GetObject, Key: ".dump"},
	{Name: "writing the manifest", Method: objecttest.PutObject, Key: "manifest.json"},
	{Name: "manifest written, not heard", Method: objecttest.PutObject, Key: "manifest.json", After: true, made: true},
	{Name: "verified", Method: objecttest.GetObject, Key: "manifest.json", made: true},
	{Name: "published", Method: objecttest.DeleteObject, Key: "unfinished.json", made: true},
	{Name: "retention planned", Method: objecttest.PutObject, Key: "unfinished.json", Call: 2, made: true, sweeps: true},
	{Name: "pruning", Method: objecttest.DeleteObject, Key: "manifest.json", made: true, sweeps: true},
	{Name: "pruned, not heard", Method: objecttest.DeleteObject, Key: "manifest.json", After: true, made: true, sweeps: true},
	{Name: "swept", Method: objecttest.DeleteObjects, made: true, sweeps: true},
}

// localArrows are the steps of a run into a directory.
var localArrows = []arrow{
	{Name: "planned", Method: "Put", Key: "unfinished.json"},
	{Name: "snapshot open", Database: "opened", reads: true},
	{Name: "streaming", Method: "Put", Key: ".dump", reads: true},
	{Name: "streaming a directory", Method: "Put", Key: ".dir.tar", Jobs: 2, reads: true},
	{Name: "source exit 0", Database: "closed"},
	{Name: "object complete", Method: "Put", Key: ".dump", After: true},
	{Name: "read back", Method: "Get", Key: ".dump"},
	{Name: "writing the manifest", Method: "Put", Key: "manifest.json"},
	{Name: "manifest written", Method: "Put", Key: "manifest.json", After: true, made: true},
	{Name: "verified", Method: "Get", Key: "manifest.json", made: true},
	{Name: "published", Method: "Delete", Key: "unfinished.json", made: true},
	{Name: "retention planned", Method: "Put", Key: "unfinished.json", Call: 2, made: true, sweeps: true},
	{Name: "pruned", Method: "Delete", Key: "manifest.json", After: true, made: true, sweeps: true},
	{Name: "swept", Method: "Delete", Key: ".dump", made: true, sweeps: true},
}

// blow is what happens there.
type blow struct {
	name string
	// signal ends the process; otherwise do is called.
	signal syscall.Signal
	do     func(s *scene)
	// bend makes it a fault of one request or call.
	bend func(f *objecttest.S3Fault)
	// err is what every later writing call of a local store returns.
	err error
	// survived tells that the run succeeds nevertheless; nil when it may do
	// either, because what is under way already may suffice.
	survived func(a arrow) bool
}

func always(arrow) bool { return true }

// whenPublished: what fails later is a finding, because the artifact is safe.
func whenPublished(a arrow) bool { return a.sweeps || a.Name == "published" }

var s3Blows = []blow{
	{name: "kill -9", signal: syscall.SIGKILL},
	{name: "SIGTERM", signal: syscall.SIGTERM},
	{name: "network cut", do: func(s *scene) { s.gate.Cut() }, bend: func(f *objecttest.S3Fault) { f.Reset = true }, survived: whenPublished},
	{name: "503 storm", do: func(s *scene) { s.gate.Storm() }, bend: func(f *objecttest.S3Fault) { f.Status, f.Code = 503, "SlowDown" }, survived: whenPublished},
	{name: "503 twice", bend: func(f *objecttest.S3Fault) { f.Status, f.Code, f.Times = 503, "SlowDown", 2 }, survived: always},
	{name: "answer lost", bend: func(f *objecttest.S3Fault) { f.AfterWork, f.Reset = true, true }, survived: always},
	{name: "silence", bend: func(f *objecttest.S3Fault) { f.Stall, f.AfterWork = true, false }, survived: always},
	{name: "backend killed", do: (*scene).terminate},
}

var localBlows = []blow{
	{name: "kill -9", signal: syscall.SIGKILL},
	{name: "SIGTERM", signal: syscall.SIGTERM},
	{name: "full disk", err: syscall.ENOSPC, survived: func(a arrow) bool { return a.made }},
	{name: "backend killed", do: (*scene).terminate},
}

// happens tells whether a blow can meet a run at an arrow: what happens at the
// database has no request of its own.
func (b blow) happens(a arrow) bool {
	switch {
	case a.Database != "":
		return b.signal != 0 || b.do != nil
	case b.err != nil:
		return a.Method == "Put" // what fails is a write
	case b.bend != nil && b.do == nil:
		return !a.After // it says itself when
	}
	return true
}

// TestArrows_S3 and TestArrows_Local: whatever happens to a run, at whichever
// step, what can be seen is whole, the last good backup is there, nothing stays
// at work, and the next run is as good as any and clears away what is left.
// UPKEEP_SOAK=1 tries every blow at every arrow.
func TestArrows_S3(t *testing.T) {
	t.Parallel()
	everywhere(t, s3Arrows, s3Blows, newBucketScene)
}

func TestArrows_Local(t *testing.T) {
	t.Parallel()
	everywhere(t, localArrows, localBlows, newFolderScene)
}

func everywhere(t *testing.T, arrows []arrow, blows []blow, build func(*testing.T, arrow, blow) *scene) {
	seeds := seeded(t)
	met := map[string]int{}
	for _, a := range arrows {
		possible := slices.DeleteFunc(slices.Clone(blows), func(b blow) bool { return !b.happens(a) })
		if os.Getenv("UPKEEP_SOAK") == "" {
			// Every arrow meets one blow, and every blow is met.
			possible = []blow{slices.MinFunc(possible, func(x, y blow) int { return met[x.name] - met[y.name] })}
			met[possible[0].name]++
		}
		for _, b := range possible {
			t.Run(a.Name+", "+b.name, func(t *testing.T) {
				t.Parallel()
				s := build(t, a, b)
				s.plant(seeds)
				s.begin()
				s.judge()
				s.converge()
			})
		}
	}
}

// TestFullDisk fills a real disk at the steps that write, and frees it again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	objecttest.OnSmallDisk(t, 64<<20, func(dir string) {
		seeds := seeded(t)
		for i, a := range localArrows {
			if a.Method != "Put" || a.After || a.Jobs > 1 {
				continue
			}
			s := newFolderScene(t, a, blow{name: "no room", survived: whenPublished})
			s.dir = fmt.Sprintf("%s/%d", dir, i)
			s.blow.do = func(s *scene) { s.fill() }
			s.open()
			s.plant(seeds)
			s.begin()
			s.empty()
			s.judge()
			s.converge()
			if err := os.RemoveAll(s.dir); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// stepped is a local store in which a call is a step of a run.
type stepped struct {
	*local.Store
	at arrow
	do func()
	// err is what writing fails with from then on.
	err error

	mu     sync.Mutex
	calls  int
	struck bool
}

// hit tells whether a call is the one.
func (s *stepped) hit(method, key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at.Method != method || !strings.Contains(key, s.at.Key) {
		return false
	}
	s.calls++
	return s.calls == max(1, s.at.Call)
}

// strike does it.
func (s *stepped) strike() {
	s.mu.Lock()
	s.struck = true
	s.mu.Unlock()
	if s.do != nil {
		s.do()
	}
}

// full is what a writing call fails with.
func (s *stepped) full() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.struck {
		return nil
	}
	return s.err
}

// around does a call with its step.
func (s *stepped) around(method, key string, call func() error) error {
	hit := s.hit(method, key)
	if hit && !s.at.After {
		s.strike()
	}
	err := call()
	if hit && s.at.After {
		s.strike()
	}
	return err
}
