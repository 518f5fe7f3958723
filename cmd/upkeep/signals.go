package main

import (
	"os"
	"os/signal"
	"syscall"
)

// signalListener receives the signals that ask this process to end, beside
// whoever else listens.
type signalListener struct {
	received chan os.Signal
}

func listenForSignals() signalListener {
	l := signalListener{received: make(chan os.Signal, 4)}
	signal.Notify(l.received, os.Interrupt, syscall.SIGTERM)
	return l
}

func (l signalListener) stop() { signal.Stop(l.received) }
