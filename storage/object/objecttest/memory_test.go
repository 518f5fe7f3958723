package objecttest_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	objecttest.Exercise(t, func(*testing.T) object.Store { return objecttest.NewMemory("memory") })
}

func TestFaulty(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	s := objecttest.NewFaulty(t, objecttest.NewMemory("memory"),
		objecttest.Fault{Method: objecttest.Put, Call: 2, Err: broken, After: 1},
		objecttest.Fault{Method: objecttest.Put, Call: 3, Lose: true},
		objecttest.Fault{Method: objecttest.Get, Key: "b", Body: func([]byte) []byte { return nil }},
		objecttest.Fault{Method: objecttest.Get, Key: "b", Call: 2, Err: broken, After: 2},
		objecttest.Fault{Method: objecttest.Get, Key: "b", Call: 3, Err: broken, Forever: true},
		objecttest.Fault{Method: objecttest.Stat, Err: broken},
		objecttest.Fault{Method: objecttest.List, Err: broken, After: 1},
		objecttest.Fault{Method: objecttest.Delete, Lose: true},
	)
	ctx := t.Context()
	put := func(key string) error {
		_, err := s.Put(ctx, key, strings.NewReader("body"), object.PutOptions{})
		return err
	}
	if err := errors.Join(put("a"), put("b")); !errors.Is(err, broken) {
		t.Errorf("second Put: %v, want the fault", err)
	}
	if err := errors.Join(put("c"), put("b")); err != nil {
		t.Errorf("third and fourth Put: %v", err)
	}
	for call, want := range []struct {
		body string
		err  error
	}{{"", nil}, {"bo", broken}, {"", broken}, {"", broken}} {
		r, _, err := s.Get(ctx, "b")
		var body []byte
		if err == nil {
			body, err = io.ReadAll(r)
		}
		if string(body) != want.body || !errors.Is(err, want.err) {
			t.Errorf("Get %d: %q, %v; want %q, %v", call+1, body, err, want.body, want.err)
		}
	}
	if _, err := s.Stat(ctx, "a"); !errors.Is(err, broken) {
		t.Errorf("Stat: %v, want the fault", err)
	}
	var listed []string
	var last error
	for info, err := range s.List(ctx, "") {
		listed, last = append(listed, info.Key), err
	}
	if len(listed) != 2 || !errors.Is(last, broken) {
		t.Errorf("List: %q, %v; want one key and the fault", listed, last)
	}
	if err := s.Delete(ctx, "a"); err != nil {
		t.Errorf("Delete: %v", err)
	}
	if _, err := s.Stat(ctx, "a"); err != nil {
		t.Errorf("Stat after a lost Delete: %v", err)
	}
}
