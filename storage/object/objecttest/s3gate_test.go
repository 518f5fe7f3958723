package objecttest_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// ask sends a request to the bucket of a server by way of a gate.
func ask(t *testing.T, server *objecttest.S3Server, gate *objecttest.S3Gate, method, key, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, gate.URL+"/"+server.Bucket+"/"+key, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Credential="+server.AccessKey+"/")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, ""
	}
	text, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return 0, ""
	}
	return response.StatusCode, string(text)
}

func TestS3Gate(t *testing.T) {
	t.Parallel()
	server := objecttest.NewS3Server(t, objecttest.S3Dialect{})
	done, heard := make(chan []string, 1), make(chan []string, 1)
	gate := objecttest.NewS3Gate(t, server.URL,
		objecttest.S3Fault{Operation: objecttest.PutObject, Key: "busy", Status: 503, Code: "SlowDown"},
		objecttest.S3Fault{
			Operation: objecttest.PutObject, Key: "lost", AfterWork: true, Reset: true,
			Do: func() { done <- server.Keys() }, Then: func() { heard <- server.Keys() },
		},
	)
	put := func(key string) int {
		status, _ := ask(t, server, gate, http.MethodPut, key, "body of "+key)
		return status
	}
	if got := []int{put("busy"), put("busy"), put("lost")}; !cmp.Equal(got, []int{503, 200, 0}) {
		t.Errorf("answers %v", got)
	}
	if before, after := <-done, <-heard; !cmp.Equal(before, []string{"busy"}) || !cmp.Equal(after, []string{"busy", "lost"}) {
		t.Errorf("before the work %q, after it %q", before, after)
	}
	if status, body := ask(t, server, gate, http.MethodGet, "lost", ""); status != 200 || body != "body of lost" {
		t.Errorf("%d, %q", status, body)
	}
	gate.Storm()
	if status := put("more"); status != 503 {
		t.Errorf("in a storm: %d", status)
	}
	gate.Cut()
	if status := put("more"); status != 0 {
		t.Errorf("through a cut: %d", status)
	}
	gate.Mend()
	if status := put("more"); status != 200 || len(server.Keys()) != 3 {
		t.Errorf("after the mending: %d, %q", status, server.Keys())
	}
	if n := gate.Requests(objecttest.PutObject); n < 5 {
		t.Errorf("%d requests were counted", n)
	}
}
