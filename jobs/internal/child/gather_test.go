package child_test

import (
	"bytes"
	"errors"
	"io"
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
