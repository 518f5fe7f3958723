// Package objecttest holds the suite that every artifact store passes, a store
// in memory, and a wrapper that makes chosen calls go wrong. Only tests import
// it.
package objecttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/storage/object"
)

// Exercise runs the suite. Each call of open returns an empty store of its own.
func Exercise(t *testing.T, open func(t *testing.T) object.Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, object.Store){
		"round trip":                       roundTrip,
		"replaces":                         replaces,
		"put if absent":                    putIfAbsent,
		"one of many puts if absent wins":  oneWins,
		"missing objects":                  missing,
		"list in byte order by prefix":     lists,
		"list stops when told":             listStops,
		"hostile keys are refused":         hostileKeys,
		"awkward keys work":                awkwardKeys,
		"a failing source leaves nothing":  failingSource,
		"a failing source keeps the old":   failingSourceKeepsOld,
		"cancel leaves nothing":            cancelLeavesNothing,
		"ended contexts":                   endedContexts,
		"delete converges":                 deleteConverges,
		"readers keep what they opened":    concurrentReaders,
		"unfinished objects are invisible": invisible,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func put(t *testing.T, s object.Store, key, body string) object.Info {
	t.Helper()
	info, err := s.Put(t.Context(), key, strings.NewReader(body), object.PutOptions{})
	if err != nil {
		t.Fatalf("Put(%q): %v", key, err)
	}
	return info
}

func get(t *testing.T, s object.Store, key string) string {
	t.Helper()
	r, _, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("Get(%q): %v", key, err)
	}
	body, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatalf("read %q: %v", key, err)
	}
	return string(body)
}

func keys(t *testing.T, s object.Store, prefix string) []string {
	t.Helper()
	var out []string
	for info, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("List(%q): %v", prefix, err)
		}
		out = append(out, info.Key)
	}
	return out
}

func roundTrip(t *testing.T, s object.Store) {
	for _, size := range []int{0, 1, 4096, 5<<20 + 7} {
		body := make([]byte, size)
		source := rand.NewChaCha8([32]byte{byte(size)})
		_, _ = source.Read(body) // never fails
		key := fmt.Sprintf("w/j/%d.bin", size)
		before := time.Now().Add(-time.Minute)
		info, err := s.Put(t.Context(), key, bytes.NewReader(body), object.PutOptions{ContentType: "application/octet-stream"})
		if err != nil {
			t.Fatalf("Put of %d bytes: %v", size, err)
		}
		sum := sha256.Sum256(body)
		want := object.Info{Store: info.Store, Key: key, Bytes: int64(size), SHA256: hex.EncodeToString(sum[:]), Modified: info.Modified}
		if diff := cmp.Diff(want, info); diff != "" || info.Store == "" {
			t.Errorf("Put of %d bytes answered (-want +got):\n%s", size, diff)
		}
		if info.Modified.Before(before) || info.Modified.After(time.Now().Add(time.Minute)) || info.Modified.Location() != time.UTC {
			t.Errorf("Modified is %v, want now in UTC", info.Modified)
		}
		r, got, err := s.Get(t.Context(), key)
		if err != nil {
			t.Fatalf("Get: %v", err)
		}
		read, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(read, body) {
			t.Errorf("Get of %d bytes returned %d other bytes, error %v", size, len(read), err)
		}
		stat, err := s.Stat(t.Context(), key)
		if err != nil {
			t.Fatalf("Stat: %v", err)
		}
		for method, i := range map[string]object.Info{"Get": got, "Stat": stat} {
			if i.Key != key || i.Bytes != int64(size) || i.Store != info.Store || i.SHA256 != "" && i.SHA256 != want.SHA256 {
				t.Errorf("%s answered %+v, want %+v", method, i, want)
			}
		}
	}
}

func replaces(t *testing.T, s object.Store) {
	put(t, s, "a/b", "a longer first version")
	put(t, s, "a/b", "second")
	put(t, s, "a/b", "second")
	if got := get(t, s, "a/b"); got != "second" {
		t.Errorf("after a replacing Put, Get returned %q", got)
	}
}

