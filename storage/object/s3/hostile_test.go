package s3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
	"github.com/ghosteam/upkeep/storage/object/s3"
)

func TestMain(m *testing.M) {
	if uploadForever() {
		return
	}
	goleak.VerifyTestMain(m)
}

// hostile returns the settings of a store on a server of ours.
func hostile(server *objecttest.S3Server) s3.Options {
	o := s3.Defaults()
	o.Profile, o.Endpoint, o.Bucket, o.Prefix = "generic", server.URL, server.Bucket, "prod"
	o.AccessKey, o.SecretKey = secret.New(server.AccessKey), secret.New(server.SecretKey)
	o.PartSize, o.Attempts, o.RetryDelay = 5<<20, 4, unit.Duration(time.Millisecond)
	return o
}

// body returns so many bytes that differ from each other.
func body(size int) []byte {
	out := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(out) // never fails
	return out
}

func read(t *testing.T, store object.Store, key string) ([]byte, error) {
	t.Helper()
	r, _, err := store.Get(t.Context(), key)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(r)
	return got, errors.Join(err, r.Close())
}

// clean fails unless nothing but the given objects is left, and no upload.
func clean(t *testing.T, server *objecttest.S3Server, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, server.Keys()); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	if left := server.Uploads(); len(left) != 0 {
		t.Errorf("uploads left: %q", left)
	}
}

func TestSuiteOnHostileDialects(t *testing.T) {
	t.Parallel()
	for name, dialect := range map[string]objecttest.S3Dialect{
		"plain": {}, "pages of two": {PageSize: 2},
		"strict": {EqualParts: true, RequireMD5: true, RefuseTrailers: true, NoMetadata: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objecttest.Exercise(t, func(t *testing.T) object.Store {
				t.Helper()
				return open(t, hostile(objecttest.NewS3Server(t, dialect)))
			})
		})
	}
}

func TestDialects(t *testing.T) {
	t.Parallel()
	long := body(11<<20 + 3)
	for name, tt := range map[string]struct {
		profile string
		dialect objecttest.S3Dialect
	}{
		"r2: equal parts, no trailers":     {"r2", objecttest.S3Dialect{EqualParts: true, RefuseTrailers: true}},
		"scaleway: thousand parts, MD5":    {"scaleway", objecttest.S3Dialect{MaxParts: 1000, RequireMD5: true}},
		"b2: MD5, no condition":            {"b2", objecttest.S3Dialect{RequireMD5: true, Condition: "refuse"}},
		"gcs: condition ignored":           {"gcs", objecttest.S3Dialect{Condition: "ignore"}},
		"generic: condition not known":     {"generic", objecttest.S3Dialect{Condition: "refuse"}},
		"minio":                            {"minio", objecttest.S3Dialect{RefuseTrailers: true}},
		"aws":                              {"aws", objecttest.S3Dialect{Region: "us-east-1"}},
		"aws by a server without metadata": {"aws", objecttest.S3Dialect{NoMetadata: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := objecttest.NewS3Server(t, tt.dialect)
			o := hostile(server)
			o.Profile = tt.profile
			path := true
			o.PathStyle = &path
			store := open(t, o)
			for key, content := range map[string][]byte{"a/long": long, "a/short": []byte("x"), "a/even": long[:10<<20], "a/one": long[:5<<20]} {
				info, err := store.Put(t.Context(), key, bytes.NewReader(content), object.PutOptions{IfAbsent: true})
				if err != nil || info.Bytes != int64(len(content)) {
					t.Fatalf("Put %s: %+v, %v", key, info, err)
				}
				if got, err := read(t, store, key); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s came back as %d bytes, %v", key, len(got), err)
				}
				if _, err := store.Put(t.Context(), key, strings.NewReader("y"), object.PutOptions{IfAbsent: true}); !errors.Is(err, object.ErrExists) {
					t.Errorf("Put of %s again: %v, want ErrExists", key, err)
				}
			}
			clean(t, server, "prod/a/even", "prod/a/long", "prod/a/one", "prod/a/short")
		})
	}
}

