package child

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// gatherFor is how long output may gather in a pipe before it is read again.
	gatherFor = time.Millisecond
	// gatherBytes is from which size on a pipe does not fill up meanwhile: a
	// program that writes 250 MB a second fills a quarter of 1 MiB.
	gatherBytes = 512 << 10
)

// gather keeps the reader of a pipe from being woken for each piece that the
// other end writes. Programs on stdio, such as pg_dump, write 4 KiB at a time; a
// reader that waits in the kernel would wake up for each, 250,000 times a
// gigabyte, which takes more of the processors than compressing it.
type gather struct {
	capacity int // of the pipe; 0 turns it off
	read     time.Time
	most     int // of the last Read
}

// await waits until the last Read is gatherFor ago, unless it found the pipe
// rather full or was the first.
func (g *gather) await() {
	if g.capacity < gatherBytes || g.read.IsZero() || g.most > g.capacity/2 {
		return
	}
	if rest := gatherFor - time.Since(g.read); rest > 0 {
		time.Sleep(rest)
	}
}

func (g *gather) note(n int) {
	if g.capacity >= gatherBytes {
		g.read, g.most = time.Now(), n
	}
}

// pipeCapacity is what a pipe holds, or 0 when the kernel does not tell.
func pipeCapacity(f *os.File) (size int) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	err = conn.Control(func(fd uintptr) {
		if n, err := unix.FcntlInt(fd, unix.F_GETPIPE_SZ, 0); err == nil {
			size = n
		}
	})
	if err != nil {
		return 0
	}
	return size
}

// mostBursts is how often in a row a full pipe is looked at again before the
// kernel is asked to say when it has room.
const mostBursts = 50

// burst writes p as Write does. A child that takes small pieces, such as
// pg_restore with 4 KiB, would wake a writer that waits in the kernel for each
// of them; this one comes back when there is room for many.
func (f *feed) burst(p []byte) (int, error) {
	conn, err := f.to.SyscallConn()
	if err != nil {
		return 0, err
	}
	total, full := 0, 0
	for total < len(p) {
		var failed error
		err := conn.Write(func(fd uintptr) bool {
			var n int
			n, failed = unix.Write(int(fd), p[total:])
			if n > 0 {
				total, full = total+n, 0
			}
			if errors.Is(failed, unix.EAGAIN) {
				failed = nil
				full++
				return full < mostBursts // false waits in the kernel
			}
			return true
		})
		if err := errors.Join(err, unlessInterrupted(failed)); err != nil {
			return total, err
		}
		if full > 0 {
			time.Sleep(gatherFor)
		}
	}
	return total, nil
}

func unlessInterrupted(err error) error {
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	return err
}
