package objecttest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
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

// s3Place returns the bucket and the key that a request is about.
func s3Place(r *http.Request) (bucket, key string, err error) {
	path, err := url.PathUnescape(r.URL.EscapedPath())
	bucket, key, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return bucket, key, err
}

// s3Operation names a request.
func s3Operation(r *http.Request, key string) string {
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
	s.busy++
	s.peak = max(s.peak, s.busy)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.busy--
	}()
	if broken {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Date", time.Now().Add(s.dialect.Clock).UTC().Format(http.TimeFormat))
	bucket, key, err := s3Place(r)
	if err != nil {
		s3Fail(w, http.StatusBadRequest, "InvalidURI", err.Error())
		return
	}
	operation := s3Operation(r, key)
	fault := s.strike(operation, key)
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
		fault.fail(w)
		return
	}
	s.answer(req, operation, fault)
}

// admit judges credentials, bucket, region and dialect.
func (s *S3Server) admit(r *s3Request, bucket string) bool {
	authorization := r.Header.Get("Authorization")
	switch {
	case !strings.Contains(authorization, "Credential="+s.AccessKey+"/"):
		s3Fail(r.w, http.StatusForbidden, "InvalidAccessKeyId", "The key "+authorization+" is not known.")
	case s.dialect.Region != "" && !strings.Contains(authorization, "/"+s.dialect.Region+"/s3/"):
		s3Fail(r.w, http.StatusBadRequest, "AuthorizationHeaderMalformed", fmt.Sprintf("The authorization header is malformed; the region is wrong; expecting '%s'", s.dialect.Region))
	case bucket != s.Bucket:
		s3Fail(r.w, http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist.")
	case s.dialect.RefuseTrailers && strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-"):
		s3Fail(r.w, http.StatusNotImplemented, "NotImplemented", "A header you provided implies functionality that is not implemented.")
	case s.dialect.RequireMD5 && (r.Method == http.MethodPut) && r.Header.Get("Content-Md5") == "":
		s3Fail(r.w, http.StatusBadRequest, "MissingContentMD5", "Missing required header for this request: Content-MD5.")
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
		s3Fail(r.w, http.StatusBadRequest, "IncompleteBody", "You did not provide the number of bytes you promised.")
		return false
	}
	if claimed := r.Header.Get("X-Amz-Content-Sha256"); len(claimed) == 64 && claimed != hex.EncodeToString(sum.Sum(nil)) {
		s3Fail(r.w, http.StatusBadRequest, "XAmzContentSHA256Mismatch", "The provided x-amz-content-sha256 header does not match what was computed.")
		return false
	}
	r.body, r.size = []byte(kept.String()), n
	return true
}

func s3Fail(w http.ResponseWriter, status int, code, message string) {
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