// Whatever goes wrong on the way of a long object, either it is there whole or
// nothing is, and no upload and no note stays.
func TestFaultsOfUploads(t *testing.T) {
	t.Parallel()
	long := body(17<<20 + 1) // four parts
	slow := http.Header{"Retry-After": []string{"1"}}
	for name, tt := range map[string]struct {
		dialect objecttest.S3Dialect
		fault   objecttest.S3Fault
		fails   error // nil means that it succeeds all the same
		leaves  bool  // whether a note stays for the next sweep
	}{
		"500 at part 2":             {fault: objecttest.S3Fault{Operation: objecttest.UploadPart, Call: 2, Status: 500, Code: "InternalError"}},
		"503 storm that ends":       {fault: objecttest.S3Fault{Operation: objecttest.UploadPart, Times: 3, Status: 503, Code: "SlowDown", Header: slow}},
		"503 storm without end":     {fault: objecttest.S3Fault{Operation: objecttest.UploadPart, Call: 3, Forever: true, Status: 503, Code: "SlowDown"}, fails: object.ErrThrottled},
		"reset at part 3":           {fault: objecttest.S3Fault{Operation: objecttest.UploadPart, Call: 3, Reset: true}},
		"resets without end":        {fault: objecttest.S3Fault{Operation: objecttest.UploadPart, Call: 2, Forever: true, Reset: true}, fails: object.ErrUnreachable},
		"answer to part lost":       {fault: objecttest.S3Fault{Operation: objecttest.UploadPart, Call: 2, AfterWork: true, Reset: true}},
		"denied at part 2":          {fault: objecttest.S3Fault{Operation: objecttest.UploadPart, Call: 2, Status: 403, Code: "AccessDenied"}, fails: object.ErrDenied},
		"credentials expire":        {fault: objecttest.S3Fault{Operation: objecttest.UploadPart, Call: 3, Forever: true, Status: 400, Code: "ExpiredToken"}, fails: object.ErrDenied},
		"server keeps two parts":    {dialect: objecttest.S3Dialect{MaxParts: 2}, fault: objecttest.S3Fault{Operation: objecttest.UploadPart, Call: 3, Do: func() {}}, fails: errAny},
		"part lost by the server":   {fault: objecttest.S3Fault{Operation: objecttest.UploadPart, Call: 2, Lose: true}, fails: errAny},
		"cannot begin":              {fault: objecttest.S3Fault{Operation: objecttest.CreateUpload, Status: 403, Code: "AccessDenied"}, fails: object.ErrDenied},
		"answer to the begin lost":  {fault: objecttest.S3Fault{Operation: objecttest.CreateUpload, AfterWork: true, Forever: true, Reset: true}, fails: object.ErrUnreachable},
		"id cannot be noted":        {fault: objecttest.S3Fault{Operation: objecttest.PutObject, Key: "uploads/", Call: 2, Status: 403, Code: "AccessDenied"}, fails: object.ErrDenied},
		"nothing can be noted":      {fault: objecttest.S3Fault{Operation: objecttest.PutObject, Key: "uploads/", Status: 403, Code: "AccessDenied"}, fails: object.ErrDenied},
		"500 at completion":         {fault: objecttest.S3Fault{Operation: objecttest.CompleteUpload, Status: 500, Code: "InternalError"}},
		"completion without end":    {fault: objecttest.S3Fault{Operation: objecttest.CompleteUpload, Forever: true, Status: 500, Code: "InternalError"}, fails: object.ErrThrottled},
		"lost completion":           {fault: objecttest.S3Fault{Operation: objecttest.CompleteUpload, AfterWork: true, Reset: true}},
		"lost completion, 500":      {fault: objecttest.S3Fault{Operation: objecttest.CompleteUpload, AfterWork: true, Status: 500, Code: "InternalError"}},
		"lost completions":          {fault: objecttest.S3Fault{Operation: objecttest.CompleteUpload, AfterWork: true, Forever: true, Status: 503, Code: "SlowDown"}},
		"lost, and no metadata":     {dialect: objecttest.S3Dialect{NoMetadata: true}, fault: objecttest.S3Fault{Operation: objecttest.CompleteUpload, AfterWork: true, Reset: true}},
		"completion lies":           {fault: objecttest.S3Fault{Operation: objecttest.CompleteUpload, Lose: true}}, // found by reading back
		"lying ETag of a part":      {fault: objecttest.S3Fault{Operation: objecttest.UploadPart, Call: 2, ETag: `"0123456789abcdef0123456789abcdef"`}, fails: errAny},
		"denied completion":         {fault: objecttest.S3Fault{Operation: objecttest.CompleteUpload, Status: 403, Code: "AccessDenied"}, fails: object.ErrDenied},
		"note cannot be taken away": {fault: objecttest.S3Fault{Operation: objecttest.DeleteObject, Forever: true, Status: 403, Code: "AccessDenied"}, leaves: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := objecttest.NewS3Server(t, tt.dialect, tt.fault)
			o := hostile(server)
			o.Parallel = 1
			store := open(t, o)
			info, err := store.Put(t.Context(), "a/long", bytes.NewReader(long), object.PutOptions{IfAbsent: true})
			switch {
			case tt.fails == nil && err != nil:
				t.Errorf("Put: %v", err)
			case tt.fails == nil && info.Bytes != int64(len(long)):
				t.Errorf("Put says %+v", info)
			case tt.fails != nil && err == nil, tt.fails != nil && !errors.Is(tt.fails, errAny) && !errors.Is(err, tt.fails):
				t.Errorf("Put: %v, want %v", err, tt.fails)
			}
			if err != nil && strings.Contains(err.Error(), server.SecretKey) {
				t.Errorf("the error holds the secret: %v", err)
			}
			var want []string
			if tt.fails == nil && !tt.fault.Lose {
				want = []string{"prod/a/long"}
				if got, err := read(t, store, "a/long"); err != nil || !bytes.Equal(got, long) {
					t.Errorf("it came back as %d bytes, %v", len(got), err)
				}
			}
			if tt.leaves {
				if n := len(server.Keys()); n != 2 || len(server.Uploads()) != 0 {
					t.Errorf("objects %q", server.Keys())
				}
				return
			}
			clean(t, server, want...)
		})
	}
}

