package objecttest

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// S3Fault is one thing that goes wrong at requests to an S3Server.
type S3Fault struct {
	// Operation is the request, such as UploadPart, and Call which of those
	// whose key contains Key, counted from 1. Times is how many in a row are
	// struck, 0 means 1; Forever strikes all that follow.
	Operation string
	Call      int
	Key       string
	Times     int
	Forever   bool

	// Status, Code and Header are an error that is answered. AfterWork does
	// what was asked first, as when an answer is lost.
	Status    int
	Code      string
	Header    http.Header
	AfterWork bool
	// Reset cuts the connection instead of an answer, after so many bytes of
	// the answer when CutAfter is set.
	Reset    bool
	CutAfter int64
	// Stall answers nothing until the client gives up.
	Stall bool
	// BytesPerSecond slows the reading of a request.
	BytesPerSecond int64
	// ETag is answered in the place of the true one.
	ETag string
	// Body changes the bytes of an object on their way out.
	Body func(stored []byte) []byte
	// Lose answers a write as if it had been done.
	Lose bool
	// Hide leaves out of a list what it returns true for, and Repeat lists its
	// first entry once more at the end.
	Hide   func(key string) bool
	Repeat bool
	// Do runs before anything else, and Then when the work is done, before
	// the error is answered.
	Do, Then func()
}

type s3Armed struct {
	S3Fault
	calls int
	fired int
}

// s3Struck is what one request meets; the zero value is no fault.
type s3Struck struct {
	S3Fault
	hit   bool
	after bool
}

// s3Faults are what requests to a server meet. It counts them.
type s3Faults struct {
	lock     sync.Mutex
	armed    []*s3Armed
	requests map[string]int
}

// Arm adds faults. The test fails when it ends and one of them was never met.
func (f *s3Faults) Arm(t testing.TB, faults ...S3Fault) {
	t.Helper()
	f.lock.Lock()
	defer f.lock.Unlock()
	for _, fault := range faults {
		fault.Call = max(1, fault.Call)
		fault.Times = max(1, fault.Times)
		a := &s3Armed{S3Fault: fault}
		f.armed = append(f.armed, a)
		t.Cleanup(func() {
			f.lock.Lock()
			defer f.lock.Unlock()
			if a.fired == 0 {
				t.Errorf("the fault at call %d of %s(%q) never fired: %d such requests came", a.Call, a.Operation, a.Key, a.calls)
			}
		})
	}
}

// Disarm takes all faults away that were met.
func (f *s3Faults) Disarm() {
	f.lock.Lock()
	defer f.lock.Unlock()
	f.armed = slices.DeleteFunc(f.armed, func(a *s3Armed) bool { return a.fired > 0 })
}

// Requests returns how many requests of a sort arrived.
func (f *s3Faults) Requests(operation string) int {
	f.lock.Lock()
	defer f.lock.Unlock()
	return f.requests[operation]
}

// strike counts a request and returns what it meets.
func (f *s3Faults) strike(operation, key string) s3Struck {
	f.lock.Lock()
	if f.requests == nil {
		f.requests = map[string]int{}
	}
	f.requests[operation]++
	var hit s3Struck
	for _, a := range f.armed {
		if a.Operation != operation || !strings.Contains(key, a.Key) {
			continue
		}
		a.calls++
		if hit.hit || a.calls < a.Call || !a.Forever && a.calls >= a.Call+a.Times {
			continue
		}
		a.fired++
		hit = s3Struck{S3Fault: a.S3Fault, hit: true, after: a.AfterWork}
	}
	f.lock.Unlock()
	if hit.Do != nil {
		hit.Do()
	}
	return hit
}

// before does what needs no work, and tells whether the request is over.
func (f s3Struck) before(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case !f.hit || f.after:
		return false
	case f.Stall:
		_, _ = io.Copy(io.Discard, r.Body) // it ends when the client does
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case f.Reset && f.CutAfter == 0:
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		_, _ = io.Copy(io.Discard, r.Body) // as above
		f.fail(w)
		return true
	}
	return false
}

// fail answers the error.
func (f s3Struck) fail(w http.ResponseWriter) {
	if f.Then != nil {
		f.Then()
	}
	if f.Reset {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), f.Header)
	s3Fail(w, f.Status, f.Code, "injected: "+f.Code)
}

func (f s3Struck) slow(r io.Reader) io.Reader {
	if f.BytesPerSecond == 0 {
		return r
	}
	return &slowReader{r: r, rate: f.BytesPerSecond}
}

type slowReader struct {
	r    io.Reader
	rate int64
}

// Read implements io.Reader.
func (s *slowReader) Read(p []byte) (int, error) {
	p = p[:min(int64(len(p)), max(s.rate/20, 1))]
	n, err := s.r.Read(p)
	time.Sleep(time.Duration(float64(n) / float64(s.rate) * float64(time.Second)))
	return n, err
}

// cut ends a connection after so many bytes of the answer.
type cut struct {
	io.Writer
	left int64
}

// Write implements io.Writer.
func (c *cut) Write(p []byte) (int, error) {
	if int64(len(p)) > c.left {
		_, _ = c.Writer.Write(p[:c.left]) // the connection ends anyway
		if flusher, ok := c.Writer.(http.Flusher); ok {
			flusher.Flush()
		}
		panic(http.ErrAbortHandler)
	}
	c.left -= int64(len(p))
	return c.Writer.Write(p)
}
