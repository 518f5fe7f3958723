package s3_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
	"github.com/ghosteam/upkeep/storage/object/s3"
)

func TestProbe(t *testing.T) {
	t.Parallel()
	there := options(t)
	want := []string{"connect", "clock", "put", "head", "get", "list", "conditional put", "delete", "multipart upload", "abort"}
	if diff := cmp.Diff(want, probes(t, open(t, there), nil)); diff != "" {
		t.Errorf("on the real server (-want +got):\n%s", diff)
	}
	nothingLeft(t, there)
	denied := func(operation string) []objecttest.S3Fault {
		return []objecttest.S3Fault{{Operation: operation, Forever: true, Status: http.StatusForbidden, Code: "AccessDenied"}}
	}
	for name, tt := range map[string]struct {
		dialect objecttest.S3Dialect
		faults  []objecttest.S3Fault
		lock    bool
		want    map[string]string // what fails, and the permission
	}{
		"put":               {faults: denied(objecttest.PutObject), want: map[string]string{"put": "s3:PutObject", "multipart upload": "s3:PutObject", "abort": "s3:PutObject"}},
		"list":              {faults: denied(objecttest.ListObjects), want: map[string]string{"connect": "s3:ListBucket", "list": "s3:ListBucket"}},
		"get":               {faults: denied(objecttest.GetObject), want: map[string]string{"get": "s3:GetObject"}},
		"delete":            {faults: denied(objecttest.DeleteObject), want: map[string]string{"delete": "s3:DeleteObject", "conditional put": "s3:DeleteObject", "multipart upload": "s3:DeleteObject", "abort": "s3:DeleteObject"}},
		"abort":             {faults: denied(objecttest.AbortUpload), want: map[string]string{"abort": "s3:AbortMultipartUpload"}},
		"uploads":           {faults: denied(objecttest.ListUploads), want: map[string]string{"abort": "s3:ListBucketMultipartUploads"}},
		"parts":             {faults: denied(objecttest.ListParts), want: map[string]string{"multipart upload": "s3:ListMultipartUploadParts", "abort": "s3:ListMultipartUploadParts"}},
		"condition ignored": {dialect: objecttest.S3Dialect{Condition: "ignore"}, want: map[string]string{"conditional put": ""}},
		"condition refused": {dialect: objecttest.S3Dialect{Condition: "refuse"}, want: map[string]string{}},
		"lying reads":       {faults: []objecttest.S3Fault{{Operation: objecttest.GetObject, Forever: true, Body: func([]byte) []byte { return []byte("old") }}}, want: map[string]string{"get": ""}},
		"no lock":           {lock: true, want: map[string]string{"object lock": ""}},
		"clock":             {dialect: objecttest.S3Dialect{Clock: 5 * time.Minute}, want: map[string]string{"clock": ""}},
		"lock":              {dialect: objecttest.S3Dialect{Locking: true, RequireMD5: true}, lock: true, want: map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := objecttest.NewS3Server(t, tt.dialect, tt.faults...)
			o := hostile(server)
			if tt.lock {
				o.ObjectLock = s3.ObjectLock{Mode: "compliance", Days: 3}
			}
			got := map[string]string{}
			probes(t, open(t, o), got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("what fails (-want +got):\n%s", diff)
			}
			if name != "delete" && name != "put" && name != "abort" && len(server.Keys()) != 0 {
				t.Errorf("left: %q", server.Keys())
			}
		})
	}
}

// probes returns the names of what was tried and notes what failed.
func probes(t *testing.T, store object.Prober, failed map[string]string) []string {
	t.Helper()
	var names []string
	for _, p := range store.Probe(t.Context()) {
		names = append(names, p.Name)
		switch {
		case p.Err != nil && failed == nil:
			t.Errorf("%s: %v", p.Name, p.Err)
		case p.Err != nil:
			failed[p.Name] = p.Permission
		}
	}
	return names
}

func TestObjectLock(t *testing.T) {
	t.Parallel()
	there := options(t)
	there.Bucket += "-lock"
	if _, err := raw(t).CreateBucket(t.Context(), &sdk.CreateBucketInput{Bucket: &there.Bucket, ObjectLockEnabledForBucket: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	server := objecttest.NewS3Server(t, objecttest.S3Dialect{Locking: true, RequireMD5: true})
	for name, o := range map[string]s3.Options{"real": there, "hostile": hostile(server)} {
		o.ObjectLock = s3.ObjectLock{Mode: "governance", Days: 2}
		store := open(t, o)
		a, err := publish(t.Context(), store, body(6<<20))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		err = a.Remove(t.Context())
		locked, ok := errors.AsType[*object.LockedError](err)
		if !ok || time.Until(locked.Until) < 47*time.Hour || time.Until(locked.Until) > 49*time.Hour {
			t.Fatalf("%s: Remove of a locked artifact: %v", name, err)
		}
		if err := a.Verify(t.Context(), object.L1); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := store.Delete(t.Context(), a.Info.Key); err == nil {
			t.Errorf("%s: a locked object was deleted", name)
		}
		for info, err := range store.List(t.Context(), "") {
			if err != nil || strings.Contains(info.Key, "unfinished") {
				t.Errorf("%s: left %s, %v", name, info.Key, err)
			}
		}
	}
}
