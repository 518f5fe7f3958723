package s3_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// Storing takes parallel × part_size of memory, however long the stream is. The
// test does not run beside others, which use the same heap.
func TestMemoryIsBounded(t *testing.T) { //nolint:paralleltest // measures the heap
	server := objecttest.NewS3Server(t, objecttest.S3Dialect{Forget: true})
	o := hostile(server)
	o.Checksum, o.Parallel = "none", 3
	store := open(t, o)
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	peak := make(chan uint64)
	stop := make(chan struct{})
	go func() {
		var most uint64
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
			select {
			case <-ticker.C:
			case <-stop:
				peak <- most
				return
			}
		}
	}()
	const size = 512 << 20
	var sent int64
	info, err := store.Put(t.Context(), "a/long", readerFunc(func(p []byte) (int, error) {
		if sent >= size {
			return 0, eof
		}
		n := min(int64(len(p)), size-sent)
		sent += n
		return int(n), nil
	}), object.PutOptions{})
	close(stop)
	grown := int64(<-peak) - int64(before.HeapAlloc)
	if err != nil || info.Bytes != size {
		t.Fatalf("Put: %+v, %v", info, err)
	}
	// The parts lie outside the heap; this is the connections' buffers of both
	// ends and what the collector has not yet taken.
	if limit := int64(16 << 20); grown > limit {
		t.Errorf("the heap grew by %d MiB, more than %d MiB", grown>>20, limit>>20)
	}
	t.Logf("512 MiB: the heap grew by %.1f MiB", float64(grown)/(1<<20))
}
