package object

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// ReservedPrefix begins the names that stores use for their own unfinished
// files. No segment of a key may begin with it.
const ReservedPrefix = ".upkeep-"

const (
	// maxKey is the limit of Amazon S3 for a key, in bytes of UTF-8.
	maxKey = 1024
	// maxSegment is NAME_MAX of Linux.
	maxSegment = 255
)

// CheckKey tells why key cannot name an object, or returns nil. A key is valid
// UTF-8 of 1 to 1,024 bytes: segments of 1 to 255 bytes between single
// slashes, none of them "." or ".." or beginning with ReservedPrefix, without
// control characters and backslashes. What passes is safe as a relative path
// and as a key of every store.
func CheckKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("the key is empty")
	case len(key) > maxKey:
		return fmt.Errorf("the key %.40q… is longer than %d bytes", key, maxKey)
	case !utf8.ValidString(key):
		return fmt.Errorf("the key %q is not valid UTF-8", key)
	}
	for segment := range strings.SplitSeq(key, "/") {
		if why := badSegment(segment); why != "" {
			return fmt.Errorf("the key %q %s", key, why)
		}
	}
	return nil
}

func badSegment(segment string) string {
	switch {
	case segment == "":
		return "has an empty segment"
	case segment == "." || segment == "..":
		return "has a segment " + segment
	case len(segment) > maxSegment:
		return fmt.Sprintf("has a segment of more than %d bytes", maxSegment)
	case strings.HasPrefix(segment, ReservedPrefix):
		return "has a segment that begins with " + ReservedPrefix + ", which is reserved"
	}
	for _, r := range segment {
		if r < 0x20 || r == 0x7f || r == '\\' || r == '/' {
			return fmt.Sprintf("contains the character %q", r)
		}
	}
	return ""
}
