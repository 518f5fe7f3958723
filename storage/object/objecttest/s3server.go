package objecttest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The requests that S3Server knows.
const (
	PutObject        = "PutObject"
	GetObject        = "GetObject"
	HeadObject       = "HeadObject"
	DeleteObject     = "DeleteObject"
	DeleteObjects    = "DeleteObjects"
	ListObjects      = "ListObjectsV2"
	CreateUpload     = "CreateMultipartUpload"
	UploadPart       = "UploadPart"
	CompleteUpload   = "CompleteMultipartUpload"
	AbortUpload      = "AbortMultipartUpload"
	ListUploads      = "ListMultipartUploads"
	ListParts        = "ListParts"
	GetLockOfBucket  = "GetObjectLockConfiguration"
	unknownOperation = "unknown"
)

// S3Dialect is how an S3Server differs from Amazon's.
type S3Dialect struct {
	// MaxParts is the highest number of parts of an upload; 0 means 10,000.
	MaxParts int
	// EqualParts refuses uploads whose parts but the last differ in length.
	EqualParts bool
	// RequireMD5 refuses writes without Content-MD5.
	RequireMD5 bool
	// RefuseTrailers refuses bodies in chunks with trailing checksums.
	RefuseTrailers bool
	// Condition says what becomes of If-None-Match: "" honors it, "ignore"
	// ignores it, "refuse" answers 501.
	Condition string
	// NoMetadata drops the metadata of users.
	NoMetadata bool
	// Locking makes the bucket one that can lock objects.
	Locking bool
	// Forget keeps the lengths of objects and not their bytes.
	Forget bool
	// PageSize is how many entries a list has; 0 means 1,000.
	PageSize int
	// Region is the region of the bucket; requests signed for another one are
	// refused. Empty accepts all.
	Region string
	// TLS speaks HTTPS, with the certificate in S3Server.CA.
	TLS bool
	// Clock is by how much the server's clock is ahead.
	Clock time.Duration
}

// S3Server speaks S3 over HTTP for one bucket in memory, as far as stores need
// it, and goes wrong where it is told to. It checks the hash that a request is
// signed with, and the access key, but not the signature: for that there is
// the real server.
type S3Server struct {
	// URL is its endpoint, Bucket its only bucket, and AccessKey and SecretKey
	// are what it accepts.
	URL, Bucket, AccessKey, SecretKey string
	// CA is the certificate of a TLS server in PEM form.
	CA []byte

	dialect S3Dialect
	http    *httptest.Server

	mu       sync.Mutex
	objects  map[string]s3Object
	uploads  map[string]*s3Upload
	faults   []*s3Armed
	requests map[string]int
	headers  []http.Header
	cut      bool
	active   sync.WaitGroup
}

type s3Object struct {
	body     []byte
	length   int64
	etag     string
	modified time.Time
	meta     map[string]string
	locked   time.Time
}

type s3Upload struct {
	key       string
	meta      map[string]string
	locked    time.Time
	initiated time.Time
	parts     map[int]s3Object
}

// NewS3Server starts a server, which ends with the test. The test fails when a
// fault was never met.
func NewS3Server(t testing.TB, dialect S3Dialect, faults ...S3Fault) *S3Server {
	t.Helper()
	s := &S3Server{
		Bucket: "hostile", AccessKey: "AKIAHOSTILE" + rand.Text()[:8], SecretKey: rand.Text(),
		dialect: dialect, objects: map[string]s3Object{}, uploads: map[string]*s3Upload{}, requests: map[string]int{},
	}
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that clients refuse
	if dialect.TLS {
		s.http.StartTLS()
		s.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw})
	} else {
		s.http.Start()
	}
	s.URL = s.http.URL
	s.Arm(t, faults...)
	t.Cleanup(func() {
		s.http.CloseClientConnections()
		s.http.Close()
	})
	return s
}

// Requests returns how many requests of a sort arrived.
func (s *S3Server) Requests(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[operation]
}