func putIfAbsent(t *testing.T, s object.Store) {
	if _, err := s.Put(t.Context(), "a/b", strings.NewReader("first"), object.PutOptions{IfAbsent: true}); err != nil {
		t.Fatalf("first Put with IfAbsent: %v", err)
	}
	_, err := s.Put(t.Context(), "a/b", strings.NewReader("second"), object.PutOptions{IfAbsent: true})
	if !errors.Is(err, object.ErrExists) {
		t.Errorf("second Put with IfAbsent: %v, want ErrExists", err)
	}
	if got := get(t, s, "a/b"); got != "first" {
		t.Errorf("the refused Put changed the object to %q", got)
	}
}

func oneWins(t *testing.T, s object.Store) {
	const writers = 8
	var wg sync.WaitGroup
	var mu sync.Mutex
	var won []string
	for i := range writers {
		wg.Go(func() {
			body := fmt.Sprintf("writer %d", i)
			_, err := s.Put(t.Context(), "a/b", strings.NewReader(body), object.PutOptions{IfAbsent: true})
			switch {
			case err == nil:
				mu.Lock()
				won = append(won, body)
				mu.Unlock()
			case !errors.Is(err, object.ErrExists):
				t.Errorf("Put: %v, want ErrExists", err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 || get(t, s, "a/b") != won[0] {
		t.Errorf("%d writers won: %q", len(won), won)
	}
}

func missing(t *testing.T, s object.Store) {
	put(t, s, "a/b/c", "x")
	for _, key := range []string{"nothing", "a", "a/b", "a/b/c/d", "a/b/cc"} {
		if _, err := s.Stat(t.Context(), key); !errors.Is(err, object.ErrNotFound) {
			t.Errorf("Stat(%q): %v, want ErrNotFound", key, err)
		}
		if _, _, err := s.Get(t.Context(), key); !errors.Is(err, object.ErrNotFound) {
			t.Errorf("Get(%q): %v, want ErrNotFound", key, err)
		}
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete(%q) of what is not there: %v", key, err)
		}
	}
	if got := get(t, s, "a/b/c"); got != "x" {
		t.Errorf("deleting other keys changed the object to %q", got)
	}
}

func lists(t *testing.T, s object.Store) {
	if got := keys(t, s, ""); len(got) != 0 {
		t.Fatalf("an empty store lists %q", got)
	}
	all := []string{"a-b/x", "a/b", "a/b.c/d", "a/b0", "a0", "b/c/d/e", "a!", "ä/ö", "a/B"}
	for _, key := range all {
		put(t, s, key, key)
	}
	slices.Sort(all)
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/b.c/", "b/c/d/e", "zz", "a-", "b/c/d/e/f", "ä"} {
		var want []string
		for _, key := range all {
			if strings.HasPrefix(key, prefix) {
				want = append(want, key)
			}
		}
		if diff := cmp.Diff(want, keys(t, s, prefix)); diff != "" {
			t.Errorf("List(%q) (-want +got):\n%s", prefix, diff)
		}
	}
	for info, err := range s.List(t.Context(), "") {
		if err != nil || info.Bytes != int64(len(info.Key)) || info.Store == "" || info.Modified.IsZero() {
			t.Errorf("List yields %+v, %v", info, err)
		}
	}
}

func listStops(t *testing.T, s object.Store) {
	for i := range 5 {
		put(t, s, fmt.Sprintf("a/%d", i), "x")
	}
	seen := 0
	for _, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatalf("List: %v", err)
		}
		if seen++; seen == 2 {
			break
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	stop := errors.New("stop")
	var last error
	seen = 0
	for _, err := range s.List(ctx, "") {
		if last != nil {
			t.Errorf("List went on after %v", last)
		}
		seen++
		last = err
		cancel(stop)
	}
	if !errors.Is(last, stop) || seen > 3 {
		t.Errorf("a List whose context ended yielded %d items and ended with %v", seen, last)
	}
}
