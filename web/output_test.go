package web_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// TestPiece compares with a picture of all that was written, byte by byte.
func TestPiece(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		o := runner.Output{
			Head: rapid.SliceOfN(rapid.Byte(), 0, 10).Draw(t, "head"), Tail: rapid.SliceOfN(rapid.Byte(), 0, 10).Draw(t, "tail"),
			Cut: rapid.Int64Range(0, 10).Draw(t, "cut"),
		}
		first := rapid.Int64Range(0, 35).Draw(t, "first")
		last := rapid.Int64Range(first, 40).Draw(t, "last")
		var kept []int // bytes by place, -1 for those that were cut
		for _, b := range o.Head {
			kept = append(kept, int(b))
		}
		for range o.Cut {
			kept = append(kept, -1)
		}
		for _, b := range o.Tail {
			kept = append(kept, int(b))
		}
		var want []byte
		begin := first
		for i := first; i <= last && i < int64(len(kept)); i++ {
			if kept[i] < 0 && len(want) > 0 {
				break
			}
			if kept[i] >= 0 {
				if len(want) == 0 {
					begin = i
				}
				want = append(want, byte(kept[i]))
			}
		}
		from, got := web.Piece(o, first, last)
		if diff := same(want, got); diff != "" || len(want) > 0 && from != begin {
			t.Errorf("from %d, want %d (-want +got):\n%s", from, begin, diff)
		}
	})
}

func TestParseRange(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		first, last int64
		wrong       bool
	}{
		"bytes=0-":                     {last: 1 << 62},
		"bytes=5-9":                    {first: 5, last: 9},
		"bytes=5-5":                    {first: 5, last: 5},
		"bytes=4611686018427387903-":   {first: 1<<62 - 1, last: 1 << 62},
		"bytes=4611686018427387904-":   {wrong: true},
		"bytes=9223372036854775808-":   {wrong: true},
		"bytes=-5":                     {wrong: true},
		"bytes=5-4":                    {wrong: true},
		"bytes=0-1,4-5":                {wrong: true},
		"bytes=+1-":                    {wrong: true},
		"bytes= 1-2":                   {wrong: true},
		"bytes=1":                      {wrong: true},
		"lines=1-2":                    {wrong: true},
		"bytes=":                       {wrong: true},
		"bytes=0x1-":                   {wrong: true},
		"bytes=1-18446744073709551615": {wrong: true},
	}
	for text, test := range tests {
		first, last, err := web.ParseRange(text)
		if (err != nil) != test.wrong || err == nil && (first != test.first || last != test.last) {
			t.Errorf("%s: %d to %d, %v", text, first, last, err)
		}
	}
}

func FuzzParseRange(f *testing.F) {
	for _, seed := range []string{"bytes=0-", "bytes=1-2", "bytes=-1", "bytes=1-2,3-4", ""} {
		f.Add(seed)
	}
	o := runner.Output{Head: []byte("head"), Cut: 3, Tail: []byte("tail")}
	f.Fuzz(func(t *testing.T, text string) {
		first, last, err := web.ParseRange(text)
		if err != nil {
			return
		}
		if first < 0 || last < first {
			t.Fatalf("%q: %d to %d", text, first, last)
		}
		if _, bytes := web.Piece(o, first, last); len(bytes) > len(o.Tail) {
			t.Fatalf("%q: %q", text, bytes)
		}
	})
}

// TestOutput reads an output whole and in parts.
func TestOutput(t *testing.T) {
	t.Parallel()
	d := start(t, stocked())
	key := runner.AttemptKey{Run: "019ab004-0000-7000-8000-000000000000", Job: "backup", Number: 1}
	target := fmt.Sprintf("/api/v1/runs/%s/attempts/backup/1/output", key.Run[:8])
	status, header, body := d.raw(t, newRequest(t, http.MethodGet, target, ""))
	if status != 200 || body != "headtail" || header.Get("Content-Type") != "text/plain; charset=utf-8" || header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d %q %v", status, body, header)
	}
	for name, want := range map[string]string{api.HeadHeader: "4", api.CutHeader: "100", api.BytesHeader: "108"} {
		if got := header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	tests := map[string]struct {
		status      int
		body, where string
	}{
		"bytes=0-":    {206, "head", "bytes 0-3/*"},
		"bytes=1-2":   {206, "ea", "bytes 1-2/*"},
		"bytes=4-":    {206, "tail", "bytes 104-107/*"},
		"bytes=105-":  {206, "ail", "bytes 105-107/*"},
		"bytes=107-":  {206, "l", "bytes 107-107/*"},
		"bytes=108-":  {416, "", ""},
		"bytes=5-103": {416, "", ""},
		"bytes=x-":    {422, "", ""},
	}
	for text, test := range tests {
		r := newRequest(t, http.MethodGet, target, "")
		r.Header.Set("Range", text)
		status, header, body := d.raw(t, r)
		if status != test.status || header.Get("Content-Range") != test.where || test.status == 206 && body != test.body {
			t.Errorf("%s: %d %q %q", text, status, body, header.Get("Content-Range"))
		}
	}
	var all []byte
	var places []int64
	for at := int64(0); ; {
		from, some, err := d.client.OutputFrom(t.Context(), key, at)
		if err != nil {
			t.Fatal(err)
		}
		if len(some) == 0 {
			break
		}
		all, places, at = append(all, some...), append(places, from), from+int64(len(some))
	}
	if diff := cmp.Diff([]int64{0, 104}, places); diff != "" || string(all) != "headtail" {
		t.Errorf("%q %s", all, diff)
	}
}
