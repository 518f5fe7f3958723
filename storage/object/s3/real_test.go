package s3_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
	"github.com/ghosteam/upkeep/storage/object/s3"
)

// publish stores content as an artifact of one stream.
func publish(ctx context.Context, store object.Store, content []byte) (*object.Artifact, error) {
	now := time.Now().UTC()
	p, err := object.Begin(ctx, store, object.Manifest{
		ID: object.NewID(now), Set: object.NewID(now), Kind: "archive", Workflow: "daily", Job: "backup", Run: "r", Attempt: 1, Node: "n", Upkeep: "test", Started: now,
	})
	if err != nil {
		return nil, err
	}
	parts, err := p.Stream(ctx, "data", bytes.NewReader(content))
	if err != nil {
		return nil, errors.Join(err, p.Abort(context.WithoutCancel(ctx)))
	}
	sum := sha256.Sum256(content)
	a, err := p.Commit(ctx, object.Content{Streams: []object.Stream{{
		Name: "data", Compression: "none", Plain: object.Digest{Bytes: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}, Parts: parts,
	}}}, object.L1, nil)
	if err != nil {
		return nil, errors.Join(err, p.Abort(context.WithoutCancel(ctx)))
	}
	return a, nil
}

// A long stream becomes volumes, which the manifest lists, and a byte that
// changes on the server's disk is found.
func TestVolumes(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.Volume = 10 << 20
	store := open(t, o)
	for size, want := range map[int]int{0: 1, 100: 1, 10 << 20: 1, 10<<20 + 1: 2, 25 << 20: 3} {
		content := body(size)
		a, err := publish(t.Context(), store, content)
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		found, err := object.Find(t.Context(), store, a.Manifest.ID)
		if err != nil {
			t.Fatal(err)
		}
		parts := found.Manifest.Streams[0].Parts
		var names []string
		for _, p := range parts {
			names = append(names, p.Name)
		}
		if len(parts) != want || parts[0].Name != "data" || want > 1 && parts[1].Name != "data.00002" {
			t.Errorf("%d bytes became %q", size, names)
		}
		var got []byte
		if err := found.Read(t.Context(), "data", func(r io.Reader) error {
			var err error
			got, err = io.ReadAll(r)
			return err
		}); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes came back as %d, %v", size, len(got), err)
		}
		if want == 3 {
			flip(t, filepath.Join(env(t, "UPKEEP_TEST_S3_DIR"), o.Bucket, "prod", found.Dir(), parts[1].Name))
			again, err := object.Find(t.Context(), store, a.Manifest.ID)
			if err != nil {
				t.Fatal(err)
			}
			if err := again.Verify(t.Context(), object.L1); !errors.Is(err, object.ErrDamaged) {
				t.Errorf("a flipped byte on the server: %v", err)
			}
			if err := again.Verify(t.Context(), object.L0); err != nil {
				t.Errorf("L0 of it: %v", err)
			}
		}
		if err := found.Remove(t.Context()); err != nil {
			t.Errorf("Remove: %v", err)
		}
	}
	nothingLeft(t, o)
}

