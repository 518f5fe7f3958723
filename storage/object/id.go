package object

import (
	"crypto/rand"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// idTime is the time part of an artifact's id; its text order is the order of
// time.
const idTime = "20060102-150405.000"

// idRandom is the length of the random part: 10 characters of 5 bits.
const idRandom = 10

var idPattern = regexp.MustCompile(`^\d{8}-\d{6}\.\d{3}-[a-z2-7]{10}$`)

// NewID returns the id of a new artifact, such as
// "20261123-023000.123-k3v7q2m5xd": the UTC time in milliseconds and 50 random
// bits, so that ids sort by time and no two artifacts in any store share one.
func NewID(now time.Time) string {
	return now.UTC().Format(idTime) + "-" + strings.ToLower(rand.Text()[:idRandom])
}

// IDTime returns the instant in an id, or an error when id is none of ours.
func IDTime(id string) (time.Time, error) {
	if !idPattern.MatchString(id) {
		return time.Time{}, fmt.Errorf("%q is not the id of an artifact", id)
	}
	t, err := time.Parse(idTime, id[:len(id)-idRandom-1])
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not the id of an artifact: %w", id, err)
	}
	return t, nil
}
