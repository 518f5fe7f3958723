// Package client asks a daemon of upkeep through its API: over the unix socket
// beside the ledger, or at a URL. It reads as runner.Reader and
// runner.AlertReader do, so that it can stand in for a ledger, and its errors
// are those of runner. It refuses to know the ledger and the configuration.
package client
