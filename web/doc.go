// Package web serves the REST API of upkeep over a unix socket. It knows HTTP,
// who asks, and how events reach those who follow a run. It refuses to know
// the ledger, the configuration and the engine: what it needs of them it
// declares as small interfaces, and whoever starts the daemon gives them to
// it. The JSON itself stands in web/api, the other end in web/client.
package web
