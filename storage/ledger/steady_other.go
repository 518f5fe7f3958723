//go:build !linux

package ledger

import "time"

// steadyTime is a clock that nobody sets.
func steadyTime() time.Duration { return time.Since(processBegan) }
