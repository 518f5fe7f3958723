package script

import "regexp"

// crashes are what the runtimes of languages write when a program dies of a
// fault that nobody caught. The end of such a text is enough, because only the
// end of what was said is kept.
var crashes = regexp.MustCompile(`(?m)` +
	`Traceback \(most recent call last\)` + // Python
	`|^  File ".+", line \d+, in ` + // Python
	`|^goroutine \d+ \[[a-z]` + // Go, after "panic:" and "fatal error:"
	`|^Exception in thread "` + // Java
	`|^\s+at [\w.$/<>]+\([\w$]+\.(java|kt|scala):\d+\)$` + // Java, Kotlin, Scala
	`|^\s+at (.+ \()?(node:|file:///|/)[^()]*:\d+:\d+\)?$` + // Node
	`|^Node\.js v\d+\.`) // Node, its last line

// crashed tells whether a program says that it died of a fault of its own.
func crashed(said string) bool { return crashes.MatchString(said) }
