package runner

import (
	"crypto/sha256"
	"fmt"
	"time"
)

// DerivedID returns a UUID of version 7 (RFC 9562, section 5.7) whose time is
// at and whose other bits follow from parts, so that whoever makes it again
// makes the same.
func DerivedID(at time.Time, parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		// A hash never fails to take bytes.
		_, _ = h.Write([]byte(part))
		_, _ = h.Write([]byte{0})
	}
	id := h.Sum(nil)[:16]
	ms := uint64(max(at.UnixMilli(), 0))
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
