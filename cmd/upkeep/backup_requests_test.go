package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// stocked is a bucket with so many artifacts of daily.app, one a day, of which
// every tenth was proven once more, and a configuration that keeps seven.
func stocked(t *testing.T, server *objecttest.S3Server, n int) (config string) {
	t.Helper()
	digest := object.Digest{Bytes: 4, SHA256: strings.Repeat("e3", 32)}
	for i := range n {
		made := time.Now().UTC().Add(-time.Duration(n-i) * 24 * time.Hour)
		m := object.Manifest{
			ID: made.Format("20060102-150405.000") + "-aaaaaaaaaa", Kind: "sqlitebackup", Workflow: "daily", Job: "app",
			Started: made, Created: made, Proven: made, Level: object.L2, Details: json.RawMessage(`{"tables":[]}`),
			Streams: []object.Stream{{Name: "database.sqlite", Plain: digest, Compression: "none", Parts: []object.Part{{Name: "database.sqlite", Digest: digest}}}},
		}
		m.Set = m.ID
		text, err := object.EncodeManifest(m)
		if err != nil {
			t.Fatal(err)
		}
		dir := "prod/daily/app/" + m.ID + "/"
		server.Plant(dir+"database.sqlite", "body")
		server.Plant(dir+"manifest.json", string(text))
		if i%10 == 0 {
			server.Plant(dir+"proof.json", fmt.Sprintf(`{"id":%q,"level":"L2","time":%q}`, m.ID, made.Format(time.RFC3339)))
		}
	}
	config = filepath.Join(t.TempDir(), "upkeep.yaml")
	text := fmt.Sprintf(`
timezone: UTC
stores:
  offsite: {kind: s3, profile: generic, endpoint: %q, bucket: %s, prefix: prod, access_key: %s, secret_key: %s}
workflows:
  daily:
    jobs:
      app: {kind: sqlitebackup, with: {path: app.db, store: offsite, keep: {daily: 7}}}
`, server.URL, server.Bucket, server.AccessKey, server.SecretKey)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

// `backup list` and `backup prune` read a thousand artifacts in one pass: the
// bucket is listed once, each manifest and each proof is read once, several at
// a time.
func TestBackup_OnePass(t *testing.T) {
	t.Parallel()
	const artifacts = 1000
	server := objecttest.NewS3Server(t, objecttest.S3Dialect{})
	config := stocked(t, server, artifacts)
	counts := func() (lists, gets int) {
		return server.Requests(objecttest.ListObjects), server.Requests(objecttest.GetObject)
	}
	for _, command := range []string{"list", "prune"} {
		lists, gets := counts()
		var found []struct {
			Retention string `json:"retention"`
		}
		if err := json.Unmarshal([]byte(call(t, 0, "-c", config, "backup", command, "-o", "json")), &found); err != nil {
			t.Fatal(err)
		}
		wanted, last := artifacts, "remove" // the oldest 50, by max_remove
		if command == "list" {
			wanted, last = 50, "keep"
		}
		if len(found) != wanted || found[0].Retention != "keep" || found[wanted-1].Retention != last {
			t.Errorf("%s: %d artifacts, the first %+v, the last %+v", command, len(found), found[0], found[len(found)-1])
		}
		newLists, newGets := counts()
		if newLists-lists != 3 || newGets-gets != artifacts+artifacts/10 {
			t.Errorf("%s: %d pages of a list, %d objects read", command, newLists-lists, newGets-gets)
		}
	}
	if peak := server.Peak(); peak < 2 || peak > 16 {
		t.Errorf("%d requests at once", peak)
	}
}
