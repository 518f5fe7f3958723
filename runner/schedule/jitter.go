package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"strconv"
	"time"
)

// Jitter returns by how much the starts of one workflow on one host are
// delayed: the same every time, and spread uniformly over [0, most) across
// names and hosts. It delays the start, never the slot. most ≤ 0 gives 0.
//
// It scales the first 64 bits of SHA-256 to the range by multiplication, which
// is uniform to one part in 2^64/most (D. Lemire, "Fast Random Integer
// Generation in an Interval", 2019).
func Jitter(most time.Duration, name, host string) time.Duration {
	if most <= 0 {
		return 0
	}
	// The length keeps ("ab","c") and ("a","bc") apart.
	sum := sha256.Sum256([]byte(strconv.Itoa(len(name)) + ":" + name + host))
	scaled, _ := bits.Mul64(binary.BigEndian.Uint64(sum[:8]), uint64(most))
	return time.Duration(scaled)
}
