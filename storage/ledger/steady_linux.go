package ledger

import (
	"time"

	"golang.org/x/sys/unix"
)

// steadyTime is a clock that nobody sets and that also counts while the machine
// sleeps, which Go's monotonic clock does not: clock_gettime(2), CLOCK_BOOTTIME.
func steadyTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return time.Duration(time.Now().UnixNano()) // every kernel since 2.6.39 has it
	}
	return time.Duration(t.Nano())
}
