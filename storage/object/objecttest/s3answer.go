package objecttest

import (
	"bytes"
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// answer does what a request asks for.
func (s *S3Server) answer(r *s3Request, operation string, fault s3Struck) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch operation {
	case PutObject:
		s.putObject(r, fault)
	case GetObject, HeadObject:
		s.getObject(r, operation, fault)
	case DeleteObject:
		s.deleteObject(r, fault)
	case DeleteObjects:
		s.deleteObjects(r)
	case ListObjects:
		s.listObjects(r, fault)
	case CreateUpload:
		s.createUpload(r)
	case UploadPart:
		s.uploadPart(r, fault)
	case CompleteUpload:
		s.completeUpload(r, fault)
	case AbortUpload:
		s.abortUpload(r)
	case ListUploads:
		s.listUploads(r)
	case ListParts:
		s.listParts(r)
	case GetLockOfBucket:
		s.lockOfBucket(r)
	default:
		s3Fail(r.w, http.StatusNotImplemented, "NotImplemented", r.Method+" "+r.URL.String())
	}
}

func (s *S3Server) meta(h http.Header) map[string]string {
	out := map[string]string{}
	for name, values := range h {
		if strings.HasPrefix(name, "X-Amz-Meta-") && !s.dialect.NoMetadata {
			out[name] = values[0]
		}
	}
	return out
}

func lockIn(h http.Header) time.Time {
	until, err := time.Parse(time.RFC3339, h.Get("X-Amz-Object-Lock-Retain-Until-Date"))
	if err != nil {
		return time.Time{}
	}
	return until
}

