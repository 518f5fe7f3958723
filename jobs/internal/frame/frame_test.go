package frame_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"

	"github.com/ghosteam/upkeep/jobs/internal/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// text returns so many bytes, half of them compressible.
func text(size int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(size)))
	var b bytes.Buffer
	for b.Len() < size {
		fmt.Fprintf(&b, "line %d of the log, user %d\n", b.Len(), r.IntN(1000))
		b.WriteByte(byte(r.Uint32()))
	}
	return b.Bytes()[:size]
}

func compress(t *testing.T, codec frame.Codec, level, workers, chunk int, plain []byte) []byte {
	t.Helper()
	var out, passed bytes.Buffer
	w, err := frame.NewWriter(&out, &passed, codec, level, workers)
	if err != nil {
		t.Fatal(err)
	}
	for rest := plain; len(rest) > 0; {
		n, err := w.Write(rest[:min(chunk, len(rest))])
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(passed.Bytes(), plain) {
		t.Errorf("%d other bytes were passed on uncompressed", passed.Len())
	}
	return out.Bytes()
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	programs := map[frame.Codec][]string{frame.Zstd: {"zstd", "-dc"}, frame.Gzip: {"gzip", "-dc"}, frame.None: {"cat"}}
	for codec, program := range programs {
		for _, size := range []int{0, 1, 1 << 20, 1<<20 + 1, 4<<20 + 12345} {
			for _, workers := range []int{0, 3} {
				t.Run(fmt.Sprintf("%s %d bytes %d workers", codec, size, workers), func(t *testing.T) {
					t.Parallel()
					plain := text(size)
					packed := compress(t, codec, 1, workers, 70_001, plain)
					if codec != frame.None && size > 1<<20 && len(packed) > size/2 {
						t.Errorf("%d bytes became %d", size, len(packed))
					}
					r, err := frame.NewReader(bytes.NewReader(packed), codec)
					if err != nil {
						t.Fatal(err)
					}
					back, err := io.ReadAll(r)
					if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(back, plain) {
						t.Errorf("read back %d bytes of %d, %v", len(back), size, err)
					}
					cmd := exec.CommandContext(t.Context(), program[0], program[1:]...)
					cmd.Stdin = bytes.NewReader(packed)
					if out, err := cmd.Output(); err != nil || !bytes.Equal(out, plain) {
						t.Errorf("%v read back %d bytes of %d, %v", program, len(out), size, err)
					}
				})
			}
		}
	}
}

func TestSameBytesWhateverTheWorkers(t *testing.T) {
	t.Parallel()
	plain := text(9 << 20)
	want := compress(t, frame.Zstd, 3, 1, 1<<20, plain)
	for _, workers := range []int{2, 5} {
		if got := compress(t, frame.Zstd, 3, workers, 4096, plain); !bytes.Equal(got, want) {
			t.Errorf("%d workers wrote other bytes than one", workers)
		}
	}
}

// TestReadFrom: however the plain bytes come, the frames are the same.
func TestReadFrom(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 1<<20 - 1, 1 << 20, 5<<20 + 12345} {
		plain := text(size)
		want := compress(t, frame.Zstd, 1, 2, 70_001, plain)
		var out, passed bytes.Buffer
		w, err := frame.NewWriter(&out, &passed, frame.Zstd, 1, 2)
		if err != nil {
			t.Fatal(err)
		}
		head := size / 3
		if _, err := w.Write(plain[:head]); err != nil {
			t.Fatal(err)
		}
		n, err := w.ReadFrom(iotest.DataErrReader(iotest.HalfReader(bytes.NewReader(plain[head:]))))
		if err := errors.Join(err, w.Close()); err != nil || n != int64(size-head) {
			t.Errorf("%d of %d bytes: %v", n, size-head, err)
		}
		if !bytes.Equal(out.Bytes(), want) || !bytes.Equal(passed.Bytes(), plain) {
			t.Errorf("%d bytes became other frames", size)
		}
	}
}

