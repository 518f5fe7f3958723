package ledger

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/google/uuid"

	"github.com/ghosteam/upkeep/runner"
)

// ticksPerMilli is the resolution of the clock in our run IDs: UUIDs of
// version 7 with the 12 bits after the milliseconds used as its fraction
// (RFC 9562, section 6.2, method 3), so about a quarter of a microsecond.
const ticksPerMilli = 1 << 12

// tick is an instant in 1/4096 milliseconds since 1970.
type tick int64

// tickOf returns the first tick that is not before t.
func tickOf(t time.Time) tick {
	micros := ceilMicro(t)
	if micros < 0 {
		return 0
	}
	milli, rest := micros/1000, micros%1000
	// 48 bits of milliseconds last until the year 10889.
	return tick(min(milli, 1<<48-1)*ticksPerMilli + (rest*ticksPerMilli+999)/1000)
}

// micros returns the microsecond in which the tick lies.
func (t tick) micros() int64 {
	return int64(t)/ticksPerMilli*1000 + int64(t)%ticksPerMilli*1000/ticksPerMilli
}

// bound returns the smallest run ID of this tick.
func (t tick) bound() runner.RunID { return t.id([8]byte{}) }

func (t tick) id(random [8]byte) runner.RunID {
	var u uuid.UUID
	binary.BigEndian.PutUint64(u[:8], uint64(t)/ticksPerMilli<<16|0x7000|uint64(t)%ticksPerMilli)
	copy(u[8:], random[:])
	u[8] = u[8]&0x3f | 0x80
	return runner.RunID(u.String())
}

// newRunIDs returns n run IDs in ascending order for runs recorded at now.
func newRunIDs(now time.Time, n int) ([]runner.RunID, []tick, error) {
	random := make([][8]byte, n)
	for i := range random {
		if _, err := rand.Read(random[i][:]); err != nil {
			return nil, nil, err
		}
	}
	ids, ticks := make([]runner.RunID, n), make([]tick, n)
	first := tickOf(now)
	for i := range n {
		ticks[i] = first + tick(i)
		ids[i] = ticks[i].id(random[i])
	}
	return ids, ticks, nil
}