// condition judges If-None-Match and tells whether the request may go on.
func (s *S3Server) condition(r *s3Request) bool {
	if r.Header.Get("If-None-Match") == "" || s.dialect.Condition == "ignore" {
		return true
	}
	if s.dialect.Condition == "refuse" {
		s3Fail(r.w, http.StatusNotImplemented, "NotImplemented", "If-None-Match")
		return false
	}
	if _, ok := s.objects[r.key]; ok {
		s3Fail(r.w, http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the preconditions did not hold.")
		return false
	}
	return true
}

func (s *S3Server) putObject(r *s3Request, fault s3Struck) {
	if !s.condition(r) {
		return
	}
	o := s.object(r.body, r.size)
	o.meta, o.locked = s.meta(r.Header), lockIn(r.Header)
	if !fault.Lose {
		s.objects[r.key] = o
	}
	r.w.Header().Set("ETag", orElse(fault.ETag, o.etag))
}

func orElse(text, otherwise string) string {
	if text != "" {
		return text
	}
	return otherwise
}

func (s *S3Server) getObject(r *s3Request, operation string, fault s3Struck) {
	o, ok := s.objects[r.key]
	if !ok {
		s3Fail(r.w, http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
		return
	}
	if match := r.Header.Get("If-Match"); match != "" && match != o.etag {
		s3Fail(r.w, http.StatusPreconditionFailed, "PreconditionFailed", "If-Match")
		return
	}
	body, length := o.body, o.length
	if fault.Body != nil {
		body = fault.Body(slices.Clone(body))
		length = int64(len(body))
	}
	h := r.w.Header()
	for name, value := range o.meta {
		h.Set(name, value)
	}
	if !o.locked.IsZero() {
		h.Set("X-Amz-Object-Lock-Mode", "GOVERNANCE")
		h.Set("X-Amz-Object-Lock-Retain-Until-Date", o.locked.UTC().Format(time.RFC3339))
	}
	h.Set("ETag", orElse(fault.ETag, o.etag))
	h.Set("Last-Modified", o.modified.Format(http.TimeFormat))
	status := http.StatusOK
	if asked := r.Header.Get("Range"); asked != "" {
		from, to, ok := parseRange(asked, length)
		if !ok {
			s3Fail(r.w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange", asked)
			return
		}
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, length))
		body, length, status = body[from:to], to-from, http.StatusPartialContent
	}
	h.Set("Content-Length", strconv.FormatInt(length, 10))
	r.w.WriteHeader(status)
	if operation == HeadObject {
		return
	}
	var w io.Writer = r.w
	if fault.CutAfter > 0 {
		w = &cut{Writer: w, left: fault.CutAfter}
	}
	// The reader may be slow, and others must not wait for it.
	s.mu.Unlock()
	defer s.mu.Lock()
	_, _ = io.Copy(w, bytes.NewReader(body)) // a client that has gone need not have it
}

func parseRange(text string, length int64) (from, to int64, ok bool) {
	first, last, ok := strings.Cut(strings.TrimPrefix(text, "bytes="), "-")
	from, err := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	if !ok || err != nil || err2 != nil || from >= length || to < from {
		return 0, 0, false
	}
	return from, min(to+1, length), true
}

func (s *S3Server) deleteObject(r *s3Request, fault s3Struck) {
	if o, ok := s.objects[r.key]; ok && o.locked.After(time.Now()) {
		s3Fail(r.w, http.StatusForbidden, "AccessDenied", "Access Denied because object protected by object lock.")
		return
	}
	if !fault.Lose {
		delete(s.objects, r.key)
	}
	r.w.WriteHeader(http.StatusNoContent)
}

func (s *S3Server) deleteObjects(r *s3Request) {
	var in struct {
		Object []struct{ Key string }
	}
	if err := xml.Unmarshal(r.body, &in); err != nil || r.Header.Get("Content-Md5") == "" {
		s3Fail(r.w, http.StatusBadRequest, "InvalidRequest", "Missing required header for this request: Content-MD5.")
		return
	}
	type failure struct{ Key, Code, Message string }
	out := struct {
		XMLName xml.Name `xml:"DeleteResult"`
		Error   []failure
	}{}
	for _, o := range in.Object {
		if strings.Contains(o.Key, "undeletable") {
			out.Error = append(out.Error, failure{o.Key, "AccessDenied", "Access Denied"})
			continue
		}
		delete(s.objects, o.Key)
	}
	writeXML(r.w, out)
}

func (s *S3Server) listObjects(r *s3Request, fault s3Struck) {
	q := r.URL.Query()
	size := min(number(q.Get("max-keys"), 1000), orElseNumber(s.dialect.PageSize, 1000))
	type entry struct {
		Key, LastModified, ETag string
		Size                    int64
	}
	out := struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
		EncodingType          string `xml:",omitempty"`
		Contents              []entry
	}{EncodingType: q.Get("encoding-type")}
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		if !strings.HasPrefix(key, q.Get("prefix")) || key <= q.Get("continuation-token") || fault.Hide != nil && fault.Hide(key) {
			continue
		}
		if len(out.Contents) == size {
			out.IsTruncated = true
			break
		}
		o := s.objects[key]
		out.NextContinuationToken = key
		out.Contents = append(out.Contents, entry{url.QueryEscape(key), o.modified.Format(time.RFC3339), o.etag, o.length})
	}
	if !out.IsTruncated {
		out.NextContinuationToken = ""
	}
	if fault.Repeat && len(out.Contents) > 0 {
		out.Contents = append(out.Contents, out.Contents[0])
	}
	writeXML(r.w, out)
}

func orElseNumber(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}

func (s *S3Server) createUpload(r *s3Request) {
	id := rand.Text()
	s.uploads[id] = &s3Upload{key: r.key, meta: s.meta(r.Header), locked: lockIn(r.Header), initiated: time.Now().UTC(), parts: map[int]s3Object{}}
	writeXML(r.w, struct {
		XMLName     xml.Name `xml:"InitiateMultipartUploadResult"`
		Bucket, Key string
		UploadID    string `xml:"UploadId"`
	}{Bucket: s.Bucket, Key: r.key, UploadID: id})
}

// under returns the upload of a request, or answers that there is none.
func (s *S3Server) under(r *s3Request) (*s3Upload, bool) {
	u, ok := s.uploads[r.URL.Query().Get("uploadId")]
	if !ok || u.key != r.key {
		s3Fail(r.w, http.StatusNotFound, "NoSuchUpload", "The specified upload does not exist.")
		return nil, false
	}
	return u, true
}

