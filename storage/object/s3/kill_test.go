package s3_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
	"github.com/ghosteam/upkeep/storage/object/s3"
)

// uploadForever is the process that gets killed: it stores a stream without an
// end.
func uploadForever() bool {
	endpoint := os.Getenv("UPKEEP_TEST_VICTIM")
	if endpoint == "" {
		return false
	}
	o := s3.Defaults()
	o.Profile, o.Endpoint, o.Bucket, o.Prefix = "generic", endpoint, "hostile", "prod"
	o.AccessKey, o.SecretKey = secret.New(os.Getenv("VICTIM_KEY")), secret.New(os.Getenv("VICTIM_SECRET"))
	o.PartSize, o.RetryDelay = 5<<20, unit.Duration(time.Millisecond)
	store, err := s3.Open("offsite", o)
	if err != nil {
		fmt.Println(err)
		return true
	}
	_, err = store.Put(context.Background(), "a/long", readerFunc(func(p []byte) (int, error) { return len(p), nil }), object.PutOptions{IfAbsent: true})
	fmt.Println(err)
	return true
}

// A process that is killed at any request of an upload leaves nothing that a
// sweep does not find, and the sweep touches nobody else's.
func TestKilledUploadsAreSwept(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]objecttest.S3Fault{
		"before the note":       {Operation: objecttest.PutObject, Key: "uploads/"},
		"after the note":        {Operation: objecttest.CreateUpload},
		"the id not yet known":  {Operation: objecttest.CreateUpload, AfterWork: true, Reset: true},
		"the id not yet noted":  {Operation: objecttest.PutObject, Key: "uploads/", Call: 2},
		"before the first part": {Operation: objecttest.UploadPart},
		"among the parts":       {Operation: objecttest.UploadPart, Call: 7},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			struck := make(chan struct{}, 1000)
			hold := make(chan struct{})
			fault.Do = func() { struck <- struct{}{}; <-hold }
			fault.Forever = true
			if fault.Status == 0 && !fault.Reset {
				fault.Reset = true
			}
			server := objecttest.NewS3Server(t, objecttest.S3Dialect{})
			server.Bucket = "hostile"
			victim := exec.CommandContext(t.Context(), os.Args[0])
			victim.Env = append(os.Environ(), "UPKEEP_TEST_VICTIM="+server.URL, "VICTIM_KEY="+server.AccessKey, "VICTIM_SECRET="+server.SecretKey)
			if fault.AfterWork {
				// The work is done before the process dies: it is struck at the
				// next attempt.
				server.Arm(t, objecttest.S3Fault{Operation: fault.Operation, AfterWork: true, Reset: true})
				fault.Call, fault.AfterWork = 2, false
			}
			server.Arm(t, fault)
			out, err := victim.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := victim.Start(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-struck:
			case <-time.After(time.Minute):
				t.Error("the process never came so far")
			}
			if err := victim.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			for lines := bufio.NewScanner(out); lines.Scan(); {
				t.Errorf("the process said %q before it was killed", lines.Text())
			}
			_ = victim.Wait() // it was killed
			close(hold)
			server.Wait()
			server.Disarm()
			afterKill(t, server)
		})
	}
}

func afterKill(t *testing.T, server *objecttest.S3Server) {
	t.Helper()
	server.Foreign("prod/a/long", "somebody else's") // older and younger than ours
	server.Foreign("prod/a/longer", "")
	server.Foreign("other/a/long", "")
	store := open(t, hostile(server))
	server.Age(48 * time.Hour)
	found, err := store.Unfinished(t.Context(), time.Now().Add(-24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range found {
		if err := store.Discard(t.Context(), u); err != nil {
			t.Errorf("Discard: %v", err)
		}
	}
	if keys := server.Keys(); len(keys) != 0 {
		t.Errorf("objects left: %q", keys)
	}
	if got := strings.Join(server.Uploads(), " "); got != "other/a/long prod/a/long prod/a/longer" {
		t.Errorf("uploads afterwards: %s; want exactly those of others", got)
	}
}

// A sweep keeps its hands off an upload that still grows, and a note that says
// nothing it can trust.
func TestSweepKeeps(t *testing.T) {
	t.Parallel()
	server := objecttest.NewS3Server(t, objecttest.S3Dialect{})
	store := open(t, hostile(server))
	for name, text := range map[string]string{
		"aaaaaaaaaaaaaaaa": `{"token":"aaaaaaaaaaaaaaaa","key":"elsewhere/x","upload":"1"}`, // not below our prefix
		"bbbbbbbbbbbbbbbb": `{"token":"other","key":"prod/x","upload":"1"}`,
		"cccccccccccccccc": `not JSON`,
	} {
		server.Plant("prod/.upkeep-uploads/"+name+".json", text)
	}
	server.Foreign("elsewhere/x", "")
	server.Age(48 * time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sent, stop := make(chan struct{}), make(chan struct{})
	n := 0
	ended := make(chan error)
	go func() {
		_, err := store.Put(ctx, "a/slow", readerFunc(func(p []byte) (int, error) {
			if n += len(p); n > 30<<20 && n-len(p) <= 30<<20 {
				close(sent)
				<-stop
			}
			return len(p), nil
		}), object.PutOptions{})
		ended <- err
	}()
	<-sent
	// Its note is old, its parts are not.
	server.AgeObjects(48 * time.Hour)
	found, err := store.Unfinished(t.Context(), time.Now().Add(-24*time.Hour))
	if err != nil || len(found) != 0 {
		t.Errorf("Unfinished = %+v, %v", found, err)
	}
	if err := store.Discard(t.Context(), object.Unfinished{Name: "../../x"}); err == nil {
		t.Error("a name that is none was accepted")
	}
	cancel()
	close(stop)
	if err := <-ended; err == nil {
		t.Error("the canceled Put succeeded")
	}
	if got := server.Uploads(); len(got) != 1 || got[0] != "elsewhere/x" || len(server.Keys()) != 3 {
		t.Errorf("left: uploads %q, objects %q", got, server.Keys())
	}
}