var errAny = errors.New("any error")

// Single requests meet the same.
func TestFaultsOfSingleRequests(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		dialect objecttest.S3Dialect
		fault   objecttest.S3Fault
		fails   error
	}{
		"500 once":            {fault: objecttest.S3Fault{Operation: objecttest.PutObject, Status: 500, Code: "InternalError"}},
		"reset":               {fault: objecttest.S3Fault{Operation: objecttest.PutObject, Reset: true}},
		"answer lost":         {fault: objecttest.S3Fault{Operation: objecttest.PutObject, AfterWork: true, Reset: true}},
		"all answers lost":    {fault: objecttest.S3Fault{Operation: objecttest.PutObject, AfterWork: true, Reset: true, Forever: true}},
		"lost, no metadata":   {dialect: objecttest.S3Dialect{NoMetadata: true, Condition: "ignore"}, fault: objecttest.S3Fault{Operation: objecttest.PutObject, AfterWork: true, Reset: true, Forever: true}},
		"clock":               {fault: objecttest.S3Fault{Operation: objecttest.PutObject, Forever: true, Status: 403, Code: "RequestTimeTooSkewed"}, fails: object.ErrClock},
		"quota":               {fault: objecttest.S3Fault{Operation: objecttest.PutObject, Forever: true, Status: 403, Code: "QuotaExceeded"}, fails: object.ErrDenied},
		"moved":               {fault: objecttest.S3Fault{Operation: objecttest.PutObject, Forever: true, Status: 301, Code: "PermanentRedirect", Header: http.Header{"X-Amz-Bucket-Region": {"eu-west-3"}}}, fails: object.ErrWrongPlace},
		"somebody was faster": {fault: objecttest.S3Fault{Operation: objecttest.PutObject, Forever: true, Status: 412, Code: "PreconditionFailed"}, fails: object.ErrExists},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := objecttest.NewS3Server(t, tt.dialect, tt.fault)
			store := open(t, hostile(server))
			_, err := store.Put(t.Context(), "a/b", strings.NewReader("short"), object.PutOptions{IfAbsent: true})
			if !errors.Is(err, tt.fails) {
				t.Fatalf("Put: %v, want %v", err, tt.fails)
			}
			if err != nil {
				if hint := hintOf(err); hint == "" && !errors.Is(err, object.ErrExists) {
					t.Errorf("%v has no hint", err)
				}
				clean(t, server)
				return
			}
			clean(t, server, "prod/a/b")
		})
	}
}

func hintOf(err error) string {
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		return h.Hint()
	}
	return ""
}

func TestNetworkCut(t *testing.T) {
	t.Parallel()
	server := objecttest.NewS3Server(t, objecttest.S3Dialect{})
	store := open(t, hostile(server))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	n := 0
	source := readerFunc(func(p []byte) (int, error) {
		if n++; n == 2000 {
			server.Cut()
		}
		return min(len(p), 8<<10), nil
	})
	_, err := store.Put(ctx, "a/long", source, object.PutOptions{})
	if !errors.Is(err, object.ErrUnreachable) || hintOf(err) == "" {
		t.Fatalf("Put: %v", err)
	}
	if got := server.Keys(); len(got) != 1 || !strings.Contains(got[0], ".upkeep-uploads/") || len(server.Uploads()) != 1 {
		t.Errorf("after the cut: %q, uploads %q", got, server.Uploads())
	}
	server.Mend()
	sweep(t, store, server)
	clean(t, server)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// sweep does what a run does a day later.
func sweep(t *testing.T, store *s3.Store, server *objecttest.S3Server) {
	t.Helper()
	if found, err := store.Unfinished(t.Context(), time.Now().Add(-24*time.Hour)); err != nil || len(found) != 0 {
		t.Errorf("too early: %+v, %v", found, err)
	}
	server.Age(48 * time.Hour)
	found, err := store.Unfinished(t.Context(), time.Now().Add(-24*time.Hour))
	if err != nil || len(found) == 0 {
		t.Errorf("Unfinished = %+v, %v", found, err)
	}
	for _, u := range found {
		for range 2 {
			if err := store.Discard(t.Context(), u); err != nil {
				t.Errorf("Discard: %v", err)
			}
		}
	}
}