func flip(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	one := []byte{0}
	_, err = f.ReadAt(one, 12345)
	one[0] ^= 1
	_, err2 := f.WriteAt(one, 12345)
	if err := errors.Join(err, err2, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// nothingLeft looks into the bucket with other eyes than ours.
func nothingLeft(t *testing.T, o s3.Options) {
	t.Helper()
	client := raw(t)
	uploads, err := client.ListMultipartUploads(t.Context(), &sdk.ListMultipartUploadsInput{Bucket: &o.Bucket})
	if err != nil || len(uploads.Uploads) != 0 {
		t.Errorf("uploads left: %v, %v", uploads, err)
	}
	objects, err := client.ListObjectsV2(t.Context(), &sdk.ListObjectsV2Input{Bucket: &o.Bucket})
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range objects.Contents {
		t.Errorf("left in the bucket: %s", aws.ToString(item.Key))
	}
	dir := filepath.Join(env(t, "UPKEEP_TEST_S3_DIR"), o.Bucket)
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("left on the server's disk: %s", path)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// A canceled upload to the real server leaves nothing.
func TestCanceledUploads(t *testing.T) {
	t.Parallel()
	o := options(t)
	store := open(t, o)
	stop, broken := errors.New("stop"), errors.New("producer died")
	for i := range 6 {
		ctx, cancel := context.WithCancelCause(t.Context())
		n := 0
		_, err := store.Put(ctx, fmt.Sprintf("a/%d", i), readerFunc(func(p []byte) (int, error) {
			if n += len(p); n > (12+4*i)<<20 {
				if i%2 == 1 {
					return 0, broken
				}
				cancel(stop)
			}
			return len(p), nil
		}), object.PutOptions{})
		if !errors.Is(err, stop) && !errors.Is(err, broken) {
			t.Errorf("Put: %v", err)
		}
		cancel(nil)
	}
	nothingLeft(t, o)
}

// What a crash left on the real server is swept, and what others began is not.
func TestSweepOnTheRealServer(t *testing.T) {
	t.Parallel()
	o := options(t)
	store := open(t, o)
	client := raw(t)
	begin := func(key string, part bool) string {
		out, err := client.CreateMultipartUpload(t.Context(), &sdk.CreateMultipartUploadInput{Bucket: &o.Bucket, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		if part {
			if _, err := client.UploadPart(t.Context(), &sdk.UploadPartInput{Bucket: &o.Bucket, Key: &key, UploadId: out.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("x")}); err != nil {
				t.Fatal(err)
			}
		}
		return aws.ToString(out.UploadId)
	}
	note := func(token, key, upload string) {
		text := fmt.Sprintf(`{"token":%q,"key":%q,"upload":%q,"since":%q}`, token, key, upload, time.Now().UTC().Format(time.RFC3339))
		if _, err := client.PutObject(t.Context(), &sdk.PutObjectInput{Bucket: &o.Bucket, Key: aws.String("prod/.upkeep-uploads/" + token + ".json"), Body: strings.NewReader(text)}); err != nil {
			t.Fatal(err)
		}
	}
	note("aaaaaaaaaaaaaaaa", "prod/known", begin("prod/known", true))
	begin("prod/unknown", false)
	note("bbbbbbbbbbbbbbbb", "prod/unknown", "")
	note("cccccccccccccccc", "prod/ended", "no-such-upload")
	foreign := begin("prod/foreign", true)
	begin("prod/known/not", false)
	found, err := store.Unfinished(t.Context(), time.Now().Add(time.Minute))
	if err != nil || len(found) != 3 {
		t.Fatalf("Unfinished = %+v, %v", found, err)
	}
	for _, u := range found {
		if err := store.Discard(t.Context(), u); err != nil {
			t.Errorf("Discard: %v", err)
		}
	}
	uploads, err := client.ListMultipartUploads(t.Context(), &sdk.ListMultipartUploadsInput{Bucket: &o.Bucket})
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, u := range uploads.Uploads {
		left = append(left, aws.ToString(u.Key))
	}
	if diff := cmp.Diff([]string{"prod/foreign", "prod/known/not"}, left); diff != "" {
		t.Errorf("uploads afterwards (-want +got):\n%s (foreign %s)", diff, foreign)
	}
	if again, err := store.Unfinished(t.Context(), time.Now().Add(time.Minute)); err != nil || len(again) != 0 {
		t.Errorf("afterwards Unfinished = %+v, %v", again, err)
	}
}

// Whatever is wrong is said by its name, with advice, and without a secret.
func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	good := options(t)
	hidden := "s3cr3t-s3cr3t-s3cr3t-s3cr3t"
	for name, tt := range map[string]struct {
		change func(*s3.Options)
		is     error
		hint   string
	}{
		"secret":   {func(o *s3.Options) { o.SecretKey = secret.New(hidden) }, object.ErrDenied, "access_key of the configuration"},
		"key":      {func(o *s3.Options) { o.AccessKey = secret.New(hidden) }, object.ErrDenied, "credentials"},
		"bucket":   {func(o *s3.Options) { o.Bucket = "there-is-no-such-bucket" }, object.ErrWrongPlace, "bucket"},
		"endpoint": {func(o *s3.Options) { o.Endpoint = "http://127.0.0.1:1" }, object.ErrUnreachable, "endpoint"},
		"name":     {func(o *s3.Options) { o.Endpoint = "https://no-such-host.invalid" }, object.ErrUnreachable, "endpoint"},
		"tls":      {func(o *s3.Options) { o.Endpoint = strings.Replace(o.Endpoint, "http:", "https:", 1) }, object.ErrUnreachable, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := good
			o.Attempts = 2
			tt.change(&o)
			store := open(t, o)
			_, putErr := store.Put(t.Context(), "a", strings.NewReader("x"), object.PutOptions{})
			_, _, getErr := store.Get(t.Context(), "a")
			var listErr error
			for _, err := range store.List(t.Context(), "") {
				listErr = err
			}
			for call, err := range map[string]error{"check": store.Check(t.Context()), "put": putErr, "get": getErr, "list": listErr} {
				if !errors.Is(err, tt.is) || !strings.Contains(hintOf(err), tt.hint) {
					t.Errorf("%s: %v (hint: %s)", call, err, hintOf(err))
				}
				if text := fmt.Sprintf("%v %+v %#v %s", err, err, err, hintOf(err)); strings.Contains(text, hidden) || strings.Contains(text, env(t, "UPKEEP_TEST_S3_SECRET_KEY")) {
					t.Errorf("%s: a secret is in %s", call, text)
				}
			}
		})
	}
}

func TestDeleteAll(t *testing.T) {
	t.Parallel()
	server := objecttest.NewS3Server(t, objecttest.S3Dialect{})
	for name, o := range map[string]s3.Options{"real": options(t), "hostile": hostile(server)} {
		store := open(t, o)
		keys := []string{"a/1", "a/2", "a/not-there", "a/ü&<>"}
		for _, key := range append(keys[:2:2], keys[3], "a/stays") {
			if _, err := store.Put(t.Context(), key, strings.NewReader("x"), object.PutOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := store.DeleteAll(t.Context(), keys); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name == "real" {
			for info, err := range store.List(t.Context(), "") {
				if err != nil || info.Key != "a/stays" {
					t.Errorf("left %s, %v", info.Key, err)
				}
			}
			continue
		}
		server.Plant("prod/a/undeletable", "x")
		err := store.DeleteAll(t.Context(), []string{"a/stays", "a/undeletable"})
		if !errors.Is(err, object.ErrDenied) || !strings.Contains(err.Error(), "a/undeletable") || strings.Contains(err.Error(), "a/stays") {
			t.Errorf("one of two that cannot go: %v", err)
		}
		clean(t, server, "prod/a/undeletable")
	}
}

func TestGetRange(t *testing.T) {
	t.Parallel()
	o := options(t)
	store := open(t, o)
	content := body(6 << 20)
	if _, err := store.Put(t.Context(), "a", bytes.NewReader(content), object.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, at := range [][2]int64{{0, 1}, {5, 100}, {5<<20 - 3, 10}, {6<<20 - 5, 100}} {
		r, err := store.GetRange(t.Context(), "a", at[0], at[1])
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, content[at[0]:min(at[0]+at[1], int64(len(content)))]) {
			t.Errorf("range %v: %d bytes, %v", at, len(got), err)
		}
	}
	if _, err := store.GetRange(t.Context(), "nothing", 0, 1); !errors.Is(err, object.ErrNotFound) {
		t.Errorf("range of nothing: %v", err)
	}
}

// A bucket with foreign objects, more than a page of ours and keys that XML
// cannot hold is listed as it is.
func TestPages(t *testing.T) {
	t.Parallel()
	server := objecttest.NewS3Server(t, objecttest.S3Dialect{})
	store := open(t, hostile(server))
	var want []string
	for i := range 2345 {
		key := fmt.Sprintf("a/%05d", i)
		server.Plant("prod/"+key, "x")
		want = append(want, key)
	}
	server.Plant("prod/a/\x01", "control")
	server.Plant("prod/.upkeep-uploads/aaaaaaaaaaaaaaaa.json", "{}")
	server.Plant("prod", "beside")
	server.Plant("other/a", "beside")
	var got []string
	for info, err := range store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, info.Key)
	}
	if diff := cmp.Diff(want, got); diff != "" || server.Requests(objecttest.ListObjects) != 3 {
		t.Errorf("%d requests, (-want +got):\n%s", server.Requests(objecttest.ListObjects), diff)
	}
}

// Stores that return nothing, old bytes or an error never make an artifact.
func TestStoresThatLie(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string][]objecttest.S3Fault{
		"nothing":         {{Operation: objecttest.GetObject, Key: "/data", Forever: true, Body: func([]byte) []byte { return nil }}},
		"old bytes":       {{Operation: objecttest.GetObject, Key: "/data", Forever: true, Body: func(b []byte) []byte { return bytes.ToUpper(b) }}},
		"an error":        {{Operation: objecttest.GetObject, Key: "/data", Forever: true, Status: 500, Code: "InternalError"}},
		"loses puts":      {{Operation: objecttest.PutObject, Key: "/data", Lose: true}},
		"loses manifests": {{Operation: objecttest.PutObject, Key: "manifest", Lose: true}},
		"old manifest":    {{Operation: objecttest.GetObject, Key: "manifest", Forever: true, Body: func([]byte) []byte { return []byte("{}") }}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := objecttest.NewS3Server(t, objecttest.S3Dialect{}, faults...)
			if a, err := publish(t.Context(), open(t, hostile(server)), []byte("all the rows")); err == nil {
				t.Errorf("published %s", a.Manifest.ID)
			}
			for _, key := range server.Keys() {
				if strings.Contains(key, "manifest") {
					t.Errorf("there is a manifest: %s", key)
				}
			}
		})
	}
}
