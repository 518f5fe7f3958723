package river

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"

	"github.com/ghosteam/upkeep/runner"
)

const (
	// anyQueue is the queue of what every node may execute. No other name can
	// be that: all others have a prefix.
	anyQueue    = "any"
	nodePrefix  = "node-"
	labelPrefix = "label-"
	// maxQueueName is River's limit (validateQueueName).
	maxQueueName = 64
	// maxPlain leaves room for a prefix in maxQueueName, and is shorter than
	// any hashed name, so that no plain name looks like a hashed one.
	maxPlain = 40
)

// plainName is what River takes as it is: it wants lower-case letters and
// digits, separated by single hyphens or underscores.
var plainName = regexp.MustCompile(`^[a-z0-9]+(?:[_-][a-z0-9]+)*$`)

// queueOf is the name of the River queue of a target. Different targets have
// different queues: a name that River would refuse becomes as much of it as
// River takes, to be recognized by, and the hash of all of it.
func queueOf(t runner.Target) string {
	if name, one := t.Node(); one {
		return nodePrefix + encode(name)
	}
	if label, labeled := t.Label(); labeled {
		return labelPrefix + encode(label)
	}
	return anyQueue
}

// encode is injective: a plain name has at most maxPlain bytes, a hashed one
// has more.
func encode(name string) string {
	if len(name) <= maxPlain && plainName.MatchString(name) {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	readable := readableOf(name)
	// 16 bytes are 32 digits: with "h-" and a readable part of any length the
	// name stays within River's limit, and beyond maxPlain.
	hashed := "h-" + hex.EncodeToString(sum[:16])
	for len(readable)+1+len(hashed) <= maxPlain {
		readable += "0"
	}
	return readable + "-" + hashed
}

// readableOf keeps what River takes of a name, 10 to 20 bytes of it.
func readableOf(name string) string {
	const most = maxQueueName - len(labelPrefix) - 1 - len("h-") - 32
	kept := make([]byte, 0, most)
	for i := 0; i < len(name) && len(kept) < most; i++ {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			kept = append(kept, c)
		case c >= 'A' && c <= 'Z':
			kept = append(kept, c-'A'+'a')
		}
	}
	return string(kept)
}
