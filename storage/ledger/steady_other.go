//go:build !linux

package ledger

import "time"

// steadyTime is the clock of the wall: this system has no better one that counts
// while the machine sleeps.
func steadyTime() time.Duration { return time.Duration(time.Now().UnixNano()) }
