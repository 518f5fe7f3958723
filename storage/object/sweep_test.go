package object_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

func TestLeftovers(t *testing.T) {
	t.Parallel()
	store := objecttest.NewMemory("memory")
	put := func(key string) {
		if _, err := store.Put(t.Context(), key, strings.NewReader("{}"), object.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	begin := func() string {
		m := draft()
		p, err := object.Begin(t.Context(), store, m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Part(t.Context(), "data", strings.NewReader("half")); err != nil {
			t.Fatal(err)
		}
		return m.ID
	}
	dead := begin()
	good, err := publish(t.Context(), store, draft(), object.L1)
	if err != nil {
		t.Fatal(err)
	}
	foreign := []string{
		"daily/backup/" + object.NewID(time.Now()) + "/data",                // no marker
		"daily/backup/" + object.NewID(time.Now()) + "/unfinished.json",     // a marker that says nothing
		"elsewhere/unfinished.json", "daily/backup/readme", "manifest.json", // not of our form
	}
	for _, key := range foreign {
		put(key)
	}
	store.Age(48 * time.Hour)
	young := begin()
	left, err := object.Leftovers(t.Context(), store, "", time.Now().Add(-24*time.Hour))
	if err != nil || len(left) != 1 || left[0].Dir != "daily/backup/"+dead || left[0].Objects != 2 {
		t.Fatalf("Leftovers = %+v, %v; want only %s", left, err, dead)
	}
	for range 2 {
		if err := left[0].Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range append(foreign, "daily/backup/"+young+"/data", good.Info.Key) {
		if _, err := store.Stat(t.Context(), key); err != nil {
			t.Errorf("%s should have been kept: %v", key, err)
		}
	}
	for _, key := range store.Keys() {
		if strings.Contains(key, dead) {
			t.Errorf("%s should be gone", key)
		}
	}
}

func TestSweepAndPublicationMeet(t *testing.T) {
	t.Parallel()
	// A sweep strikes just before the manifest is written: the publication
	// must give up, and nothing half may stay.
	memory := objecttest.NewMemory("memory")
	m := draft()
	sweep := func() {
		left, err := object.Leftovers(t.Context(), memory, "", time.Now().Add(time.Hour))
		if err != nil || len(left) != 1 {
			t.Errorf("Leftovers = %+v, %v", left, err)
		}
		for _, l := range left {
			if err := l.Remove(t.Context()); err != nil {
				t.Errorf("Remove: %v", err)
			}
		}
	}
	before := objecttest.NewFaulty(t, memory, objecttest.Fault{Method: objecttest.Put, Key: "manifest", Do: sweep})
	if a, err := publish(t.Context(), before, m, object.L1); err == nil {
		t.Errorf("published %s although it was swept", a.Manifest.ID)
	}
	if keys := memory.Keys(); len(keys) != 0 {
		t.Errorf("left: %q", keys)
	}
	// It found the leftover before the manifest was written and strikes after:
	// the artifact must survive whole, or not be there at all.
	memory = objecttest.NewMemory("memory")
	var late []object.Leftover
	find := func() {
		var err error
		if late, err = object.Leftovers(t.Context(), memory, "", time.Now().Add(time.Hour)); err != nil {
			t.Error(err)
		}
	}
	strike := func() {
		if err := late[0].Remove(t.Context()); err != nil {
			t.Errorf("Remove: %v", err)
		}
	}
	m = draft()
	_, err := publish(t.Context(), objecttest.NewFaulty(t, memory,
		objecttest.Fault{Method: objecttest.Put, Key: "manifest", Do: find},
		objecttest.Fault{Method: objecttest.Get, Key: "unfinished", Do: strike}), m, object.L1)
	if err == nil {
		t.Error("published although a sweep had announced itself")
	}
	if got := artifacts(t, memory); len(got) != 0 {
		t.Errorf("artifacts %q exist", got)
	}
	memory = objecttest.NewMemory("memory")
	a, err := publish(t.Context(), objecttest.NewFaulty(t, memory,
		objecttest.Fault{Method: objecttest.Put, Key: "manifest", Do: find},
		objecttest.Fault{Method: objecttest.Delete, Key: "unfinished", Do: strike}), m, object.L1)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Verify(t.Context(), object.L0); err != nil {
		t.Errorf("a sweep that came too late damaged the artifact: %v", err)
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		faults []objecttest.Fault
		stays  bool
	}{
		"all well":                   {},
		"marker cannot be put":       {[]objecttest.Fault{{Method: objecttest.Put, Key: "unfinished", Call: 2, Err: broken}}, true},
		"manifest cannot be deleted": {[]objecttest.Fault{{Method: objecttest.Delete, Key: "manifest", Err: broken}}, true},
		"part cannot be deleted":     {[]objecttest.Fault{{Method: objecttest.Delete, Key: "data.2", Err: broken}}, false},
		"listing fails":              {[]objecttest.Fault{{Method: objecttest.List, Err: broken}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			memory := objecttest.NewMemory("memory")
			store := objecttest.NewFaulty(t, memory, tt.faults...)
			a, err := publish(t.Context(), store, draft(), object.L1)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Remove(t.Context()); (err != nil) != (len(tt.faults) > 0) {
				t.Errorf("Remove: %v", err)
			}
			ids := artifacts(t, memory)
			if (len(ids) == 1) != tt.stays {
				t.Errorf("artifacts afterwards: %q", ids)
			}
			if tt.stays {
				if err := a.Verify(t.Context(), object.L0); err != nil {
					t.Errorf("it exists but is not whole: %v", err)
				}
			}
			memory.Age(time.Hour)
			left, err := object.Leftovers(t.Context(), memory, "", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range left {
				if err := l.Remove(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if keys := memory.Keys(); !tt.stays && len(keys) != 0 {
				t.Errorf("after the sweep: %q", keys)
			}
		})
	}
}

func TestArtifactsGoesOnAfterDamage(t *testing.T) {
	t.Parallel()
	store := objecttest.NewMemory("memory")
	var want []string
	for range 3 {
		m := draft()
		m.Streams = content().Streams
		if _, err := publish(t.Context(), store, m, object.L1); err != nil {
			t.Fatal(err)
		}
		want = append(want, m.ID)
	}
	ids := artifacts(t, store)
	store.Change("daily/backup/"+ids[1]+"/manifest.json", func(b []byte) []byte { return b[:len(b)-9] })
	var good, bad []string
	for a, err := range object.Artifacts(t.Context(), store, object.Folder("daily", "backup")) {
		if err != nil {
			if !errors.Is(err, object.ErrDamaged) || a == nil {
				t.Fatalf("%v, %v", a, err)
			}
			bad = append(bad, a.Dir())
			if err := a.Remove(t.Context()); err == nil {
				t.Error("an artifact whose manifest cannot be read was removed")
			}
			continue
		}
		good = append(good, a.Manifest.ID)
	}
	if diff := cmp.Diff([]string{ids[0], ids[2]}, good); diff != "" || len(bad) != 1 || len(want) != 3 {
		t.Errorf("bad %q, good (-want +got):\n%s", bad, diff)
	}
	broken := errors.New("broken")
	var last error
	for _, err := range object.Artifacts(t.Context(), objecttest.NewFaulty(t, store, objecttest.Fault{Method: objecttest.List, Err: broken, After: 4}), "") {
		last = err
	}
	if !errors.Is(last, broken) {
		t.Errorf("a listing that fails ends with %v", last)
	}
}

func TestProofs(t *testing.T) {
	t.Parallel()
	store := objecttest.NewMemory("memory")
	m := draft()
	a, err := publish(t.Context(), store, m, object.L1)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		proof object.Proof
		want  object.Level
	}{
		{object.Proof{Level: object.L2}, object.L2},
		{object.Proof{Level: object.L0}, object.L1},
		{object.Proof{Level: object.L2, Damage: "part data.1 is missing"}, ""},
		{object.Proof{Level: object.L3}, object.L3},
	} {
		if err := a.Record(t.Context(), tt.proof); err != nil {
			t.Fatal(err)
		}
		found, err := object.Find(t.Context(), store, m.ID)
		if err != nil {
			t.Fatal(err)
		}
		if found.Level() != tt.want || found.Proof == nil || found.Proof.Damage != tt.proof.Damage {
			t.Errorf("after %+v: level %q, proof %+v", tt.proof, found.Level(), found.Proof)
		}
	}
	store.Change("daily/backup/"+m.ID+"/proof.json", func([]byte) []byte { return []byte("{") })
	found, err := object.Find(t.Context(), store, m.ID)
	if err != nil || found.Level() != object.L1 {
		t.Errorf("with an unreadable proof: %v, %v", found, err)
	}
	if err := found.Remove(t.Context()); err != nil || len(store.Keys()) != 0 {
		t.Errorf("Remove: %v, left %q", err, store.Keys())
	}
}