// Keys returns the keys of all objects in order.
func (s *S3Server) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

// Uploads returns the keys of all uploads under way in order.
func (s *S3Server) Uploads() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for _, u := range s.uploads {
		keys = append(keys, u.key)
	}
	slices.Sort(keys)
	return keys
}

// Change replaces the bytes at key without anybody noticing. It panics when
// there is no such object.
func (s *S3Server) Change(key string, change func([]byte) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[key]
	if !ok {
		panic("objecttest: no object " + key)
	}
	o.body = change(slices.Clone(o.body))
	o.length = int64(len(o.body))
	s.objects[key] = o
}

// Cut ends all connections and every new one, as when a network breaks; Mend
// undoes it.
func (s *S3Server) Cut() { s.setCut(true) }

// Mend makes the server answer again.
func (s *S3Server) Mend() { s.setCut(false) }

func (s *S3Server) setCut(cut bool) {
	s.mu.Lock()
	s.cut = cut
	s.mu.Unlock()
	s.http.CloseClientConnections()
}

// Wait returns when all requests that came so far have ended. No new ones may
// come meanwhile.
func (s *S3Server) Wait() { s.active.Wait() }

// Disarm takes all faults away that were met.
func (s *S3Server) Disarm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = slices.DeleteFunc(s.faults, func(a *s3Armed) bool { return a.fired > 0 })
}

// Plant stores an object past all rules.
func (s *S3Server) Plant(key, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[key] = s.object([]byte(body), int64(len(body)))
}

// Age makes everything look older by d.
func (s *S3Server) Age(d time.Duration) {
	s.AgeObjects(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.uploads {
		u.initiated = u.initiated.Add(-d)
		for n, p := range u.parts {
			p.modified = p.modified.Add(-d)
			u.parts[n] = p
		}
	}
}

// AgeObjects makes objects look older by d, and leaves uploads alone.
func (s *S3Server) AgeObjects(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, o := range s.objects {
		o.modified = o.modified.Add(-d)
		s.objects[key] = o
	}
}

// Foreign begins an upload to key, as somebody else would, and sends a part
// when it has a body.
func (s *S3Server) Foreign(key, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := &s3Upload{key: key, initiated: time.Now().UTC(), parts: map[int]s3Object{}}
	if body != "" {
		u.parts[1] = s.object([]byte(body), int64(len(body)))
	}
	s.uploads[rand.Text()] = u
}

// Headers returns the headers of all requests, for tests that search them.
func (s *S3Server) Headers() []http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.headers)
}

func (s *S3Server) object(body []byte, length int64) s3Object {
	sum := sha256.Sum256(body)
	o := s3Object{body: body, length: length, etag: `"` + hex.EncodeToString(sum[:16]) + `"`, modified: time.Now().UTC()}
	return o
}

// operation names a request.
func (s *S3Server) operation(r *http.Request, key string) string {
	q := r.URL.Query()
	switch {
	case key == "" && r.Method == http.MethodGet && q.Has("uploads"):
		return ListUploads
	case key == "" && r.Method == http.MethodGet && q.Has("object-lock"):
		return GetLockOfBucket
	case key == "" && r.Method == http.MethodGet:
		return ListObjects
	case key == "" && r.Method == http.MethodPost && q.Has("delete"):
		return DeleteObjects
	case key == "":
		return unknownOperation
	case r.Method == http.MethodPut && q.Has("uploadId"):
		return UploadPart
	case r.Method == http.MethodPut:
		return PutObject
	case r.Method == http.MethodPost && q.Has("uploads"):
		return CreateUpload
	case r.Method == http.MethodPost && q.Has("uploadId"):
		return CompleteUpload
	case r.Method == http.MethodGet && q.Has("uploadId"):
		return ListParts
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		return AbortUpload
	case r.Method == http.MethodGet:
		return GetObject
	case r.Method == http.MethodHead:
		return HeadObject
	case r.Method == http.MethodDelete:
		return DeleteObject
	}
	return unknownOperation
}

