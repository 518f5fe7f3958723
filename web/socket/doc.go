// Package socket makes and reaches the unix socket on which upkeep serves its
// API. It knows paths of any length, stale sockets and who is at the other
// end. It refuses to know what is said.
package socket
