package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Duties owes what follows from the passing of time and from channels that
// fail. Its methods follow the obligations of Ledger and may be repeated: what
// was owed before is not owed again, whatever became of it. ErrNotFound when
// there is no such incident or notice.
type Duties interface {
	// Repeat owes a channel that was told of an incident the notice repeat with
	// that Seq, and tells whether it is new. It owes nothing when the incident
	// has ended, is acknowledged at that instant, suppressed or flapping, when
	// the channel was not told of it, or is owed something about it still.
	Repeat(ctx context.Context, incident, channel string, seq int, at time.Time) (owed bool, err error)
	// Widen tells further channels of an incident and returns how many: each
	// that was not told yet is owed a notice of the opening with that Text, and
	// is one of the incident's channels from then on. It owes nothing when the
	// incident has ended, is acknowledged at that instant, suppressed or
	// flapping.
	Widen(ctx context.Context, incident, text string, at time.Time, channels ...string) (owed int, err error)
	// Divert owes another channel what a notice tells, with that Text, and tells
	// whether it did. Of an incident that is open the other channel is told of
	// the opening, acknowledged or not; of one that has ended it is told the end
	// when the notice tells that. A channel that was told of the incident is
	// owed nothing more. A notice of no incident is owed as it is, once.
	Divert(ctx context.Context, notice, to, text string) (owed bool, err error)
	// Supersede settles a notice that its channel is not to be told of, such as
	// that of an end whose beginning nobody heard of; ErrNoticeState when it was
	// sent.
	Supersede(ctx context.Context, notice, why string) error
}

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

// DerivedAt returns the time of an ID that DerivedID made, to the millisecond; ok
// is false for what is none.
func DerivedAt(id string) (at time.Time, ok bool) {
	digits := strings.ReplaceAll(id, "-", "")
	if len(digits) != 32 {
		return time.Time{}, false
	}
	raw, err := hex.DecodeString(digits[:12])
	if err != nil {
		return time.Time{}, false
	}
	ms := int64(0)
	for _, b := range raw {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms).UTC(), true
}