// request is one request with what it needs to be answered.
type s3Request struct {
	*http.Request
	w    http.ResponseWriter
	key  string
	body []byte
	size int64
}

func (s *S3Server) serve(w http.ResponseWriter, r *http.Request) {
	s.active.Add(1)
	defer s.active.Done()
	s.mu.Lock()
	broken := s.cut
	s.mu.Unlock()
	if broken {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Date", time.Now().Add(s.dialect.Clock).UTC().Format(http.TimeFormat))
	path, err := url.PathUnescape(r.URL.EscapedPath())
	if err != nil {
		s.fail(w, http.StatusBadRequest, "InvalidURI", err.Error())
		return
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	operation := s.operation(r, key)
	fault := s.strike(r, operation, key)
	if fault.before(w, r) {
		return
	}
	s.mu.Lock()
	s.headers = append(s.headers, r.Header.Clone())
	s.mu.Unlock()
	req := &s3Request{Request: r, w: w, key: key}
	if !s.admit(req, bucket) || !s.readBody(req, operation, fault) {
		return
	}
	if fault.after {
		// The work is done, and nobody hears of it.
		s.answer(&s3Request{Request: r, w: httptest.NewRecorder(), key: key, body: req.body, size: req.size}, operation, s3Struck{})
		fault.fail(s, w)
		return
	}
	s.answer(req, operation, fault)
}

// admit judges credentials, bucket, region and dialect.
func (s *S3Server) admit(r *s3Request, bucket string) bool {
	authorization := r.Header.Get("Authorization")
	switch {
	case !strings.Contains(authorization, "Credential="+s.AccessKey+"/"):
		s.fail(r.w, http.StatusForbidden, "InvalidAccessKeyId", "The key "+authorization+" is not known.")
	case s.dialect.Region != "" && !strings.Contains(authorization, "/"+s.dialect.Region+"/s3/"):
		s.fail(r.w, http.StatusBadRequest, "AuthorizationHeaderMalformed", fmt.Sprintf("The authorization header is malformed; the region is wrong; expecting '%s'", s.dialect.Region))
	case bucket != s.Bucket:
		s.fail(r.w, http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist.")
	case s.dialect.RefuseTrailers && strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-"):
		s.fail(r.w, http.StatusNotImplemented, "NotImplemented", "A header you provided implies functionality that is not implemented.")
	case s.dialect.RequireMD5 && (r.Method == http.MethodPut) && r.Header.Get("Content-Md5") == "":
		s.fail(r.w, http.StatusBadRequest, "MissingContentMD5", "Missing required header for this request: Content-MD5.")
	default:
		return true
	}
	return false
}

// readBody takes the body of a write and compares it with the hash that the
// request was signed with.
func (s *S3Server) readBody(r *s3Request, operation string, fault s3Struck) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	sum := sha256.New()
	var to io.Writer = sum
	var kept strings.Builder
	forget := s.dialect.Forget && operation == UploadPart
	if !forget {
		to = io.MultiWriter(sum, &kept)
	}
	n, err := io.Copy(to, fault.slow(r.Body))
	if err != nil || r.ContentLength >= 0 && n != r.ContentLength {
		s.fail(r.w, http.StatusBadRequest, "IncompleteBody", "You did not provide the number of bytes you promised.")
		return false
	}
	if claimed := r.Header.Get("X-Amz-Content-Sha256"); len(claimed) == 64 && claimed != hex.EncodeToString(sum.Sum(nil)) {
		s.fail(r.w, http.StatusBadRequest, "XAmzContentSHA256Mismatch", "The provided x-amz-content-sha256 header does not match what was computed.")
		return false
	}
	r.body, r.size = []byte(kept.String()), n
	return true
}

func (s *S3Server) fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(struct { // a client that has gone need not hear it
		XMLName       xml.Name `xml:"Error"`
		Code, Message string
	}{Code: code, Message: message})
}

func writeXML(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(v) // as above
}

func number(text string, otherwise int) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return otherwise
	}
	return n
}
