package objecttest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
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

	s3Faults
	dialect S3Dialect
	http    *httptest.Server

	mu      sync.Mutex
	objects map[string]s3Object
	uploads map[string]*s3Upload
	busy    int
	peak    int
	headers []http.Header
	cut     bool
	active  sync.WaitGroup
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
		dialect: dialect, objects: map[string]s3Object{}, uploads: map[string]*s3Upload{},
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

// Peak returns how many requests were answered at once at most.
func (s *S3Server) Peak() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peak
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