func (s *S3Server) uploadPart(r *s3Request, fault s3Struck) {
	u, ok := s.under(r)
	if !ok {
		return
	}
	n := number(r.URL.Query().Get("partNumber"), 0)
	if n < 1 || n > orElseNumber(s.dialect.MaxParts, 10_000) {
		s3Fail(r.w, http.StatusBadRequest, "InvalidArgument", fmt.Sprintf("Part number must be an integer between 1 and %d, inclusive", s.dialect.MaxParts))
		return
	}
	o := s.object(r.body, r.size)
	if !fault.Lose {
		u.parts[n] = o
	}
	r.w.Header().Set("ETag", orElse(fault.ETag, o.etag))
}

func (s *S3Server) completeUpload(r *s3Request, fault s3Struck) {
	u, ok := s.under(r)
	if !ok || !s.condition(r) {
		return
	}
	var in struct {
		Part []struct {
			PartNumber int
			ETag       string
		}
	}
	if err := xml.Unmarshal(r.body, &in); err != nil || len(in.Part) == 0 {
		s3Fail(r.w, http.StatusBadRequest, "MalformedXML", "no parts")
		return
	}
	var whole s3Object
	first := u.parts[in.Part[0].PartNumber].length
	for i, p := range in.Part {
		part, ok := u.parts[p.PartNumber]
		last := i == len(in.Part)-1
		switch {
		case !ok || fault.ETag == "" && p.ETag != part.etag:
			s3Fail(r.w, http.StatusBadRequest, "InvalidPart", "One or more of the specified parts could not be found.")
			return
		case !last && part.length < 5<<20:
			s3Fail(r.w, http.StatusBadRequest, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
			return
		case s.dialect.EqualParts && (!last && part.length != first || part.length > first):
			s3Fail(r.w, http.StatusBadRequest, "InvalidPart", "All non-trailing parts must have the same length.")
			return
		}
		whole.body = append(whole.body, part.body...)
		whole.length += part.length
	}
	done := s.object(whole.body, whole.length)
	done.meta, done.locked = u.meta, u.locked
	if !fault.Lose {
		s.objects[r.key] = done
	}
	delete(s.uploads, r.URL.Query().Get("uploadId"))
	writeXML(r.w, struct {
		XMLName           xml.Name `xml:"CompleteMultipartUploadResult"`
		Bucket, Key, ETag string
	}{Bucket: s.Bucket, Key: r.key, ETag: done.etag})
}

func (s *S3Server) abortUpload(r *s3Request) {
	if _, ok := s.under(r); !ok {
		return
	}
	delete(s.uploads, r.URL.Query().Get("uploadId"))
	r.w.WriteHeader(http.StatusNoContent)
}

func (s *S3Server) listUploads(r *s3Request) {
	type entry struct {
		Key       string
		UploadID  string `xml:"UploadId"`
		Initiated string
	}
	out := struct {
		XMLName     xml.Name `xml:"ListMultipartUploadsResult"`
		IsTruncated bool
		Upload      []entry
	}{}
	for _, id := range slices.Sorted(maps.Keys(s.uploads)) {
		if u := s.uploads[id]; strings.HasPrefix(u.key, r.URL.Query().Get("prefix")) {
			out.Upload = append(out.Upload, entry{u.key, id, u.initiated.Format(time.RFC3339)})
		}
	}
	writeXML(r.w, out)
}

func (s *S3Server) listParts(r *s3Request) {
	u, ok := s.under(r)
	if !ok {
		return
	}
	type entry struct {
		PartNumber         int
		LastModified, ETag string
		Size               int64
	}
	out := struct {
		XMLName     xml.Name `xml:"ListPartsResult"`
		IsTruncated bool
		Part        []entry
	}{}
	for _, n := range slices.Sorted(maps.Keys(u.parts)) {
		p := u.parts[n]
		out.Part = append(out.Part, entry{n, p.modified.Format(time.RFC3339), p.etag, p.length})
	}
	writeXML(r.w, out)
}

func (s *S3Server) lockOfBucket(r *s3Request) {
	if !s.dialect.Locking {
		s3Fail(r.w, http.StatusNotFound, "ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket")
		return
	}
	writeXML(r.w, struct {
		XMLName           xml.Name `xml:"ObjectLockConfiguration"`
		ObjectLockEnabled string
	}{ObjectLockEnabled: "Enabled"})
}
