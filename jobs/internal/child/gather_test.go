package child_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// TestGather: a program that writes small pieces is read in large ones, and
// nothing of it is lost, also not its end.
func TestGather(t *testing.T) {
	t.Parallel()
	const lines = 100_000
	out, err := child.Output(t.Context(), child.Command{
		// mawk and gawk both write 4 KiB at a time into a pipe.
		Argv: []string{"awk", `BEGIN { for (i = 0; i < 100000; i++) printf "%099d\n", i; exit }`}, PipeBytes: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	buf := make([]byte, 1<<20)
	reads := 0
	for {
		n, err := out.Read(buf)
		all.Write(buf[:n])
		reads++
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if all.Len() != lines*100 || !strings.HasSuffix(all.String(), "99999\n") {
		t.Errorf("%d bytes instead of %d", all.Len(), lines*100)
	}
	if most := lines * 100 / (4 << 10) / 2; reads > most {
		t.Errorf("%d reads for %d bytes, more than %d", reads, all.Len(), most)
	}
}

// TestBurst: a program that takes small pieces gets all of a large input, in
// order; one that stops reading for long does not keep the writer busy, and one
// that ends early ends well.
func TestBurst(t *testing.T) {
	t.Parallel()
	var in bytes.Buffer
	for i := range 400_000 {
		fmt.Fprintf(&in, "%09d\n", i)
	}
	want := sha256.Sum256(in.Bytes())
	for name, tt := range map[string]struct {
		script string
		whole  bool
	}{
		"small pieces": {"dd bs=4096 status=none", true},
		"a pause":      {"sleep 0.3; cat", true},
		"early end":    {"head -c 100000", false},
		"no reader":    {"exec 0<&-; echo none", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			_, err := child.Run(t.Context(), child.Command{
				Argv: []string{"/bin/sh", "-c", tt.script}, Stdin: struct{ io.Reader }{bytes.NewReader(in.Bytes())}, Stdout: &out, PipeBytes: 1 << 20,
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := sha256.Sum256(out.Bytes()); tt.whole && got != want || out.Len() == 0 {
				t.Errorf("%d bytes of %d, or others", out.Len(), in.Len())
			}
		})
	}
}

// TestWriteBytes: a program is started through stdbuf where there is one, and
// is what it was in all other respects.
func TestWriteBytes(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ path, want string }{
		"with stdbuf":    {os.Getenv("PATH"), "65536 /bin/sh a b"},
		"without stdbuf": {t.TempDir(), " /bin/sh a b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			_, err := child.Run(t.Context(), child.Command{
				Argv: []string{"/bin/sh", "-c", `echo "$_STDBUF_O $0 $1 $2"; exit 3`, "/bin/sh", "a", "b"},
				Env:  []string{"PATH=" + tt.path}, Stdout: &out, WriteBytes: 64 << 10,
			})
			failed, ok := errors.AsType[*child.ExitError](err)
			if !ok || failed.Code != 3 || failed.Name != "/bin/sh" {
				t.Errorf("ended with %v", err)
			}
			if got := strings.TrimSuffix(out.String(), "\n"); got != tt.want {
				t.Errorf("wrote %q instead of %q", got, tt.want)
			}
		})
	}
}
