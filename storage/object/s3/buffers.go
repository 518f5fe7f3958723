package s3

import (
	"sync"

	"golang.org/x/sys/unix"
)

// buffers hands out memory for parts. It lies outside the garbage collector's
// heap, which would otherwise be allowed to grow by as much again before it is
// looked at: what an upload takes is then really parallel × part_size.
//
// Memory that was handed out is never unmapped, because a request that was cut
// may read from it a little longer; its pages go back to the system as soon as
// no Put is under way.
type buffers struct {
	size int

	mu    sync.Mutex
	free  [][]byte
	users int
}

// enter announces a Put, which calls leave in the end.
func (b *buffers) enter() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.users++
}

func (b *buffers) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.users--; b.users > 0 {
		return
	}
	for _, buffer := range b.free {
		// Advice only: when it fails the pages stay for the next Put.
		_ = unix.Madvise(buffer, unix.MADV_DONTNEED)
	}
}

func (b *buffers) get() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.free); n > 0 {
		buffer := b.free[n-1]
		b.free = b.free[:n-1]
		return buffer
	}
	buffer, err := unix.Mmap(-1, 0, b.size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return make([]byte, b.size) // where it cannot be mapped, the heap has to do
	}
	return buffer
}

func (b *buffers) put(buffer []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = append(b.free, buffer)
}