func TestReadFromFailures(t *testing.T) {
	t.Parallel()
	lost, full := errors.New("connection lost"), errors.New("disk full")
	endless := iotest.ErrReader(nil)
	for name, tt := range map[string]struct {
		to   io.Writer
		from io.Reader
		want error
	}{
		"reader":             {io.Discard, io.MultiReader(bytes.NewReader(text(3<<20)), iotest.ErrReader(lost)), lost},
		"wrapped end":        {io.Discard, iotest.ErrReader(fmt.Errorf("proxy: %w", io.EOF)), io.EOF},
		"no progress":        {io.Discard, endless, io.ErrNoProgress},
		"writer":             {&limited{left: 100_000, err: full}, zeroes{}, full},
		"writer, then abort": {&limited{err: full}, zeroes{}, full},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, err := frame.NewWriter(tt.to, nil, frame.Zstd, 1, 2)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.ReadFrom(tt.from); !errors.Is(err, tt.want) {
				t.Errorf("ReadFrom: %v, want %v", err, tt.want)
			}
			w.Abort()
		})
	}
}

// zeroes never ends.
type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestCutAndChangedStreams(t *testing.T) {
	t.Parallel()
	plain := text(100_000)
	for _, codec := range []frame.Codec{frame.Zstd, frame.Gzip} {
		packed := compress(t, codec, 1, 1, 4096, plain)
		read := func(b []byte) ([]byte, error) {
			r, err := frame.NewReader(bytes.NewReader(b), codec)
			if err != nil {
				return nil, err
			}
			defer r.Close() //nolint:errcheck // the read says it
			return io.ReadAll(r)
		}
		for i := 1; i < len(packed); i += 97 {
			if _, err := read(packed[:i]); err == nil {
				t.Errorf("%s cut at %d of %d reads without error", codec, i, len(packed))
			}
			bad := bytes.Clone(packed)
			bad[i] ^= 0x08
			if back, err := read(bad); err == nil && !bytes.Equal(back, plain) {
				t.Errorf("%s with byte %d changed reads as something else", codec, i)
			}
		}
	}
}

func TestFailingWriter(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	w, err := frame.NewWriter(&limited{left: 100_000, err: full}, nil, frame.Zstd, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	plain := text(1 << 20)
	for range 100 {
		if _, err = w.Write(plain); err != nil {
			break
		}
	}
	if !errors.Is(err, full) {
		t.Errorf("Write: %v, want the writer's error", err)
	}
	for range 2 {
		if err := w.Close(); !errors.Is(err, full) {
			t.Errorf("Close: %v, want the writer's error", err)
		}
	}
}

func TestFailingPlainWriter(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	w, err := frame.NewWriter(io.Discard, &limited{left: 100_000, err: full}, frame.Zstd, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text(1 << 20)); err != nil {
		t.Errorf("Write: %v", err)
	}
	if err := w.Close(); !errors.Is(err, full) {
		t.Errorf("Close: %v, want the writer's error", err)
	}
}

func TestAbort(t *testing.T) {
	t.Parallel()
	var written atomic.Int64
	w, err := frame.NewWriter(counting{&written}, nil, frame.Zstd, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text(9 << 20)); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	before := written.Load()
	w.Abort()
	if err := w.Close(); !errors.Is(err, frame.ErrAborted) || written.Load() != before {
		t.Errorf("Close after Abort: %v, %d more bytes written", err, written.Load()-before)
	}
}

func TestUnknown(t *testing.T) {
	t.Parallel()
	if _, err := frame.NewWriter(io.Discard, nil, "lzma", 1, 1); err == nil || !strings.Contains(err.Error(), "lzma") {
		t.Errorf("NewWriter: %v", err)
	}
	if _, err := frame.NewWriter(io.Discard, nil, frame.Gzip, 77, 1); err == nil {
		t.Error("gzip level 77 was accepted")
	}
	if _, err := frame.NewReader(strings.NewReader(""), "lzma"); err == nil {
		t.Error("NewReader accepts lzma")
	}
	if frame.Zstd.Suffix() != ".zst" || frame.Gzip.Suffix() != ".gz" || frame.None.Suffix() != "" {
		t.Error("wrong suffixes")
	}
	if frame.Zstd.MaxLevel() != 19 || frame.Gzip.MaxLevel() != 9 || frame.None.MaxLevel() != 0 {
		t.Error("wrong levels")
	}
}

type limited struct {
	left int
	err  error
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, l.err
	}
	return len(p), nil
}

type counting struct{ n *atomic.Int64 }

func (c counting) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

func BenchmarkWriter(b *testing.B) {
	plain := text(64 << 20)
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("zstd workers=%d", workers), func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			for b.Loop() {
				w, err := frame.NewWriter(io.Discard, nil, frame.Zstd, 1, workers)
				if err != nil {
					b.Fatal(err)
				}
				_, err = w.Write(plain)
				if err := errors.Join(err, w.Close()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
