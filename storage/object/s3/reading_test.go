package s3_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// A connection that breaks while an object is read is taken up again, but
// never by another version of the object.
func TestReadingGoesOn(t *testing.T) {
	t.Parallel()
	long := body(3 << 20)
	for name, tt := range map[string]struct {
		faults []objecttest.S3Fault
		fails  error
	}{
		"cut twice": {faults: []objecttest.S3Fault{
			{Operation: objecttest.GetObject, CutAfter: 1 << 20, Reset: true},
			{Operation: objecttest.GetObject, Call: 2, CutAfter: 100, Reset: true},
		}},
		"cut at every byte": {faults: []objecttest.S3Fault{
			{Operation: objecttest.GetObject, CutAfter: 1 << 20, Reset: true},
			{Operation: objecttest.GetObject, Call: 2, Forever: true, Reset: true},
		}, fails: object.ErrUnreachable},
		"shorter than it says": {faults: []objecttest.S3Fault{
			{Operation: objecttest.GetObject, Body: func(b []byte) []byte { return b[:1<<20] }},
		}, fails: errShort},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := objecttest.NewS3Server(t, objecttest.S3Dialect{}, tt.faults...)
			store := open(t, hostile(server))
			if _, err := store.Put(t.Context(), "a", bytes.NewReader(long), object.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			got, err := read(t, store, "a")
			switch {
			case errors.Is(tt.fails, errShort):
				if err != nil || len(got) != 1<<20 {
					t.Errorf("read %d bytes, %v", len(got), err) // the manifest's length tells
				}
			case !errors.Is(err, tt.fails):
				t.Errorf("read %d bytes, %v, want %v", len(got), err, tt.fails)
			case tt.fails == nil && !bytes.Equal(got, long):
				t.Errorf("other bytes came back: %d", len(got))
			}
		})
	}
	t.Run("replaced meanwhile", func(t *testing.T) {
		t.Parallel()
		server := objecttest.NewS3Server(t, objecttest.S3Dialect{}, objecttest.S3Fault{Operation: objecttest.GetObject, CutAfter: 1 << 20, Reset: true})
		store := open(t, hostile(server))
		for _, content := range [][]byte{long, body(3<<20 + 1)} {
			if _, err := store.Put(t.Context(), "a", bytes.NewReader(content), object.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			if len(content) != len(long) {
				break
			}
			r, _, err := store.Get(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close() //nolint:errcheck // a test
			if _, err := store.Put(t.Context(), "a", strings.NewReader("new"), object.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(r); !errors.Is(err, object.ErrDamaged) {
				t.Errorf("a mixture of two versions was read: %v", err)
			}
		}
	})
}

var errShort = errors.New("short")

func TestAuthorities(t *testing.T) {
	t.Parallel()
	server := objecttest.NewS3Server(t, objecttest.S3Dialect{TLS: true})
	o := hostile(server)
	o.Attempts = 1
	if err := open(t, o).Check(t.Context()); !errors.Is(err, object.ErrUnreachable) || !strings.Contains(hintOf(err), "ca_file") {
		t.Errorf("an authority that nobody knows: %v (hint: %s)", err, hintOf(err))
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, server.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	o.CAFile = unit.Path(file)
	store := open(t, o)
	if _, err := store.Put(t.Context(), "a", bytes.NewReader(body(6<<20)), object.PutOptions{}); err != nil {
		t.Errorf("with its authority: %v", err)
	}
	o.Endpoint = strings.Replace(o.Endpoint, "127.0.0.1", "localhost", 1)
	if err := open(t, o).Check(t.Context()); !errors.Is(err, object.ErrUnreachable) {
		t.Errorf("by a name that its certificate is not for: %v", err)
	}
}

// The server says when to come back.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]func() string{
		"seconds": func() string { return "1" },
		"date":    func() string { return time.Now().Add(3 * time.Second).UTC().Format(http.TimeFormat) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := objecttest.NewS3Server(t, objecttest.S3Dialect{},
				objecttest.S3Fault{Operation: objecttest.PutObject, Status: 503, Code: "SlowDown", Header: http.Header{"Retry-After": {after()}}})
			began := time.Now()
			if _, err := open(t, hostile(server)).Put(t.Context(), "a", strings.NewReader("x"), object.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took < time.Second {
				t.Errorf("it came back after %s", took)
			}
		})
	}
}

func TestStalls(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]objecttest.S3Fault{
		"put":  {Operation: objecttest.PutObject, Forever: true, Stall: true},
		"list": {Operation: objecttest.ListObjects, Forever: true, Stall: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := objecttest.NewS3Server(t, objecttest.S3Dialect{}, fault)
			o := hostile(server)
			o.Timeout, o.Attempts = unit.Duration(time.Second), 1
			store := open(t, o)
			began := time.Now()
			var err error
			if name == "put" {
				_, err = store.Put(t.Context(), "a", strings.NewReader("x"), object.PutOptions{})
			} else {
				err = store.Check(t.Context())
			}
			if !errors.Is(err, object.ErrUnreachable) || time.Since(began) > 20*time.Second {
				t.Errorf("after %s: %v", time.Since(began), err)
			}
		})
	}
}

// Slow is not stalled, neither the server nor who reads.
func TestSlowness(t *testing.T) {
	t.Parallel()
	server := objecttest.NewS3Server(t, objecttest.S3Dialect{}, objecttest.S3Fault{Operation: objecttest.PutObject, BytesPerSecond: 2 << 20})
	o := hostile(server)
	o.Timeout, o.Attempts, o.PartSize = unit.Duration(4*time.Second), 1, 16<<20
	content := body(11 << 20)
	if _, err := open(t, o).Put(t.Context(), "a", bytes.NewReader(content), object.PutOptions{}); err != nil {
		t.Fatalf("a slow server: %v", err)
	}
	o.Timeout = unit.Duration(time.Second)
	store := open(t, o)
	r, _, err := store.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	half := make([]byte, 1<<20)
	if _, err := io.ReadFull(r, half); err != nil {
		t.Fatal(err)
	}
	time.Sleep(o.Timeout.Std() * 3 / 2) // the pause itself is what is tried
	rest, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(append(half, rest...), content) {
		t.Errorf("a reader that paused: %d bytes, %v", len(rest), err)
	}
	if server.Requests(objecttest.GetObject) != 1 {
		t.Errorf("the pause took %d requests", server.Requests(objecttest.GetObject))
	}
}

func TestListsThatLie(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault objecttest.S3Fault
		fails bool
	}{
		"repeats": {objecttest.S3Fault{Operation: objecttest.ListObjects, Repeat: true}, true},
		"hides":   {objecttest.S3Fault{Operation: objecttest.ListObjects, Hide: func(key string) bool { return strings.HasSuffix(key, "2") }}, false},
		"breaks":  {objecttest.S3Fault{Operation: objecttest.ListObjects, Call: 2, Forever: true, Status: 500, Code: "InternalError"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := objecttest.NewS3Server(t, objecttest.S3Dialect{PageSize: 3}, tt.fault)
			store := open(t, hostile(server))
			for i := range 7 {
				if _, err := store.Put(t.Context(), fmt.Sprintf("a/%d", i), strings.NewReader("x"), object.PutOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			var last error
			seen := 0
			for _, err := range store.List(t.Context(), "a/") {
				if last = err; err == nil {
					seen++
				}
			}
			if (last != nil) != tt.fails || seen == 7 && !tt.fails {
				t.Errorf("%d keys, then %v", seen, last)
			}
		})
	}
}
